"""What a runner is given, as fakes, and a model of what must become of its tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

from quart_tasks.definition import Definition, ExecutorName, Options
from quart_tasks.events import Event
from quart_tasks.exceptions import TaskTimeout
from quart_tasks.executors.base import Attempt
from quart_tasks.retry import RetryPolicy
from quart_tasks.subscriptions import Subscriptions

# Seconds, which tell the timers apart: none ever runs, and so many that a test may take its time.
DELAY, EXPIRES, TIMEOUT, PAUSE = 1e4, 2e4, 3e4, 4e4
ENDED = ("succeeded", "failed", "cancelled")
STOPS: dict[ExecutorName, Literal["cancel", "ask", "kill"]] = {
    "async": "cancel", "thread": "ask", "process": "kill",
}  # fmt: skip


# -- fakes ---------------------------------------------------------------------------------


class FakeTimer:
    def __init__(self, seconds: float, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.seconds, self.callback, self.args = seconds, callback, args
        self.pending, self.cancelled = True, False

    def cancel(self) -> None:
        self.cancelled, self.pending = self.pending, False

    def fire(self) -> None:
        self.pending = False
        self.callback(*self.args)

    @property
    def kind(self) -> str:
        return {EXPIRES: "expiry", TIMEOUT: "timeout"}.get(self.seconds, "due")

    @property
    def task_id(self) -> str:
        """Timers are set for a task or for an attempt."""
        (about,) = self.args
        return str(about.task_id if isinstance(about, Attempt) else about.record.id)


class FakeTimers:
    def __init__(self) -> None:
        self.all: list[FakeTimer] = []

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> FakeTimer:
        self.all.append(FakeTimer(delay, callback, args))
        return self.all[-1]


class FakeWaiter:
    """A future, which refuses a second result too; `left` if its owner has gone already."""

    def __init__(self, left: bool) -> None:
        self.left, self.told = left, False

    def done(self) -> bool:
        return self.left or self.told

    def set_result(self, result: None, /) -> None:
        assert not self.done()
        self.told = True


class FakeExecutor:
    """Runs nothing: a test reports what becomes of an attempt."""

    def __init__(self, name: ExecutorName, slots: int) -> None:
        self.name: str = name
        self.slots, self.stops = slots, STOPS[name]
        self.starts: list[Attempt] = []
        self.executing: list[Attempt] = []
        self.asked: list[Attempt] = []  # to stop

    def start(self, attempt: Attempt) -> None:
        earlier = [each.number for each in self.executing if each.task_id == attempt.task_id]
        assert not earlier, f"attempt {attempt.number} began while {earlier} still executed"
        self.starts.append(attempt)
        self.executing.append(attempt)

    def stop(self, attempt: Attempt) -> None:
        assert attempt in self.executing, "to kill its worker now would hit another attempt"
        self.asked.append(attempt)

    async def close(self, timeout: float) -> None: ...

    def health(self) -> str | None:
        return None


class Recorder(Subscriptions):
    """Sees every event, those of progress too, which the log does not keep."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.events: list[Event] = []

    def publish(self, event: Event) -> None:
        self.events.append(event)
        super().publish(event)


# -- model ---------------------------------------------------------------------------------


@dataclass(eq=False)
class Turn:
    """An attempt, from when it is given a slot to the report of its end."""

    job: Job
    number: int
    started: bool = False
    asked: bool = False  # to stop
    timed_out: bool = False
    left: bool = False  # its task goes on, or has ended, without it
    stuck: int | None = None  # it cannot be stopped: its place among those
    abandoned: bool = False  # as that, but its slot was given back
    over: bool = False
    attempt: Attempt | None = None  # the real one

    @property
    def holds_slot(self) -> bool:
        return not self.over and not self.abandoned


