"""What the end of an attempt means for its task, and how a task comes to its own end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from . import family
from .admission import Admission
from .definition import Definition
from .exceptions import TaskTimeout
from .execution import Outcome
from .executors.base import Attempt
from .ids import timestamp
from .intake import time_in
from .lanes import Lane
from .ledger import Ledger
from .metrics import Metrics
from .record import Error, Record, State
from .registry import Registry
from .run import Run
from .task import Task

INTERRUPTIONS = 3  # attempts beyond its retries that a task gets because its server went away
INTERRUPTED = Error("Interrupted", "The server went away before the task had ended.")

logger = logging.getLogger("quart_tasks")


class Endings:
    def __init__(
        self, registry: Registry, ledger: Ledger, admission: Admission, lanes: dict[str, Lane],
        metrics: Metrics, wait: Callable[[Task, float], None],
    ) -> None:  # fmt: skip
        self.when_idle: list[Callable[[], None]] = []  # called once no task is unfinished
        self.interrupting = False
        self._registry = registry
        self._ledger = ledger
        self._admission = admission
        self._lanes = lanes
        self._metrics = metrics
        self._wait = wait  # for the next attempt

    def conclude(self, attempt: Attempt, outcome: Outcome) -> None:
        """Decide what an attempt's end means for its task."""
        task: Task = attempt.task
        run, record = task.run, task.record
        assert run is not None  # noqa: S101 - the attempt is current
        if attempt.timer is not None:
            attempt.timer.cancel()
        self._metrics.run(time.monotonic() - run.queued_at)
        if not attempt.given_up:
            run.attempt = None
        error, retryable = outcome.error, outcome.retryable
        if error is None:
            if not attempt.started:  # an executor may leave out what the end implies
                self._registry.begin_attempt(task, attempt.definition.executor)
            self._settle(task, run)
            now = timestamp()
            if run.durable:
                succeed = partial(self._succeed, task, outcome, now)
                self._ledger.succeed(task, outcome, now, succeed)
            else:
                self._succeed(task, outcome, now)
            return
        if record.cancel_requested:
            self.end(task, "cancelled", outcome.exception)
            return
        if attempt.timed_out:
            error = Error(
                "TaskTimeout", f"The attempt ran longer than its timeout of {run.timeout:g} s."
            )
            retryable = run.retry.covers(TaskTimeout)
        elif self.interrupting and attempt.stopped:
            self.interrupt(task)
            return
        if retryable and attempt.started and record.attempt < record.max_attempts:
            self._again(task, attempt, error)
        else:
            self.log_failure(record, error)
            self.end(task, "failed", outcome.exception, error=error)

    def interrupt(self, task: Task) -> None:
        """The server goes away under a task: the journal has it go on at the next start, or it
        ends here."""
        run, record = task.run, task.record
        assert run is not None  # noqa: S101 - it is unfinished
        if run.durable and (record.state != "running" or goes_on(run.definition, record)):
            self._settle(task, run)
            self._ended(run, None, None)
            return
        if record.cancel_requested:
            self.end(task, "cancelled")
            return
        if record.state == "running":
            self.log_failure(record, INTERRUPTED)
        self.end(task, "failed", error=INTERRUPTED)

    def _again(self, task: Task, attempt: Attempt, error: Error) -> None:
        """Let a task wait for its next attempt, and that for the end of an attempt that was
        given up on: two never run at once."""
        run = task.run
        assert run is not None  # noqa: S101 - it is to go on
        pause = run.retry.pause(task.record.attempt - 1)
        logger.warning(
            "Task %s (%s): attempt %d of %d failed, the next is in %.2f s. %s: %s",
            task.record.name, task.record.id, task.record.attempt, task.record.max_attempts,
            pause, error.type, error.message,
        )  # fmt: skip
        now, then = timestamp(), time_in(pause)
        self._registry.end_attempt(task, error, now)
        changes = {"error": error, "scheduled_for": then, "worker": None}
        wait = partial(self._wait_again, task, attempt, pause, now, changes)
        self._ledger.write(task, wait, changes | {"state": "scheduled"})

    def _wait_again(
        self, task: Task, attempt: Attempt, pause: float, now: str, changes: dict[str, Any]
    ) -> None:
        if task.run is None or task.run.settled:  # cancelled meanwhile
            return
        self._registry.move(task, "scheduled", now, **changes)
        if not task.run.attempt:
            self._wait(task, pause)

    def end(
        self, task: Task, state: State, exception: BaseException | None = None, **changes: Any
    ) -> None:
        run = task.run
        assert run is not None  # noqa: S101 - a task ends once
        self._settle(task, run)
        now = timestamp()
        changes |= {"finished_at": now, "scheduled_for": None}
        close = partial(self._close, task, state, exception, now, changes)
        record = task.record
        shown = {
            "attempt": record.attempt, "error": record.error, "state": state,
            "started_at": record.started_at, "cancel_requested": record.cancel_requested,
        }  # fmt: skip
        self._ledger.write(task, close, shown | changes)

    def _close(
        self, task: Task, state: State, exception: BaseException | None, now: str,
        changes: dict[str, Any],
    ) -> None:  # fmt: skip
        run = task.run
        assert run is not None  # noqa: S101 - a task ends once
        self._registry.move(task, state, now, **changes)
        self._ended(run, state, exception)

    def _succeed(self, task: Task, outcome: Outcome, now: str) -> None:
        run = task.run
        assert run is not None  # noqa: S101 - a task ends once
        self._registry.succeed(task, outcome, now)
        self._ended(run, "succeeded", None)

    def _settle(self, task: Task, run: Run) -> None:
        """The task's end is decided: take back all that waits on its behalf."""
        run.settled = True
        if run.timer is not None:
            run.timer.cancel()
        if run.expiry is not None:
            run.expiry.cancel()
        if run.ticket:
            self._lanes[run.definition.executor].drop(task)
        if run.parent is not None or run.children:
            family.leave(task)

    def _ended(self, run: Run, state: State | None, exception: BaseException | None) -> None:
        """Tell those who wait. Without a state it goes on at the next start."""
        self._admission.free(run)
        if state is not None:
            self._metrics.end(state)
        if run.handle is not None and exception is not None:
            handle = run.handle()
            if handle is not None:
                handle.exception = exception
        for waiter in run.waiters:
            if not waiter.done():
                waiter.set_result(None)
        if self.when_idle and not self._registry.unfinished_count:
            call_once(self.when_idle)

    def log_failure(self, record: Record, error: Error) -> None:
        logger.error(
            "Task %s (%s) failed in attempt %d of %d: %s: %s%s",
            record.name, record.id, record.attempt, record.max_attempts, error.type,
            error.message, "\n" + error.traceback if error.traceback else "",
        )  # fmt: skip


def goes_on(definition: Definition, record: Record) -> bool:
    """Whether a task that ran when its server went away is run again by the next one."""
    return (
        definition.idempotent
        and not record.cancel_requested
        and record.attempt < record.max_attempts + INTERRUPTIONS
    )


def call_once(callbacks: list[Callable[[], None]]) -> None:
    while callbacks:
        callbacks.pop()()
