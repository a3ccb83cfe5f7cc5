"""Other ways to have tasks that outlive a request, each served in a process of its own.

`python -m benchmarks.peers.NAME` prints its URL, answers `POST /tasks` by starting an empty task
and `POST /forget` by dropping what waits, and ends all that it started when stdin ends.
"""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from ..common import ROOT, environment
from ..server import CORES, Server

# name of the module: what it is, and what to know about its figure
ABOUT = {
    "taskflow": (
        "fastapi-taskflow with SQLite",
        "it answers before anything is written: a task gets to the disk when it has ended",
    ),
    "celery_redis": (
        "Flask and Celery with Redis",
        "gunicorn, the worker and Redis share the core, as our server and its tasks do; what is "
        "left when a turn ends is purged; Redis answers before it writes to the disk",
    ),
}


class Missing(Exception):
    """A peer that is not installed, or does not start here, and why."""


@contextmanager
def serving(name: str) -> Iterator[Server]:
    """Serve the peer `name` with all its processes on the first core, as ours. Raises Missing."""
    first, *others = CORES
    with tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", f"{__name__}.{name}"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT, env=environment(),
        )  # fmt: skip
        with child:
            assert child.stdin is not None
            assert child.stdout is not None
            if others:  # before it starts others, which inherit this
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
