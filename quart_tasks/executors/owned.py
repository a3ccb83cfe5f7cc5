"""Attempts that belong to an asyncio task: in an empty context, so that nothing pins the
request that submitted them, with an app context of their own."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from contextvars import Context
from typing import Any

from quart import Quart

from ..context import TaskContext, enter
from ..execution import Outcome, failed
from .base import Attempt, Call, Reports
from .channel import Channel


class OwnedExecutor(ABC):
    """The common part of the executors whose code runs in this process."""

    name: str

    def __init__(self, app: Quart, reports: Reports, slots: int, limit: int) -> None:
        self.slots = slots
        self.loop = asyncio.get_running_loop()
        self.reports = reports
        self.channel = Channel(self.loop, reports)
        self._app = app
        self.limit = limit
        # The loop holds tasks weakly (python/cpython#117379).
        self.tasks: dict[Attempt, asyncio.Task[None]] = {}

    def start(self, attempt: Attempt) -> None:
        self.tasks[attempt] = self.loop.create_task(self._own(attempt), context=Context())

    @abstractmethod
    def run(self, attempt: Attempt, context: TaskContext) -> Awaitable[Outcome]:
        """Run the function, in a task of its own with an app context. Raises nothing."""

    async def _own(self, attempt: Attempt) -> None:
        outcome: Outcome | None = None
        try:
            async with self._app.app_context():
                if attempt.stopped:
                    outcome = failed(asyncio.CancelledError("stopped before it began"))
                else:
                    context = attempt.context = TaskContext(
                        attempt.task_id, attempt.definition.name, attempt.number, self.name,
                        self.channel, attempt,
                    )  # fmt: skip
                    self.reports.started(attempt, self.name)
                    enter(context)
                    outcome = await self.run(attempt, context)
                    context.finish()
                    # What is logged from here on is not the task's.
                    enter(None)
        except asyncio.CancelledError as error:
            outcome = outcome or failed(error)  # it came when the function had returned
        except BaseException as error:  # noqa: BLE001 - raised by the app's own teardown
            if outcome is None or outcome.error is None:
                outcome = failed(error)
        del self.tasks[attempt]
        attempt.context = None  # the two know each other: a cycle, with the arguments
        self.reports.ended(attempt, outcome)

    def call_of(self, attempt: Attempt) -> Call | None:
        """What a sync view of this attempt is called with; None: as the app calls any."""
        return None

    def arguments(self, attempt: Attempt) -> tuple[Any, ...]:
        """The positional ones."""
        if attempt.definition.view:
            return (*attempt.args, self.call_of(attempt))
        return attempt.args

    async def close(self, timeout: float) -> None:
        for task in self.tasks.values():
            task.cancel()
        if self.tasks:  # one that swallows its cancellation is left behind
            await asyncio.wait(self.tasks.values(), timeout=timeout)

    def health(self) -> str | None:
        return None
