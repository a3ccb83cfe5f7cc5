"""Tasks that only a kill ends, for the questions about faults; and pebble's pool beside ours."""

import logging
import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from math import nan
from pathlib import Path
from typing import Any

from quart import Quart

from quart_tasks import QuartTasks, current_task, progress

from .common import Figure, Result, figure, in_child, ratio

MOST = 100  # ms
HAS_PEBBLE = find_spec("pebble") is not None
_AND_PEBBLE = ", and at most pebble's" if HAS_PEBBLE else ""

tasks = QuartTasks()


def create_app(**config: object) -> Quart:
    logging.getLogger("quart_tasks").setLevel(logging.CRITICAL)  # the failures are made on purpose
    app = Quart(__name__)
    app.config.update({"TASKS_PROCESSES": 1, "TASKS_DRAIN_TIMEOUT": 0, **config})
    tasks.init_app(app)
    return app


class Fifo:
    """Where tasks, in whatever process, write their process id when they are busy."""

    def __init__(self, path: str) -> None:
        os.mkfifo(path)
        self.path = path
        self._fd = os.open(path, os.O_RDWR)

    def pid(self) -> int:
        """The next id; waits for it."""
        return int.from_bytes(os.read(self._fd, 4), "big")


@contextmanager
def fifo() -> Iterator[Fifo]:
    with tempfile.TemporaryDirectory() as folder:
        pipe = Fifo(f"{folder}/pids")
        yield pipe
        os.close(pipe._fd)


def report(path: str | None) -> None:
    progress(os.getpid())
    if path is not None:
        Path(path).write_bytes(os.getpid().to_bytes(4, "big"))


def nothing() -> None:
    pass


def loops(path: str | None = None) -> None:
    report(path)
    while True:
        pass


def holds_the_gil(path: str | None = None) -> None:
    report(path)
    sum(range(10**15))


def has_a_child() -> None:
    with subprocess.Popen(["sleep", "1000"]):
        report(None)


def note(path: str) -> None:
    """Write down that this task has begun."""
    context = current_task()
    assert context is not None
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{context.id}\n".encode())
    os.close(fd)


def noted(path: str) -> Counter[str]:
    """How often each task has begun."""
    return Counter(Path(path).read_text().split())


PLAIN = {each.__name__: each for each in (nothing, loops, holds_the_gil, has_a_child, note)}
for function in PLAIN.values():
    tasks.task(executor="process")(function)


@contextmanager
def pebble_pool() -> Iterator[Any]:
    """A pool of one worker, which has run a task."""
    pool = import_module("pebble").ProcessPool(max_workers=1)
    pool.schedule(nothing).result()
    yield pool
    pool.stop()
    pool.join()


def by_turns(module: str, question: str, repeats: int, count: int) -> tuple[Figure, Figure]:
    """Our milliseconds and pebble's, nan where there is no pebble, `repeats * count` times:
    the child process of that module is asked by turns."""
    taken: dict[str, list[float]] = {"ours": [], "pebble": []}
    for _ in range(repeats):
        for whose in taken:
            if whose == "ours" or HAS_PEBBLE:
                taken[whose] += in_child(module, whose, question, count)
    return figure(taken["ours"]), figure(taken["pebble"] or [nan])


def against_pebble(name: str, question: str, ours: Figure, pebble: Figure) -> Result:
    return Result(
        name=name,
        question=question,
        ours=ours,
        baseline=pebble,
        ratio=ratio(ours, pebble),
        unit="ms",
        aim=f"median at most {MOST} ms{_AND_PEBBLE}",
        met=ours.median <= MOST and not ours.median > pebble.median,
        notes=_about_pebble(),
        baseline_name="pebble",
    )


def _about_pebble() -> str:
    if not HAS_PEBBLE:
        return "pebble is missing: `pip install pebble` for the baseline"
    return (
        f"pebble {version('pebble')} looks every 0.1 s; to cancel it sends SIGTERM, whose handler "
        f"does not run in C code, and SIGKILL 3 s later"
    )
