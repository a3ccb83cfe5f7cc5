"""What a task's code sees: `progress()`, `track()`, `current_task()`, and its log lines."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sized
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar, overload

from .encoding import text
from .record import Progress

T = TypeVar("T")

INTERVAL = 0.05  # seconds between two progress reports of a task: at most 20 a second
MAX_LINE = 8 * 1024  # characters of a log line


class Channel(Protocol):
    """The way from an executor's tasks back to the runner; what one says arrives in order.
    `attempt` is the executor's name for the attempt that speaks."""

    lock: threading.Lock

    def progress(self, attempt: Any, progress: Progress) -> None: ...
    def output(self, attempt: Any, value: bytes) -> None: ...
    def log(self, attempt: Any, level: str, logger: str, message: str) -> None: ...
    def later(self, attempt: Any, delay: float, callback: Callable[[], None]) -> None:
        """Call back after `delay` seconds."""


class TaskContext:
    """The task that is running here: `id`, `name`, `attempt` (from 1), `executor`.

    `cancel_requested` turns true when someone asked to cancel it: a thread cannot be
    stopped, so its code may look here and end early.
    """

    __slots__ = (
        "_channel", "_flush_due", "_key", "_latest", "_next", "_sent", "attempt",
        "cancel_requested", "executor", "id", "name",
    )  # fmt: skip

    def __init__(
        self, id: str, name: str, attempt: int, executor: str, channel: Channel, key: Any = None
    ) -> None:
        self.id = id
        self.name = name
        self.attempt = attempt
        self.executor = executor
        self.cancel_requested = False
        self._channel = channel
        self._key = key  # this attempt, to the channel
        self._next = 0.0  # when the next report may be sent
        self._latest: tuple[float, float | None, str | None] | None = None
        self._sent: tuple[float, float | None, str | None] | None = None
        self._flush_due = False

    def report(self, current: float, total: float | None, message: str | None) -> None:
        """Send a report, or let it wait, the latest alone, until INTERVAL is over."""
        if self.cancel_requested and self.executor == "thread":
            raise asyncio.CancelledError("The task was asked to cancel.")
        self._latest = (current, total, message)
        if not self._flush_due:  # else a timer sends it
            self._send_in_time()

    def _send_in_time(self) -> None:
        """Send the latest report, if it was not sent yet and it is time, else see to it."""
        # Under the lock: in a thread and a process the timer runs beside the task, and the
        # two would send at once, or an older report after a newer one.
        with self._channel.lock:
            if self._latest is self._sent or self._flush_due:
                return
            wait = self._next - time.monotonic()
            if wait <= 0:
                self._send()
            else:
                self._flush_due = True
                self._channel.later(self._key, wait, self._flush)

    def _flush(self) -> None:
        self._flush_due = False  # before it looks: a report that comes now sees to itself
        with suppress(TypeError, ValueError):  # nobody is there to be told that it is wrong
            self._send_in_time()

    def _send(self) -> None:
        latest = self._sent = self._latest
        if latest is not None:
            self._next = time.monotonic() + INTERVAL
            self._channel.progress(self._key, checked(*latest))

    def finish(self) -> None:
        """Send the last report, which always arrives."""
        if self._latest is not self._sent:
            with suppress(TypeError, ValueError), self._channel.lock:
                self._send()

    def output(self, value: bytes) -> None:
        self._channel.output(self._key, value)

    def log(self, level: str, logger: str, message: str) -> None:
        self._channel.log(self._key, level, logger, message)


def checked(current: float, total: float | None, message: str | None) -> Progress:
    """Raises TypeError or ValueError for what is no progress."""
    for name, value in (("current", current), ("total", total)):
        if value is not None and not isinstance(value, (int, float)):
            raise TypeError(f"progress(): {name} is {value!r}, it must be a number.")
        if value is not None and not math.isfinite(value):
            raise ValueError(f"progress(): {name} is {value!r}, it must be finite.")
    return Progress(current, total, None if message is None else text(message, 1000))


_current: ContextVar[TaskContext | None] = ContextVar("quart_tasks.current", default=None)
enter = _current.set


def current_task() -> TaskContext | None:
    """The task whose code is running, or None outside one."""
    return _current.get()


def progress(current: float, total: float | None = None, message: str | None = None) -> None:
    """Report that the task has come to `current`, of `total` if that is known.

    Cheap enough for a hot loop: readers get at most 20 reports a second and always the last.
    Outside a task it does nothing. In a thread it raises `asyncio.CancelledError` when the
    task was asked to cancel. Raises TypeError for anything but numbers, ValueError for NaN.
    """
    context = _current.get()
    if context is not None:
        context.report(current, total, message)


@overload
def track(
    iterable: Iterable[T], total: float | None = None, message: str | None = None
) -> Iterator[T]: ...
@overload
def track(
    iterable: AsyncIterable[T], total: float | None = None, message: str | None = None
) -> AsyncIterator[T]: ...
def track(
    iterable: Iterable[T] | AsyncIterable[T],
    total: float | None = None,
    message: str | None = None,
) -> Iterator[T] | AsyncIterator[T]:
    """Iterate and report progress by the way: `for row in track(rows): …`.

    `total` is `len(iterable)` where that is known. Works on sync and async iterables;
    outside a task it only iterates.
    """
    if isinstance(iterable, AsyncIterable):
        return _track_async(iterable, total, message)
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    return _track(iterable, total, message)


def _track(iterable: Iterable[T], total: float | None, message: str | None) -> Iterator[T]:
    context = _current.get()
    if context is None:
        yield from iterable
        return
    context.report(0, total, message)
    for count, item in enumerate(iterable, 1):
        yield item
        context.report(count, total, message)


async def _track_async(
    iterable: AsyncIterable[T], total: float | None, message: str | None
) -> AsyncIterator[T]:
    progress(0, total, message)
    count = 0
    async for item in iterable:
        yield item
        count += 1
        progress(count, total, message)


def send_to_task(record: logging.LogRecord) -> bool:
    """Make a log record an event of the task that is running here; whether there is one."""
    context = _current.get()
    if context is None:
        return False
    try:
        message = _formatter.format(record)
    except Exception as error:  # noqa: BLE001 - wrong arguments to a log call
        message = f"{record.msg} (cannot be formatted: {error})"
    context.log(text(record.levelname, 100), text(record.name, 500), text(message, MAX_LINE))
    return True


def capture_logs() -> None:
    """Send what `logging` lets through inside tasks along as their `log` events.

    Through the record factory: a handler on the root logger would keep `basicConfig()`,
    Quart's default handler and logging's last resort from doing their work.
    """
    factory = logging.getLogRecordFactory()
    if getattr(factory, "captures", False):
        return

    def capture(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = factory(*args, **kwargs)
        send_to_task(record)
        return record

    capture.captures = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(capture)


_formatter = logging.Formatter()  # the message, and the traceback if there is one
