"""An unfinished task's way through the runner."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol
from weakref import ReferenceType

from .definition import Submission
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


class Run:
    """What is needed of a task only until it ends."""

    __slots__ = (
        "args", "attempt", "children", "definition", "delay", "durable", "expires", "expiry",
        "handle", "has_slot", "held", "key", "kwargs", "parent", "queued_at", "retry", "row",
        "settled", "ticket", "timeout", "timer", "waiters",
    )  # fmt: skip

    def __init__(
        self, submission: Submission, retry: RetryPolicy, key: tuple[Any, ...] | None
    ) -> None:
        definition = self.definition = submission.definition
        self.args = submission.args
        self.kwargs = submission.kwargs
        self.retry = retry
        self.durable = False  # the journal has it
        # Who is told once it is accepted, or is not; None afterwards.
        self.held: list[Callable[[bool], None]] | None = None
        self.row: Current | None = None  # what the journal was last told
        self.has_slot = False  # taken for it before it was accepted
        self.settled = False  # its end is decided, and perhaps not committed yet
        self.delay = 0.0  # seconds until it may be queued
        self.expires = submission.options.expires
        timeout = submission.options.timeout
        self.timeout = definition.timeout if timeout is None else timeout
        self.key = key
        self.attempt: Attempt | None = None
        self.ticket = 0  # its place in the lane; 0: it does not wait there
        self.queued_at = 0.0
        self.timer: Timer | None = None  # until it is due
        self.expiry: Timer | None = None
        self.handle: ReferenceType[Any] | None = None
        self.waiters: list[Waiter] = []
        self.parent: Task | None = None  # the nearest unfinished one above
        self.children: dict[str, Task] = {}  # the unfinished ones below, in their order
