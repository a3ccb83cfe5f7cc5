"""What an executor is: the place where attempts run, and nothing about states or retries.

An executor is given attempts to start, can be asked to stop one, and reports what becomes of
it. Reports carry the attempt they are about, so the runner can drop those that are late or
come twice: an executor whose functions run on another machine fits the same protocol.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, Protocol

import msgspec

from ..context import TaskContext
from ..definition import Definition
from ..encoding import EMPTY_LIST, EMPTY_OBJECT
from ..execution import Outcome
from ..record import Progress

# Runs a function in an attempt's own thread; raises what that does.
Call = Callable[[Callable[[], Any]], Awaitable[Any]]


class Attempt(msgspec.Struct, eq=False):
    """One run of one task's function."""

    task: Any  # the runner's; means nothing to an executor
    task_id: str
    number: int
    definition: Definition
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    retry_on: tuple[type[BaseException], ...]
    json_args: msgspec.Raw = EMPTY_LIST  # for executors that cannot be given objects
    json_kwargs: msgspec.Raw = EMPTY_OBJECT
    context: TaskContext | None = None  # where the function runs in this process
    started: bool = False
    stopped: bool = False  # the executor was asked to stop it
    timed_out: bool = False
    given_up: bool = False  # the task went on without it; its function may still be running
    holds_slot: bool = True
    abandoned: bool = False  # it runs on in a slot that was given back
    timer: Any = None


class Reports(Protocol):
    """Where an executor says what becomes of its attempts; called on the event loop."""

    def started(self, attempt: Attempt, worker: str) -> None: ...
    def progress(self, attempt: Attempt, progress: Progress) -> None: ...
    def output(self, attempt: Attempt, value: bytes) -> None: ...
    def log(self, attempt: Attempt, level: str, logger: str, message: str) -> None: ...
    def ended(self, attempt: Attempt, outcome: Outcome) -> None: ...
    def lost(self, attempt: Attempt, message: str) -> None:
        """What ran it is gone, and with it the attempt."""


class Executor(Protocol):
    """`slots` attempts run at once. `stops` says what `stop` can do to one: `cancel` it where
    it waits, only `ask`, or `kill` it."""

    name: str
    slots: int

    @property
    def stops(self) -> Literal["cancel", "ask", "kill"]: ...

    def start(self, attempt: Attempt) -> None:
        """Begin to run it; returns at once."""

    def stop(self, attempt: Attempt) -> None:
        """Stop it as far as that can be; its end is still reported."""

    async def close(self, timeout: float) -> None:
        """Let go of everything, in at most `timeout` seconds. No attempt runs any more, or each
        was stopped."""

    def health(self) -> str | None:
        """Why nothing can be run, if so."""
