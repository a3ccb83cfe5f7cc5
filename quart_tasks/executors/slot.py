"""A place for one attempt at a time in a worker process, and the replacing of the worker."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from concurrent.futures.process import BrokenProcessPool
from contextvars import Context
from functools import partial

from ..execution import Outcome, failed
from ..record import Error
from . import process_worker
from .base import Attempt, Reports
from .worker import CannotStart, Worker, in_thread

FIRST_PAUSE = 0.5  # seconds after a worker that did not start; then twice as long each time
LONGEST_PAUSE = 30.0

DAEMONIC = (
    "This server runs the app in a daemonic process, which may not start others: process tasks "
    "cannot run. Use `quart-tasks serve`, `hypercorn --workers 0` or `quart run`."
)

logger = logging.getLogger("quart_tasks")


class Slot:
    """One worker, or none yet."""

    def __init__(
        self, name: str, reports: Reports, limit: int, nice: int, modules: list[str]
    ) -> None:
        self.name = name
        self.problem: str | None = None  # why no worker starts
        self._why = ""  # the same at length
        # What multiprocessing raises where no process may be started: in a worker that runs a
        # script without `if __name__ == "__main__":` anew, say. To try again would not help.
        self._refusal: Exception | None = None
        self._reports = reports
        self._limit = limit
        self._nice = nice
        self._modules = modules
        self._worker: Worker | None = None
        self._coming: Worker | None = None  # the next worker, while it starts
        self._start: asyncio.Task[None] | None = None  # that sees to it
        self._ends: set[asyncio.Task[None]] = set()  # of workers that were let go of
        self._changed = asyncio.Event()  # there is a worker, or no need of one any more
        self._closed = False

    async def run(self, attempt: Attempt) -> Outcome | str:
        """How the attempt ended, or why it was lost. Raises nothing."""
        if multiprocessing.current_process().daemon:
            return failed(RuntimeError(DAEMONIC))
        outcome = None
        while outcome is None:  # a worker may have died idle: the next one takes the attempt
            worker = await self._ready_worker(attempt)
            if worker is None:
                return failed(self._refusal or asyncio.CancelledError("stopped before it began"))
            outcome = await self._run_in(worker, attempt)
        return outcome

    def stop(self, attempt: Attempt) -> None:
        """Kill the worker that runs the attempt, and start the next one meanwhile."""
        worker = self._worker
        if worker is not None and worker.attempt is attempt:
            self._worker = None
            worker.kill()
            self._begin_start()
        self._changed.set()

    async def _run_in(self, worker: Worker, attempt: Attempt) -> Outcome | str | None:
        """How the attempt ended, or why it was lost; None if it did not begin."""
        self._reports.started(attempt, self.name)
        try:
            reply = await worker.run(attempt, self._job(attempt))
        except BrokenProcessPool:
            self._let_go(worker)
            if attempt.stopped:
                return "The process that ran the task was killed to stop it."
            if worker.begun.value != worker.jobs:
                return None
            return f"The process that ran the task {await worker.last_words()}"
        except EOFError:
            self._let_go(worker)
            return "The process that ran the task lost its connection to the server."
        except BaseException as error:  # noqa: BLE001 - no memory for the reply, say
            self._let_go(worker)
            return failed(error)
        _, data, mimetype, outputs, problem, retryable = reply
        if worker is not self._worker or (problem is not None and problem[0] == "MemoryError"):
            # It was killed just after the end; or what it holds, and a limit that the task has
            # set, would meet the next task too.
            self._let_go(worker)
        return Outcome(data, mimetype, outputs, problem and Error(*problem), retryable)

    def _job(self, attempt: Attempt) -> process_worker.Job:
        definition = attempt.definition
        module, qualname = definition.reference
        return (
            module, qualname, attempt.task_id, definition.name, attempt.number,
            bytes(attempt.json_args), bytes(attempt.json_kwargs), self._limit, attempt.retry_on,
        )  # fmt: skip

    # -- the worker ------------------------------------------------------------------------

    async def _ready_worker(self, attempt: Attempt) -> Worker | None:
        """A live worker; None when the attempt is stopped before there is one, or there can be
        none."""
        self._refusal = None
        while not (attempt.stopped or self._closed or self._refusal):
            worker = self._worker
            if worker is not None and worker.alive():
                return worker
            if worker is not None:
                self._let_go(worker)
            self._begin_start()
            self._changed.clear()
            await self._changed.wait()
        return None

    def _begin_start(self) -> None:
        if self._start is None and not self._closed:
            # In an empty context: the reader of the worker's pipe keeps it.
            loop = asyncio.get_running_loop()
            self._start = loop.create_task(self._start_worker(), context=Context())

    async def _start_worker(self) -> None:
        """Start a worker, with pauses until one comes up, whether or not an attempt still waits
        for it: so that `/tasks/health` is right again when the cause is gone."""
        pause = FIRST_PAUSE
        while (worker := await self._new_worker()) is None and not (self._closed or self._refusal):
            logger.error("%s does not start, next try in %g s. %s", self.name, pause, self._why)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        self._worker, self._start = worker, None
        self._changed.set()

    async def _new_worker(self) -> Worker | None:
        """A worker that is up; None, with `problem` set, if it did not come up."""
        worker = self._coming = Worker(self._reports)
        try:
            # Not on the loop: the first start waits until the fork server has its imports.
            await in_thread(partial(worker.start, self._nice, self._modules))
            self.problem = None
        except CannotStart as error:
            self.problem, self._why = str(error), error.details
        except Exception as error:  # noqa: BLE001 - given to the attempt that waits
            self._refusal = error
        finally:
            self._coming = None
        if self.problem or self._refusal or self._closed:
            self._let_go(worker)
            return None
        worker.listen()
        return worker

    def _let_go(self, worker: Worker) -> None:
        end = worker.close()
        self._ends.add(end)
        end.add_done_callback(self._ends.discard)
        if worker is self._worker:
            self._worker = None

    def close(self) -> set[asyncio.Task[None]]:
        """Kill the worker, and any that is being started; the ends that are still to come."""
        self._closed = True
        if self._worker is not None:
            self._let_go(self._worker)
        if self._coming is not None:
            self._coming.kill()
        elif self._start is not None:
            self._start.cancel()  # it is in its pause
        self._changed.set()
        return self._ends if self._start is None else {*self._ends, self._start}
