"""A task's states, the moves between them, and its record: the one JSON shape that REST,
streams, journal and client share."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from .encoding import EMPTY_LIST, EMPTY_OBJECT, decode
from .exceptions import IllegalTransition

State = Literal["scheduled", "queued", "running", "succeeded", "failed", "cancelled"]

TRANSITIONS: dict[State, frozenset[State]] = {
    "scheduled": frozenset({"queued", "failed", "cancelled"}),
    "queued": frozenset({"running", "failed", "cancelled"}),
    "running": frozenset({"scheduled", "succeeded", "failed", "cancelled"}),
    "succeeded": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
}
STATES: tuple[State, ...] = tuple(TRANSITIONS)
PENDING: tuple[State, ...] = ("scheduled", "queued")
UNFINISHED: tuple[State, ...] = ("scheduled", "queued", "running")
ENDED: frozenset[State] = frozenset({"succeeded", "failed", "cancelled"})

OMIT_ABOVE = 8 * 1024  # bytes of JSON; larger values are left out of lists and frames


class Progress(msgspec.Struct, frozen=True, gc=False):
    """How far an attempt has come: `current` of `total` (if known), and a word to it."""

    current: float
    total: float | None = None
    message: str | None = None


class Error(msgspec.Struct, frozen=True, gc=False):
    """Why an attempt failed. `type` is the exception's class name, `traceback` its text."""

    type: str
    message: str
    traceback: str | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A task as everyone sees it. A change makes a new record and leaves the old one as it
    was, so an event can hold the record of its moment without a copy.

    `args`, `kwargs` and `result` are encoded JSON (`msgspec.Raw`) inside the registry, and
    plain values in what `TaskHandle.record` gives. Times are RFC 3339 in UTC.
    """

    id: str
    name: str
    executor: str
    state: State
    progress: Progress | None = None
    args: Any = EMPTY_LIST
    kwargs: Any = EMPTY_OBJECT
    result: Any = None
    result_type: str | None = None
    result_size: int | None = None
    error: Error | None = None
    omitted: tuple[str, ...] = ()
    attempt: int = 0
    max_attempts: int = 1
    priority: int = 0
    key: str | None = None
    parent_id: str | None = None
    retry_of: str | None = None
    owner: str | None = None
    cancel_requested: bool = False
    worker: str | None = None
    created_at: str = ""
    scheduled_for: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    cursor: str = ""

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    def plain(self) -> Record:
        """This record with `args`, `kwargs` and `result` as plain values."""
        values = {
            name: decode(value)
            for name in ("args", "kwargs", "result")
            if isinstance(value := getattr(self, name), msgspec.Raw)
        }
        return msgspec.structs.replace(self, **values)


class PastAttempt(msgspec.Struct, frozen=True, gc=False):
    """One run of the function that is over (or the one that is running: not yet finished)."""

    started_at: str | None
    finished_at: str | None
    error: Error | None
    worker: str | None


class LogLine(msgspec.Struct, frozen=True, gc=False):
    """One line that the standard `logging` module let through inside a task."""

    level: str
    logger: str
    message: str
    attempt: int


class TimedLogLine(LogLine, frozen=True, gc=False, kw_only=True):
    time: str


class Detail(Record, frozen=True, kw_only=True, gc=False):
    """The whole of one task: nothing left out, its last ten attempts and hundred log lines."""

    attempts: list[PastAttempt]
    logs: list[TimedLogLine]


def check_move(record: Record, state: State) -> None:
    """Raises IllegalTransition if `state` does not follow the record's."""
    if state not in TRANSITIONS[record.state]:
        raise IllegalTransition(f"Task {record.id} is {record.state} and cannot become {state}.")
