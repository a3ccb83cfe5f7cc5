"""What happened: events, their cursors, and the buffer that replays them."""

from __future__ import annotations

import secrets
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from .ids import timestamp

EVENT_COST = 700  # bytes that an event and the record of its moment take, measured
MAX_FRAME = 256 * 1024
MAX_KEPT = 4 * MAX_FRAME

_encode = msgspec.json.Encoder().encode


class TaskEvent(msgspec.Struct, frozen=True, gc=False):
    """One event of a task's stream; `data` depends on `type`, as the README's table says."""

    type: str
    task_id: str | None
    cursor: str
    time: str
    data: Any


class Output(msgspec.Struct, frozen=True, gc=False):
    """The `index`-th value that a generator has yielded in this attempt."""

    index: int
    value: Any
    attempt: int


class ProgressData(msgspec.Struct, frozen=True, gc=False):
    current: float
    total: float | None
    message: str | None
    attempt: int


class Event(msgspec.Struct, gc=False):
    """One thing that happened to a task. Encoded once, when first sent, for all readers."""

    seq: int
    type: str
    task_id: str | None
    cursor: str
    time: str
    data: Any
    name: str | None = None
    owner: str | None = None
    size: int = 0  # bytes, about
    last: bool = False  # nothing follows it about this task
    _text: str | None = None
    _caches: bool = True

    @property
    def text(self) -> str:
        """The frame as JSON text."""
        if self._text is not None:
            return self._text
        frame = TaskEvent(self.type, self.task_id, self.cursor, self.time, self.data)
        text = _encode(frame).decode()
        if self._caches:
            self._text = text
        return text

    def forget_text(self) -> None:
        """Encode it anew whenever it is still sent: the text is as large as the value."""
        self._text, self._caches = None, False


class EventLog:
    """Numbers events and keeps the newest `count` for replay (up to 64 more, or 1 %, until the
    oldest are dropped), and of these at most `size` bytes.

    A cursor is `<epoch>-<sequence>`; the epoch is new with each log.
    """

    def __init__(self, count: int, size: int = 64 * 1024 * 1024) -> None:
        self.epoch = secrets.token_hex(4)
        self.last = 0  # the newest sequence number
        self.newest = 0  # that is or was kept
        self.dropped = 0  # the newest one that is no longer kept: a replay can start from here
        self._count, self._size = count, size
        self._most = count + min(64, count // 100)  # before the oldest go: one by one is dearer
        self._bytes = 0
        self._events: deque[Event] = deque()

    def advance(self) -> str:
        """Take the next sequence number, `last` from now on; its cursor."""
        self.last += 1
        return f"{self.epoch}-{self.last}"

    @property
    def cursor(self) -> str:
        return self.cursor_at(self.last)

    def cursor_at(self, seq: int) -> str:
        return f"{self.epoch}-{seq}"

    def position(self, cursor: str) -> int | None:
        """The sequence number in a cursor; None if it is malformed or another server's."""
        epoch, _, number = cursor.rpartition("-")
        if epoch != self.epoch or not (number.isascii() and number.isdigit()) or len(number) > 18:
            return None
        return position if (position := int(number)) <= self.last else None

    def number(self, cursor: str) -> int:
        """The sequence number in a cursor of this log."""
        return int(cursor[len(self.epoch) + 1 :])

    def keep(self, event: Event) -> None:
        events = self._events
        events.append(event)
        size = event.size
        # What a record omits is not in its events, whatever the size of its task.
        event.size = size = (size if size < MAX_KEPT else MAX_KEPT) + EVENT_COST
        self._bytes += size
        self.newest = event.seq
        if len(events) > self._most or self._bytes > self._size:
            self._drop()

    def _drop(self) -> None:
        events = self._events
        while len(events) > self._count or self._bytes > self._size:
            oldest = events.popleft()
            self._bytes -= oldest.size
            self.dropped = oldest.seq

    def since(self, position: int, most: int, size: int) -> list[Event]:
        """Kept events after `position`, the oldest first: at least one if there is one, then
        no more than `most`, nor than `size` bytes."""
        start = bisect_right(self._events, position, key=_seq)
        found: list[Event] = []
        for event in islice(self._events, start, start + most):
            size -= event.size
            if found and size < 0:
                break
            found.append(event)
        return found

    def moment(self, type: str, data: Any, seq: int | None = None) -> Event:
        """An event about no single task, as of `seq` (default: now); not kept."""
        seq = self.last if seq is None else seq
        return Event(seq, type, None, self.cursor_at(seq), timestamp(), data)


def _seq(event: Event) -> int:
    return event.seq


def in_frames(records: Iterator[Any], limit: int = MAX_FRAME) -> Iterator[list[msgspec.Raw]]:
    """Encoded records in groups that fit a frame of `limit` bytes."""
    group: list[msgspec.Raw] = []
    size = 0
    for record in records:
        data = _encode(record)
        if group and size + len(data) > limit - 512:
            yield group
            group, size = [], 0
        group.append(msgspec.Raw(data))
        size += len(data) + 1
    yield group
