"""What the journal must have before it happens or is shown: the runner asks here, and goes on when
told. Without a journal, and for tasks that opted out, that is at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from msgspec.structs import replace

from . import entries
from .definition import Definition
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
            run = task.run
            if run is not None and run.durable:
                record = task.record
                if run.has_slot:
                    run.written = {"state": "running", "attempt": 1}
                row = entries.current(task, replace(record, **run.written))
                changes.append(Change(record.id, entries.accepted(task), row))
        self.journal.write(Entry(changes, done, must=False))

    def note(self, task: Task, changes: dict[str, Any] | None = None) -> None:
        """Have a task's record written with these changes, sooner or later."""
        self.write(task, _nothing, changes or {})

    def write(
        self, task: Task, then: Callable[[], None], changes: dict[str, Any], *, must: bool = True
    ) -> None:
        """Commit a task's record with these changes, then go on. What must not be lost is tried
        until it is written; the rest is dropped when it cannot be."""
        if self.journal is None or task.run is None or not task.run.durable:
            then()
            return
        run = task.run
        if "state" in changes:
            run.written = {name: changes[name] for name in ("state", "attempt") if name in changes}
        # The record may be behind: a start is written before it is shown.
        row = entries.current(task, replace(task.record, **(run.written | changes)))
        done = partial(_if_committed, then)
        self.journal.write(Entry([Change(task.record.id, None, row)], done, must))

    def succeed(self, task: Task, outcome: Outcome, now: str, then: Callable[[], None]) -> None:
        """Commit a result, then go on."""
        if self.journal is None or task.run is None or not task.run.durable:
            then()
            return
        result = task.outputs_json() if outcome.outputs else outcome.data or b""
        kind = outcome.mimetype or "application/json"
        record = replace(task.record, state="succeeded", finished_at=now, result_type=kind)
        row = entries.current(task, record, outcome.outputs, outcome.mimetype is not None)
        change = Change(record.id, None, row, result)
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
