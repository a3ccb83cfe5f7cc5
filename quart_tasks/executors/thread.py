"""Attempts in threads of our own.

The loop's default executor is not used: it has few threads, resolves names too, and a thread
stuck in it delays the exit. Ours are daemonic.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import copy_context
from queue import SimpleQueue
from typing import ClassVar, Literal

from quart import Quart

from ..context import TaskContext, enter
from ..execution import Outcome, Work, run_sync
from ..record import Error
from .base import Attempt, Reports
from .owned import OwnedExecutor


class ThreadExecutor(OwnedExecutor):
    """Runs plain functions and generators. To stop one is only to ask it."""

    name = "thread"
    stops: ClassVar[Literal["cancel", "ask", "kill"]] = "ask"

    def __init__(self, app: Quart, reports: Reports, slots: int, limit: int) -> None:
        super().__init__(app, reports, slots, limit)
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = 0
        self._idle = 0

    def stop(self, attempt: Attempt) -> None:
        pass  # the runner has set `cancel_requested`, which is all that can be done

    async def run(self, attempt: Attempt, work: Work) -> Outcome:
        channel = self.channel
        context = attempt.context = TaskContext(
            attempt.task_id, attempt.definition.name, attempt.number, self.name, channel, attempt
        )
        self.reports.started(attempt, self.name)
        enter(context)
        returned: asyncio.Future[Outcome] = self.loop.create_future()
        inside = copy_context()  # this task's, with its app context

        def job() -> None:
            try:
                outcome = inside.run(run_sync, work, context)
                inside.run(context.finish)
            except BaseException as error:  # noqa: BLE001 - no memory for an error's text, say
                outcome = Outcome(error=Error(type(error).__name__, "How it ended is not known."))
            channel.post(_resolve, returned, outcome)

        self._submit(job)
        try:
            return await returned
        finally:
            self._idle += 1

    def _submit(self, job: Callable[[], None]) -> None:
        if self._idle:
            self._idle -= 1
        else:
            self._threads += 1
            threading.Thread(
                target=_work, args=(self._jobs,), name=f"quart-tasks-{self._threads}", daemon=True
            ).start()
        self._jobs.put(job)

    async def close(self, timeout: float) -> None:
        await super().close(timeout)  # the tasks that wait; their threads go on until they return
        self.channel.close()
        for _ in range(self._threads):
            self._jobs.put(None)


def _resolve(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)


def _work(jobs: SimpleQueue[Callable[[], None] | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
        del job  # an idle thread must not pin the last task's arguments
