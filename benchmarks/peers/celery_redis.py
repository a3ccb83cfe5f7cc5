"""Flask on gunicorn with 32 threads, and Celery with one worker and Redis.

No result is kept, which spares Celery two round trips a task; Redis has its stock persistence, a
snapshot now and then.
"""

# mypy: ignore-errors
# What it imports has no types, and may be missing where they are checked.

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress

from celery import Celery
from flask import Flask
from redis import Redis
from redis.exceptions import ConnectionError as NotYet

from . import listening

START_SECONDS = 15
BROKER = "BENCHMARK_BROKER"  # the variable with Redis' URL

app = Flask(__name__)
celery = Celery(__name__, broker=os.environ.get(BROKER))
celery.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)


@celery.task
def nothing() -> None:
    pass


@app.post("/tasks")
def create() -> tuple[dict[str, str], int]:
    return {"id": nothing.delay().id}, 202


@app.post("/forget")
def forget() -> tuple[str, int]:
    celery.control.purge()
    return "", 204


def main() -> None:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        free, url = listening()
        free.close()
        port = url.rpartition(":")[2]
        _start(stack, "redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", folder)
        os.environ[BROKER] = f"redis://127.0.0.1:{port}/0"
        _wait_for(Redis(port=int(port)).ping)
        celery.conf.broker_url = os.environ[BROKER]
        python = (sys.executable, "-m")
        _start(
            stack, *python, "celery", f"--app={__spec__.name}:celery", "worker", "--concurrency=1",
            "--loglevel=error",
        )  # fmt: skip
        _wait_for(celery.control.ping)
        listener, url = listening()
        _start(
            stack, *python, "gunicorn", f"{__spec__.name}:app", f"--bind=fd://{listener.fileno()}",
            "--threads=32", "--keep-alive=60", "--log-level=error", pass_fds=[listener.fileno()],
        )  # fmt: skip
        print(url, flush=True)
        sys.stdin.read()


def _start(stack: ExitStack, *command: str, pass_fds: list[int] | None = None) -> None:
    """Start a process, which is told to end when the stack is closed."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=pass_fds or ()
    )
    stack.callback(_end, process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()


def _wait_for(ping: object) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with suppress(NotYet):
            if ping():
                return
        time.sleep(0.05)
    raise TimeoutError(f"{ping} had no answer within {START_SECONDS} s.")


if __name__ == "__main__":
    main()
