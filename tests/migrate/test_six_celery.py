"""Celery's tasks become tasks of the server, and its status routes stay as they are."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.migrate.cases import check, migrated

HEAD = """\
    from celery import Celery
    from quart import Quart, jsonify

    app = Quart(__name__)
    celery = Celery(app.name, broker="redis://")


"""
AFTER = """\
    from quart import Quart, jsonify
    from quart_tasks import QuartTasks{}

    app = Quart(__name__)
    tasks = QuartTasks(app)


"""


def left(found: list) -> list[tuple[str, str]]:  # type: ignore[type-arg]
    return [(each.code, each.message) for each in found if each.kind == "left"]


def test_a_task_its_submissions_and_its_status_route() -> None:
    check(
        HEAD
        + '''\
    @celery.task(bind=True, name="draw", time_limit=60)
    def render(self, width, height=100):
        """Draw."""
        for y in range(width):
            # how far it is
            self.update_state(state="PROGRESS", meta={"current": y, "total": width})
        self.update_state(
            state="PROGRESS", meta=dict(current=width, total=width, status=f"{self.request.id}")
        )
        return {"size": width * height}


    @app.post("/pictures")
    def create_picture():
        render.delay(1)
        task = render.apply_async((640,), {"height": 480}, countdown=5, expires=60)
        return jsonify(id=task.task_id), 202


    @app.get("/pictures/<id>")
    def picture(id):
        task = render.AsyncResult(id)
        if task.ready():
            return jsonify(state=task.state, result=task.result)
        return jsonify(state=task.status, info=task.info)


    @app.delete("/pictures/<id>")
    def delete(id):
        render.AsyncResult(id).revoke(terminate=True)
        return ""
    ''',
        AFTER.format(", progress, current_task\n    from quart_tasks.celery import AsyncResult")
        + '''\
    @tasks.task(executor="thread", name="draw", timeout=60, public=False)
    def render(width, height=100):
        """Draw."""
        for y in range(width):
            # how far it is
            progress(y, width)
        progress(width, width, f"{current_task().id}")
        return {"size": width * height}


    @app.post("/pictures")
    async def create_picture():
        await render.submit(1)
        task = await render.with_options(delay=5, expires=60).submit(640, height=480)
        return jsonify(id=task.id), 202


    @app.get("/pictures/<id>")
    def picture(id):
        task = AsyncResult(id)
        if task.ready():
            return jsonify(state=task.state, result=task.result)
        return jsonify(state=task.status, info=task.info)


    @app.delete("/pictures/<id>")
    async def delete(id):
        await AsyncResult(id).revoke(terminate=True)
        return ""
    ''',
    )


CALLS = {
    "render.delay(1, height=2)": "await render.submit(1, height=2)",
    "render.apply_async()": "await render.submit()",
    "render.apply_async(args=rest, kwargs=more)": "await render.submit(*rest, **more)",
    "render.apply_async([1], eta=datetime.utcnow() + timedelta(minutes=5), retry=False)": (
        "await render.with_options(delay=timedelta(minutes=5).total_seconds()).submit(1)"
    ),
    "render.apply_async([1], eta=datetime.now(UTC) + SPAN)": (
        "await render.with_options(delay=SPAN.total_seconds()).submit(1)"
    ),
    "id = render.delay(1).id": "id = (await render.submit(1)).id",
    "value = render.delay(1).get(timeout=5)": (
        "value = await AsyncResult(await render.submit(1)).get(timeout=5)"
    ),
    'print(AsyncResult("1", app=celery).state)': 'print(AsyncResult("1").state)',
    'print(celery.AsyncResult("1").state)': 'print(AsyncResult("1").state)',
    'celery.control.revoke("1", terminate=True, signal="SIGKILL")': (
        'await AsyncResult("1").revoke(terminate=True)'
    ),
    "render(1)": "render(1)",
}


@pytest.mark.parametrize("call", CALLS)
def test_the_shapes_of_a_call(call: str) -> None:
    body = '''\
    from datetime import UTC, datetime, timedelta
    from celery.result import AsyncResult

    SPAN = timedelta(days=1)


    @celery.task
    def render(width=1, height=2):
        """Draw."""


    @app.get("/")
    def index(rest=(), more={{}}):
        {}
        return "ok"
    '''
    sources, found = migrated({"app.py": HEAD + body.format(call)})
    assert left(found) == []
    assert f"        {CALLS[call]}\n".replace("        ", "    ") in sources["app.py"]
    assert "celery import Celery" not in sources["app.py"]


OPTIONS = {
    "": 'executor="thread"',
    "ignore_result=True": 'executor="thread"',
    "acks_late=True": 'executor="thread", idempotent=True',
    "autoretry_for=(OSError,)": (
        'executor="thread", retries='
        "RetryPolicy(3, delay=180, factor=1, jitter=False, on=(OSError,))"
    ),
    "autoretry_for=(OSError, KeyError), max_retries=5, retry_backoff=True": (
        'executor="thread", retries=RetryPolicy(5, delay=1, max_delay=600, on=(OSError, KeyError))'
    ),
    'autoretry_for=(OSError,), retry_kwargs={"max_retries": 1, "countdown": 2}': (
        'executor="thread", retries=RetryPolicy(1, delay=2, factor=1, jitter=False, on=(OSError,))'
    ),
}


@pytest.mark.parametrize("options", OPTIONS)
def test_the_options_of_a_task(options: str) -> None:
    body = '''\
    @celery.task({})
    def render():
        """Draw."""
    '''
    sources, found = migrated({"app.py": HEAD + body.format(options)})
    assert left(found) == []
    assert f"@tasks.task({OPTIONS[options]}, public=False)\ndef render()" in sources["app.py"]


LEFT = {
    "a queue": ("@celery.task(queue='slow')", "pass", "pass"),
    "a soft time limit": ("@celery.task(soft_time_limit=3)", "pass", "pass"),
    "a rate": ("@celery.task(rate_limit='1/s')", "pass", "pass"),
    "a state of its own": (
        "@celery.task(bind=True)",
        'self.update_state(state="DRAWING", meta={"current": 1})',
        "pass",
    ),
    "progress in other words": (
        "@celery.task(bind=True)",
        'self.update_state(state="PROGRESS", meta={"percent": 1})',
        "pass",
    ),
    "progress that is made elsewhere": (
        "@celery.task(bind=True)",
        'self.update_state(state="PROGRESS", meta=make())',
        "pass",
    ),
    "a retry of no error": ("@celery.task(bind=True)", "raise self.retry(countdown=5)", "pass"),
    "its request": ("@celery.task(bind=True)", "print(self.request.hostname)", "pass"),
    "a chain": ("@celery.task", "pass", "chain(render.s(), render.s())()"),
    "a link": ("@celery.task", "pass", "render.apply_async(link=print)"),
    "an id of its own": ("@celery.task", "pass", 'render.apply_async(task_id="1")'),
    "a time that may have no offset": ("@celery.task", "pass", "render.apply_async(eta=soon)"),
    "a result that is forgotten": ("@celery.task", "pass", "render.delay().forget()"),
    "a result that is handed on": ("@celery.task", "pass", "print(render.delay())"),
    "the task itself is handed on": ("@celery.task", "pass", "print(render)"),
    "a call outside of any function": ("@celery.task", "pass", "later = lambda: render.delay()"),
}


@pytest.mark.parametrize("shape", LEFT)
def test_what_stays_with_celery(shape: str) -> None:
    decorator, inside, outside = LEFT[shape]
    self = "self" if "bind" in decorator else ""
    body = f"""\
    from celery import chain

    {decorator}
    def render({self}):
        {inside}


    @app.get("/")
    def index(soon=None):
        {outside}
        return "ok"
    """
    sources, found = migrated({"app.py": HEAD + body})
    assert {code for code, _ in left(found)} == {"QT105"}
    for line in (decorator, inside, outside, 'celery = Celery(app.name, broker="redis://")'):
        assert line in sources["app.py"]
    assert "TODO[quart-tasks]" in sources["app.py"]
    assert "tasks.task(" not in sources["app.py"]


def test_what_shares_a_status_route_stays_together() -> None:
    body = '''\
    from celery.result import AsyncResult


    @celery.task
    def plain():
        """Work."""


    @celery.task(queue="slow")
    def slow():
        """Work."""


    @app.get("/status/<id>")
    def status(id):
        return AsyncResult(id).state
    '''
    sources, found = migrated({"app.py": HEAD + body})
    assert len(left(found)) == 3
    assert "from celery.result import AsyncResult" in sources["app.py"]
    apart = body.replace("return AsyncResult(id)", "return plain.AsyncResult(id)")
    sources, found = migrated({"app.py": HEAD + apart})
    assert [code for code, _ in left(found)] == ["QT105"]
    assert "\ndef plain()" in sources["app.py"].partition("public=False)")[2]


def test_beat_keeps_its_tasks() -> None:
    body = '''\
    celery.conf.beat_schedule = {"clean": {"task": "app.clean", "schedule": 60.0}}


    @celery.task
    def clean():
        """Clean."""


    @celery.task
    def render():
        """Draw."""
    '''
    sources, found = migrated({"app.py": HEAD + body})
    assert left(found) == [
        ("QT105", "`clean` is started by Celery's beat: there is no scheduler here.")
    ]
    assert "beat_schedule" in sources["app.py"]
    assert "@celery.task\ndef clean():" in sources["app.py"]
    assert "public=False)\ndef render():" in sources["app.py"]


def test_started_is_told_where_celery_was_told_to() -> None:
    body = '''\
    celery.conf.task_track_started = True


    @celery.task
    def render():
        """Draw."""


    @app.get("/<id>")
    def status(id):
        return render.AsyncResult(id).state
    '''
    sources, found = migrated({"app.py": HEAD + body})
    assert left(found) == []
    assert "return AsyncResult(id, track_started=True).state" in sources["app.py"]


def test_a_factory_of_celery_goes_with_its_last_task() -> None:
    files = {
        "shop/__init__.py": """\
        from celery import Celery, Task
        from flask import Flask


        def celery_init_app(app):
            class FlaskTask(Task):
                def __call__(self, *args, **kwargs):
                    with app.app_context():
                        return self.run(*args, **kwargs)

            celery_app = Celery(app.name, task_cls=FlaskTask)
            celery_app.config_from_object(app.config["CELERY"])
            celery_app.set_default()
            app.extensions["celery"] = celery_app
            return celery_app


        def create_app():
            app = Flask(__name__)
            app.config["CELERY"] = {"broker_url": "redis://"}
            celery_init_app(app)
            from .views import bp
            app.register_blueprint(bp)
            return app
        """,
        "make_celery.py": """\
        from shop import create_app

        flask_app = create_app()
        celery_app = flask_app.extensions["celery"]
        """,
        "shop/jobs.py": """\
        from celery import Task, shared_task
        from celery.utils.log import get_task_logger

        log = get_task_logger(__name__)


        @shared_task(ignore_result=False)
        def add(a, b):
            log.info("adding")
            return a + b


        @shared_task(bind=True)
        def add_later(self: Task, a, b):
            add.delay(a, b)
        """,
        "shop/views.py": """\
        from celery.result import AsyncResult
        from flask import Blueprint, request

        from . import jobs

        bp = Blueprint("jobs", __name__)


        @bp.post("/add")
        def start_add():
            result = jobs.add.delay(request.form.get("a", type=int), 2)
            return {"result_id": result.id}


        @bp.get("/result/<id>")
        def task_result(id):
            result = AsyncResult(id)
            ready = result.ready()
            return {
                "ready": ready,
                "successful": result.successful() if ready else None,
                "value": result.get() if ready else result.result,
            }
        """,
    }
    sources, found = migrated(files)
    assert left(found) == []
    assert "elery" not in sources["shop/jobs.py"]
    assert "from celery" not in sources["shop/__init__.py"] + sources["shop/views.py"]
    assert "celery_init_app" not in sources["shop/__init__.py"]
    assert "celery" not in sources["make_celery.py"]
    assert "    tasks.init_app(app)\n" in sources["shop/__init__.py"]
    assert "    tasks.submit_sync(add, a, b)\n" in sources["shop/jobs.py"]
    assert "await jobs.add.submit((await request.form).get(" in sources["shop/views.py"]
    assert '"value": await result.get() if ready else result.result' in sources["shop/views.py"]
    assert "from quart_tasks.celery import AsyncResult\n" in sources["shop/views.py"]


def test_what_still_uses_the_celery_app_is_left() -> None:
    body = '''\
    @celery.task
    def render():
        """Draw."""


    @app.get("/")
    def index():
        return jsonify(celery.control.inspect().active())
    '''
    sources, found = migrated({"app.py": HEAD + body})
    assert left(found) == [
        ("QT106", "No task here is run by Celery any more: take away what still uses it.")
    ]
    assert 'celery = Celery(app.name, broker="redis://")' in sources["app.py"]
    assert "@tasks.task(" in sources["app.py"]


def test_a_function_that_does_more_than_set_celery_up_is_left() -> None:
    body = '''\
    def init(app):
        """Set everything up."""
        celery.conf.update(app.config)

        class ContextTask(celery.Task):
            pass

        celery.Task = ContextTask
        app.config["READY"] = True


    init(app)


    @celery.task
    def render():
        """Draw."""
    '''
    sources, found = migrated({"app.py": HEAD + body})
    assert {code for code, _ in left(found)} == {"QT106"}
    assert 'app.config["READY"] = True' in sources["app.py"]
    assert "\ninit(app)\n" in sources["app.py"]
    assert "@tasks.task(" in sources["app.py"]


def test_what_keeps_celery_is_told_where_it_stands() -> None:
    source = '''\
    from celery import Celery, Task, shared_task
    from flask import Flask


    def celery_init_app(app: Flask) -> Celery:
        class FlaskTask(Task):
            def __call__(self, *args, **kwargs):
                with app.app_context():
                    return self.run(*args, **kwargs)

        celery_app = Celery(app.name, task_cls=FlaskTask)
        celery_app.set_default()
        return celery_app


    app = Flask(__name__)
    celery_app = celery_init_app(app)


    @shared_task
    def render():
        """Draw."""


    @app.cli.command("nightly")
    def nightly():
        render.delay()
    '''
    sources, found = migrated({"app.py": source})
    cannot = "This must be awaited, and `nightly` cannot become async: "
    lines = [(each.line, each.code) for each in found if each.kind == "left"]
    assert lines == [(8, "QT302"), (20, "QT105"), (27, "QT105")]
    assert [text.startswith(cannot) for _, text in left(found)] == [False, True, True]
    lines_after = sources["app.py"].splitlines()
    for line in ("with app.app_context():", "@shared_task", "render.delay()"):
        above = [before for before, each in pairwise(lines_after) if line in each]
        assert ["# TODO[quart-tasks]: " in before for before in above] == [True]


RETRIES = {
    "countdown=5": "3, delay=5, factor=1, jitter=False",
    "max_retries=2": "2, delay=9, factor=1, jitter=False",
    "exc=error, countdown=2 ** self.request.retries": "3, delay=1, max_delay=86400, jitter=False",
}


@pytest.mark.parametrize("asked", RETRIES)
def test_a_retry_by_hand_becomes_a_policy(asked: str) -> None:
    body = f"""\
    @celery.task(bind=True, default_retry_delay=9)
    def load(self, url):
        try:
            print(url)
        except (OSError, ValueError) as error:
            raise self.retry({asked})
    """
    sources, found = migrated({"app.py": HEAD + body})
    assert left(found) == []
    policy = f"retries=RetryPolicy({RETRIES[asked]}, on=(OSError, ValueError))"
    assert f'@tasks.task(executor="thread", {policy}, public=False)\n' in sources["app.py"]
    assert "    except (OSError, ValueError) as error:\n        raise\n" in sources["app.py"]


@pytest.mark.parametrize(
    "asked", ["countdown=wait(url)", "queue='slow'", "max_retries=None", "args=(url, 2)"]
)
def test_a_retry_that_is_no_policy_is_left(asked: str) -> None:
    body = f"""\
    @celery.task(bind=True)
    def load(self, url):
        try:
            print(url)
        except OSError:
            raise self.retry({asked})
    """
    sources, found = migrated({"app.py": HEAD + body})
    assert left(found) == [("QT105", "`load` stays with Celery: its retries are left to you.")]
    assert f"raise self.retry({asked})" in sources["app.py"]
