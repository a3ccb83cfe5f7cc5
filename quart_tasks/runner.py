"""Takes each task through its life: slot, start, timeout, retry, cancel, end.

These race with each other, so one place orders them. Everything here is called on one thread
and returns at once. Executors and timers are given to it, and it keeps no asyncio object, so
that any order of reports, requests and timers can be tried without a clock or a loop.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import msgspec

from . import family
from .definition import Submission
from .exceptions import Conflict, Draining, QueueFull, TaskTimeout
from .execution import Outcome
from .executors.base import Attempt, Executor
from .ids import timestamp
from .intake import key_of, new_task, time_in
from .lanes import Lane
from .metrics import Metrics
from .record import Error, Progress, Record, State
from .registry import Registry
from .run import Run, Timers
from .task import Task

logger = logging.getLogger("quart_tasks")


class Runner:
    def __init__(self, registry: Registry, timers: Timers) -> None:
        self.registry = registry
        self.lanes: dict[str, Lane] = {}
        self.metrics = Metrics()
        self.draining = False  # takes and starts no more tasks
        self.interrupting = False
        self.when_idle: list[Callable[[], None]] = []  # called once no task is unfinished
        self.when_quiet: list[Callable[[], None]] = []  # called once no attempt runs
        self._timers = timers
        self._max_pending = registry.config.max_pending
        self._max_abandoned = registry.config.max_abandoned_threads
        self._keys: dict[tuple[Any, ...], Task] = {}

    def add_executor(self, executor: Executor) -> None:
        self.lanes[executor.name] = Lane(executor)

    # -- requests --------------------------------------------------------------------------

    def submit(self, submission: Submission) -> Task:
        """Accept a task. Raises Draining, QueueFull."""
        self._admit(1)
        return self._accept(submission)

    def submit_many(self, submissions: list[Submission]) -> list[Task]:
        """Accept all or, with an error, none."""
        self._admit(len(submissions))
        return [self._accept(each) for each in submissions]

    def _admit(self, number: int) -> None:
        if self.draining:
            raise Draining
        waiting = self.registry.pending
        if waiting + number > self._max_pending:
            raise QueueFull(
                f"{waiting:,} tasks wait already and TASKS_MAX_PENDING allows "
                f"{self._max_pending:,}: submit again later.",
                self.metrics.seconds_for(number),
            )

    def _accept(self, submission: Submission) -> Task:
        if submission.idempotency is not None:
            known = self.registry.submitted(submission.idempotency[0])
            if known is not None:  # twice in one batch
                return known
        key = key_of(submission)
        if key is not None and (holder := self._keys.get(key)) is not None:
            self.registry.note_submission(holder, submission.idempotency)
            return holder
        task, delay = new_task(self.registry.new_id(), submission)
        run = task.run
        assert run is not None  # noqa: S101 - it is new
        if key is not None:
            self._keys[key] = task
        self.registry.add(task)
        if self.registry.unfinished_count == 1:
            self.metrics.begin()
        if submission.options.expires is not None:
            run.expiry = self._timers.call_later(submission.options.expires, self._expired, task)
        if delay:
            run.timer = self._timers.call_later(delay, self._due, task)
        else:
            self._enqueue(task)
        if submission.parent_id is not None:
            above = family.join(task, submission.parent_id, self.registry.find)
            if above is not None and above.record.cancel_requested:
                self.cancel(task)  # it had reached the parent before this child was there
        return task

    def cancel(self, task: Task) -> None:
        """Ask a task and all its unfinished descendants to end; waiting ones do at once."""
        for each in family.with_descendants(task):
            attempt = self._begun(each)
            if attempt is None:
                self._end(each, "cancelled", cancel_requested=True)
            elif not each.record.cancel_requested:
                self.registry.change(each, cancel_requested=True)
                self._stop(attempt)

    def _begun(self, task: Task) -> Attempt | None:
        """The attempt in which a task's function runs. One that is only being started is given
        up instead: its slot is free as soon as the executor has let go of it."""
        attempt = task.run.attempt if task.run is not None else None
        if attempt is None or attempt.given_up:
            return None
        if not attempt.started:
            attempt.given_up = True
            self._stop(attempt)
            return None
        return attempt

    def forget(self, task: Task) -> None:
        """Drop an ended task's record. Raises Conflict."""
        if task.run is not None:
            raise Conflict(f"The task is {task.record.state}: cancel it, and delete it when ended.")
        self.registry.forget(task)

    # -- timers ----------------------------------------------------------------------------

    def _due(self, task: Task) -> None:
        if task.run is not None and task.record.state == "scheduled":
            task.run.timer = None
            self.registry.move(task, "queued", scheduled_for=None)
            self._enqueue(task)

    def _expired(self, task: Task) -> None:
        if task.run is not None and not task.record.attempt and self._begun(task) is None:
            message = "The task had not started when its time to start (`expires`) was over."
            self._end(task, "failed", error=Error("TaskExpired", message))

    def _timed_out(self, attempt: Attempt) -> None:
        if self._is_current(attempt):
            attempt.timed_out = True
            self._stop(attempt)
            if self.lanes[attempt.definition.executor].executor.stops == "ask":
                self._give_up(attempt)

    def _give_up(self, attempt: Attempt) -> None:
        """Let the task go on without an attempt that cannot be stopped. Its slot goes to the
        next, unless too many such attempts run already."""
        lane = self.lanes[attempt.definition.executor]
        attempt.given_up = True
        if lane.abandoned < self._max_abandoned:
            self._abandon(lane, attempt)
        else:
            lane.stuck.append(attempt)
        self._conclude(attempt, Outcome(error=_STOPPED))
        self._dispatch(lane)

    def _abandon(self, lane: Lane, attempt: Attempt) -> None:
        self._free(lane, attempt)
        attempt.abandoned = True
        lane.abandoned += 1

    # -- reports ---------------------------------------------------------------------------

    def started(self, attempt: Attempt, worker: str) -> None:
        task: Task = attempt.task
        run = task.run
        if run is None or attempt.started or not self._is_current(attempt):
            return
        attempt.started = True
        if run.expiry is not None:
            run.expiry.cancel()
            run.expiry = None
        now = time.monotonic()
        self.metrics.waits.append(now - run.queued_at)
        run.queued_at = now
        self.registry.begin_attempt(task, worker)
        if run.timeout is not None:
            attempt.timer = self._timers.call_later(run.timeout, self._timed_out, attempt)

    def progress(self, attempt: Attempt, progress: Progress) -> None:
        if self._is_current(attempt):
            self.registry.progress(attempt.task, progress)

    def output(self, attempt: Attempt, value: bytes) -> None:
        if self._is_current(attempt):
            self.registry.output(attempt.task, msgspec.Raw(value))

    def log(self, attempt: Attempt, level: str, logger: str, message: str) -> None:
        if self._is_current(attempt):
            self.registry.line(attempt.task, level, logger, message)

    def ended(self, attempt: Attempt, outcome: Outcome) -> None:
        lane = self.lanes[attempt.definition.executor]
        if attempt.given_up:
            self._returned(lane, attempt)
        elif self._is_current(attempt):
            self._free(lane, attempt)
            self._conclude(attempt, outcome)
        self._dispatch(lane)

    def lost(self, attempt: Attempt, message: str) -> None:
        error = Error("WorkerCrashed", message)
        self.ended(attempt, Outcome(error=error, retryable=attempt.definition.idempotent))

    def _returned(self, lane: Lane, attempt: Attempt) -> None:
        """An attempt that was given up on has ended after all."""
        if attempt in lane.stuck:
            lane.stuck.remove(attempt)
        if attempt.holds_slot:
            self._free(lane, attempt)
        elif attempt.abandoned:
            attempt.abandoned = False
            lane.abandoned -= 1
            if lane.stuck:
                self._abandon(lane, lane.stuck.pop(0))
        task: Task = attempt.task
        if task.run is not None and task.run.attempt is attempt:
            task.run.attempt = None
            if task.record.state == "scheduled":  # its retry waited for this
                self._wait(task, task.run.retry.pause(task.record.attempt - 1))

    # -- decisions -------------------------------------------------------------------------

    def _is_current(self, attempt: Attempt) -> bool:
        """Whether a report is about the attempt that its task is in; else it is dropped."""
        run = attempt.task.run
        return run is not None and run.attempt is attempt and not attempt.given_up

    def _enqueue(self, task: Task) -> None:
        assert task.run is not None  # noqa: S101 - an unfinished task has one
        lane = self.lanes[task.run.definition.executor]
        task.run.queued_at = time.monotonic()
        if not self.draining and lane.take_at_once(task):
            self._start(lane, task)
        else:
            lane.push(task)
            self._dispatch(lane)

    def _dispatch(self, lane: Lane) -> None:
        """Start what waits, as far as there are slots."""
        while lane.waiting and not self.draining and (task := lane.take()) is not None:
            self._start(lane, task)

    def _start(self, lane: Lane, task: Task) -> None:
        run, record = task.run, task.record
        assert run is not None  # noqa: S101 - it is to begin
        attempt = run.attempt = Attempt(
            task, record.id, record.attempt + 1, run.definition, run.args, run.kwargs,
            run.retry.on,
        )  # fmt: skip
        if lane.executor.stops == "kill":
            attempt.json_args, attempt.json_kwargs = task.value("args"), task.value("kwargs")
        lane.executor.start(attempt)

    def _stop(self, attempt: Attempt) -> None:
        attempt.stopped = True
        if attempt.context is not None:
            attempt.context.cancel_requested = True
        self.lanes[attempt.definition.executor].executor.stop(attempt)

    def _free(self, lane: Lane, attempt: Attempt) -> None:
        attempt.holds_slot = False
        lane.give_back(attempt.definition.name, attempt.definition.concurrency is not None)
        if self.when_quiet and not self.running():
            _call_once(self.when_quiet)

    def _conclude(self, attempt: Attempt, outcome: Outcome) -> None:
        """Decide what an attempt's end means for its task."""
        task: Task = attempt.task
        run, record = task.run, task.record
        assert run is not None  # noqa: S101 - the attempt is current
        if attempt.timer is not None:
            attempt.timer.cancel()
        self.metrics.runs.append(time.monotonic() - run.queued_at)
        if not attempt.given_up:
            run.attempt = None
        error, retryable = outcome.error, outcome.retryable
        if error is None:
            if not attempt.started:  # an executor may leave out what the end implies
                self.registry.begin_attempt(task, attempt.definition.executor)
            self._release(task, run)
            self.registry.succeed(task, outcome)
            self._ended(run, None)
            return
        if record.cancel_requested:
            self._end(task, "cancelled", outcome.exception)
            return
        if attempt.timed_out:
            error = Error(
                "TaskTimeout", f"The attempt ran longer than its timeout of {run.timeout:g} s."
            )
            retryable = run.retry.covers(TaskTimeout)
        elif self.interrupting and attempt.stopped:
            error, retryable = _INTERRUPTED, False
        if retryable and attempt.started and record.attempt < record.max_attempts:
            self._again(task, attempt, error)
        else:
            self._log_failure(record, error)
            self._end(task, "failed", outcome.exception, error=error)

    def _again(self, task: Task, attempt: Attempt, error: Error) -> None:
        """Let a task wait for its next attempt, and that for the end of an attempt that was
        given up on: two never run at once."""
        run = task.run
        assert run is not None  # noqa: S101 - it is to go on
        pause = run.retry.pause(task.record.attempt - 1)
        logger.warning(
            "Task %s (%s): attempt %d of %d failed with %s: %s. The next is in %.2f s.",
            task.record.name, task.record.id, task.record.attempt, task.record.max_attempts,
            error.type, error.message, pause,
        )  # fmt: skip
        self.registry.end_attempt(task, error, time_in(pause))
        if not attempt.given_up:
            self._wait(task, pause)

    def _wait(self, task: Task, seconds: float) -> None:
        assert task.run is not None  # noqa: S101 - it is to go on
        task.run.timer = self._timers.call_later(seconds, self._due, task)

    def _end(
        self, task: Task, state: State, exception: BaseException | None = None, **changes: Any
    ) -> None:
        run = task.run
        assert run is not None  # noqa: S101 - a task ends once
        self._release(task, run)
        now = timestamp()
        self.registry.move(task, state, now, finished_at=now, scheduled_for=None, **changes)
        self._ended(run, exception)

    def _release(self, task: Task, run: Run) -> None:
        """Take back all that waits on the task's behalf."""
        if run.timer is not None:
            run.timer.cancel()
        if run.expiry is not None:
            run.expiry.cancel()
        if run.ticket:
            self.lanes[run.definition.executor].drop(task)
        if run.key is not None:
            del self._keys[run.key]
        if run.parent is not None or run.children:
            family.leave(task)

    def _ended(self, run: Run, exception: BaseException | None) -> None:
        """Tell those who wait."""
        self.metrics.end()
        if run.handle is not None and exception is not None:
            handle = run.handle()
            if handle is not None:
                handle.exception = exception
        for waiter in run.waiters:
            if not waiter.done():
                waiter.set_result(None)
        if self.when_idle and not self.registry.unfinished_count:
            _call_once(self.when_idle)

    def _log_failure(self, record: Record, error: Error) -> None:
        logger.error(
            "Task %s (%s) failed in attempt %d of %d: %s: %s%s",
            record.name, record.id, record.attempt, record.max_attempts, error.type,
            error.message, "\n" + error.traceback if error.traceback else "",
        )  # fmt: skip

    # -- shutdown --------------------------------------------------------------------------

    def running(self) -> int:
        """Attempts that hold a slot."""
        return sum(lane.taken for lane in self.lanes.values())

    def interrupt(self) -> None:
        """Stop every attempt; those tasks end as Interrupted."""
        self.draining = self.interrupting = True
        for task in self.registry.unfinished():
            if (attempt := self._begun(task)) is not None:
                self._stop(attempt)

    def give_up(self) -> None:
        """End whatever is left as Interrupted, and say what never ran."""
        self.draining = self.interrupting = True
        left: dict[str, int] = {}
        for task in self.registry.unfinished():
            if task.run is None:
                continue
            if task.record.state != "running":
                left[task.record.name] = left.get(task.record.name, 0) + 1
            else:
                self._log_failure(task.record, _INTERRUPTED)
            if (attempt := task.run.attempt) is not None:
                attempt.given_up = True
                if attempt.timer is not None:
                    attempt.timer.cancel()
            self._end(task, "failed", error=_INTERRUPTED)
        if left:
            names = ", ".join(f"{number} of {name}" for name, number in left.items())
            logger.warning("The server stops. Not run: %s.", names)


_STOPPED = Error("CancelledError", "The attempt was stopped.")
_INTERRUPTED = Error("Interrupted", "The server went away before the task had ended.")


def _call_once(callbacks: list[Callable[[], None]]) -> None:
    while callbacks:
        callbacks.pop()()
