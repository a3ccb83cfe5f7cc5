"""The runner against a model, in whatever order requests, timers and reports come."""

import asyncio
import logging
import os
import sys
from collections import Counter, defaultdict
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from quart_tasks import Draining, QueueFull, RetryPolicy, TaskNotFound
from quart_tasks.config import Config
from quart_tasks.definition import Definition, Options, Submission, prepare
from quart_tasks.exceptions import Conflict
from quart_tasks.execution import Outcome, failed
from quart_tasks.executors.base import Attempt
from quart_tasks.record import Progress
from quart_tasks.registry import Registry
from quart_tasks.runner import Runner
from quart_tasks.task import Filter, Task

from .machine import (
    DELAY,
    ENDED,
    EXPIRES,
    PAUSE,
    STOPS,
    TIMEOUT,
    FakeExecutor,
    FakeTimer,
    FakeTimers,
    FakeWaiter,
    Model,
    Recorder,
    Turn,
)

FOLLOWS = {  # what may come after each state; a state after itself is a request to cancel
    None: {"scheduled", "queued"},
    "scheduled": {"queued", "failed", "cancelled"},
    "queued": {"running", "failed", "cancelled"},
    "running": {"running", "scheduled", "succeeded", "failed", "cancelled"},
}


async def on_the_loop(number: int) -> None: ...


def in_a_thread_or_process(number: int) -> None: ...


def policy(retries: int, *on: type[BaseException]) -> RetryPolicy:
    return RetryPolicy(
        retries, delay=PAUSE, max_delay=100 * PAUSE, jitter=False, on=on or (Exception,)
    )


KINDS: dict[str, dict[str, Any]] = {
    "plain": {"retries": policy(0), "priority": 1},
    "single": {"retries": policy(3), "concurrency": 1},
    "patient": {"retries": policy(2), "timeout": TIMEOUT, "idempotent": True},
    "picky": {"retries": policy(1, ValueError), "timeout": TIMEOUT, "concurrency": 2},
}
DEFINITIONS = {
    f"{kind}-{executor}": Definition(
        on_the_loop if executor == "async" else in_a_thread_or_process,
        name=f"{kind}-{executor}", executor=executor, **options,
    )
    for executor in STOPS
    for kind, options in KINDS.items()
}  # fmt: skip
POLICY = policy(1, KeyError)
ERRORS: list[BaseException] = [
    ValueError("often covered"), ValueError("so twice here"), KeyError("seldom covered"),
    asyncio.CancelledError(), SystemExit(1),
]  # fmt: skip

number = st.integers(0, 30)  # chooses among what there is


