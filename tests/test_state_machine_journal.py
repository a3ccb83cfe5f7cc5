"""The runner with a journal against a model: commits and failures of the disk at any moment, and
crashes, after each of which another runner begins with what is on the disk."""

import asyncio
import gc
import logging
import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule, run_state_machine_as_test

from quart_tasks import Draining, JournalUnavailable, QueueFull
from quart_tasks.catalog import Catalog
from quart_tasks.config import Config
from quart_tasks.definition import Definition, Options, Submission
from quart_tasks.entries import Current
from quart_tasks.exceptions import Conflict
from quart_tasks.journal import Entry, Journal
from quart_tasks.ledger import Ledger
from quart_tasks.record import Record
from quart_tasks.recovery import Recovery
from quart_tasks.registry import Registry
from quart_tasks.run import Run
from quart_tasks.runner import Runner
from quart_tasks.task import Task

from .journal_machine import (
    INTERRUPTIONS,
    FakeDisk,
    FakeJournal,
    JournalExecutor,
    JournalJob,
    JournalModel,
    JournalRecorder,
    JournalTimers,
    Write,
    decode,
    key_of,
    lasting,
)
from .machine import ENDED, STOPS, FakeExecutor, FakeWaiter, Turn
from .test_state_machine import KINDS as OTHERS
from .test_state_machine import (
    QUICK,
    Lives,
    _choose,
    beginnings,
    in_a_thread_or_process,
    number,
    on_the_loop,
    policy,
    seldom,
)

KINDS: dict[str, dict[str, Any]] = {
    **OTHERS,
    "steady": {"retries": policy(0), "idempotent": True},
    "passing": {"retries": policy(1), "durable": False},
}
DEFINITIONS = {
    f"{kind}-{executor}": Definition(
        on_the_loop if executor == "async" else in_a_thread_or_process,
        name=f"{kind}-{executor}", executor=executor, **more,
    )
    for executor in STOPS
    for kind, more in KINDS.items()
}  # fmt: skip
FINGERPRINT = b"the same body"
few = st.integers(1, 4)


