"""Tasks that end badly, late or not at all, in a module that child processes import."""

import asyncio
import ctypes
import logging
import os
import pickle
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from threading import Thread
from typing import Any

from quart_tasks import QuartTasks, RetryPolicy, current_task, progress
from quart_tasks.function import Submittable

from .footprints import append
from .waiting import open_gate, pass_gate

Tasks = dict[str, Submittable[..., Any]]  # by executor

tasks = QuartTasks()


@tasks.task(executor="process")
def process_id() -> int:
    return os.getpid()


@tasks.task(executor="process")
def note(path: str) -> int:
    append(path)
    return os.getpid()


@tasks.task(executor="process")
def leaves_a_thread_behind(gate: str, done: str) -> None:
    """It goes on with the task's context, as of a library's pool, once the gate is open."""

    def go_on() -> None:
        pass_gate(gate)
        logging.getLogger("tests").warning("late")
        progress(7)
        open_gate(done)

    Thread(target=copy_context().run, args=(go_on,), daemon=True).start()


@tasks.task(executor="process")
def leaves_a_fork_behind(gate: str, done: str) -> Iterator[int]:
    """A copy of the worker in the midst of its task."""
    if os.fork() == 0:
        pass_gate(gate)
        yield 99
        logging.getLogger("tests").warning("late")
        open_gate(done)
        os._exit(0)
    yield 1


@tasks.task(executor="process")
def waits_for(gate: str, done: str) -> Iterator[int]:
    yield 1
    open_gate(gate)
    pass_gate(done)
    yield 2


@tasks.task(executor="process")
def joins_group(group: int) -> None:
    """It leaves the process group that its worker leads."""
    os.setpgid(0, group)
    progress(os.getpid())
    while True:
        time.sleep(1)


@tasks.task(executor="process")
def writes_to_every_socket(gate: str) -> None:
    for fd in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # it is the one that read the directory
            if os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                os.write(int(fd), b"hello\n")
    pass_gate(gate)


@tasks.task(executor="process")
def breaks_pickle() -> int:
    pickle.loads = None  # type: ignore[assignment]
    return os.getpid()


# -- in each executor ------------------------------------------------------------------------


def in_each(plain: Callable[..., Any], on_loop: Callable[..., Any], **options: Any) -> Tasks:
    """The task of each executor, by its name: `<function>-async`, `-thread`, `-process`."""
    functions: dict[Any, Any] = {"async": on_loop, "thread": plain, "process": plain}
    name = plain.__name__.removeprefix("_")
    return {
        executor: tasks.task(name=f"{name}-{executor}", executor=executor, **options)(function)
        for executor, function in functions.items()
    }


def _echo(value: Any) -> Any:
    return value


async def _echo_on_loop(value: Any) -> Any:
    return value


def _lasts(seconds: float) -> str:
    time.sleep(seconds)
    return "in time"


