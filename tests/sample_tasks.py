"""Functions that the tests run in every executor, in a module that child processes import."""

import asyncio
import functools
import inspect
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from quart import Quart, current_app, g, has_app_context, has_request_context

from quart_tasks import Blob, QuartTasks, RetryPolicy, current_task, progress, track

from .waiting import pass_gate, pass_gate_on_loop

F = TypeVar("F", bound=Callable[..., Any])

tasks = QuartTasks()
logger = logging.getLogger("sample")
logger.setLevel(logging.INFO)


def make_app(extension: QuartTasks = tasks, **config: Any) -> Quart:
    """A new app with these tasks, or others. It does not wait long for a test gone wrong."""
    app = Quart(__name__)
    app.config.update({"TASKS_PROCESSES": 2, "TASKS_DRAIN_TIMEOUT": 1, **config})
    extension.init_app(app)
    return app


def everywhere(function: F) -> F:
    """Make a plain function a task of each executor: `<name>-async`, `-thread`, `-process`."""
    name = function.__name__
    tasks.task(name=f"{name}-async")(_as_async(function))
    tasks.task(name=f"{name}-thread", executor="thread")(function)
    tasks.task(name=f"{name}-process", executor="process")(function)
    return function


def _as_async(function: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        async def generator(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            for value in function(*args, **kwargs):
                yield value

        return generator

    @functools.wraps(function)
    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return coroutine


# -- results and arguments -----------------------------------------------------------------


@dataclass
class Point:
    x: int
    y: float


class Item(msgspec.Struct):
    name: str
    price: int


@everywhere
def echo(value: Any) -> Any:
    return value


@everywhere
def point() -> Point:
    return Point(1, 2.5)


@everywhere
def moment() -> datetime:
    return datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


@everywhere
def items() -> list[Item]:
    return [Item("pen", 3), Item("ink", 12)]


@everywhere
def unique() -> set[int]:
    return {3, 1, 2}


@everywhere
def raw() -> bytes:
    return b"\x00\xff not text"


@everywhere
def empty_raw() -> bytes:
    return b""


@everywhere
def picture() -> Blob:
    return Blob(b"\x89PNG", "image/png")


@everywhere
def nothing() -> None:
    pass


@everywhere
def unannotated():  # type: ignore[no-untyped-def]
    return (1, Point(1, 2.5), moment())


@everywhere
def item_stream() -> Iterator[Item]:
    yield Item("pen", 3)
    yield Item("ink", 12)


@everywhere
def empty_stream() -> Iterator[int]:
    yield from ()


@everywhere
def typed(when: datetime, corner: Point, *goods: Item, tags: set[str] = frozenset()) -> list[Any]:  # type: ignore[assignment]
    """Works only on what its hints name."""
    return [when.year, corner.x + corner.y, [each.name for each in goods], sorted(tags | {"z"})]


class Cart:
    """What JSON cannot carry, and a hint that has no schema."""

    def __repr__(self) -> str:
        return "<a cart>"


@everywhere
def identity(cart: Cart, count: int) -> int:
    return id(cart)


# -- what a task's code sees ---------------------------------------------------------------


@everywhere
def steps(number: int) -> None:
    for n in range(1, number + 1):
        progress(n, number, f"step {n}")


@everywhere
def misreports() -> None:
    progress("three")  # type: ignore[arg-type]


@everywhere
def tracks(number: int) -> list[int]:
    return list(track(range(number), message="counting"))


@everywhere
def tracks_unsized(total: float | None = None) -> list[int]:
    return list(track(iter([5, 6, 7]), total))


@tasks.task
async def tracks_async() -> list[int]:
    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    return [number async for number in track(numbers(), 3, "counting")]


@everywhere
def whoami() -> list[Any]:
    context = current_task()
    assert context is not None
    return [context.id, context.name, context.attempt, context.cancel_requested]


@everywhere
def says() -> None:
    logger.debug("too quiet")
    logger.info("%d of %d", 1, 2)
    logging.getLogger("sample.part").warning("careful")
    try:
        raise KeyError("lost")
    except KeyError:
        logger.exception("went wrong")


@everywhere
def chatters(number: int, length: int = 1) -> None:
    for n in range(number):
        logger.info("%s", f"{n}".ljust(length, "."))


@everywhere
def counts(number: int) -> Iterator[dict[str, int]]:
    for n in range(number):
        if n % 10 == 0:
            logger.info("at %d", n)
        yield {"n": n}


@everywhere
def counts_then_fails(number: int) -> Iterator[int]:
    yield from range(number)
    raise ValueError("no more")


@everywhere
def where() -> list[Any] | None:
    """The app's name, whether `g` is fresh, and whether there is a request."""
    if not has_app_context():
        return None
    fresh = "mark" not in g
    g.mark = True
    return [current_app.name, fresh, has_request_context()]


# -- ways to end badly ---------------------------------------------------------------------


class Abandon(BaseException):
    pass


class TwoParts(Exception):
    """Cannot be unpickled: that would call it with its one formatted argument."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@everywhere
def raises_value() -> None:
    raise ValueError("no luck")


@everywhere
def raises_base() -> None:
    raise Abandon("all hope")


@everywhere
def raises_unpicklable() -> None:
    raise TwoParts(7, "odd")


@everywhere
def raises_unprintable() -> None:
    raise Unprintable


@everywhere
def raises_surrogate() -> None:
    raise ValueError("half \ud800")


@everywhere
def raises_stop() -> None:
    raise StopIteration(3)


@everywhere
def raises_cancelled() -> None:
    raise asyncio.CancelledError("nobody asked")


@everywhere
def exits() -> None:
    sys.exit("good bye")


@everywhere
def exits_silently() -> None:
    sys.exit()


@everywhere
def interrupts() -> None:
    raise KeyboardInterrupt


@everywhere
def closes() -> None:
    raise GeneratorExit


@everywhere
def recurses(depth: int = 0) -> int:
    return recurses(depth + 1) + 1


@everywhere
def returns_object() -> Any:
    return {"value": object()}


@everywhere
def returns_nan() -> Any:
    return {"mean": [1.0, float("nan")]}


@everywhere
def returns_infinity() -> float:
    return float("inf")


@everywhere
def returns_surrogate() -> str:
    return "half \ud800"


@everywhere
def returns_circle() -> list[Any]:
    circle: list[Any] = []
    circle.append(circle)
    return circle


@everywhere
def returns_text(length: int) -> str:
    return "x" * length


@everywhere
def returns_bytes(length: int) -> bytes:
    return b"x" * length


@everywhere
def yields_texts(number: int, length: int) -> Iterator[str]:
    for _ in range(number):
        yield "x" * length


@everywhere
def yields_object() -> Iterator[Any]:
    yield 1
    yield object()


# -- tasks that wait, fail at first, or do not come back -----------------------------------


def _hold(gate: str, steps: int = 1) -> str:
    for n in range(1, steps + 1):
        progress(n)
    pass_gate(gate)
    return "held"


async def _hold_on_loop(gate: str, steps: int = 1) -> str:
    for n in range(1, steps + 1):
        progress(n)
    await pass_gate_on_loop(gate)
    return "held"


tasks.task(name="hold-async")(_hold_on_loop)
tasks.task(name="hold-thread")(_hold)
tasks.task(name="hold-process", executor="process")(_hold)

AT_ONCE = RetryPolicy(3, delay=0)


def _hold_then_fail(gate: str) -> None:
    _hold(gate)
    raise ValueError("no luck")


async def _hold_then_fail_on_loop(gate: str) -> None:
    await _hold_on_loop(gate)
    raise ValueError("no luck")


tasks.task(name="hold_then_fail-async", retries=AT_ONCE)(_hold_then_fail_on_loop)
tasks.task(name="hold_then_fail-thread", retries=AT_ONCE)(_hold_then_fail)
tasks.task(name="hold_then_fail-process", executor="process", retries=AT_ONCE)(_hold_then_fail)


def _succeeds_at(attempt: int) -> int:
    """Fails in every attempt before that one."""
    context = current_task()
    assert context is not None
    if context.attempt < attempt:
        raise ValueError(f"attempt {context.attempt}")
    return context.attempt


tasks.task(name="succeeds_at-async", retries=AT_ONCE)(_as_async(_succeeds_at))
tasks.task(name="succeeds_at-thread", retries=AT_ONCE)(_succeeds_at)
tasks.task(name="succeeds_at-process", executor="process", retries=AT_ONCE)(_succeeds_at)


def _dies_at(attempt: int) -> int:
    """Its process is killed in every attempt up to that one."""
    context = current_task()
    assert context is not None
    if context.attempt <= attempt:
        os.kill(os.getpid(), signal.SIGKILL)
    return context.attempt


tasks.task(name="dies", executor="process", retries=AT_ONCE)(_dies_at)
tasks.task(name="dies_idempotent", executor="process", retries=AT_ONCE, idempotent=True)(_dies_at)


@tasks.task(executor="process")
def spawns(gate: str, footprint: str) -> None:
    """Starts a process of its own, reports its id and waits."""
    child = subprocess.Popen(["sleep", "1000"])
    try:
        progress(child.pid, message="spawned")
        pass_gate(gate)
    finally:
        Path(footprint).touch()


LOADED_BY = os.getpid()


@tasks.task(executor="process")
def describe_process() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "loaded_by": LOADED_BY,
        "nice": os.nice(0),
        "ignores_ctrl_c": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
    }


@tasks.task(executor="process")
def spins() -> None:
    """Reports its process id, and then holds the GIL for longer than any test."""
    progress(os.getpid())
    re.match(r"(a|aa)+$", "a" * 100 + "b")


@tasks.task(executor="process")
def submits(synchronously: bool) -> str:
    if synchronously:
        return tasks.submit_sync("nothing-async").id
    return asyncio.run(tasks.submit("nothing-async")).id


@tasks.task(executor="process")
def looks_up(id: str) -> str:
    return tasks.get(id).state