class JournalLives(Lives):
    """While the journal is `stalled` it writes and tells only where a rule says so; else all at
    once, after each step."""

    known = DEFINITIONS
    interruptions = INTERRUPTIONS
    model: JournalModel

    @initialize(**beginnings(DEFINITIONS), stalled=st.booleans())
    def begin(  # type: ignore[override]
        self, names: set[str], slots: int, max_pending: int, max_finished: int,
        max_abandoned: int, without: set[str], shuts_down: bool | None, ending: str,
        stalled: bool, first: list[tuple[int, Options]],
    ) -> None:  # fmt: skip
        self.config = Config(
            max_pending=max_pending, max_finished=max_finished, event_buffer=1_000_000,
            max_abandoned_threads=max_abandoned,
        )  # fmt: skip
        self.definitions = [DEFINITIONS[name] for name in sorted(names)]
        self.slots = dict.fromkeys((each.executor for each in self.definitions), slots)
        self.begun: set[tuple[str, int]] = set()  # attempts that may have
        self.model = JournalModel(
            self._ends, self.begun, dict(self.slots), max_pending, max_finished, max_abandoned
        )
        self.tasks: dict[str, Task] = {}
        self.arguments: dict[str, tuple[Any, ...]] = {}
        self.without, self.shuts_down, self.ending = without, shuts_down, ending
        self.stalled = stalled
        self.promised: set[str] = set()  # ids that were answered with 202
        self.cancelled: set[str] = set()  # whose cancel was acknowledged
        self.deleted: set[str] = set()
        self.answers: dict[str, str] = {}  # by idempotency key
        self.ends: dict[str, Record] = {}  # that were shown
        self.disk = FakeDisk()
        self._open()
        self._submit([self._submission(which, each, None, None) for which, each in first])

    def _open(self) -> None:
        """A start of the server."""
        registry = self.registry = Registry(self.config)
        registry.loading, registry.dropped = True, []
        self.timers = JournalTimers()
        self.journal = FakeJournal(self.disk)
        self.recorder = registry.subscriptions = JournalRecorder(registry.log)
        self.recorder.watch(self.disk, DEFINITIONS)
        self.runner = Runner(registry, self.timers, Ledger(self.journal))
        self.executors: dict[str, FakeExecutor] = {}
        for name, slots in self.slots.items():
            executor = JournalExecutor(cast(Any, name), slots, self.disk, self.begun)
            self.executors[name] = executor
            self.runner.add_executor(executor)
        self.callers: list[tuple[list[Run], list[bool]]] = []
        self.links: dict[int, tuple[Entry, Write]] = {}  # entries that are not told yet
        self.last: dict[str, Current] = {}  # what was written last of each task
        self.waiters: dict[str, list[FakeWaiter]] = {}
        self.stories = defaultdict(list)
        catalog = Catalog()
        catalog.definitions |= DEFINITIONS
        with pytest.MonkeyPatch.context() as patch:  # it is not the only start of this process
            patch.setattr(gc, "freeze", lambda: None)
            asyncio.run(Recovery(cast(Journal, self.journal), self.runner, catalog).run())
        self.seen = len(self.recorder.events)
        assert {event.type for event in self.recorder.events} <= {"output"}

    # -- the journal -----------------------------------------------------------------------

    @rule(stalled=st.booleans())
    def stall(self, stalled: bool) -> None:
        self.stalled = stalled

    @precondition(lambda self: self.stalled and (self.journal.entries or self.journal.problem))
    @rule(most=few)
    def commit(self, most: int) -> None:
        self.journal.commit(most)

    @precondition(lambda self: self.stalled and self.journal.entries)
    @rule(most=few)
    def fail_to_commit(self, most: int) -> None:
        self.journal.fail(most)

    @precondition(lambda self: self.stalled and self.journal.told)
    @rule(most=few)
    def tell(self, most: int) -> None:
        for _ in range(min(most, len(self.journal.told))):
            self._tell()

    @precondition(lambda self: self.stalled and self.journal.entries)
    @rule(most=few)
    def commit_and_tell(self, most: int) -> None:
        self.journal.commit(most)
        while self.journal.told:
            self._tell()

    def _tell(self) -> None:
        entry, committed = self.journal.told.pop(0)
        if entry.done is not None:
            entry.done(committed)
        if (link := self.links.pop(id(entry), None)) is not None:
            link[1].then(committed)
        self._match()

    def _match(self) -> None:
        """What was just written, with what the model wants to be."""
        wanted, self.model.new = self.model.new, []
        written, self.journal.new = self.journal.new, []
        for entry in written:
            key = key_of(entry)
            write = next((each for each in wanted if each.key == key), None)
            if write is not None:
                wanted.remove(write)
                self.links[id(entry)] = entry, write
            elif entry.changes:
                self._match_note(entry)
            for change in entry.changes:
                if change.current is not None:
                    self.last[change.id] = decode(change.current)
        assert not wanted, f"not written: {[each.key for each in wanted]}"

    def _match_note(self, entry: Entry) -> None:
        """A cancel of what runs, or the last row again with another submission."""
        (change,) = entry.changes
        assert change.current is not None
        row, last = decode(change.current), self.last.get(change.id)
        job = self.model.jobs[change.id]
        assert (row.state, row.attempt) == job.row, "this was not to be written"
        if last is not None:
            assert (last.scheduled_for is None) == (row.scheduled_for is None)
            assert (last.finished_at is None) == (row.finished_at is None)
            assert last.result_type == row.result_type
        if row.cancel_requested and not (entry.must and last is not None and last.cancel_requested):
            assert job.cancelling
            write = Write(key_of(entry), partial(self.model.cancel_told, job))
            self.links[id(entry)] = entry, write

    def _flow(self) -> None:
        """The disk is well, and all is written and told."""
        while self.journal.entries or self.journal.told or self.journal.problem:
            self.journal.commit(100)
            while self.journal.told:
                self._tell()

    # -- crashes ---------------------------------------------------------------------------

    @rule(most=st.integers(0, 6), full=seldom(True))
    def crash(self, most: int, full: bool | None) -> None:
        self._crash(most, full=bool(full))

    def _crash(self, most: int, *, full: bool) -> None:
        """The oldest entries come onto the disk, nobody is told, and another start begins."""
        if self.journal.entries:
            self.journal.commit(most)
        self.ends |= self.recorder.ends
        kept = {id for id, job in self.model.jobs.items() if job.kept}
        self.answers = {name: id for name, id in self.answers.items() if id in kept}
        disk = {id: self.disk.current(id) for id in self.disk.tasks}
        found = cast(dict[str, Current], disk)
        assert self.promised <= disk.keys() | self.disk.forgotten
        assert not disk.keys() & self.deleted
        last_id = max(self.tasks, default="")
        self.disk.full = full
        self._let_go()
        self._open()
        self.disk.full = False
        while self.registry.new_id() <= last_id:
            pass  # within the same millisecond
        self.model.crash(found, full)
        for id, job in self.model.jobs.items():
            self.stories[id] = list(job.story)
            if job.kept:
                task = self.tasks[id] = self.registry.get(id)
                assert len(self.registry.detail(task).attempts) == job.attempts
                if job.ended:
                    self.recorder.ends[id] = self.tasks[id].record
        self._match()
        self._promises_are_kept(found)

    def _promises_are_kept(self, disk: dict[str, Current]) -> None:
        for id, row in disk.items():
            task = self.registry.find(id)
            if task is not None:
                assert id not in self.cancelled or task.record.ended, "a cancel is lost"
                self._comes_back(task.record, row)
        for idempotency, id in self.answers.items():
            if self.registry.find(id) is not None:
                known = self.registry.submitted((None, idempotency))
                assert known is not None
                assert known.record.id == id

    def _comes_back(self, record: Record, row: Current) -> None:
        """As it was shown, if it had ended."""
        shown = self.ends.get(record.id)
        if shown is None:
            return
        if row.state in ENDED:
            assert lasting(record) == lasting(shown)
        else:  # an end that a start came to while the disk was full, and that one now anew
            assert (record.state, record.error) == (shown.state, shown.error)

    def _let_go(self) -> None:
        """Of what has crashed: the cycle collector does not look at tasks."""
        for task in self.tasks.values():
            task.run = None

    # -- requests --------------------------------------------------------------------------

    @precondition(lambda self: self.model.room())
    @rule(
        which=number,
        first=st.tuples(st.sampled_from([None, "a"]), seldom("x")),
        second=st.tuples(st.sampled_from([None, "a"]), st.sampled_from(["x", "y", None])),
        batch=st.booleans(),
    )
    def submit_twice(
        self, which: int, first: tuple[str | None, str | None],
        second: tuple[str | None, str | None], batch: bool,
    ) -> None:  # fmt: skip
        """Under a key, an idempotency key, or both."""
        made = []
        for key, idempotency in (first, second):
            submission = self._submission(which, Options(key=key), None, None)
            if idempotency is not None:
                # With another body it would be refused before it comes to the runner.
                name = f"{idempotency}-{submission.definition.name}-{key}"
                known = (None, name), FINGERPRINT
                submission = msgspec.structs.replace(submission, idempotency=known)
            made.append(submission)
        for submissions in [made] if batch else [[each] for each in made]:
            self._submit(submissions)

    def _known(self, submission: Submission, new: Sequence[JournalJob] = ()) -> JournalJob | None:
        """The task that is there already, or comes earlier in the same batch."""
        model, key = self.model, submission.options.key
        definition, idempotency = submission.definition, _idempotency(submission)
        twice = (job for job in new if idempotency and job.idempotency == idempotency)
        alike = (job for job in new if key and job.key == (definition.name, key))
        return (
            model.submitted(idempotency) or next(twice, None)
            or model.holder(definition, key) or next(alike, None)
        )  # fmt: skip

    def _submit(self, submissions: list[Submission]) -> None:
        model = self.model
        new = sum(self._known(each) is None for each in submissions)
        if not model.draining and self.journal.problem is None:
            for each in submissions:
                self._note(each)
        if model.draining:
            with pytest.raises(Draining):
                self._send(submissions)
        elif self.journal.problem is not None:
            with pytest.raises(JournalUnavailable):
                self._send(submissions)
        elif new and model.pending() + new > model.max_pending:
            with pytest.raises(QueueFull):
                self._send(submissions)
        else:
            self._sent(submissions, self._send(submissions))
        self._match()

    def _note(self, submission: Submission) -> None:
        """The answer of a `key` holds for the idempotency key too, if it is the task's first."""
        if self.model.submitted(_idempotency(submission)) is None:
            holder = self._known(submission)
            if holder is not None:
                self.model.note(holder, _idempotency(submission))

    def _sent(self, submissions: list[Submission], tasks: list[Task]) -> None:
        new: list[JournalJob] = []
        for submission, task in zip(submissions, tasks, strict=True):
            id, known = task.record.id, self._known(submission, new)
            if known is not None:
                assert task is self.tasks[known.id]
                self.model.note(known, _idempotency(submission))
                continue
            assert id not in self.tasks
            assert task.record.retry_of == submission.retry_of
            self.tasks[id], self.arguments[id] = task, submission.args
            new.append(
                self.model.make(
                    id, submission.definition, submission.options, submission.retry,
                    submission.parent_id, _idempotency(submission),
                )
            )  # fmt: skip
        self.model.accept(new)
        for job in new:
            run = self.tasks[job.id].run
            if run is not None:  # else a cancel has reached it through its parent
                self.waiters[job.id] = [FakeWaiter(left=False), FakeWaiter(left=True)]
                run.waiters.extend(self.waiters[job.id])
        self._wait(submissions, tasks)

    def _wait(self, submissions: list[Submission], tasks: list[Task]) -> None:
        """As a caller does: for all tasks to be accepted, then for the notes about them."""
        runs = [task.run for task in tasks if task.run is not None and task.run.held is not None]
        answers: list[bool] = []

        def told(committed: bool) -> None:
            answers.append(committed)
            assert len(answers) <= len(runs), "told twice"
            if len(answers) == len(runs) and all(answers):
                accepted()

        def accepted() -> None:
            durable = {task.record.id for task in tasks if DEFINITIONS[task.record.name].durable}
            assert durable <= self.disk.tasks.keys() | self.disk.forgotten
            self.promised |= durable
            if any(each.options.key is not None for each in submissions):
                self.runner.ledger.committed(lambda done: noted() if done else None)
            else:
                noted()

        def noted() -> None:
            for submission, task in zip(submissions, tasks, strict=True):
                name = _idempotency(submission)
                job = self.model.jobs[task.record.id]
                if name is not None and job.idempotency == name and job.durable:
                    self.answers[name] = job.id

        for run in runs:
            assert run.held is not None
            run.held.append(told)
        if not runs:
            accepted()
        else:
            self.callers.append((runs, answers))

    @precondition(lambda self: self.model.unfinished() or self.model.past)
    @rule(which=number, ended=seldom(True))
    def cancel(self, which: int, ended: bool | None) -> None:
        if self.journal.problem is not None:
            return  # that is answered with 503
        jobs = self.model.unfinished()
        job = _choose(self.model.past if (ended and self.model.past) or not jobs else jobs, which)
        reached = self.model.reached(job)
        self.runner.cancel(self.tasks[job.id])
        self.model.cancel(job, self._ends())
        self.runner.ledger.committed(partial(self._cancelled, reached))
        self._match()

    def _cancelled(self, jobs: list[JournalJob], committed: bool) -> None:
        if committed:
            for job in jobs:
                if job.durable and not job.left:
                    row = self.disk.current(job.id)
                    kept = row is None or row.state in ENDED or row.cancel_requested
                    assert kept, "a cancel was acknowledged and is not on the disk"
                    self.cancelled.add(job.id)

    @precondition(lambda self: self.model.past)
    @rule(which=number)
    def forget(self, which: int) -> None:
        for job in self.model.unfinished():
            with pytest.raises(Conflict):
                self.runner.forget(self.tasks[job.id])
        if self.journal.problem is None:
            job = cast(JournalJob, _choose(self.model.past, which))
            key = (False, (("forget", job.id),))
            self.model.new.append(Write(key, partial(self.model.forget_told, job)))
            self.runner.ledger.forget([job.id], partial(self._forgotten, self.tasks[job.id]))
            self._match()

    def _forgotten(self, task: Task, committed: bool) -> None:
        if committed:
            self.deleted.add(task.record.id)
            if self.registry.find(task.record.id) is task:
                self.runner.forget(task)

    @precondition(lambda self: self.registry.dropped)
    @rule()
    def forget_dropped(self) -> None:
        ids, self.registry.dropped = self.registry.dropped or [], []
        key = (True, tuple(sorted(("forget", id) for id in ids)))
        self.model.new.append(Write(key, lambda _: None))
        self.runner.ledger.forget(ids)
        self._match()

    def _shut_down(self, step: str) -> None:
        super()._shut_down(step)
        self._match()

    # -- reports ---------------------------------------------------------------------------

    def _given(self) -> list[Turn]:
        return list(self.model.begun)

    # -- what holds at any time ------------------------------------------------------------

    @invariant()
    def agrees(self) -> None:
        self._match()
        super().agrees()
        self._callers_are_right()
        if not self.stalled:
            self._flow()
            super().agrees()
            self._callers_are_right()

    def _callers_are_right(self) -> None:
        """Each is told once, when it is known."""
        for runs, answers in self.callers:
            assert len(answers) == sum(run.held is None for run in runs)

    def _coming(self, executor: str) -> int:
        return self.model.coming(executor)

    def _waiters_are_right(self) -> None:
        for id, waiters in self.waiters.items():
            job = self.model.jobs[id]
            for waiter in waiters:
                assert waiter.left or waiter.told == (job.ended or job.left)

    # -- the end ---------------------------------------------------------------------------

    def teardown(self) -> None:
        if sys.exc_info()[0] is not None or not hasattr(self, "stories"):
            return  # it has failed already, or never began
        self.stalled = False
        self.agrees()
        self._shut_down_in_the_end()
        left = [job for job in self.model.unfinished() if job.durable]
        self._crash(100, full=False)
        assert {job.id for job in left} <= self.disk.tasks.keys()
        self.agrees()
        self._finish()
        self._nothing_is_left()
        self._let_go()

    def _write_all(self) -> None:
        while self.journal.entries:
            self.journal.commit(100)
            for entry, committed in self.journal.told:
                if entry.done is not None:
                    entry.done(committed)
            self.journal.told = []


