"""A journal that writes when a test says so, and a model of tasks that wait for it."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from quart_tasks.database import Batch, Row
from quart_tasks.definition import Definition, ExecutorName, Options
from quart_tasks.entries import Current
from quart_tasks.events import Event
from quart_tasks.executors.base import Attempt
from quart_tasks.journal import Entry, _merge
from quart_tasks.record import Record
from quart_tasks.retry import RetryPolicy

from .machine import (
    DELAY,
    ENDED,
    FakeExecutor,
    FakeTimer,
    FakeTimers,
    Job,
    Model,
    Recorder,
    Turn,
    _sorted,
)

INTERRUPTIONS = 3  # attempts beyond the retries that crashes may cost
Key = tuple[bool, tuple[tuple[Any, ...], ...]]


# -- fakes ---------------------------------------------------------------------------------


class FakeDisk:
    """What outlives a crash: the rows of a database."""

    def __init__(self) -> None:
        self.tasks: dict[str, tuple[bytes, bytes]] = {}
        self.data: dict[str, bytes] = {}
        self.forgotten: set[str] = set()
        self.full = False

    def rows(self, after: str, most: int) -> list[Row]:
        return [(id, *self.tasks[id]) for id in sorted(self.tasks) if id > after][:most]

    def results(self, ids: list[str]) -> dict[str, bytes]:
        return {id: self.data[id] for id in ids if id in self.data}

    def current(self, id: str) -> Current | None:
        return decode(self.tasks[id][1]) if id in self.tasks else None

    def write(self, batch: Batch) -> None:
        if self.full:
            raise sqlite3.OperationalError("the disk is full")
        for id, values in batch.accepted.items():
            assert id not in self.tasks, "accepted twice"
            self.tasks[id] = values
        for id, current in batch.current.items():
            assert id in self.tasks, "a row of what was never accepted, or was forgotten"
            before, after = decode(self.tasks[id][1]), decode(current)
            assert before.state not in ENDED or after.state == before.state, "an end taken back"
            self.tasks[id] = self.tasks[id][0], current
        self.data |= batch.results
        for id in batch.forgotten:
            self.tasks.pop(id, None)
            self.data.pop(id, None)
        self.forgotten |= batch.forgotten


class FakeJournal:
    """Commits, and tells who asked for it, when a test says so."""

    def __init__(self, disk: FakeDisk) -> None:
        self.problem: str | None = None
        self.entries: list[Entry] = []  # to be committed
        self.told: list[tuple[Entry, bool]] = []  # whose callers are to be told
        self.new: list[Entry] = []  # since the model looked
        self.database = disk

    def start(self) -> None: ...

    def write(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.new.append(entry)

    def commit(self, most: int) -> None:
        """One transaction, of the oldest."""
        batch, self.entries = self.entries[:most], self.entries[most:]
        self.database.write(_merge(batch))
        self.problem = None
        self.told += [(entry, True) for entry in batch]

    def fail(self, most: int) -> None:
        batch = self.entries[:most]
        self.entries[:most] = [entry for entry in batch if entry.must]
        self.problem = "the disk is full"
        self.told += [(entry, False) for entry in batch if not entry.must]


class JournalTimers(FakeTimers):
    """After a restart a timer has a little less to go: rounded up it is known all the same."""

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> FakeTimer:
        return super().call_later(math.ceil(delay / DELAY) * DELAY, callback, *args)


class JournalExecutor(FakeExecutor):
    """Starts what the journal has as running, and no attempt twice, whatever crashes."""

    def __init__(
        self, name: ExecutorName, slots: int, disk: FakeDisk, seen: set[tuple[str, int]]
    ) -> None:
        super().__init__(name, slots)
        self._disk, self._seen = disk, seen

    def start(self, attempt: Attempt) -> None:
        name = attempt.task_id, attempt.number
        assert name not in self._seen, "this attempt was started before"
        self._seen.add(name)
        if attempt.definition.durable:
            row = self._disk.current(attempt.task_id)
            assert row is not None
            assert (row.state, row.attempt) == ("running", attempt.number), "not committed"
        super().start(attempt)

    def stop(self, attempt: Attempt) -> None:
        if attempt in self.starts:  # else it is still on its way into the journal
            super().stop(attempt)


class JournalRecorder(Recorder):
    """Checks that what is shown is committed."""

    def watch(self, disk: FakeDisk, definitions: dict[str, Definition]) -> None:
        self.disk, self.definitions = disk, definitions
        self.ends: dict[str, Record] = {}

    def publish(self, event: Event) -> None:
        super().publish(event)
        if event.type == "state":
            id, data = event.task_id or "", event.data
            assert id not in self.ends, "a change after the end"
            if data.state in ENDED:
                self.ends[id] = data
            if self.definitions[event.name or ""].durable:
                self._check(id, data.state, data.attempt)

    def _check(self, id: str, state: str, attempt: int) -> None:
        row = self.disk.current(id)
        assert row is not None, "shown, and not accepted"
        if state in ENDED:
            assert row.state == state, "an end was shown before it was committed"
        elif state == "running":
            assert row.state != "queued"
            assert row.attempt == attempt
        elif state == "scheduled" and attempt:
            assert row.state != "running", "a pause was shown before it was committed"


# -- model ---------------------------------------------------------------------------------


@dataclass(eq=False)
class Write:
    """What must be written now, and what follows when that is told."""

    key: Key
    then: Callable[[bool], None]


@dataclass(eq=False)
class JournalTurn(Turn):
    begun: bool = False  # the executor has it


@dataclass(eq=False)
class JournalJob(Job):
    kept: bool = False
    held: bool = False
    settled: bool = False  # its end is decided, and not shown yet
    left: bool = False  # to the next start
    cancelling: bool = False  # that may be written
    lingers: Turn | None = None  # an attempt that its retry waits for
    row: tuple[str, int] = ("", 0)  # state and attempt that were written last
    idempotency: str | None = None

    @property
    def durable(self) -> bool:
        return self.definition.durable

    @property
    def decided(self) -> bool:
        return self.ended or self.settled

    @property
    def begun(self) -> bool:
        """Whether its function runs."""
        return self.turn is not None and self.turn.started and not self.turn.left

    @property
    def goes_on(self) -> bool:
        """Whether the next start runs it again."""
        most = self.max_attempts + INTERRUPTIONS
        return self.definition.idempotent and not self.cancel_requested and self.attempts < most

    def timers(self) -> list[tuple[str, float]]:
        return [] if self.held or self.settled or not self.kept else super().timers()


class JournalModel(Model):
    """As the other, but everything is written first. `new`: what must have been written since
    it was looked at."""

    jobs: dict[str, JournalJob]  # type: ignore[assignment]

    def __init__(
        self, ends: Callable[[], list[str]], seen: set[tuple[str, int]], *limits: Any
    ) -> None:
        super().__init__(*limits)
        self.ends = ends  # the order of those that have ended just now
        self.seen = seen  # attempts that may have begun
        self.new: list[Write] = []
        self.begun: list[JournalTurn] = []  # in the order of their begin
        self.submissions: dict[str, JournalJob] = {}  # what an idempotency key gives

    def unfinished(self) -> list[JournalJob]:  # type: ignore[override]
        return [job for job in self.jobs.values() if job.kept and not job.ended]

    def held(self) -> list[JournalJob]:
        return [job for job in self.jobs.values() if job.held]

    def pending(self) -> int:
        return super().pending() + len(self.held())

    def waiting(self, executor: str) -> list[Job]:
        return [job for job in super().waiting(executor) if not job.settled]  # type: ignore[attr-defined]

    def holder(self, definition: Definition, key: str | None) -> JournalJob | None:
        jobs = (job for job in [*self.held(), *self.unfinished()] if not job.left)
        return next((job for job in jobs if key and job.key == (definition.name, key)), None)

    def submitted(self, idempotency: str | None) -> JournalJob | None:
        return None if idempotency is None else self.submissions.get(idempotency)

    def note(self, job: JournalJob, idempotency: str | None) -> None:
        """An idempotency key gives this job from now on, if it is the job's first."""
        if idempotency is not None and job.idempotency is None:
            job.idempotency = idempotency
            self.submissions[idempotency] = job

    def _forget_submission(self, job: JournalJob) -> None:
        if self.submitted(job.idempotency) is job:  # a later one may have it
            del self.submissions[job.idempotency or ""]

    def coming(self, executor: str) -> int:
        """Attempts with a slot whose start is on its way into the journal."""
        turns = (turn for turn in self.holding(executor) if isinstance(turn, JournalTurn))
        return sum(not turn.begun for turn in turns)

    # -- writing --

    def _write(
        self, job: JournalJob, state: str, then: Callable[[], None], attempt: int | None = None
    ) -> None:
        if not job.durable:
            then()
            return
        job.row = state, job.attempts if attempt is None else attempt
        self.new.append(Write((True, (("row", job.id, *job.row),)), lambda _: then()))

    # -- admission --

    def make(
        self, id: str, definition: Definition, options: Options, policy: RetryPolicy | None,
        parent_id: str | None, idempotency: str | None,
    ) -> JournalJob:  # fmt: skip
        job = self.jobs[id] = JournalJob(
            id, definition, options, policy or definition.retry, parent_id, ()
        )
        self.note(job, idempotency)
        return job

    def accept(self, jobs: list[JournalJob]) -> None:
        """All or none; where a slot is free, it is taken and the start is written with them."""
        if not any(job.durable for job in jobs):
            for job in jobs:
                self._enter(job)
            return
        for job in jobs:
            job.held = True
            job.row = "scheduled" if job.options.delay else "queued", 0
            executor, limit = job.definition.executor, job.definition.concurrency
            free = len(self.holding(executor)) < self.slots[executor]
            if free and limit is job.options.delay is None and not self.waiting(executor):
                self._take(job)
                job.row = "running", 1
        rows = tuple(sorted(("accepted", job.id, *job.row) for job in jobs if job.durable))
        self.new.append(Write((False, rows), partial(self._accepted, jobs)))

    def _take(self, job: JournalJob) -> JournalTurn:
        turn = job.turn = JournalTurn(job, job.attempts + 1)
        self.turns.append(turn)
        return turn

    def _accepted(self, jobs: list[JournalJob], committed: bool) -> None:
        for job in jobs:
            job.held = False
            if committed:
                self._enter(job)
            else:
                self._forget_submission(job)
                if job.turn is not None:
                    job.turn.over = True
                self.settle()

    def _enter(self, job: JournalJob) -> None:
        job.kept, job.line = True, self._line(job.parent_id)
        job.due = job.options.delay
        turn = job.turn
        if job.due is not None:
            job.tell("scheduled")
        else:
            job.place = self._place()
            job.tell("queued")
            if turn is not None and self.draining:
                turn.over, job.turn = True, None
                self._write(job, "queued", _nothing)
            elif isinstance(turn, JournalTurn):
                self._begin(turn)
        self.settle()
        above = self._above(job)
        if above is not None and above.cancel_requested:
            self._ask(job)

    # -- slots --

    def _give_slot(self, job: Job) -> None:
        assert isinstance(job, JournalJob)
        turn = self._take(job)
        self._write(job, "running", partial(self._begin, turn), turn.number)

    def _begin(self, turn: JournalTurn) -> None:
        """Its start is committed."""
        job = turn.job
        assert isinstance(job, JournalJob)
        if not turn.left:
            turn.begun = True
            self.begun.append(turn)
            return
        turn.over = True
        self._never_began(turn)
        self.settle()

    def _never_began(self, turn: Turn) -> None:
        """What was left alone before its function ran waits on at the next start."""
        job = turn.job
        assert isinstance(job, JournalJob)
        if not job.ended and job.row == ("running", turn.number):
            self.seen.discard((job.id, turn.number))
            self._write(job, "queued", _nothing)

    # -- ends --

    def _end(self, job: Job, state: str, error: str | None = None, cancelled: bool = False) -> None:
        assert isinstance(job, JournalJob)
        self._settled(job)
        self._write(job, state, partial(self._close, job, state, error, cancelled))

    def _settled(self, job: JournalJob) -> None:
        job.settled, job.due = True, None
        if job.turn is not None:
            job.turn.left, job.turn = True, None

    def _close(self, job: JournalJob, state: str, error: str | None, cancelled: bool) -> None:
        job.error = error or job.error
        job.cancel_requested = job.cancel_requested or cancelled
        job.settled = False
        job.tell(state)
        self.past.append(job)
        while len(self.past) > self.max_finished:
            self._drop(self.past[0])

    def _finish_late(self, turn: Turn, error: str | None) -> None:
        job = turn.job
        assert isinstance(job, JournalJob)
        if error is not None and not turn.started:
            self._never_began(turn)
        elif job.lingers is turn:
            job.lingers = None
            if job.state == "scheduled" and not job.settled:
                job.due = self._pause(job)

    def _try_again(self, job: Job, turn: Turn, error: str | None) -> None:
        assert isinstance(job, JournalJob)
        job.lingers = turn if turn.left else None
        self._write(job, "scheduled", partial(self._again, job, error))

    def _again(self, job: JournalJob, error: str | None) -> None:
        if not job.settled and not job.ended:
            job.error = error
            job.tell("scheduled")
            job.due = None if job.lingers else self._pause(job)

    def _interrupt(self, job: Job) -> None:
        assert isinstance(job, JournalJob)
        if job.durable and (job.state != "running" or job.goes_on):
            self._settled(job)
            job.left = True
        else:
            super()._interrupt(job)

    # -- requests --

    def reached(self, job: JournalJob) -> list[JournalJob]:
        """Whom a cancel is to reach."""
        if job.decided:
            return []
        return [each for each in self.unfinished() if each is job or job in each.line]

    def cancel(self, job: Job, order: list[str]) -> None:
        assert isinstance(job, JournalJob)
        for each in _sorted(self.reached(job), order):
            self._ask(each)

    def _line(self, parent_id: str | None) -> tuple[JournalJob, ...]:  # type: ignore[override]
        parent = None if parent_id is None else self.jobs[parent_id]
        if parent is None or not parent.kept:
            return ()
        above = self._line(parent.parent_id) if parent.decided else parent.line
        return (parent, *above)  # type: ignore[arg-type]

    def _above(self, job: JournalJob) -> Job | None:
        """The nearest above it that goes on."""
        return next((above for above in job.line if not above.decided), None)  # type: ignore[attr-defined]

    def _ask(self, job: Job) -> None:
        assert isinstance(job, JournalJob)
        if job.ended or job.settled:
            return
        if not job.begun:
            if job.turn is not None:
                job.turn.asked = True
            self._end(job, "cancelled", cancelled=True)
        elif job.durable:
            job.cancelling = True  # once that is written
        else:
            self._stop(job)

    def cancel_told(self, job: JournalJob, committed: bool) -> None:
        if not committed or job.ended or job.settled:
            return
        if job.begun:
            self._stop(job)
        else:
            self._ask(job)

    def _stop(self, job: JournalJob) -> None:
        if job.cancel_requested:
            return
        assert job.turn is not None
        job.cancel_requested = job.turn.asked = True
        job.tell("running")
        for each in self.unfinished():  # some may have come meanwhile
            if self._above(each) is job and not each.cancel_requested:
                self.cancel(each, self.ends())

    def interrupt(self) -> None:
        self.draining = self.interrupting = True
        for turn in self.turns:
            assert isinstance(turn.job, JournalJob)
            if not turn.over and not turn.left and not turn.job.held:
                turn.asked = True
                turn.left = not turn.started

    def give_up(self, order: list[str]) -> None:
        self.draining = self.interrupting = True
        for job in _sorted(self.unfinished(), order):
            assert isinstance(job, JournalJob)
            if not job.settled:
                if job.turn is not None:
                    job.turn.left, job.turn = True, None
                self._interrupt(job)

    def _drop(self, job: Job) -> None:
        super()._drop(job)
        assert isinstance(job, JournalJob)
        self._forget_submission(job)

    def forget_told(self, job: JournalJob, committed: bool) -> None:
        if committed and job.kept:
            self.forget(job)

    # -- crashes --

    def crash(self, disk: dict[str, Current], full: bool) -> None:
        """The next start finds `disk`; while that is full, it writes the ends it decides later."""
        self.draining = self.interrupting = False
        self.turns, self.begun, self.past, self.new = [], [], [], []
        self.submissions = {}
        for job in self.jobs.values():
            job.kept = job.held = False
            job.story = []
        finished, corrected = {}, []
        for id, row in sorted(disk.items()):
            job = self.jobs[id]
            self._restore(job, row)
            if job.ended:
                finished[id] = row.finished_at or "later", id
                self.past.append(job)
                if row.state not in ENDED:
                    corrected.append(("row", id, *job.row))
        if corrected and full:
            self.new.append(Write((True, tuple(sorted(corrected))), lambda _: None))
        self.past.sort(key=lambda job: finished[job.id])
        while len(self.past) > self.max_finished:
            self._drop(self.past[0])
        self.settle()

    def _restore(self, job: JournalJob, row: Current) -> None:
        job.kept, job.settled, job.left, job.cancelling = True, False, False, False
        job.turn = job.lingers = job.due = job.progress = None
        job.attempts, job.cancel_requested = row.attempt, row.cancel_requested
        job.idempotency = None
        self.note(job, row.submission and row.submission[0][1])
        job.error, job.line = row.error and row.error.type, self._line(job.parent_id)
        state: str = row.state
        if state not in ENDED and row.cancel_requested:
            state, job.error = "cancelled", None
        elif state == "running":
            state, job.error = "queued" if job.goes_on else "failed", "Interrupted"
        elif state == "scheduled":
            job.due = self._pause(job) if job.attempts else job.options.delay
        job.place = self._place()
        job.row = state, job.attempts
        job.tell(state)


def _nothing() -> None:
    pass


def lasting(record: Record) -> Record:
    """What of it outlives a crash."""
    return msgspec.structs.replace(record, cursor="", progress=None)


def key_of(entry: Entry) -> Key:
    """An entry as the model tells it."""
    rows: list[tuple[Any, ...]] = []
    for change in entry.changes:
        if change.current is None:
            rows.append(("forget", change.id))
        else:
            row = decode(change.current)
            kind = "row" if change.accepted is None else "accepted"
            rows.append((kind, change.id, row.state, row.attempt))
    return entry.must, tuple(sorted(rows))


def decode(current: bytes) -> Current:
    return msgspec.msgpack.decode(current, type=Current)
