"""A task in the registry, and which of them a request is about."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec
from msgspec.structs import replace

from .definition import Options
from .encoding import NULL
from .events import Event
from .execution import Outcome
from .record import OMIT_ABOVE, PastAttempt, Record, State
from .retry import RetryPolicy
from .run import Run


class Task(msgspec.Struct, gc=False, weakref=False):
    """All that is kept of one task: its newest record and what is too much for it.

    Not tracked by the cycle collector: a hundred thousand ended tasks would make each of its
    full passes hold the loop. `run`, the only part that could close a cycle, goes at the end.
    """

    record: Record
    run: Run | None = None  # how it is being run; None once it has ended
    full: dict[str, msgspec.Raw] | None = None  # what the record omits
    kept: bytes | None = None  # a background view's request
    blob: bytes | None = None
    head: bytes | None = None  # of the response that the blob is the body of
    outputs: list[Event] | None = None  # of the present attempt
    output_bytes: int = 0
    logs: deque[Event] | None = None
    attempts: list[PastAttempt] | None = None  # the last of those that are over
    past: int = 0  # how many are over
    submission: tuple[Any, ...] | None = None  # idempotency key and fingerprint
    options: tuple[Options, RetryPolicy | None] | None = None  # as submitted, if there were any
    replayable: bool = True  # its arguments are kept, so it can be retried
    ended_at: float = 0.0  # time.monotonic()
    size: int = 0  # bytes kept beside the record

    def keep(self, name: str, data: msgspec.Raw) -> None:
        """Keep `args`, `kwargs` or a result, beside the record if it is large."""
        size = len(data)
        self.size += size
        if size <= OMIT_ABOVE:
            self.record = replace(self.record, **{name: data})
        else:
            self.full = {**(self.full or {}), name: data}
            self.record = replace(self.record, **{name: None}, omitted=(*self.record.omitted, name))

    def keep_result(self, outcome: Outcome) -> dict[str, Any]:
        """Keep a result; the changes to make to the record."""
        data, mimetype = outcome.data or b"", outcome.mimetype
        if outcome.outputs:
            data = self.outputs_json()
            if len(data) > OMIT_ABOVE:  # the outputs are kept, so this need not be
                self.record = replace(self.record, omitted=(*self.record.omitted, "result"))
            else:
                self.keep("result", msgspec.Raw(data))
        elif mimetype is not None:
            self.blob, self.head = data, outcome.head
            self.size += len(data)
            if mimetype == "application/json":  # or its null would be taken for its value
                self.record = replace(self.record, omitted=(*self.record.omitted, "result"))
        else:
            self.keep("result", msgspec.Raw(data))
        return {
            "result": self.record.result,
            "omitted": self.record.omitted,
            "result_type": mimetype or "application/json",
            "result_size": len(data),
        }

    def outputs_json(self) -> bytes:
        """What its generator has yielded, as the JSON list that is its result."""
        values = (bytes(event.data.value) for event in self.outputs or ())
        return b"[" + b",".join(values) + b"]"

    def value(self, name: str) -> Any:
        """`args`, `kwargs` or `result` in full, encoded."""
        if self.full is not None and name in self.full:
            return self.full[name]
        if name == "result" and self.outputs and name in self.record.omitted:
            return msgspec.Raw(self.outputs_json())
        return getattr(self.record, name)


NO_RESULT = {"result": NULL, "result_type": "application/json", "result_size": 4}


class Filter(msgspec.Struct, frozen=True):
    """Which records a page, a stream or a bulk request is about; None means any."""

    state: State | None = None
    name: str | None = None
    parent_id: str | None = None
    q: str | None = None
    owner: str | None = None
    ids: frozenset[str] | None = None
    names: frozenset[str] | None = None

    def matches(self, record: Record) -> bool:
        return (
            (self.owner is None or record.owner == self.owner)
            and (self.state is None or record.state == self.state)
            and (self.name is None or record.name == self.name)
            and (self.parent_id is None or record.parent_id == self.parent_id)
            and (self.q is None or _mentions(record, self.q))
            and (self.ids is self.names is None or self._watches(record))
        )

    def _watches(self, record: Record) -> bool:
        return record.id in (self.ids or ()) or record.name in (self.names or ())


def _mentions(record: Record, text: str) -> bool:
    return (
        text in record.name
        or record.id.startswith(text)
        or (record.key is not None and text in record.key)
        or (record.error is not None and text in record.error.message)
    )
