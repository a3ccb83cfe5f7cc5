"""The home of every record, and the only place where one changes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from time import monotonic
from typing import Any

import msgspec
from msgspec.structs import replace

from .config import Config
from .events import EVENT_COST, Event, EventLog, Output, ProgressData
from .exceptions import JournalUnavailable, TaskNotFound
from .execution import Outcome
from .ids import UUID7, timestamp
from .index import SCAN, TaskIndex
from .record import (
    ENDED,
    PENDING,
    Detail,
    Error,
    LogLine,
    PastAttempt,
    Progress,
    Record,
    State,
    TimedLogLine,
    check_move,
)
from .subscriptions import Subscriptions
from .task import NO_RESULT, Filter, Task

KEPT_LOGS = 100
KEPT_ATTEMPTS = 10


class Registry:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.log = EventLog(config.event_buffer)
        self.subscriptions = Subscriptions(self.log)
        self.new_id = UUID7()
        self._tasks: dict[str, Task] = {}
        self._index = TaskIndex()
        self._submissions: dict[tuple[Any, ...], Task] = {}
        self._ended: deque[str] = deque()  # the oldest end first
        self._ended_count = 0
        self._kept_bytes = 0
        self._spare = min(64, config.max_finished // 100)
        self.pending = 0  # scheduled or queued, or held
        self.unfinished_count = 0
        self.loading = False  # what the journal has is still being read
        self.dropped: list[str] | None = None  # ids that the journal has yet to forget

    # -- changes ---------------------------------------------------------------------------

    def reserve(self, task: Task) -> None:
        """Count a task, and hold its idempotency key, before it is accepted."""
        self.pending += 1
        if task.submission is not None:
            self._submissions[task.submission[0]] = task

    def release(self, task: Task) -> None:
        """A reserved task is not accepted after all."""
        self.pending -= 1
        if task.submission is not None:
            del self._submissions[task.submission[0]]

    def add(self, task: Task) -> None:
        """Take in a new task, which was reserved."""
        self._admit(task)
        self._publish_state(task, task.record.created_at)

    def restore(self, task: Task) -> None:
        """Take in a task of an earlier start."""
        self._admit(task)
        if task.submission is not None:
            self._submissions[task.submission[0]] = task
        if task.record.ended:
            self.unfinished_count -= 1
        elif task.record.state in PENDING:
            self.pending += 1

    def restore_result(self, task: Task, outcome: Outcome) -> None:
        """Give a task its result back; what its generator had yielded has been given before."""
        changes = task.keep_result(outcome)
        task.record = replace(task.record, cursor=self.log.advance(), **changes)

    def restore_end(self, task: Task, age: float) -> None:
        """Count a task as ended `age` seconds ago: to be called in the order of the ends."""
        self._close(task, monotonic() - age)

    def _admit(self, task: Task) -> None:
        record = task.record
        id = record.id
        task.record = replace(record, cursor=self.log.advance())
        self._tasks[id] = task
        self._index.add(record)
        self.unfinished_count += 1

    def move(self, task: Task, state: State, time: str | None = None, **changes: Any) -> None:
        """Bring a task to another state. Raises IllegalTransition."""
        check_move(task.record, state)
        record = replace(task.record, state=state, cursor=self.log.advance(), **changes)
        self._put(task, record, time or timestamp())

    def _put(self, task: Task, record: Record, time: str) -> None:
        """Make `record` the task's newest, in its new state."""
        before, state = task.record.state, record.state
        task.record = record
        self._index.move(record, before)
        if before in PENDING:
            self.pending -= 1
        if state in PENDING:
            self.pending += 1
        self._publish_state(task, time)
        if state in ENDED:
            self.unfinished_count -= 1
            self._close(task, monotonic())

    def change(self, task: Task, **changes: Any) -> None:
        """Change an unfinished task within its state."""
        task.record = replace(task.record, cursor=self.log.advance(), **changes)
        self._publish_state(task, timestamp())

    def progress(self, task: Task, progress: Progress) -> None:
        cursor = self.log.advance()
        record = task.record = replace(task.record, cursor=cursor, progress=progress)
        data = ProgressData(
            progress.current, progress.total, progress.message, max(record.attempt, 1)
        )
        self.subscriptions.publish(self._event(record, cursor, "progress", data))

    def output(self, task: Task, value: msgspec.Raw) -> None:
        if task.outputs is None:
            task.outputs = []
        data = Output(len(task.outputs), value, task.record.attempt)
        event = self._event(task.record, self.log.advance(), "output", data, len(value))
        task.outputs.append(event)
        task.output_bytes += len(value) + EVENT_COST
        self.log.keep(event)
        self.subscriptions.publish(event)

    def line(self, task: Task, level: str, logger: str, message: str) -> None:
        """Add a log line."""
        if task.logs is None:
            task.logs = deque(maxlen=KEPT_LOGS)
        data = LogLine(level, logger, message, task.record.attempt)
        event = self._event(task.record, self.log.advance(), "log", data, len(message))
        task.logs.append(event)
        self.log.keep(event)
        self.subscriptions.publish(event)

    def begin_attempt(self, task: Task, worker: str) -> None:
        """Bring a queued task to `running`."""
        before = task.record
        check_move(before, "running")
        task.outputs, task.output_bytes = None, 0
        now = timestamp()
        record = replace(
            before, state="running", cursor=self.log.advance(), attempt=before.attempt + 1,
            started_at=now, worker=worker, progress=None, error=None,
        )  # fmt: skip
        self._put(task, record, now)

    def succeed(self, task: Task, outcome: Outcome, now: str) -> None:
        """Bring a running task to its end with a result."""
        check_move(task.record, "succeeded")
        nothing = outcome.data == b"null" and outcome.mimetype is None
        changes = NO_RESULT if nothing else task.keep_result(outcome)
        record = replace(
            task.record, state="succeeded", cursor=self.log.advance(), finished_at=now, **changes
        )
        self._put(task, record, now)

    def end_attempt(self, task: Task, error: Error, now: str) -> None:
        """Note how a running task's attempt has failed; it is to be `scheduled` again."""
        past = PastAttempt(task.record.started_at, now, error, task.record.worker)
        task.attempts = [*(task.attempts or ()), past][-KEPT_ATTEMPTS:]
        task.past += 1

    def forget(self, task: Task) -> None:
        """Drop an ended task, and tell its readers."""
        self._drop(task.record.id)
        self._ended_count -= 1
        event = self._event(task.record, self.log.advance(), "deleted", {})
        event.last = True
        self.log.keep(event)
        self.subscriptions.publish(event)

    def evict(self, most: int = 1000, spare: int = 0) -> None:
        """Drop ended tasks beyond age, number (and make room for `spare` more) and bytes, at most
        `most` of them."""
        too_old = monotonic() - self.config.retention
        max_finished, max_bytes = self.config.max_finished - spare, self.config.max_results_bytes
        ended = self._ended
        while ended and most:
            task = self._tasks.get(ended[0])
            if task is not None:
                if not (
                    self._ended_count > max_finished
                    or self._kept_bytes > max_bytes
                    or task.ended_at <= too_old
                ):
                    return
                self._drop(ended[0])
                self._ended_count -= 1
                most -= 1
            ended.popleft()

    def _close(self, task: Task, ended_at: float) -> None:
        task.run = None
        task.ended_at = ended_at
        if task.outputs or task.logs or task.record.error is not None:
            task.size += task.output_bytes + sum(event.size for event in task.logs or ())
            for event in task.outputs or ():
                event.forget_text()
            if (error := task.record.error) is not None:
                task.size += len(error.traceback or "") + len(error.message)
        self._kept_bytes += task.size
        self._ended_count += 1
        self._ended.append(task.record.id)
        if len(self._ended) > 2 * self._ended_count + 1000:  # many were deleted before their time
            self._ended = deque(id for id in self._ended if id in self._tasks)
        if (
            self._ended_count > self.config.max_finished
            or self._kept_bytes > self.config.max_results_bytes
        ):
            # Many at once: one after each end took 4.5 µs of a task's 34, this way it is 2.
            self.evict(2 + self._spare, self._spare)

    def _drop(self, id: str) -> None:
        task = self._tasks.pop(id)
        record = task.record
        self._kept_bytes -= task.size
        self._index.forget(record, self._tasks)
        if task.submission is not None and self._submissions.get(task.submission[0]) is task:
            del self._submissions[task.submission[0]]
        if self.dropped is not None:
            self.dropped.append(id)

    def _publish_state(self, task: Task, time: str) -> None:
        record = task.record
        event = Event(
            self.log.last, "state", record.id, record.cursor, time, record, record.name,
            record.owner, task.size, record.state in ENDED,
        )  # fmt: skip
        self.log.keep(event)
        self.subscriptions.publish(event)

    def _event(self, record: Record, cursor: str, type: str, data: Any, size: int = 0) -> Event:
        """An event that has just got its number."""
        return Event(
            self.log.last, type, record.id, cursor, timestamp(), data, record.name, record.owner,
            size,
        )  # fmt: skip

    # -- questions -------------------------------------------------------------------------

    def get(self, id: str, owner: str | None = None) -> Task:
        """Raises TaskNotFound, also for another owner's; JournalUnavailable while one that is
        not known yet may still be read from the journal."""
        task = self._tasks.get(id)
        if task is None and self.loading:
            raise JournalUnavailable("The journal is still being read: ask again in a moment.")
        if task is None or (owner is not None and task.record.owner != owner):
            raise TaskNotFound
        return task

    def submitted(self, key: tuple[Any, ...]) -> Task | None:
        """The task that was submitted under this idempotency key, while it is kept."""
        return self._submissions.get(key)

    def note_submission(self, task: Task, submission: tuple[Any, ...] | None) -> bool:
        """Have an idempotency key give a task that another submission made; whether it does."""
        if submission is None or task.submission is not None:
            return False
        task.submission = submission
        self._submissions[submission[0]] = task
        return True

    def find(self, id: str) -> Task | None:
        return self._tasks.get(id)

    def page(
        self, filter: Filter, limit: int, before: str | None = None
    ) -> tuple[list[Task], str | None]:
        """At most `limit` matching tasks, the newest first, and the id to go on `before`.

        Looks at no more than SCAN records, so a page may be short and yet not the last.
        """
        found: list[Task] = []
        last = None
        for looked, id in enumerate(self._index.candidates(filter, before)):
            if len(found) == limit or looked == SCAN:
                return found, last
            last = id
            task = self._tasks.get(id)
            if task is not None and filter.matches(task.record):
                found.append(task)
        return found, None

    def walk(self, filter: Filter) -> Iterator[list[Task]]:
        """All that match, in pages; the registry may change between them."""
        before = None
        while True:
            tasks, before = self.page(filter, SCAN, before)
            yield tasks
            if before is None:
                return

    def snapshot(self, filter: Filter, since: int) -> list[Record]:
        """The records of this moment that a stream begins with: unfinished ones, those that
        ended after the sequence number `since`, and those asked for by id."""
        ids = set(self._index.unfinished())
        for id in reversed(self._ended):
            if (task := self._tasks.get(id)) is not None:
                if self.log.number(task.record.cursor) <= since:
                    break
                ids.add(id)
        ids.update(id for id in filter.ids or () if id in self._tasks)
        records = (self._tasks[id].record for id in sorted(ids))
        return [record for record in records if filter.matches(record)]

    def unfinished(self) -> list[Task]:
        return [self._tasks[id] for id in sorted(self._index.unfinished())]

    def counts(self) -> dict[str, dict[State, int]]:
        """How many tasks of each name are in each state."""
        return self._index.counts()

    def detail(self, task: Task) -> Detail:
        """The whole of a task."""
        record = task.record
        values = {name: getattr(record, name) for name in Record.__struct_fields__}
        for name in record.omitted:
            values[name] = task.value(name)
        values["omitted"] = ()
        attempts = list(task.attempts or ())
        if task.past < record.attempt:
            attempts.append(
                PastAttempt(record.started_at, record.finished_at, record.error, record.worker)
            )
        logs = [
            TimedLogLine(
                event.data.level, event.data.logger, event.data.message, event.data.attempt,
                time=event.time,
            )
            for event in task.logs or ()
        ]  # fmt: skip
        return Detail(**values, attempts=attempts[-KEPT_ATTEMPTS:], logs=logs)
