"""Other ways to have tasks that outlive a request, each served in a process of its own.

`python -m benchmarks.peers.NAME …` prints its URL, answers `POST /tasks` by starting an empty task
and `POST /forget` by dropping what waits, and ends all that it started when stdin ends. Each is
built as its own documentation says; one process serves, since one core does, and nothing writes
an access log.
"""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ..common import ROOT, environment
from ..server import CORES, Server

wanted = True  # or all are left out


class About(NamedTuple):
    """A peer: its name in tables, its module here with arguments, what to know about it."""

    text: str
    command: tuple[str, ...]
    rival: bool  # it does what ours does there, tracks its tasks say, so that ours is to be ahead
    notes: str = ""


_UNTRACKED = "nobody can ask later how a task did"

ABOUT = {
    "flask_pool": About("Flask, a thread pool", ("flask_threads", "pool"), False, _UNTRACKED),
    "flask_threads": About("Flask, a thread each", ("flask_threads", "each"), False, _UNTRACKED),
    "celery": About(
        "Flask, Celery with Redis", ("flask_celery", "redis", "results"), True,
        "results are kept in Redis; gunicorn, the worker and Redis share the core, as our server "
        "and its tasks do; what waits when a turn ends is purged",
    ),
    "fastapi": About(
        "FastAPI BackgroundTasks, uvicorn", ("fastapi_background",), False, _UNTRACKED
    ),
    "taskflow": About("fastapi-taskflow, uvicorn", ("taskflow", "memory"), True, "in memory"),
    "taskflow_sqlite": About(
        "fastapi-taskflow with SQLite", ("taskflow", "sqlite"), True,
        "it answers before anything is written: a task gets to the disk when it has ended",
    ),
    "celery_redis": About(
        "Flask, Celery with Redis", ("flask_celery", "redis"), True,
        "gunicorn, the worker and Redis share the core, as our server and its tasks do; no result "
        "is kept; what waits when a turn ends is purged; Redis answers before it writes to the "
        "disk",
    ),
    "celery_rabbitmq": About(
        "Flask, Celery with RabbitMQ", ("flask_celery", "rabbitmq"), True,
        "the same; nobody waits until RabbitMQ confirms, as is Celery's default",
    ),
    "busy_pool": About("Flask, a thread pool", ("busy_flask", "pool"), False),
    "busy_fastapi": About("FastAPI BackgroundTasks", ("busy_fastapi",), False),
    "busy_celery": About("Flask, Celery beside it", ("busy_flask", "celery"), False),
}  # fmt: skip


class Missing(Exception):
    """A peer that is not installed, or does not start here, and why."""


@contextmanager
def serving(name: str, *, pinned: bool = True) -> Iterator[Server]:
    """Serve the peer `name` with all its processes on the first core, as ours, or if not `pinned`
    on any. Raises Missing."""
    first, *others = CORES
    module, *arguments = ABOUT[name].command
    with tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", f"{__name__}.{module}", *arguments], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT, env=environment(),
        )  # fmt: skip
        with child:
            assert child.stdin is not None
            assert child.stdout is not None
            if pinned and others:  # before it starts others, which inherit this
                os.sched_setaffinity(child.pid, [first])
            try:
                if not (url := child.stdout.readline().strip()):
                    errors.seek(0)
                    raise Missing((errors.read().strip() or "it printed no URL").splitlines()[-1])
                yield Server(int(url.rpartition(":")[2]), child.pid)
            finally:
                child.stdin.close()
                try:
                    child.wait(30)
                except subprocess.TimeoutExpired:
                    child.kill()


def listening() -> tuple[socket.socket, str]:
    """A socket on a free port, which a server started from here can inherit, and its URL."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.set_inheritable(True)
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


def free_port() -> str:
    listener, url = listening()
    listener.close()
    return url.rpartition(":")[2]
