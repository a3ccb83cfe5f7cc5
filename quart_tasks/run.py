"""An unfinished task's way through the runner."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol
from weakref import ReferenceType

from .definition import Submission
from .executors.base import Attempt
from .retry import RetryPolicy

if TYPE_CHECKING:
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
        "args", "attempt", "children", "definition", "expiry", "handle", "key", "kwargs",
        "parent", "queued_at", "retry", "ticket", "timeout", "timer", "waiters",
    )  # fmt: skip

    def __init__(
        self, submission: Submission, retry: RetryPolicy, key: tuple[Any, ...] | None
    ) -> None:
        definition = self.definition = submission.definition
        self.args = submission.args
        self.kwargs = submission.kwargs
        self.retry = retry
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