def _idempotency(submission: Submission) -> str | None:
    return None if submission.idempotency is None else submission.idempotency[0][1]


@pytest.mark.timeout(600)  # one that fails takes long, to find a short sequence that does
def test_any_order_of_requests_commits_and_crashes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "quart_tasks")
    run_state_machine_as_test(JournalLives, settings=QUICK)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_any_order_a_thousand_times(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "quart_tasks")
    # Some of them are shorter than 50 steps; a thousand are not. They are others at each run, but
    # for CI, where what fails has to fail again.
    many = settings(
        QUICK, max_examples=3000, stateful_step_count=50, derandomize="CI" in os.environ,
        print_blob=True,
    )  # fmt: skip
    run_state_machine_as_test(JournalLives, settings=many)


# -- what chance hardly ever comes to --------------------------------------------------------


def _live(names: set[str], *first: Options, slots: int = 1) -> JournalLives:
    lives = JournalLives()
    lives.begin(
        names=names, slots=slots, max_pending=9, max_finished=9, max_abandoned=0, without=set(),
        shuts_down=None, ending="finish", stalled=False, first=[(0, each) for each in first],
    )  # fmt: skip
    lives.agrees()
    return lives


def _do(lives: JournalLives, rule: str, /, **how: Any) -> None:
    getattr(lives, rule)(**how)
    lives.agrees()


