"""Attempts in threads of our own.

The loop's default executor is not used: it has few threads, resolves names too, and a thread
stuck in it delays the exit. Ours are daemonic.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, ClassVar, Literal

from quart import Quart

from ..context import TaskContext, enter
from ..execution import Outcome, Work, run_sync
from ..record import Error, Progress
from .base import Attempt, Reports
from .owned import OwnedExecutor

MAX_AHEAD = 256  # reports a thread may be ahead of the loop


class ThreadChannel:
    """From threads to the loop, in order. Threads far ahead of the loop wait for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, reports: Reports) -> None:
        self.lock = threading.Lock()
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._reports = reports
        self._adding = threading.Lock()
        self._waiting: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self._closed = False
        self._room = threading.Event()
        self._room.set()

    def progress(self, attempt: Attempt, progress: Progress) -> None:
        self.post(self._reports.progress, attempt, progress)

    def output(self, attempt: Attempt, value: bytes) -> None:
        self._wait_for_room()
        self.post(self._reports.output, attempt, value)

    def log(self, attempt: Attempt, level: str, logger: str, message: str) -> None:
        self._wait_for_room()
        self.post(self._reports.log, attempt, level, logger, message)

    def later(self, attempt: Attempt, delay: float, callback: Callable[[], None]) -> None:
        self.post(self._loop.call_later, delay, callback)

    def _wait_for_room(self) -> None:
        if threading.get_ident() != self._loop_thread:  # only the loop makes room
            self._room.wait()
            if self._closed:
                raise asyncio.CancelledError("The app has stopped.")

    def close(self) -> None:
        """Let nobody wait any more: the loop is going."""
        self._closed = True
        self._room.set()

    def post(self, function: Callable[..., Any], *args: Any) -> None:
        """Have the loop call `function`, after all that was posted before. Never waits."""
        if threading.get_ident() == self._loop_thread:  # a timer's callback
            self._drain()
            function(*args)
            return
        with self._adding:
            self._waiting.append((function, args))
            waiting = len(self._waiting)
            if waiting >= MAX_AHEAD and not self._closed:
                self._room.clear()
        if waiting == 1:
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        with self._adding:
            waiting, self._waiting = self._waiting, []
            self._room.set()
        for function, args in waiting:
            function(*args)


class ThreadExecutor(OwnedExecutor):
    """Runs plain functions and generators. To stop one is only to ask it."""

    name = "thread"
    stops: ClassVar[Literal["cancel", "ask", "kill"]] = "ask"

    def __init__(self, app: Quart, reports: Reports, slots: int, limit: int) -> None:
        super().__init__(app, reports, slots, limit)
        self._channel = ThreadChannel(self.loop, reports)
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = 0
        self._idle = 0

    def stop(self, attempt: Attempt) -> None:
        pass  # the runner has set `cancel_requested`, which is all that can be done

    async def run(self, attempt: Attempt, work: Work) -> Outcome:
        channel = self._channel
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
        self._channel.close()
        for _ in range(self._threads):
            self._jobs.put(None)


def _resolve(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)


def _work(jobs: SimpleQueue[Callable[[], None] | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
        del job  # an idle thread must not pin the last task's arguments
