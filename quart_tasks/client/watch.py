"""A task that is watched, and by whom."""

from __future__ import annotations

import asyncio
from typing import Protocol

from ..exceptions import TaskNotFound
from ..record import Progress, Record
from .messages import Message, decode_progress, decode_record, decode_records
from .tap import Tap


class Watching(Protocol):
    """A handle, as far as a watch needs it."""

    @property
    def id(self) -> str: ...
    @property
    def record(self) -> Record: ...
    def take(self, record: Record) -> None: ...
    def take_progress(self, progress: Progress) -> None: ...


class Watch:
    """What is heard of a task goes to its handles, and to the taps of those who read its events."""

    __slots__ = ("covered", "ended", "handles", "heard", "joined", "taps")

    def __init__(self, covered: bool) -> None:
        self.handles: list[Watching] = []
        self.taps: list[Tap] = []
        self.covered = covered  # by its name's subscription
        self.joined = covered  # nothing is missing up to the watcher's cursor
        self.heard = covered  # its history has begun to come
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def lacks_history(self) -> bool:
        return not self.joined or not all(tap.knows for tap in self.taps)

    def take(self, message: Message) -> None:
        """Something that has just happened."""
        self._tell_handles(message)
        for tap in self.taps:
            tap.take(message)
        if message.type == "deleted":
            self.fail(TaskNotFound(f"Task {message.task_id} was deleted."))

    def take_history(self, message: Message) -> None:
        """Something of how it came to be what it is, first a snapshot."""
        if message.type == "snapshot":
            self.heard = True
            records = decode_records(message.data).tasks
            if not records:
                self.fail(TaskNotFound(f"There is no task {message.task_id}."))
                return
            self.take_record(records[0])
        self._tell_handles(message)
        for tap in self.taps:
            tap.take_history(message)

    def _tell_handles(self, message: Message) -> None:
        if message.type == "state":
            self.take_record(decode_record(message.data))
        elif message.type == "progress":
            data = decode_progress(message.data)
            for handle in self.handles:
                handle.take_progress(Progress(data.current, data.total, data.message))

    def take_record(self, record: Record) -> None:
        for handle in self.handles:
            handle.take(record)
        if record.ended and not self.ended.done():
            self.ended.set_result(None)

    def learn(self, cursor: str | None) -> None:
        """The history has come, up to a cursor."""
        self.joined = self.joined or self.heard  # or it was of one who watched it before
        for tap in self.taps:
            tap.learn(cursor)

    def lose(self) -> None:
        """Something is missing, and only the history tells what."""
        self.covered = self.joined = self.heard = False
        for tap in self.taps:
            tap.lose()

    def fail(self, error: BaseException) -> None:
        for tap in self.taps:
            tap.end(error)
        if not self.ended.done():
            self.ended.set_exception(error)
            self.ended.exception()  # asked for: perhaps nobody waits
