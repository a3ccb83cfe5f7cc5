"""Takes each task through its life: slot, start, timeout, retry, cancel, end.

These race with each other, so one place orders them. Everything here is called on one thread
and returns at once. Executors and timers are given to it, and it keeps no asyncio object, so
that any order of reports, requests and timers can be tried without a clock or a loop.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial

import msgspec

from . import family
from .admission import Admission
from .definition import Definition, Submission
from .endings import Endings, call_once
from .exceptions import Conflict, Draining
from .execution import Outcome
from .executors.base import Attempt, Executor
from .ids import timestamp
from .lanes import Lane
from .ledger import Ledger
from .metrics import Metrics
from .record import Error, Progress
from .registry import Registry
from .run import Run, Timers
from .task import Task

logger = logging.getLogger("quart_tasks")


class Runner:
    def __init__(self, registry: Registry, timers: Timers, ledger: Ledger | None = None) -> None:
        self.registry = registry
        self.ledger = ledger or Ledger()
        self.lanes: dict[str, Lane] = {}
        self.metrics = Metrics()
        self.draining = False  # takes and starts no more tasks
        self.begun = True  # else what was restored waits for `begin`
        self.when_quiet: list[Callable[[], None]] = []  # called once no attempt runs
        self._timers = timers
        self._max_abandoned = registry.config.max_abandoned_threads
        self.admission = Admission(
            registry, self.ledger, self.lanes, self.metrics, self._enter, self._return
        )
        self.endings = Endings(
            registry, self.ledger, self.admission, self.lanes, self.metrics, self._wait
        )

    def add_executor(self, executor: Executor) -> None:
        self.lanes[executor.name] = Lane(executor)

    # -- requests --------------------------------------------------------------------------

    def submit(self, submission: Submission) -> Task:
        """Accept a task, which is `held` until the journal has it. Raises Draining, QueueFull,
        JournalUnavailable."""
        return self.submit_many([submission])[0]

    def submit_many(self, submissions: list[Submission]) -> list[Task]:
        """Accept all or, with an error, none."""
        if self.draining:
            raise Draining
        if not self.begun:
            self.begin()  # a hook of the app's start may wait for what it submits
        return self.admission.submit(submissions)

    def restore(self, task: Task) -> None:
        """Take in an unfinished task of an earlier start, which waits for `resume` and `begin`."""
        assert task.run is not None  # noqa: S101 - it is unfinished
        self.admission.claim(task, task.run)
        self.registry.restore(task)
        self._set_off(task, task.run)
        if task.record.parent_id is not None:
            family.join(task, task.record.parent_id, self.registry.find)

    def resume(self) -> None:
        """All that was left is there, and waits in the order of priority."""
        self.registry.loading = False
        self._dispatch_all()

    def begin(self) -> None:
        """The app is there, with all that its tasks may need: what was restored may start."""
        self.begun = True
        self._dispatch_all()

    def _dispatch_all(self) -> None:
        for lane in self.lanes.values():
            self._dispatch(lane)

    def _enter(self, task: Task) -> None:
        """Take in an accepted task."""
        run, record = task.run, task.record
        assert run is not None  # noqa: S101 - it is new
        self.registry.add(task)
        if self.registry.unfinished_count == 1:
            self.metrics.begin()
        self._set_off(task, run)
        if record.parent_id is not None:
            above = family.join(task, record.parent_id, self.registry.find)
            if above is not None and above.record.cancel_requested:
                self.cancel(task)  # it had reached the parent before this child was there

    def _set_off(self, task: Task, run: Run) -> None:
        """Let a task wait for its time, or for a slot."""
        if run.expires is not None:
            run.expiry = self._timers.call_later(run.expires, self._expired, task)
        if run.delay:
            run.timer = self._timers.call_later(run.delay, self._due, task)
        else:
            self._enqueue(task)

    def cancel(self, task: Task) -> None:
        """Ask a task and all its unfinished descendants to end; waiting ones do at once."""
        for each in family.with_descendants(task):
            if self._begun(each) is None:
                self._cancel(each)
            else:
                cancel = partial(self._cancel, each)
                self.ledger.write(each, cancel, {"cancel_requested": True})

    def _cancel(self, task: Task) -> None:
        if task.run is None or task.run.settled:
            return
        attempt = self._begun(task)
        if attempt is None:
            self.endings.end(task, "cancelled", cancel_requested=True)
        elif not task.record.cancel_requested:
            self.registry.change(task, cancel_requested=True)
            self._stop(attempt)
            for child in list(task.run.children.values()):  # it may have come meanwhile
                if not child.record.cancel_requested:
                    self.cancel(child)

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
        run = task.run
        if run is not None and not run.settled and task.record.state == "scheduled":
            run.timer = None
            self.registry.move(task, "queued", scheduled_for=None)
            self._enqueue(task)

    def _expired(self, task: Task) -> None:
        run = task.run
        if run is None or run.settled or task.record.attempt:
            return
        if self._begun(task) is None:
            message = "The task had not started when its time to start (`expires`) was over."
            self.endings.end(task, "failed", error=Error("TaskExpired", message))

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
        self.endings.conclude(attempt, Outcome(error=_STOPPED))
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
        self.metrics.wait(now - run.queued_at)
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
            # Each executor reports `started` before the function runs.
            self._returned(lane, attempt, attempt.started or outcome.error is None)
        elif self._is_current(attempt):
            self._free(lane, attempt)
            self.endings.conclude(attempt, outcome)
        self._dispatch(lane)

    def lost(self, attempt: Attempt, message: str) -> None:
        error = Error("WorkerCrashed", message)
        self.ended(attempt, Outcome(error=error, retryable=attempt.definition.idempotent))

    def _returned(self, lane: Lane, attempt: Attempt, began: bool) -> None:
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
            if not began:
                self._unlearn(task)
            if task.record.state == "scheduled" and not task.run.settled:  # its retry waited
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
        if self._starts() and (task.run.has_slot or lane.take_at_once(task)):
            self._start(lane, task)
        else:
            if task.run.has_slot:  # it was to begin at once
                task.run.has_slot = False
                self._unlearn(task)
                self._give_back(lane, task.run.definition)
            lane.push(task)
            self._dispatch(lane)

    def _unlearn(self, task: Task) -> None:
        """What was to begin did not: the next start must not take it for cut off."""
        run, record = task.run, task.record
        if run is not None and run.row is not None and run.row.state == "running":
            self.ledger.write(
                task, _nothing,
                {"state": "queued", "attempt": record.attempt, "error": record.error,
                 "started_at": record.started_at},
            )  # fmt: skip

    def _dispatch(self, lane: Lane) -> None:
        """Start what waits, as far as there are slots."""
        while lane.waiting and self._starts() and (task := lane.take()) is not None:
            self._start(lane, task)

    def _starts(self) -> bool:
        return self.begun and not (self.draining or self.registry.loading)

    def _start(self, lane: Lane, task: Task) -> None:
        run, record = task.run, task.record
        assert run is not None  # noqa: S101 - it is to begin
        attempt = run.attempt = Attempt(
            task, record.id, record.attempt + 1, run.definition, run.args, run.kwargs,
            run.retry.on,
        )  # fmt: skip
        if lane.executor.stops == "kill":
            attempt.json_args, attempt.json_kwargs = task.value("args"), task.value("kwargs")
        if run.has_slot or not run.durable:  # the journal has its start, or nothing of it
            run.has_slot = False
            lane.executor.start(attempt)
            return
        begin = partial(self._begin, lane, attempt)
        start = {"state": "running", "attempt": attempt.number, "started_at": timestamp()}
        self.ledger.write(task, begin, start | {"error": None, "scheduled_for": None})

    def _begin(self, lane: Lane, attempt: Attempt) -> None:
        if attempt.given_up:
            self.ended(attempt, Outcome(error=_STOPPED))
        else:
            lane.executor.start(attempt)

    def _stop(self, attempt: Attempt) -> None:
        attempt.stopped = True
        if attempt.context is not None:
            attempt.context.cancel_requested = True
        self.lanes[attempt.definition.executor].executor.stop(attempt)

    def _free(self, lane: Lane, attempt: Attempt) -> None:
        attempt.holds_slot = False
        self._give_back(lane, attempt.definition)

    def _return(self, lane: Lane, definition: Definition) -> None:
        """A slot was taken for a task that is not accepted after all."""
        self._give_back(lane, definition)
        self._dispatch(lane)

    def _give_back(self, lane: Lane, definition: Definition) -> None:
        """A slot is free again, for `_dispatch` to give away."""
        lane.give_back(definition.name, definition.concurrency is not None)
        if self.when_quiet and not self.running():
            call_once(self.when_quiet)

    def _wait(self, task: Task, seconds: float) -> None:
        assert task.run is not None  # noqa: S101 - it is to go on
        task.run.timer = self._timers.call_later(seconds, self._due, task)

    # -- shutdown --------------------------------------------------------------------------

    def running(self) -> int:
        """Attempts that hold a slot."""
        return sum(lane.taken for lane in self.lanes.values())

    def interrupt(self) -> None:
        """Stop every attempt; those tasks end as Interrupted."""
        self.draining = self.endings.interrupting = True
        for task in self.registry.unfinished():
            if (attempt := self._begun(task)) is not None:
                self._stop(attempt)

    def give_up(self) -> None:
        """End whatever is left as Interrupted, or leave it to the next start, and say what never
        ran."""
        self.draining = self.endings.interrupting = True
        left: dict[str, int] = {}
        for task in self.registry.unfinished():
            if task.run is None or task.run.settled:
                continue
            if (attempt := task.run.attempt) is not None:
                attempt.given_up = True
                if attempt.timer is not None:
                    attempt.timer.cancel()
            if task.record.state != "running":
                left[task.record.name] = left.get(task.record.name, 0) + 1
            self.endings.interrupt(task)
        if left:
            names = ", ".join(f"{number} of {name}" for name, number in left.items())
            logger.warning("The server stops. Not run: %s.", names)


_STOPPED = Error("CancelledError", "The attempt was stopped.")


def _nothing() -> None:
    pass