@dataclass(eq=False)
class Job:
    """A task as it must be. `line`: the tasks above it, as far up as was known when it came."""

    id: str
    definition: Definition
    options: Options
    policy: RetryPolicy
    parent_id: str | None
    line: tuple[Job, ...]
    state: str = ""
    attempts: int = 0
    cancel_requested: bool = False
    error: str | None = None
    progress: float | None = None
    outputs: list[int] = field(default_factory=list)
    place: int = 0  # in the queue
    due: float | None = None  # seconds of the timer that it waits for
    turn: Turn | None = None
    kept: bool = True  # its record
    story: list[tuple[Any, ...]] = field(default_factory=list)  # its events

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def max_attempts(self) -> int:
        given = self.options.retries
        return 1 + (self.policy.retries if given is None else given)

    @property
    def timeout(self) -> float | None:
        return self.options.timeout or self.definition.timeout

    @property
    def priority(self) -> int:
        given = self.options.priority
        return self.definition.priority if given is None else given

    @property
    def key(self) -> tuple[str, str | None]:
        return self.definition.name, self.options.key

    def tell(self, state: str) -> None:
        self.state = state
        self.story.append(("state", state, self.attempts, self.cancel_requested, self.error))

    def hear(self, kind: str, value: int) -> None:
        """A report of its attempt."""
        if kind == "progress":
            self.progress = value
            self.story.append((kind, value, self.attempts))
        elif kind == "output":
            self.story.append((kind, len(self.outputs), value, self.attempts))
            self.outputs.append(value)
        else:
            self.story.append((kind, str(value), self.attempts))

    def timers(self) -> list[tuple[str, float]]:
        """Kind and seconds of the timers that must be set for it."""
        found: list[tuple[str, float]] = []
        if self.ended:
            return found
        if self.due is not None:
            found.append(("due", self.due))
        if self.options.expires is not None and not self.attempts:
            found.append(("expiry", EXPIRES))
        turn = self.turn
        if turn and turn.started and not turn.timed_out and self.timeout is not None:
            found.append(("timeout", TIMEOUT))
        return found


