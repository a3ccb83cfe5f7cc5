"""Attempts in threads of our own.

The loop's default executor is not used: it has few threads, resolves names too, and a thread
stuck in it delays the exit. Ours are daemonic.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import ClassVar, Literal, TypeVar, cast

from quart import Quart

from ..context import TaskContext
from ..execution import Outcome, run_async, run_sync
from .base import Attempt, Call, Reports
from .owned import OwnedExecutor

T = TypeVar("T")


class ThreadExecutor(OwnedExecutor):
    """Runs plain functions and generators, and the sync views of kept requests. To stop one is
    only to ask it."""

    name = "thread"
    stops: ClassVar[Literal["cancel", "ask", "kill"]] = "ask"

    def __init__(self, app: Quart, reports: Reports, slots: int, limit: int) -> None:
        super().__init__(app, reports, slots, limit)
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = 0
        self._idle = 0
        self._in_thread: set[Attempt] = set()

    def stop(self, attempt: Attempt) -> None:
        """The runner has set `cancel_requested`, which is all that can be done, but where a view
        is not there yet, or is over, and the loop waits for something else."""
        task = self.tasks.get(attempt)
        waits = attempt.definition.view and attempt not in self._in_thread
        if task is not None and attempt.started and waits:
            task.cancel()

    def run(self, attempt: Attempt, context: TaskContext) -> Awaitable[Outcome]:
        work = (
            attempt.definition, self.arguments(attempt), attempt.kwargs, context, self.limit,
            attempt.retry_on,
        )  # fmt: skip
        if attempt.definition.view:
            return run_async(*work)
        return self._call(attempt, partial(run_sync, *work))

    def call_of(self, attempt: Attempt) -> Call:
        return partial(self._call, attempt)

    async def _call(self, attempt: Attempt, function: Callable[[], T]) -> T:
        """Call a function in one of the threads, in a copy of the present context."""
        returned: asyncio.Future[tuple[T | None, BaseException | None]]
        returned = self.loop.create_future()
        inside = copy_context()

        def job() -> None:
            try:
                result: tuple[T | None, BaseException | None] = inside.run(function), None
            except BaseException as raised:  # noqa: BLE001 - raised again below
                result = None, raised
            self.channel.post(self._returned, returned, result)

        self._in_thread.add(attempt)
        self._submit(job)
        try:
            value, error = await returned
        finally:
            self._in_thread.discard(attempt)
        if error is not None:
            raise error
        return cast(T, value)

    def _returned(self, future: asyncio.Future[T], result: T) -> None:
        """A thread has nothing to do any more, whether or not somebody waits for what it did."""
        self._idle += 1
        if not future.done():
            future.set_result(result)

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


def _work(jobs: SimpleQueue[Callable[[], None] | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
        del job  # an idle thread must not pin the last task's arguments
