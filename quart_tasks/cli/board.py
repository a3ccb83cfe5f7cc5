"""The tasks that are watched, as they were last heard of."""

from __future__ import annotations

from typing import Any

import msgspec

from ..events import TaskEvent
from ..record import Progress, Record


class Board:
    """Records by id, kept up to date by events. `all`: of whatever tasks there are, so those
    that have ended are forgotten; else of certain tasks, to their end."""

    def __init__(self, *, all: bool) -> None:
        self._all = all
        self.records: dict[str, Record] = {}
        self.gone: list[str] = []  # unfinished, and not known to the server any more
        self._snapshot: set[str] = set()

    @property
    def unfinished(self) -> list[Record]:
        return [record for record in self.records.values() if not record.ended]

    def take(self, event: TaskEvent) -> list[Record]:
        """Learn from an event; the records that are in another state now."""
        if event.type == "state":
            record = msgspec.convert(event.data, Record)
            return self._changed([record]) or [record] * record.ended
        if event.type == "snapshot":
            return self._take_snapshot(event.data)
        known = self.records.get(event.task_id or "")
        if known is not None and event.type == "progress":
            data = event.data
            progress = Progress(data["current"], data["total"], data["message"])
            self.records[known.id] = msgspec.structs.replace(known, progress=progress)
        if known is not None and event.type == "deleted":
            self._lose(known)
        return []

    def _take_snapshot(self, data: Any) -> list[Record]:
        records = msgspec.convert(data["tasks"], list[Record])
        self._snapshot.update(record.id for record in records)
        if self._all and data["reason"] == "epoch":  # of another start: with all that it keeps
            records = [each for each in records if not each.ended or each.id in self.records]
        # A task's own stream tells its end in the end, after all that it has said.
        changed = [each for each in self._changed(records) if self._all or not each.ended]
        if self._all and not data["more"]:
            for record in self.unfinished:
                if record.id not in self._snapshot:
                    self._lose(record)
            self._snapshot.clear()
        return changed

    def _changed(self, records: list[Record]) -> list[Record]:
        changed = []
        for record in records:
            known = self.records.get(record.id)
            if known is None or _stage(known) != _stage(record):
                changed.append(record)
            if self._all and record.ended:
                self.records.pop(record.id, None)
            else:
                self.records[record.id] = record
        return changed

    def _lose(self, record: Record) -> None:
        if not record.ended:
            self.gone.append(record.id)
            del self.records[record.id]


def _stage(record: Record) -> tuple[Any, ...]:
    return record.state, record.attempt, record.cancel_requested