class Model:
    """The contract, with nothing of what makes it fast: no heap, no index, no counter."""

    def __init__(
        self, slots: dict[str, int], max_pending: int, max_finished: int, max_abandoned: int
    ) -> None:
        self.slots = slots
        self.max_pending, self.max_finished = max_pending, max_finished
        self.max_abandoned = max_abandoned
        self.draining = self.interrupting = False
        self.jobs: dict[str, Job] = {}  # all there ever were
        self.turns: list[Turn] = []  # attempts, in the order in which they were given slots
        self.past: list[Job] = []  # the ended ones that are kept, the oldest end first
        self._place = count().__next__

    def unfinished(self) -> list[Job]:
        return [job for job in self.jobs.values() if not job.ended]

    def pending(self) -> int:
        return sum(job.state in ("scheduled", "queued") for job in self.unfinished())

    def room(self) -> bool:
        """Whether another task is taken."""
        return not self.draining and self.pending() < self.max_pending

    def waiting(self, executor: str) -> list[Job]:
        """The queued ones without a slot."""
        jobs = (job for job in self.unfinished() if job.definition.executor == executor)
        return [job for job in jobs if job.state == "queued" and job.turn is None]

    def holding(self, executor: str) -> list[Turn]:
        turns = (turn for turn in self.turns if turn.holds_slot)
        return [turn for turn in turns if turn.job.definition.executor == executor]

    def abandoned(self, executor: str) -> int:
        turns = (turn for turn in self.turns if turn.abandoned and not turn.over)
        return sum(turn.job.definition.executor == executor for turn in turns)

    def stuck(self, executor: str) -> list[Turn]:
        """Those that cannot be stopped and still hold a slot, the oldest first."""
        turns = [turn for turn in self.holding(executor) if turn.stuck is not None]
        return sorted(turns, key=lambda turn: turn.stuck or 0)

    def holder(self, definition: Definition, key: str | None) -> Job | None:
        """The unfinished task that has the key."""
        jobs = (job for job in self.unfinished() if job.key == (definition.name, key))
        return None if key is None else next(jobs, None)

    # -- requests --

    def submit(
        self, id: str, definition: Definition, options: Options, policy: RetryPolicy | None,
        parent_id: str | None,
    ) -> Job:  # fmt: skip
        job = self.jobs[id] = Job(
            id, definition, options, policy or definition.retry, parent_id, self._line(parent_id)
        )
        job.due = options.delay
        if job.due is not None:
            job.tell("scheduled")
        else:
            self._queue(job)
        above = next((each for each in job.line if not each.ended), None)
        if above is not None and above.cancel_requested:
            self._ask(job)
        return job

    def _line(self, parent_id: str | None) -> tuple[Job, ...]:
        parent = None if parent_id is None else self.jobs[parent_id]
        if parent is None or not parent.kept:
            return ()
        return (parent, *(self._line(parent.parent_id) if parent.ended else parent.line))

    def cancel(self, job: Job, order: list[str]) -> None:
        """`order`: the ids of those that end, which is for the runner to choose."""
        if job.ended:
            return
        reached = [each for each in self.unfinished() if each is job or job in each.line]
        for each in _sorted(reached, order):
            self._ask(each)

    def _ask(self, job: Job) -> None:
        if job.ended or (job.cancel_requested and job.state == "running"):
            return
        job.cancel_requested = True
        if job.turn is not None:
            job.turn.asked = True
        if job.state == "running":
            job.tell("running")
        else:
            self._end(job, "cancelled")

    def interrupt(self) -> None:
        self.draining = self.interrupting = True
        for turn in self.turns:
            if not turn.over and not turn.left:
                turn.asked = True
                turn.left = not turn.started  # what has not begun never will

    def give_up(self, order: list[str]) -> None:
        self.draining = self.interrupting = True
        for job in _sorted(self.unfinished(), order):
            self._interrupt(job)

    def _interrupt(self, job: Job) -> None:
        """The server goes."""
        if job.cancel_requested:
            self._end(job, "cancelled")
        else:
            self._end(job, "failed", "Interrupted")

    def forget(self, job: Job) -> None:
        job.story.append(("deleted",))
        self._drop(job)

    def evict(self, most: int) -> None:
        for job in self.past[:most]:
            self._drop(job)

    # -- timers and reports --

    def fire(self, kind: str, job: Job) -> None:
        turn = job.turn
        if kind == "due":
            self._queue(job)
        elif kind == "expiry":
            if turn is not None:
                turn.asked = True
            self._end(job, "failed", "TaskExpired")
        else:
            assert turn is not None
            turn.timed_out = turn.asked = True
            if STOPS[job.definition.executor] == "ask":
                turn.left, turn.stuck, job.turn = True, self._place(), None
                self._decide(job, turn, None, False)
        self.settle()

    def start(self, turn: Turn) -> None:
        if turn.left or turn.started:
            return
        job, turn.started = turn.job, True
        job.attempts += 1
        job.error = job.progress = None
        job.outputs = []
        job.tell("running")

    def finish(self, turn: Turn, error: str | None, retryable: bool) -> None:
        """The end of an attempt; `error` is None if it returned."""
        job, turn.over = turn.job, True
        if turn.left:
            self._finish_late(turn, error)
        else:
            job.turn = None
            if error is None:
                self.start(turn)
                self._end(job, "succeeded")
            else:
                self._decide(job, turn, error, retryable)
        self.settle()

    def _finish_late(self, turn: Turn, error: str | None) -> None:
        """The end of an attempt that its task has not waited for."""
        if turn.job.state == "scheduled":  # but its retry has
            turn.job.due = self._pause(turn.job)

    def _decide(self, job: Job, turn: Turn, error: str | None, retryable: bool) -> None:
        """What becomes of a task whose attempt failed."""
        if job.cancel_requested:
            self._end(job, "cancelled")
            return
        if turn.timed_out:
            error, retryable = "TaskTimeout", issubclass(TaskTimeout, job.policy.on)
        elif self.interrupting:
            self._interrupt(job)
            return
        if retryable and turn.started and job.attempts < job.max_attempts:
            self._try_again(job, turn, error)
        else:
            self._end(job, "failed", error)

    def _try_again(self, job: Job, turn: Turn, error: str | None) -> None:
        job.error = error
        job.tell("scheduled")
        job.due = None if turn.left else self._pause(job)

    def _pause(self, job: Job) -> float:
        return float(job.policy.delay * job.policy.factor ** (job.attempts - 1))

    # -- what follows --

    def _queue(self, job: Job) -> None:
        job.due, job.place = None, self._place()
        job.tell("queued")
        self.settle()

    def settle(self) -> None:
        """Give slots back and to those that wait, as far as that goes."""
        for executor, slots in self.slots.items():
            for turn in self.stuck(executor):
                turn.abandoned = self.abandoned(executor) < self.max_abandoned
            while not self.draining and len(self.holding(executor)) < slots:
                able = [job for job in self.waiting(executor) if not self._at_limit(job.definition)]
                if not able:
                    break
                self._give_slot(min(able, key=lambda job: (-job.priority, job.place)))

    def _give_slot(self, job: Job) -> None:
        job.turn = Turn(job, job.attempts + 1)
        self.turns.append(job.turn)

    def _at_limit(self, definition: Definition) -> bool:
        holding = self.holding(definition.executor)
        alike = sum(turn.job.definition is definition for turn in holding)
        return definition.concurrency is not None and alike >= definition.concurrency

    def _end(self, job: Job, state: str, error: str | None = None) -> None:
        job.error = error or job.error
        if job.turn is not None:
            job.turn.left, job.turn = True, None
        job.due = None
        job.tell(state)
        self.past.append(job)
        while len(self.past) > self.max_finished:
            self._drop(self.past[0])

    def _drop(self, job: Job) -> None:
        job.kept = False
        self.past.remove(job)


def _sorted(jobs: Iterable[Job], order: list[str]) -> list[Job]:
    return sorted(jobs, key=lambda job: order.index(job.id) if job.id in order else len(order))
