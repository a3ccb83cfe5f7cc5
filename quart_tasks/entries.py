"""A task as the journal keeps it: what was submitted, and what has become of it."""

from __future__ import annotations

import importlib
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from .definition import Options
from .record import Error, PastAttempt, State
from .retry import RetryPolicy
from .task import Task


class SavedRetry(msgspec.Struct, frozen=True, array_like=True):
    """A RetryPolicy that one task was given, with its classes by their names."""

    retries: int
    delay: float
    factor: float
    max_delay: float
    jitter: bool
    on: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, policy: RetryPolicy) -> SavedRetry:
        on = tuple((each.__module__, each.__qualname__) for each in policy.on)
        return cls(policy.retries, policy.delay, policy.factor, policy.max_delay, policy.jitter, on)

    def policy(self) -> RetryPolicy:
        """One that is no longer there is left out."""
        on = tuple(kind for each in self.on if (kind := _find(*each)) is not None)
        return RetryPolicy(self.retries, self.delay, self.factor, self.max_delay, self.jitter, on)


def _find(module: str, qualname: str) -> type[BaseException] | None:
    try:
        found: Any = importlib.import_module(module)
        for name in qualname.split("."):
            found = getattr(found, name)
    except Exception:  # noqa: BLE001 - a module may raise anything
        return None
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


class Accepted(msgspec.Struct, frozen=True, array_like=True, gc=False):
    name: str
    executor: str
    args: bytes
    kwargs: bytes
    max_attempts: int
    priority: int
    key: str | None
    parent_id: str | None
    retry_of: str | None
    owner: str | None
    created_at: str
    options: Options | None
    eta: str | None  # of the options: MessagePack would take it to UTC, where it may have no year
    retry: SavedRetry | None
    kept: bytes | None = None  # a background view's request


class Current(msgspec.Struct, frozen=True, array_like=True, gc=False):
    state: State
    attempt: int
    cancel_requested: bool = False
    scheduled_for: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    worker: str | None = None
    error: Error | None = None
    attempts: list[PastAttempt] = []
    past: int = 0
    result_type: str | None = None
    outputs: bool = False  # the result is the list of what a generator has yielded
    blob: bool = False  # or bytes
    submission: tuple[tuple[str | None, str], bytes] | None = None  # idempotency key, fingerprint
    head: bytes | None = None  # of the response that the blob is the body of


encode = msgspec.msgpack.Encoder().encode
_accepted = msgspec.msgpack.Decoder(Accepted).decode
_current = msgspec.msgpack.Decoder(Current).decode


def accepted(task: Task) -> bytes:
    record = task.record
    options, retry = task.options or (None, None)
    eta = None
    if options is not None and options.eta is not None:
        eta = options.eta.isoformat()
        options = replace(options, eta=None)
    return encode(
        Accepted(
            record.name, record.executor, bytes(task.value("args")), bytes(task.value("kwargs")),
            record.max_attempts, record.priority, record.key, record.parent_id, record.retry_of,
            record.owner, record.created_at, options, eta,
            None if retry is None else SavedRetry.of(retry), task.kept,
        )
    )  # fmt: skip


def read(accepted: bytes, current: bytes) -> tuple[Accepted, Current]:
    """Raises msgspec.DecodeError for what is no entry."""
    return _accepted(accepted), _current(current)


def seconds_since(time: str) -> float:
    """Seconds from a record's time until now, by the wall clock."""
    then = datetime.fromisoformat(time)
    return (datetime.now(then.tzinfo) - then).total_seconds()