def seldom(value: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([None, None, value])


options = st.builds(
    Options,
    delay=seldom(DELAY), expires=seldom(EXPIRES), timeout=st.sampled_from([None, TIMEOUT]),
    retries=st.sampled_from([None, None, None, 0, 2]), priority=st.sampled_from([None, None, 0, 2]),
    key=st.sampled_from([None, None, None, "a", "b"]),
)  # fmt: skip
several = st.lists(st.tuples(number, options), min_size=2, max_size=4)


def beginnings(definitions: dict[str, Definition]) -> dict[str, st.SearchStrategy[Any]]:
    """What `begin` takes."""
    return {
        "names": st.sets(st.sampled_from(sorted(definitions)), min_size=1, max_size=4),
        "slots": st.integers(1, 2),
        "max_pending": st.integers(4, 14),
        "max_finished": st.integers(0, 6),
        "max_abandoned": st.integers(0, 2),
        "without": st.sets(st.sampled_from([*Options.__struct_fields__, "parent"]), max_size=3),
        "shuts_down": seldom(True),
        "ending": st.sampled_from(["finish", "interrupt", "give up"]),
        "first": several,
    }


class Lives(RuleBasedStateMachine):
    """Does what users, clocks and executors may do, and compares with the model. A number
    chooses among what there is, so that a sequence can be made shorter."""

    known = DEFINITIONS
    interruptions = 0  # attempts beyond its retries that a task may have

    @initialize(**beginnings(DEFINITIONS))
    def begin(
        self, names: set[str], slots: int, max_pending: int, max_finished: int,
        max_abandoned: int, without: set[str], shuts_down: bool | None, ending: str,
        first: list[tuple[int, Options]],
    ) -> None:  # fmt: skip
        config = Config(
            max_pending=max_pending, max_finished=max_finished, event_buffer=1_000_000,
            max_abandoned_threads=max_abandoned,
        )  # fmt: skip
        self.registry, self.timers = Registry(config), FakeTimers()
        self.recorder = self.registry.subscriptions = Recorder(self.registry.log)
        self.runner = Runner(self.registry, self.timers)
        self.definitions = [DEFINITIONS[name] for name in sorted(names)]
        self.executors: dict[str, FakeExecutor] = {
            each.executor: FakeExecutor(each.executor, slots) for each in self.definitions
        }
        for executor in self.executors.values():
            self.runner.add_executor(executor)
        self.model = Model(dict.fromkeys(self.executors, slots), max_pending, max_finished,
                           max_abandoned)  # fmt: skip
        self.tasks: dict[str, Task] = {}
        self.arguments: dict[str, tuple[Any, ...]] = {}
        self.waiters: dict[str, list[FakeWaiter]] = {}
        self.stories: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        self.without, self.shuts_down, self.ending = without, shuts_down, ending
        self.seen = 0  # events
        self._submit([self._submission(which, each, None, None) for which, each in first])

    # -- requests --------------------------------------------------------------------------

    @precondition(lambda self: self.model.room())
    @rule(which=number, options=options, policy=seldom(POLICY), parent=seldom(0) | number)
    def submit(
        self, which: int, options: Options, policy: RetryPolicy | None, parent: int | None
    ) -> None:
        self._submit([self._submission(which, options, policy, parent)])

    @precondition(lambda self: self.model.room())
    @rule(batch=several, parent=seldom(0))
    def submit_many(self, batch: list[tuple[int, Options]], parent: int | None) -> None:
        self._submit([self._submission(which, each, None, parent) for which, each in batch])

    @precondition(lambda self: self.model.room())
    @rule(line=several, parent=seldom(0))
    def submit_line(self, line: list[tuple[int, Options]], parent: int | None) -> None:
        """Each is the child of the one before it."""
        for which, options in line:
            self._submit([self._submission(which, options, None, parent)])
            self.agrees()
            parent = 0

    @precondition(lambda self: not self.model.room())
    @rule(which=number, options=options)
    def submit_in_vain(self, which: int, options: Options) -> None:
        self._submit([self._submission(which, options, None, None)])

    @precondition(lambda self: self.model.past)
    @rule(which=number)
    def retry(self, which: int) -> None:
        job = _choose(self.model.past, which)
        self._submit(
            [
                prepare(
                    job.definition, (len(self.tasks),), {}, options=job.options,
                    retry=None if job.policy is job.definition.retry else job.policy,
                    parent_id=job.parent_id, retry_of=job.id,
                )
            ]
        )  # fmt: skip

    def _submission(
        self, which: int, options: Options, policy: RetryPolicy | None, parent: int | None
    ) -> Submission:
        kept = [job for job in self.model.jobs.values() if job.kept]
        parent_id = None
        if kept and parent is not None and "parent" not in self.without:
            parent_id = _choose(kept[::-1], parent).id
        names = self.without - {"parent"}
        options = msgspec.structs.replace(options, **dict.fromkeys(names))
        return prepare(
            _choose(self.definitions, which), (len(self.tasks),), {},
            options=options, retry=policy, parent_id=parent_id,
        )  # fmt: skip

    def _submit(self, submissions: list[Submission]) -> None:
        model = self.model
        new = sum(model.holder(each.definition, each.options.key) is None for each in submissions)
        if model.draining:
            with pytest.raises(Draining):
                self._send(submissions)
        elif new and model.pending() + new > model.max_pending:
            with pytest.raises(QueueFull):
                self._send(submissions)
        else:
            for submission, task in zip(submissions, self._send(submissions), strict=True):
                self._accepted(submission, task)

    def _send(self, submissions: list[Submission]) -> list[Task]:
        if len(submissions) == 1:
            return [self.runner.submit(submissions[0])]
        return self.runner.submit_many(submissions)

    def _accepted(self, submission: Submission, task: Task) -> None:
        definition, id = submission.definition, task.record.id
        holder = self.model.holder(definition, submission.options.key)
        if holder is not None:
            assert task is self.tasks[holder.id]
            return
        assert id not in self.tasks
        assert task.record.retry_of == submission.retry_of
        self.tasks[id], self.arguments[id] = task, submission.args
        self.model.submit(
            id, definition, submission.options, submission.retry, submission.parent_id
        )
        if task.run is not None:  # else a cancel has reached it through its parent
            self.waiters[id] = [FakeWaiter(left=False), FakeWaiter(left=True)]
            task.run.waiters.extend(self.waiters[id])

    @precondition(lambda self: self.tasks)
    @rule(which=number, ended=seldom(True))
    def cancel(self, which: int, ended: bool | None) -> None:
        jobs = self.model.unfinished()
        job = _choose(list(self.model.jobs.values()) if ended or not jobs else jobs, which)
        self.runner.cancel(self.tasks[job.id])
        self.model.cancel(job, self._ends())

    @precondition(lambda self: self.model.past)
    @rule(which=number)
    def forget(self, which: int) -> None:
        for job in self.model.unfinished():
            with pytest.raises(Conflict):
                self.runner.forget(self.tasks[job.id])
        job = _choose(self.model.past, which)
        self.runner.forget(self.tasks[job.id])
        self.model.forget(job)

    @precondition(lambda self: self.model.past)
    @rule(most=st.integers(1, 3))
    def evict(self, most: int) -> None:
        """All that have ended are too old."""
        config = self.registry.config
        self.registry.config = msgspec.structs.replace(config, retention=0.0)
        self.registry.evict(most)
        self.registry.config = config
        self.model.evict(most)

    @precondition(lambda self: self.shuts_down and len(self.model.turns) > 2)
    @rule(step=st.sampled_from(["drain", "interrupt", "give up"]), dice=st.integers(0, 5))
    def shut_down(self, step: str, dice: int) -> None:
        if dice == 0:
            self._shut_down(step)

    def _shut_down(self, step: str) -> None:
        if step == "drain":
            self.runner.draining = self.model.draining = True
        elif step == "interrupt":
            self.runner.interrupt()
            self.model.interrupt()
        else:
            self.runner.give_up()
            self.model.give_up(self._ends())

    # -- timers ----------------------------------------------------------------------------

    def _timers(self, kind: str) -> list[FakeTimer]:
        return [timer for timer in self.timers.all if timer.pending and timer.kind == kind]

    def _fire(self, kind: str, which: int) -> None:
        timer = _choose(self._timers(kind), which)
        timer.fire()
        self.model.fire(kind, self.model.jobs[timer.task_id])

    @precondition(lambda self: self._timers("due"))
    @rule(which=number)
    def fall_due(self, which: int) -> None:
        self._fire("due", which)

    @precondition(lambda self: self._timers("expiry"))
    @rule(which=number)
    def expire(self, which: int) -> None:
        self._fire("expiry", which)

    @precondition(lambda self: self._timers("timeout"))
    @rule(which=number)
    def time_out(self, which: int) -> None:
        self._fire("timeout", which)

    @precondition(lambda self: any(timer.cancelled for timer in self.timers.all))
    @rule(which=number)
    def fire_though_cancelled(self, which: int) -> None:
        """No loop does that; a clock that runs in a thread may."""
        _choose([timer for timer in self.timers.all if timer.cancelled], which).fire()

    # -- reports ---------------------------------------------------------------------------

    def _given(self) -> list[Turn]:
        """The attempts that executors were given, in their order."""
        return self.model.turns

    def _alive(self) -> list[Turn]:
        return [turn for turn in self._given() if not turn.over]

    def _starting(self) -> list[Turn]:
        return [turn for turn in self._alive() if not turn.started]

    @precondition(lambda self: self._starting())
    @rule(which=number)
    def start(self, which: int) -> None:
        self._start(_choose(self._starting(), which))

    @precondition(lambda self: self._starting())
    @rule()
    def start_all(self) -> None:
        for turn in self._starting():
            self._start(turn)

    def _start(self, turn: Turn) -> None:
        self.runner.started(_attempt(turn), "worker")
        self.model.start(turn)

    @precondition(lambda self: self._alive())
    @rule(which=number, kind=st.sampled_from(["progress", "output", "log"]), value=number)
    def talk(self, which: int, kind: str, value: int) -> None:
        turn = self._turn(which, begun=True)
        self._talk(_attempt(turn), kind, value)
        if not turn.left:
            turn.job.hear(kind, value)

    def _turn(self, which: int, begun: bool) -> Turn:
        """An attempt that is not over."""
        turn: Turn = _choose(self._alive(), which)
        if begun and not turn.started:
            self._start(turn)
        return turn

    def _talk(self, attempt: Attempt, kind: str, value: int) -> None:
        if kind == "progress":
            self.runner.progress(attempt, Progress(value))
        elif kind == "output":
            self.runner.output(attempt, str(value).encode())
        else:
            self.runner.log(attempt, "INFO", "test", str(value))

    @precondition(lambda self: self._alive())
    @rule(which=number, begun=st.booleans())
    def succeed(self, which: int, begun: bool) -> None:
        self._end(self._turn(which, begun), Outcome(outputs=True))

    @precondition(lambda self: self._alive())
    @rule(which=number, begun=st.sampled_from([True, True, False]), error=st.sampled_from(ERRORS))
    def fail(self, which: int, begun: bool, error: BaseException) -> None:
        self._fail(self._turn(which, begun), error)

    def _fail(self, turn: Turn, error: BaseException) -> None:
        self._end(turn, failed(error, _attempt(turn).retry_on))

    def _end(self, turn: Turn, outcome: Outcome) -> None:
        attempt, exception = _attempt(turn), outcome.exception
        self.executors[turn.job.definition.executor].executing.remove(attempt)
        self.runner.ended(attempt, outcome)
        covered = isinstance(exception, turn.job.policy.on)
        self.model.finish(turn, type(exception).__name__ if exception else None, covered)

    @precondition(lambda self: self._alive())
    @rule(which=number, begun=st.booleans())
    def lose(self, which: int, begun: bool) -> None:
        turn = self._turn(which, begun)
        self.executors[turn.job.definition.executor].executing.remove(_attempt(turn))
        self.runner.lost(_attempt(turn), "The worker is gone.")
        self.model.finish(turn, "WorkerCrashed", turn.job.definition.idempotent)

    def _reported(self) -> list[Turn]:
        """Those of which there was a report."""
        begun = [turn for turn in self.model.turns if turn.attempt is not None]
        return [turn for turn in begun if turn.over or turn.started]

    @precondition(lambda self: self._reported())
    @rule(which=number, kind=st.sampled_from(["ended", "lost", "started", "progress", "output"]))
    def report_again(self, which: int, kind: str) -> None:
        """Late, or once more: of an attempt that goes on, only that it started."""
        turn = _choose(self._reported(), which)
        attempt = _attempt(turn)
        if kind == "started" or not turn.over:
            self.runner.started(attempt, "another worker")
        elif kind == "ended":
            late = failed(ValueError("late"), attempt.retry_on)
            self.runner.ended(attempt, late if which % 2 else Outcome(data=b"1"))
        elif kind == "lost":
            self.runner.lost(attempt, "The worker is gone.")
        else:
            self._talk(attempt, kind, 99)

    # -- what holds at any time ------------------------------------------------------------

    @invariant()
    def agrees(self) -> None:
        self._attempts_are_right()
        self._events_are_right()
        self._records_are_right()
        self._counts_are_right()
        self._lanes_are_right()
        self._timers_are_right()
        self._waiters_are_right()
        self._those_who_wait_for_the_end_of_all_are_told()

    def _attempts_are_right(self) -> None:
        """Those that were started, in their order, and those that were asked to stop."""
        for name, executor in self.executors.items():
            turns = [turn for turn in self._given() if turn.job.definition.executor == name]
            assert [(each.task_id, each.number) for each in executor.starts] == [
                (turn.job.id, turn.number) for turn in turns
            ]
            for turn, attempt in zip(turns, executor.starts, strict=True):
                turn.attempt = attempt
                assert (attempt in executor.asked) == turn.asked
                assert attempt.definition is turn.job.definition
                assert attempt.args == self.arguments[turn.job.id]
                assert turn.number <= turn.job.max_attempts + self.interruptions

    def _ends(self) -> list[str]:
        """The ids of those that have ended in this step, in their order."""
        new = self.recorder.events[self.seen :]
        return [event.task_id or "" for event in new if event.last and event.type == "state"]

    def _events_are_right(self) -> None:
        events = self.recorder.events
        before = events[self.seen - 1].seq if self.seen else 0
        for event in events[self.seen :]:
            assert event.seq > before
            before = event.seq
            assert event.cursor == self.registry.log.cursor_at(event.seq)
            assert event.task_id is not None
            story = self.stories[event.task_id]
            _check_order(story, event.type, event.data)
            story.append(_told(event.type, event.data))
            if event.type == "state":
                assert event.data.cursor == event.cursor
                assert event.last == (event.data.state in ENDED)
        self.seen = len(events)
        for id, job in self.model.jobs.items():
            assert self.stories[id] == job.story

    def _records_are_right(self) -> None:
        for id, job in self.model.jobs.items():
            if not job.kept:
                with pytest.raises(TaskNotFound):
                    self.registry.get(id)
                continue
            task = self.registry.get(id)
            record = task.record
            assert (record.state, record.attempt) == (job.state, job.attempts)
            assert record.cancel_requested == job.cancel_requested
            assert (record.error and record.error.type) == job.error
            assert (record.progress and record.progress.current) == job.progress
            assert record.max_attempts == job.max_attempts
            assert record.attempt <= record.max_attempts + self.interruptions
            assert (record.finished_at is not None) == job.ended == (task.run is None)
            assert record.scheduled_for is None or record.state == "scheduled"
            if job.state == "succeeded":
                assert msgspec.json.decode(record.result) == job.outputs
            assert (record.key, record.parent_id) == (job.options.key, job.parent_id)

    def _counts_are_right(self) -> None:
        model, registry = self.model, self.registry
        counts = {
            (name, state): count
            for name, states in registry.counts().items()
            for state, count in states.items()
        }
        kept = [job for job in model.jobs.values() if job.kept]
        assert Counter(counts) == Counter((job.definition.name, job.state) for job in kept)
        unfinished = [job.id for job in model.unfinished()]
        assert [task.record.id for task in registry.unfinished()] == unfinished
        assert registry.unfinished_count == len(unfinished)
        assert registry.pending == model.pending()
        keys = [job.key for job in model.unfinished() if job.options.key is not None]
        assert len(keys) == len(set(keys))

    def _lanes_are_right(self) -> None:
        model = self.model
        for name, lane in self.runner.lanes.items():
            holding, executor = model.holding(name), self.executors[name]
            assert lane.taken == len(holding) <= executor.slots
            assert lane.abandoned == model.abandoned(name) <= model.max_abandoned
            assert lane.taken + lane.abandoned == len(executor.executing) + self._coming(name)
            assert len(lane.stuck) == len(model.stuck(name))
            assert lane.waiting == len(model.waiting(name))
            for definition in self.definitions:
                alike = sum(turn.job.definition is definition for turn in holding)
                assert definition.concurrency is None or alike <= definition.concurrency
        assert self.runner.running() == sum(len(model.holding(name)) for name in self.executors)

    def _coming(self, executor: str) -> int:
        """Attempts that have a slot and are not the executor's yet."""
        return 0

    def _timers_are_right(self) -> None:
        """None is left of what has ended or begun, and none is missing."""
        pending = defaultdict(list)
        for timer in self.timers.all:
            if timer.pending:
                pending[timer.task_id].append((timer.kind, timer.seconds))
        for id, job in self.model.jobs.items():
            assert sorted(pending[id]) == sorted(job.timers())

    def _waiters_are_right(self) -> None:
        for id, waiters in self.waiters.items():
            for waiter in waiters:
                assert waiter.left or waiter.told == self.model.jobs[id].ended

    def _those_who_wait_for_the_end_of_all_are_told(self) -> None:
        runner, registry = self.runner, self.registry

        def idle() -> None:
            assert registry.unfinished_count == 0

        def quiet() -> None:
            assert runner.running() == 0

        if not self.model.unfinished():
            assert not runner.endings.when_idle
        elif not runner.endings.when_idle:
            runner.endings.when_idle.append(idle)
        if not any(self.model.holding(name) for name in self.executors):
            assert not runner.when_quiet
        elif not runner.when_quiet:
            runner.when_quiet.append(quiet)

    # -- the end ---------------------------------------------------------------------------

    def teardown(self) -> None:
        if sys.exc_info()[0] is not None or not hasattr(self, "model"):
            return  # it has failed already, or never began
        self._shut_down_in_the_end()
        for turn in self._alive():
            self._fail(turn, asyncio.CancelledError())
            self.agrees()
        self._nothing_is_left()

    def _shut_down_in_the_end(self) -> None:
        if self.ending == "finish":
            self._finish()
        elif self.ending == "interrupt":
            self._shut_down("interrupt")
            self.agrees()
            for turn in [turn for turn in self._alive() if not turn.left][::2]:
                self._fail(turn, asyncio.CancelledError())
                self.agrees()
        self._shut_down("give up")
        self.agrees()

    def _finish(self) -> None:
        """Let all that can happen happen."""
        while True:
            if alive := self._alive():
                self._end(alive[0], Outcome(outputs=True))
            elif self._timers("due"):
                self._fire("due", 0)
            else:
                break
            self.agrees()
        assert self.model.draining or not self.model.unfinished()

    def _nothing_is_left(self) -> None:
        assert not any(timer.pending for timer in self.timers.all)
        for lane in self.runner.lanes.values():
            assert (lane.taken, lane.abandoned, lane.waiting, lane.stuck) == (0, 0, 0, [])
        kept = [job.id for job in self.model.jobs.values() if job.kept]
        listed, _ = self.registry.page(Filter(), 1000)
        assert sorted(task.record.id for task in listed) == kept
        for task in listed:
            assert len(self.registry.detail(task).attempts) == task.record.attempt
        replayed = self.registry.log.since(0, 1_000_000, 1 << 40)
        assert replayed == [each for each in self.recorder.events if each.type != "progress"]
        self.runner.draining = False
        for name, key in {job.key for job in self.model.jobs.values() if job.options.key}:
            again = prepare(self.known[name], (0,), {}, options=Options(key=key))
            task = self.runner.submit(again)
            assert task.record.id not in self.tasks
            self._write_all()
            self.runner.cancel(task)
            self._write_all()

    def _write_all(self) -> None:
        """What the model knows nothing of; without a journal nothing is written."""


def _choose(items: list[Any], which: int) -> Any:
    return items[which % len(items)]


def _attempt(turn: Turn) -> Attempt:
    assert turn.attempt is not None
    return turn.attempt


def _told(type: str, data: Any) -> tuple[Any, ...]:
    """An event as the model tells it."""
    if type == "state":
        error = data.error and data.error.type
        return ("state", data.state, data.attempt, data.cancel_requested, error)
    if type == "progress":
        return ("progress", data.current, data.attempt)
    if type == "output":
        return ("output", data.index, int(bytes(data.value)), data.attempt)
    if type == "log":
        return ("log", data.message, data.attempt)
    return (type,)


def _check_order(story: list[tuple[Any, ...]], type: str, data: Any) -> None:
    """Whether an event may follow those before it, whatever the model says."""
    states = [each for each in story if each[0] == "state"]
    state = states[-1][1] if states else None
    if state in ENDED:
        assert type == "deleted"
        assert story[-1][0] != "deleted"
    elif type == "state":
        assert data.state in FOLLOWS[state]
        if data.state == state:
            assert data.cancel_requested
            assert not states[-1][3]
    else:
        assert state == "running"


QUICK = settings(
    max_examples=60, stateful_step_count=40, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.mark.timeout(600)  # one that fails takes long, to find a short sequence that does
def test_any_order_of_requests_timers_and_reports(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "quart_tasks")
    run_state_machine_as_test(Lives, settings=QUICK)


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
    run_state_machine_as_test(Lives, settings=many)


def test_a_place_that_was_held_in_the_queue_goes_to_the_next() -> None:
    """Chance hardly ever comes to this: it takes two kinds, three priorities and seven steps."""
    lives = Lives()
    lives.begin(
        names={"plain-async", "single-async"}, slots=2, max_pending=9, max_finished=9,
        max_abandoned=0, without=set(), shuts_down=None, ending="finish",
        first=[(1, Options()), (1, Options()), (1, Options()), *[(0, Options(priority=2))] * 2],
    )  # fmt: skip
    lives.agrees()
    lives.succeed(which=0, begun=True)  # the urgent one gets its slot, the second its place
    lives.agrees()
    lives.cancel(which=0, ended=None)  # the second, before it has a slot
    lives.agrees()
    lives.succeed(which=0, begun=True)  # so its place is the third's
    lives.agrees()
    lives.teardown()
