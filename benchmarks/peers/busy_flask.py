"""Flask whose thread pool computes, or a Celery worker beside it, on gunicorn with threads."""

# mypy: ignore-errors
# What it imports may be missing where types are checked.

import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from celery import Celery
from flask import Flask

from .busy import spin
from .flask_celery import redis
from .processes import gunicorn, start, until_stdin_ends, wait_for

BROKER = "BENCHMARK_BROKER"  # the variable with its URL, if there is one

app = Flask(__name__)
pool = ThreadPoolExecutor()
celery = Celery(__name__, broker=os.environ.get(BROKER))
celery.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
work = celery.task(name="spin")(spin)


@app.get("/small")
def small() -> dict[str, str]:
    return {"hello": "world"}


@app.post("/busy")
def busy() -> tuple[dict[str, str], int]:
    if BROKER in os.environ:
        work.delay()
    else:
        pool.submit(spin)
    return {"state": "queued"}, 202


def main(how: str) -> None:
    with ExitStack() as stack:
        if how == "celery":
            folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            os.environ[BROKER] = redis(stack, stack.enter_context(folder))
            celery.conf.broker_url = os.environ[BROKER]
            start(
                stack, sys.executable, "-m", "celery", f"--app={__spec__.name}:celery", "worker",
                "--loglevel=error",
            )  # fmt: skip
            wait_for(celery.control.ping)
        until_stdin_ends(gunicorn(stack, f"{__spec__.name}:app"))


if __name__ == "__main__":
    main(sys.argv[1])
