"""Attempts in worker processes, which can be killed one by one.

Each slot is a `ProcessPoolExecutor` of one worker that holds one attempt: a dead worker
breaks its whole pool and all that waits in it, so nothing else is in it. What is said on the
way (progress, outputs, log lines) comes through a pipe beside the pool, and the pool's reply
says how much of that was before it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from contextvars import Context
from typing import ClassVar, Literal

from ..execution import Outcome, failed
from ..record import Error
from . import process_worker
from .base import Attempt, Reports
from .worker import Worker, in_thread


class ProcessExecutor:
    """Runs plain functions in processes, started when first needed. To stop one is to kill
    its worker and all that it has spawned."""

    name = "process"
    stops: ClassVar[Literal["cancel", "ask", "kill"]] = "kill"

    def __init__(
        self, reports: Reports, slots: int, limit: int, nice: int, modules: list[str]
    ) -> None:
        self.slots = slots
        self._loop = asyncio.get_running_loop()
        self._idle = [
            _Slot(f"process-{number}", reports, limit, nice, modules)
            for number in range(slots, 0, -1)
        ]
        self._slots = list(self._idle)
        self._running: dict[Attempt, tuple[_Slot, asyncio.Task[None]]] = {}

    def start(self, attempt: Attempt) -> None:
        slot = self._idle.pop()
        # In an empty context: the worker's reader lives in it for as long as the worker.
        run = self._loop.create_task(self._run(slot, attempt), context=Context())
        self._running[attempt] = slot, run

    def stop(self, attempt: Attempt) -> None:
        if (running := self._running.get(attempt)) is not None:
            running[0].kill()

    async def _run(self, slot: _Slot, attempt: Attempt) -> None:
        await slot.run(attempt, self._release)

    def _release(self, attempt: Attempt) -> None:
        """The slot is free, as the next attempt may begin in the very report of the end."""
        self._idle.append(self._running.pop(attempt)[0])

    async def close(self) -> None:
        tasks = [task for _, task in self._running.values()]
        pools = [pool for slot in self._slots if (pool := slot.close(True)) is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

        def join() -> None:
            for pool in pools:
                pool.shutdown(wait=True)

        # Their threads are about to end. At the interpreter's own end CPython writes to the
        # pipe of each that is left, which may be closed by then (concurrent/futures/process.py,
        # `_python_exit`).
        with suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                await in_thread(join)

    def health(self) -> str | None:
        if multiprocessing.current_process().daemon:
            return DAEMONIC
        return None


DAEMONIC = (
    "This server runs the app in a daemonic process, which may not start others: process tasks "
    "cannot run. Use `quart-tasks serve`, `hypercorn --workers 0` or `quart run`."
)


class _Slot:
    """One worker, or none yet."""

    def __init__(
        self, name: str, reports: Reports, limit: int, nice: int, modules: list[str]
    ) -> None:
        self.name = name
        self._reports = reports
        self._limit = limit
        self._nice = nice
        self._modules = modules
        self._loop = asyncio.get_running_loop()
        self._worker: Worker | None = None
        self._closed = False

    async def run(self, attempt: Attempt, release: Callable[[Attempt], None]) -> None:
        try:
            outcome: Outcome | str = await self._outcome(attempt)
        except BaseException as error:  # noqa: BLE001 - the attempt ends, whatever happens here
            outcome = failed(error)
        if isinstance(outcome, str):
            self.close()
        release(attempt)
        if isinstance(outcome, str):
            self._reports.lost(attempt, outcome)
        else:
            self._reports.ended(attempt, outcome)

    async def _outcome(self, attempt: Attempt) -> Outcome | str:
        """How the attempt ended, or why it was lost."""
        if multiprocessing.current_process().daemon:
            return failed(RuntimeError(DAEMONIC))
        definition = attempt.definition
        module, qualname = definition.reference
        job: process_worker.Job = (
            module, qualname, attempt.task_id, definition.name, attempt.number,
            bytes(attempt.json_args), bytes(attempt.json_kwargs), self._limit,
            attempt.retry_on,
        )  # fmt: skip
        while True:
            try:
                worker = await self._ready_worker()
            except (BrokenProcessPool, OSError, EOFError) as problem:
                return (
                    f"The worker process could not start: {problem} If a script starts this app, "
                    f"it must do so under `if __name__ == '__main__':`, because workers import it."
                )
            if attempt.stopped:
                return failed(asyncio.CancelledError("stopped before it began"))
            worker.attempt = attempt
            worker.jobs += 1
            self._reports.started(attempt, self.name)
            try:
                reply = await self._loop.run_in_executor(worker.pool, process_worker.run, job)
                break
            except BrokenProcessPool:
                if attempt.stopped or worker.begun.value == worker.jobs:
                    return (
                        "The process that ran the task died: it was killed, ran out of memory, "
                        "or crashed in native code."
                    )
            # It had died idle, and was not found dead yet: another takes the job.
            worker.kill()
        try:
            await worker.received(reply[0])
        except EOFError:
            return "The process that ran the task lost its connection to the server."
        worker.attempt = None
        _, data, mimetype, outputs, error, retryable = reply
        return Outcome(data, mimetype, outputs, error and Error(*error), retryable)

    async def _ready_worker(self) -> Worker:
        worker = self._worker
        if worker is None or not worker.alive():
            self.close()
            worker = Worker(self._reports)
            # Not on the loop: the first start waits until the fork server has its imports.
            await in_thread(lambda: worker.start(self._nice, self._modules))
            if self._closed:
                worker.close()
                raise EOFError("the app has stopped.")
            worker.listen()
            self._worker = worker
        return worker

    def kill(self) -> None:
        if self._worker is not None:
            self._worker.kill()

    def close(self, for_good: bool = False) -> ProcessPoolExecutor | None:
        """Let go of the worker; its pool, which has yet to end."""
        self._closed = for_good
        worker, self._worker = self._worker, None
        if worker is None:
            return None
        worker.close()
        return worker.pool
