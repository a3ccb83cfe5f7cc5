"""What is made once and used everywhere."""

from concurrent.futures import ThreadPoolExecutor

from celery import Celery

executor = ThreadPoolExecutor(max_workers=4)
celery = Celery(__name__)


def init_celery(app, celery):
    """Have Celery's tasks run in the app's context."""
    celery.conf.update(app.config["CELERY"])

    class ContextTask(celery.Task):
        def __call__(self, *args, **kwargs):
            with app.app_context():
                return self.run(*args, **kwargs)

    celery.Task = ContextTask
    return celery
