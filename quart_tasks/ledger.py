"""What the journal must have before it happens or is shown: the runner asks here, and goes on when
told. Without a journal, and for tasks that opted out, that is at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from msgspec.structs import replace

from . import entries
from .definition import Definition
from .entries import Current
from .execution import Outcome
from .journal import Change, Entry
from .task import Task


class Writer(Protocol):
    """The journal, or a test's idea of one."""

    problem: str | None

    def write(self, entry: Entry) -> None: ...


class Ledger:
    def __init__(self, journal: Writer | None = None) -> None:
        self.journal = journal

    def keeps(self, definition: Definition) -> bool:
        return self.journal is not None and definition.durable

    @property
    def problem(self) -> str | None:
        return None if self.journal is None else self.journal.problem

    def accept(self, tasks: list[Task], done: Callable[[bool], None]) -> None:
        """Commit new tasks, all or none; those that have a slot already as running."""
        assert self.journal is not None  # noqa: S101 - it keeps one of them
        changes = []
        for task in tasks:
            run, record = task.run, task.record
            if run is not None and run.durable:
                if run.has_slot:
                    run.row = Current(
                        "running", 1, started_at=record.created_at, submission=task.submission
                    )
                else:
                    run.row = Current(
                        record.state, 0, scheduled_for=record.scheduled_for,
                        submission=task.submission,
                    )  # fmt: skip
                row = entries.encode(run.row)
                changes.append(Change(record.id, entries.accepted(task), row))
        self.journal.write(Entry(changes, done, must=False))

    def note_submission(self, task: Task) -> None:
        """Have it written that another idempotency key gives this task too."""
        run = task.run
        if run is None or run.row is None:  # it has ended, or is to be written with it
            return
        if run.held is None:
            self.write(task, _nothing, {})
        else:  # not before the task is accepted, and not at all if it is not
            run.held.append(partial(_if_committed, partial(self.write, task, _nothing, {})))

    def write(self, task: Task, then: Callable[[], None], changes: dict[str, Any]) -> None:
        """Commit a task with these changes, then go on."""
        if task.run is not None and task.run.durable:
            row = self._row(task, changes)
            self._commit(Change(task.record.id, None, row), then)
        else:
            then()

    def succeed(self, task: Task, outcome: Outcome, now: str, then: Callable[[], None]) -> None:
        """Commit the result of a task that the journal has, then go on."""
        changes = {
            "state": "succeeded", "finished_at": now, "outputs": outcome.outputs,
            "cancel_requested": task.record.cancel_requested,
            "blob": outcome.mimetype is not None,
            "result_type": outcome.mimetype or "application/json", "head": outcome.head,
        }  # fmt: skip
        result: bytes | None = task.outputs_json() if outcome.outputs else outcome.data or b""
        if result == b"null" and outcome.mimetype is None:
            result = None  # no row says as much
        self._commit(Change(task.record.id, None, self._row(task, changes), result), then)

    def _row(self, task: Task, changes: dict[str, Any]) -> bytes:
        """The last row with what is new. Not made from the record, which may be behind: an end
        is written before it is shown, and a start, and a cancel."""
        run, record = task.run, task.record
        assert run is not None  # noqa: S101 - it was looked at
        assert run.row is not None  # noqa: S101 - it has been accepted
        run.row = replace(
            run.row,
            **{
                "started_at": record.started_at or run.row.started_at, "worker": record.worker,
                "attempts": task.attempts or [], "past": task.past,
                "submission": task.submission, **changes,
            },
        )  # fmt: skip
        return entries.encode(run.row)

    def _commit(self, change: Change, then: Callable[[], None]) -> None:
        assert self.journal is not None  # noqa: S101 - it keeps the task
        self.journal.write(Entry([change], partial(_if_committed, then)))

    def forget(self, ids: list[str], done: Callable[[bool], None] | None = None) -> None:
        """Commit that tasks are forgotten."""
        if self.journal is not None and ids:
            self.journal.write(Entry([Change(id) for id in ids], done, must=done is None))

    def committed(self, done: Callable[[bool], None]) -> None:
        """Say when all that was asked for before is committed, or that it cannot be."""
        if self.journal is None:
            done(True)
        else:
            self.journal.write(Entry([], done, must=False))


def _nothing() -> None:
    pass


def _if_committed(then: Callable[[], None], committed: bool) -> None:
    if committed:
        then()
