"""Waiting for what happens, in tests: a gate that tasks wait at, and a task's next event."""

import asyncio
import inspect
import os
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from quart_tasks import TaskEvent, TaskHandle

HANG = 100  # seconds after which what is waited for does not come


class Gate:
    """A named pipe at which tasks wait, in whatever process, until a test opens it. It stays
    open then. Its `path` is what a task is given."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = str(path)
        self._fd: int | None = None

    def open(self) -> None:
        if self._fd is None:
            self._fd = os.open(self.path, os.O_RDWR)
            os.write(self._fd, b"." * 1000)  # each passer-by takes one

    def close(self) -> None:
        """Let go of the pipe, and of those that are still waiting at it."""
        self.open()
        assert self._fd is not None
        os.close(self._fd)


def open_gate(path: str) -> None:
    """Let one pass, from a process that has not made the gate: waits until it is there, as a pipe
    forgets what was written when nobody holds it any more."""
    with open(path, "wb"):
        pass


def pass_gate(path: str) -> None:
    """Block until the gate is open."""
    with open(path, "rb", buffering=0) as pipe:
        pipe.read(1)


async def pass_gate_on_loop(path: str) -> None:
    """The same for a coroutine."""
    loop = asyncio.get_running_loop()
    is_open = asyncio.Event()
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    loop.add_reader(fd, is_open.set)
    try:
        await is_open.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)


async def until(handle: TaskHandle[Any], happened: Callable[[TaskEvent], bool]) -> TaskEvent:
    """The first event of a task for which `happened` is true."""
    async with aclosing(handle.events()) as events:  # type: ignore[type-var]
        async for event in events:
            if happened(event):
                return event
    raise AssertionError(f"{handle} ended before that happened")


def record_in(event: TaskEvent) -> dict[str, Any] | None:
    """The record that an event about one task carries, if it is of a kind that does."""
    if event.type == "state":
        return event.data  # type: ignore[no-any-return]
    if event.type == "snapshot":
        return event.data["tasks"][0]  # type: ignore[no-any-return]
    return None


async def until_state(handle: TaskHandle[Any], *states: str) -> None:
    def is_there(event: TaskEvent) -> bool:
        record = record_in(event)
        return record is not None and record["state"] in states

    await until(handle, is_there)


async def until_progress(handle: TaskHandle[Any], current: float) -> None:
    """Wait until a task has reported that it is at `current`."""

    def is_there(event: TaskEvent) -> bool:
        record = record_in(event)
        progress = event.data if record is None else record["progress"]
        return progress is not None and progress.get("current") == current

    await until(handle, is_there)


async def poll(look: Callable[[], Any], every: float = 0.01) -> Any:
    """What `look` gives, or the coroutine that it gives, once that is true.

    Only for what tells nobody that it happens: a state in /proc, the health that a monitor asks
    for, a server that can only be asked.
    """
    async with asyncio.timeout(HANG):
        while True:
            seen = look()
            if inspect.isawaitable(seen):
                seen = await seen
            if seen:
                return seen
            await asyncio.sleep(every)


async def all_events(handle: TaskHandle[Any], after: str | None = None) -> list[TaskEvent]:
    """A task's events to its end."""
    return [event async for event in handle.events(after)]
