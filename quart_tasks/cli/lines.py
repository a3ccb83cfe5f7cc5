"""What happens to watched tasks, one line an event."""

from __future__ import annotations

import time
from typing import Protocol

import msgspec
from rich.text import Text

from ..events import TaskEvent
from ..record import Record
from .board import Board
from .records import how_far, name_of, said, stage
from .screen import Screen
from .words import local, to_json

PROGRESS_SECONDS = 1.0  # a line about a task's progress comes no more often


class Display(Protocol):
    """Shows what a watch is told."""

    def begin(self) -> None: ...
    def show(self, event: TaskEvent, changed: list[Record]) -> None:
        """An event, and the records that are in another state after it."""

    def say(self, text: str) -> None:
        """A word about the watching itself; also after the end."""

    def stop(self) -> None: ...


class JsonLines:
    """Events as the server sends them, one JSON document a line."""

    def __init__(self) -> None:
        self._screen, self._notes = Screen(), Screen(error=True)

    def begin(self) -> None:
        pass

    def show(self, event: TaskEvent, changed: list[Record]) -> None:
        self._screen.write(to_json(msgspec.to_builtins(event)))

    def say(self, text: str) -> None:
        self._notes.line(text)

    def stop(self) -> None:
        pass


class Lines:
    """Plain text, for pipes and logs."""

    def __init__(self, screen: Screen, board: Board) -> None:
        self._screen, self._board, self._notes = screen, board, Screen(error=True)
        self._progress: dict[str, float] = {}  # when a task's was last shown

    def begin(self) -> None:
        pass

    def show(self, event: TaskEvent, changed: list[Record]) -> None:
        for record in changed:
            self._line(event.time, record, stage(record, symbol=False))
            if record.ended:
                self._progress.pop(record.id, None)
        task = self._board.records.get(event.task_id or "")
        if task is not None and (text := self._text(event, task)) is not None:
            self._line(event.time, task, text)

    def _text(self, event: TaskEvent, record: Record) -> Text | None:
        if event.type != "progress":
            return said(event)
        now = time.monotonic()
        if now - self._progress.get(record.id, -PROGRESS_SECONDS) < PROGRESS_SECONDS:
            return None
        self._progress[record.id] = now
        return Text(how_far(record))

    def _line(self, at: str, record: Record, text: Text) -> None:
        self._screen.write(f"{local(at)} {record.id} {name_of(record)} {text.plain}")

    def say(self, text: str) -> None:
        self._notes.line(text)

    def stop(self) -> None:
        pass
