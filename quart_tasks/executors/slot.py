"""A place for one attempt at a time in a worker process, and the replacing of the worker."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from collections.abc import Callable
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
    """One worker, or none yet. `ended` is called with how an attempt ended, or with why it was
    lost."""

    def __init__(
        self, name: str, reports: Reports, limit: int, nice: int, modules: list[str],
        ended: Callable[[Slot, Attempt, Outcome | str], None],
    ) -> None:  # fmt: skip
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
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._waiting: Attempt | None = None  # for a worker
        self._worker: Worker | None = None
        self._silent: Worker | None = None  # the last one, until it is known whether it has died
        self._coming: Worker | None = None  # the next worker, while it starts
        self._start: asyncio.Task[None] | None = None  # that sees to it
        self._ends: set[asyncio.Task[None]] = set()  # that see to the ends of workers
        self._closed = False

    def run(self, attempt: Attempt) -> None:
        """Begin an attempt, as soon as there is a worker. Raises nothing."""
        if multiprocessing.current_process().daemon:
            self._ended(self, attempt, failed(RuntimeError(DAEMONIC)))
        elif attempt.stopped or self._closed:
            self._not_begun(attempt)
        elif self._worker is not None:
            self._run_in(self._worker, attempt)
        else:
            self._waiting = attempt
            self._begin_start()

    def stop(self, attempt: Attempt) -> None:
        """Kill the worker that runs the attempt, and start the next one meanwhile."""
        for worker in (self._worker, self._silent):
            if worker is not None and worker.attempt is attempt:
                if worker is self._worker:  # and not the one that comes after it
                    self._worker = None
                worker.kill()
                self._begin_start()
                return
        # Not at once: the runner does not expect the end while it asks for it.
        self._loop.call_soon(self._withdraw, attempt, context=Context())

    def _withdraw(self, attempt: Attempt) -> None:
        if self._waiting is attempt:
            self._waiting = None
            self._not_begun(attempt)

    def _not_begun(self, attempt: Attempt) -> None:
        error = asyncio.CancelledError("stopped before it began")
        self._ended(self, attempt, failed(error))

    def _run_in(self, worker: Worker, attempt: Attempt) -> None:
        self._reports.started(attempt, self.name)
        try:
            worker.run(attempt, self._job(attempt))
        except Exception as error:  # noqa: BLE001 - no memory, or a class that cannot be pickled
            self._ended(self, attempt, failed(error))

    def _replied(self, worker: Worker, attempt: Attempt, reply: process_worker.Reply) -> None:
        data, mimetype, outputs, problem, retryable, fit = reply
        if worker is not self._worker or not fit:  # it was killed just after the end; or so it says
            self._let_go(worker)
        outcome = Outcome(data, mimetype, outputs, problem and Error(*problem), retryable)
        self._ended(self, attempt, outcome)

    async def _watch(self, worker: Worker) -> None:
        """Let go of a worker when it can no longer be heard, and say what became of its
        attempt."""
        try:
            attempt = await worker.silence()
            if worker is self._worker:
                self._worker, self._silent = None, worker
            died = await worker.died()
        except asyncio.CancelledError:  # the loop ends, and no task of it would see to this
            worker.abandon()
            raise
        end = worker.close()
        if worker is self._silent:
            self._silent = None
        if attempt is None:
            pass
        elif attempt.stopped:
            self._lose(attempt, "was killed to stop it.")
        elif not died:
            self._lose(attempt, "lost its connection to the server.")
        elif worker.begun.value != worker.jobs:  # it died idle: the next one takes the attempt
            self.run(attempt)
        else:
            self._lose(attempt, await worker.last_words())
        await end

    def _lose(self, attempt: Attempt, how: str) -> None:
        self._ended(self, attempt, f"The process that ran the task {how}")

    def _job(self, attempt: Attempt) -> process_worker.Job:
        definition = attempt.definition
        module, qualname = definition.reference
        return (
            module, qualname, attempt.task_id, definition.name, attempt.number,
            bytes(attempt.json_args), bytes(attempt.json_kwargs), self._limit, attempt.retry_on,
        )  # fmt: skip

    # -- the worker ------------------------------------------------------------------------

    def _begin_start(self) -> None:
        if self._start is None and not self._closed:
            # In an empty context: the reader of the worker's socket keeps it.
            self._start = self._loop.create_task(self._start_worker(), context=Context())

    async def _start_worker(self) -> None:
        """Start a worker, with pauses until one comes up, whether or not an attempt still waits
        for it: so that `/tasks/health` is right again when the cause is gone."""
        pause = FIRST_PAUSE
        self._refusal = None
        while (worker := await self._new_worker()) is None and not (self._closed or self._refusal):
            logger.error("%s does not start, next try in %g s. %s", self.name, pause, self._why)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        self._worker, self._start = worker, None
        attempt, self._waiting = self._waiting, None
        if attempt is not None and self._refusal is not None:
            self._ended(self, attempt, failed(self._refusal))
        elif attempt is not None:
            self.run(attempt)

    async def _new_worker(self) -> Worker | None:
        """A worker that is up; None, with `problem` set, if it did not come up."""
        worker = self._coming = Worker(self._reports, self._replied, self._limit)
        try:
            # Not on the loop: the first start waits until the fork server has its imports.
            await in_thread(partial(worker.start, self._nice, self._modules))
            await worker.serve()
            self.problem = None
        except CannotStart as error:
            self.problem, self._why = str(error), error.details
        except asyncio.CancelledError:  # the loop ends, and no task of it would see to this
            worker.abandon()
            raise
        except Exception as error:  # noqa: BLE001 - given to the attempt that waits
            self._refusal = error
        finally:
            self._coming = None
        if self.problem or self._refusal or self._closed:
            self._let_go(worker)
            return None
        self._track(self._loop.create_task(self._watch(worker)))
        return worker

    def _let_go(self, worker: Worker) -> None:
        self._track(worker.close())
        if worker is self._worker:
            self._worker = None

    def _track(self, end: asyncio.Task[None]) -> None:
        self._ends.add(end)
        end.add_done_callback(self._ends.discard)

    def close(self) -> set[asyncio.Task[None]]:
        """Kill the worker, and any that is being started; the ends that are still to come."""
        self._closed = True
        for worker in (self._worker, self._silent):
            if worker is not None:
                self._let_go(worker)
        if self._coming is not None:
            self._coming.kill()
        elif self._start is not None:
            self._start.cancel()  # it is in its pause
        if self._waiting is not None:
            self._withdraw(self._waiting)
        return self._ends if self._start is None else {*self._ends, self._start}