async def _lasts_on_loop(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "in time"


def _fails() -> None:
    raise ValueError("no luck")


async def _fails_on_loop() -> None:
    raise ValueError("no luck")


def _waits(gate: str, footprint: str) -> str:
    """In its first attempt, until it is stopped."""
    context = current_task()
    assert context is not None
    if append(footprint) == 1:
        progress(1)
        if context.executor == "process":
            pass_gate(gate)
        while not context.cancel_requested:
            time.sleep(0.001)
    return "in time"


async def _waits_on_loop(gate: str, footprint: str) -> str:
    if append(footprint) == 1:
        progress(1)
        await asyncio.Event().wait()
    return "in time"


echo = in_each(_echo, _echo_on_loop)
lasts = in_each(_lasts, _lasts_on_loop)
fails = in_each(_fails, _fails_on_loop, retries=RetryPolicy(1_000_000, delay=0))
waits = in_each(_waits, _waits_on_loop, retries=RetryPolicy(1, delay=0))


# -- that only a kill ends: each reports its process id when it is past stopping -------------


@tasks.task(executor="process")
def spins() -> None:
    progress(os.getpid())
    while True:
        pass


@tasks.task(executor="process")
def ignores_signals() -> None:
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    progress(os.getpid())
    while True:
        signal.pause()


@tasks.task(executor="process")
def holds_the_gil() -> None:
    """One call of C code, for days, in which no signal handler and no other thread runs."""
    progress(os.getpid())
    sum(range(10**15))


@tasks.task(executor="process")
def is_stopped() -> None:
    progress(os.getpid())
    os.kill(os.getpid(), signal.SIGSTOP)


@tasks.task(executor="process")
def spawns() -> None:
    """Has a child that ignores SIGTERM and SIGHUP, and that a child of its own."""
    script = "trap '' TERM HUP; sleep 1000 & echo; wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        progress(os.getpid())


# -- that die --------------------------------------------------------------------------------


def _is_killed(path: str) -> str:
    """Reports its process id and waits for the kill; a second attempt just ends."""
    if append(path) == 1:
        progress(os.getpid())
        signal.pause()
    return "again"


is_killed = tasks.task(name="is_killed", executor="process", retries=1)(_is_killed)
is_killed_and_retried = tasks.task(
    name="is_killed_and_retried", executor="process", retries=RetryPolicy(1, delay=0),
    idempotent=True,
)(_is_killed)  # fmt: skip


@tasks.task(executor="process")
def meets(gate: str) -> int:
    progress(1)
    pass_gate(gate)
    return os.getpid()


@tasks.task(executor="process")
def segfaults() -> None:
    ctypes.string_at(0)


@tasks.task(executor="process")
def aborts() -> None:
    os.abort()


@tasks.task(executor="process")
def kills_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@tasks.task(executor="process")
def leaves(code: int) -> None:
    os._exit(code)


@tasks.task(executor="process")
def closes_all_files() -> None:
    os.closerange(3, 65536)


@tasks.task(executor="process", idempotent=True)
def kills_itself_again(path: str) -> None:
    append(path)
    os.kill(os.getpid(), signal.SIGKILL)


def _limit_memory(spare: int) -> None:
    """Allow this process `spare` bytes of address space more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + spare
    resource.setrlimit(resource.RLIMIT_AS, (size, resource.getrlimit(resource.RLIMIT_AS)[1]))


@tasks.task(executor="process")
def outgrows() -> int:
    """Asks at once for far more memory than it may have."""
    _limit_memory(64 * 2**20)
    return len(bytes(2**30))


@tasks.task(executor="process")
def starves() -> int:
    """Uses all memory up in small pieces, so that none is left to fail with."""
    _limit_memory(2**20)
    pieces = []
    while True:
        pieces.append(bytearray(100))


# -- that end with what cannot be passed on, in each executor --------------------------------


class Unpicklable(Exception):
    def __reduce__(self) -> Any:
        raise SystemExit("pickled")


class ExitsAsText(Exception):
    def __str__(self) -> str:
        raise SystemExit("printed")


class Opaque:
    """Cannot be pickled, encoded or even shown."""

    def __reduce__(self) -> Any:
        raise SystemExit("pickled")

    def __repr__(self) -> str:
        raise KeyboardInterrupt("shown")


def _raises(kind: str) -> None:
    if kind == "unpicklable":
        raise Unpicklable("not to be pickled")
    if kind == "exits as text":
        raise ExitsAsText
    if kind == "group":
        raise BaseExceptionGroup("several", [KeyboardInterrupt(), SystemExit(3)])
    error = ValueError("round and round")
    error.__cause__ = OSError("between")
    error.__cause__.__cause__ = error
    raise error


async def _raises_on_loop(kind: str) -> None:
    _raises(kind)


raises = in_each(_raises, _raises_on_loop)


def _returns(kind: str) -> Any:
    if kind == "opaque":
        return Opaque()
    if kind == "lambda":
        return lambda: None
    if kind == "blob":
        return bytes(300 * 2**20)
    if kind == "text":
        return "x" * (300 * 2**20)
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    return nested


async def _returns_on_loop(kind: str) -> Any:
    return _returns(kind)


returns = in_each(_returns, _returns_on_loop)
