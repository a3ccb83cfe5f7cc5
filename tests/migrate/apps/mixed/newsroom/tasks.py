"""Celery's tasks."""

import time

from celery import shared_task
from celery.utils.log import get_task_logger

from .extensions import celery
from .store import add

logger = get_task_logger(__name__)


@celery.task
def send_mail(to, subject):
    logger.info("mail to %s", to)
    add("mails", f"{to}: {subject}")


@shared_task(bind=True, ignore_result=False)
def publish(self, titles, pause=0.02):
    """Publish articles one after the other, and tell how far it is."""
    for number, title in enumerate(titles):
        self.update_state(
            state="PROGRESS",
            meta={"current": number, "total": len(titles), "status": f"Publishing {title}"},
        )
        if title == "unprintable":
            raise ValueError(f"{title} cannot be published")
        add("published", title)
        time.sleep(pause)
    send_mail.delay("all", f"{len(titles)} published")
    return {"current": len(titles), "total": len(titles), "status": "Published", "result": titles}


@shared_task(
    autoretry_for=(OSError,), retry_kwargs={"max_retries": 2, "countdown": 0}, acks_late=True
)
def archive(title):
    add("archive", title)
    return title.upper()
