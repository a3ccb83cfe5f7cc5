"""A Celery worker with Redis, for messages and for results, as a context that ends both.

What is not said is Celery's default: the prefork pool, four messages a process taken ahead,
results kept for a day.
"""

# mypy: ignore-errors
# What it imports has no types, and may be missing where they are checked.

import os
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from celery import Celery

from .flask_celery import redis
from .processes import start, wait_for

URL = "BENCHMARK_REDIS"  # the variable with Redis' URL, for the worker's process

celery = Celery(__name__, broker=os.environ.get(URL), backend=os.environ.get(URL))
celery.conf.broker_connection_retry_on_startup = True


@celery.task
def count(steps: int) -> int:
    done = 0
    for _ in range(steps):
        done += 1
    return done


@celery.task
def fetch(url: str) -> int:
    with urllib.request.urlopen(url) as response:
        return len(response.read())


@contextmanager
def running(*options: str) -> Iterator[None]:
    """Redis and a worker with these options, and the tasks above ready to be sent to it."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        os.environ[URL] = redis(stack, folder)
        celery.conf.update(broker_url=os.environ[URL], result_backend=os.environ[URL])
        start(
            stack, sys.executable, "-m", "celery", f"--app={__name__}:celery", "worker",
            "--loglevel=error", *options,
        )  # fmt: skip
        wait_for(celery.control.ping)
        yield