def _submit_under(lives: JournalLives, key: str | None, idempotency: str) -> None:
    """Twice, so that the second must give the first."""
    again = key, idempotency
    _do(lives, "submit_twice", which=0, first=again, second=again, batch=False)


def test_a_note_does_not_take_back_an_end_that_is_on_its_way() -> None:
    lives = _live({"plain-async"}, Options(key="a"))
    _do(lives, "start_all")
    _do(lives, "stall", stalled=True)
    _do(lives, "succeed", which=0, begun=True)
    _submit_under(lives, "a", "x")
    _do(lives, "crash", most=2, full=None)
    lives.teardown()


def test_a_cancel_comes_before_the_pause_of_a_retry_is_committed() -> None:
    lives = _live({"patient-async"}, Options())
    _do(lives, "start_all")
    _do(lives, "stall", stalled=True)
    _do(lives, "fail", which=0, begun=True, error=ValueError("worth a retry"))
    _do(lives, "cancel", which=0, ended=None)
    _do(lives, "commit_and_tell", most=1)
    lives.teardown()


def test_what_has_a_slot_and_never_began_is_not_cut_off() -> None:
    lives = _live({"plain-async"}, Options(), Options())
    _do(lives, "stall", stalled=True)
    _do(lives, "succeed", which=0, begun=True)  # the second's start is on its way
    _do(lives, "_shut_down", step="interrupt")
    _do(lives, "stall", stalled=False)
    _do(lives, "crash", most=0, full=None)
    assert [job.state for job in lives.model.unfinished()] == ["queued"]
    lives.teardown()


