"""Attempts on the event loop."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import ClassVar, Literal

from quart import Quart

from ..context import TaskContext
from ..execution import Outcome, run_async
from .base import Attempt, Reports
from .owned import OwnedExecutor


class LoopExecutor(OwnedExecutor):
    """Runs coroutine functions and async generators. To stop one is to cancel it."""

    name = "async"
    stops: ClassVar[Literal["cancel", "ask", "kill"]] = "cancel"

    def __init__(self, app: Quart, reports: Reports, slots: int, limit: int) -> None:
        super().__init__(app, reports, slots, limit)

    def stop(self, attempt: Attempt) -> None:
        # Not before its first step: a task cancelled there would never report its end.
        if attempt.started and (task := self.tasks.get(attempt)) is not None:
            task.cancel()

    def run(self, attempt: Attempt, context: TaskContext) -> Awaitable[Outcome]:
        return run_async(
            attempt.definition, self.arguments(attempt), attempt.kwargs, context, self.limit,
            attempt.retry_on,
        )  # fmt: skip
