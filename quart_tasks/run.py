"""An unfinished task's way through the runner."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol
from weakref import ReferenceType

import msgspec

from .definition import Definition
from .executors.base import Attempt
from .retry import RetryPolicy

if TYPE_CHECKING:
    from .entries import Current
    from .task import Task


class Timer(Protocol):
    def cancel(self) -> None: ...


class Timers(Protocol):
    """An event loop, or a test's idea of one."""

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Timer: ...


class Waiter(Protocol):
    """A future of someone who waits for the end."""

    def done(self) -> bool: ...
    def set_result(self, result: None, /) -> None: ...


class Run(msgspec.Struct, eq=False):
    """What is needed of a task only until it ends."""

    definition: Definition
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    retry: RetryPolicy
    timeout: float | None
    expires: float | None  # seconds from now
    key: tuple[Any, ...] | None
    delay: float = 0.0  # seconds until it may be queued
    durable: bool = False  # the journal has it
    # Who is told once it is accepted, or is not; None afterwards.
    held: list[Callable[[bool], None]] | None = None
    row: Current | None = None  # what the journal was last told
    has_slot: bool = False  # taken for it before it was accepted
    settled: bool = False  # its end is decided, and perhaps not committed yet
    attempt: Attempt | None = None
    ticket: int = 0  # its place in the lane; 0: it does not wait there
    queued_at: float = 0.0
    timer: Timer | None = None  # until it is due
    expiry: Timer | None = None
    handle: ReferenceType[Any] | None = None
    waiters: list[Waiter] = []
    parent: Task | None = None  # the nearest unfinished one above
    children: dict[str, Task] = {}  # the unfinished ones below, in their order