def test_what_was_cut_off_is_listed_once_though_a_note_comes_meanwhile() -> None:
    lives = _live({"patient-async"}, Options(key="a"), Options(priority=2))
    _do(lives, "start_all")
    _do(lives, "crash", most=0, full=None)  # now the urgent one has the slot
    _submit_under(lives, "a", "x")
    _do(lives, "crash", most=0, full=None)
    lives.teardown()


def test_a_record_that_comes_back_does_not_take_a_later_ones_idempotency_key_with_it() -> None:
    lives = _live({"plain-async"}, Options(), slots=3)
    _submit_under(lives, None, "x")
    _do(lives, "succeed", which=1, begun=True)
    _do(lives, "evict", most=1)
    _submit_under(lives, None, "x")  # another task
    _do(lives, "crash", most=0, full=None)  # that the first is forgotten was not written
    _do(lives, "evict", most=1)
    _submit_under(lives, None, "x")
    lives.teardown()


def test_a_child_that_comes_after_its_parents_end_was_decided_is_the_grandparents() -> None:
    lives = _live({"plain-async"}, Options(), slots=3)
    _do(lives, "submit", which=0, options=Options(), policy=None, parent=0)
    _do(lives, "start_all")
    _do(lives, "stall", stalled=True)
    _do(lives, "submit", which=0, options=Options(), policy=None, parent=0)
    _do(lives, "succeed", which=1, begun=True)
    _do(lives, "commit", most=2)
    _do(lives, "tell", most=1)  # the child is there, and the parent's end not shown yet
    _do(lives, "stall", stalled=False)
    _do(lives, "cancel", which=0, ended=None)
    (grandparent,) = lives.model.unfinished()  # which runs until its function has ended
    assert grandparent.cancel_requested
    lives.teardown()
