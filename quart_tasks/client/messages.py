"""What is sent and what comes back, without a connection: bodies, records, problems, frames."""

from __future__ import annotations

import email.utils
import time
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from .. import exceptions
from ..encoding import encode
from ..events import ProgressData, TaskEvent
from ..exceptions import InvalidArguments, QuartTasksError, QueueFull
from ..record import ENDED, Detail, Record
from .errors import Refused

PROBLEM = "urn:quart-tasks:"
# What passes by itself: too many tasks, a server that goes or comes, a proxy without one.
PASSING = {429, 502, 503, 504}


class Message(msgspec.Struct, frozen=True):
    """A frame of any stream, and an answer of `/tasks/socket`. `data` is decoded by its type."""

    type: str
    data: msgspec.Raw
    ref: Any = None
    task_id: str | None = None
    cursor: str | None = None
    time: str = ""

    def event(self) -> TaskEvent:
        data = msgspec.json.decode(self.data)
        return TaskEvent(self.type, self.task_id, self.cursor or "", self.time, data)


class Records(msgspec.Struct, frozen=True):
    """`{"tasks": …}` of a page, of a snapshot and of an answer."""

    tasks: list[Record] = []
    next: str | None = None
    cursor: str | None = None
    reason: str = "start"
    more: bool = False


class FieldError(msgspec.Struct, frozen=True):
    pointer: str = "#"
    detail: str = ""


class Problem(msgspec.Struct, frozen=True):
    """RFC 9457, as far as it is looked at."""

    type: str = ""
    status: int = 0
    detail: str = ""
    errors: list[FieldError] = []
    retry_after: float | None = None  # seconds; a socket has no header for it


decode_message = msgspec.json.Decoder(Message).decode
decode_record = msgspec.json.Decoder(Record).decode
decode_detail = msgspec.json.Decoder(Detail).decode
decode_records = msgspec.json.Decoder(Records).decode
decode_progress = msgspec.json.Decoder(ProgressData).decode
decode_problem = msgspec.json.Decoder(Problem).decode


class _Output(msgspec.Struct, frozen=True):
    index: int
    attempt: int


class _State(msgspec.Struct, frozen=True):
    state: str


_decode_output = msgspec.json.Decoder(_Output).decode
_decode_state = msgspec.json.Decoder(_State).decode


def output_number(message: Message) -> tuple[int, int]:
    output = _decode_output(message.data)
    return output.attempt, output.index


def is_last(message: Message) -> bool:
    """Whether nothing follows about its task."""
    if message.type != "state":
        return message.type == "deleted"
    return _decode_state(message.data).state in ENDED


def is_newer(cursor: str | None, than: str | None) -> bool:
    """Whether it is of another start of the server, or comes later."""
    if cursor is None or than is None:
        return cursor is not None
    epoch, _, number = cursor.rpartition("-")
    other_epoch, _, other_number = than.rpartition("-")
    return epoch != other_epoch or int(number or 0) > int(other_number or 0)


def new_key() -> str:
    """An idempotency key: one submission has one, however often it is sent."""
    return uuid.uuid4().hex


def submission(
    name: str, args: Iterable[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
) -> msgspec.Raw:
    """The body of one task. Raises InvalidArguments for what JSON cannot carry."""
    body: dict[str, Any] = {"name": name, "idempotency_key": new_key()}
    if args := list(args):
        body["args"] = args
    if kwargs:
        body["kwargs"] = kwargs
    if options:
        body["options"] = options
    try:
        return encode(body)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise InvalidArguments(f"The arguments of {name!r} are not JSON: {error}.") from None


def options_of(known: Mapping[str, Any], **given: Any) -> dict[str, Any]:
    """Options beside those given before. Raises InvalidArguments."""
    delay, eta = given["delay"], given["eta"]
    if isinstance(eta, datetime) and eta.tzinfo is None:
        raise InvalidArguments("eta needs an offset from UTC, such as tzinfo=timezone.utc.")
    if delay is not None and eta is not None:
        raise InvalidArguments("Give either delay or eta, not both.")
    result = {**known, **{name: value for name, value in given.items() if value is not None}}
    if delay is not None:
        result.pop("eta", None)
    if eta is not None:
        result.pop("delay", None)
    return result


def error_of(data: bytes | msgspec.Raw, status: int = 0) -> QuartTasksError:
    """The exception that a problem stands for."""
    try:
        problem = decode_problem(data)
    except msgspec.DecodeError:
        problem = Problem()
    status = status or problem.status
    if not problem.type.startswith(PROBLEM):
        return Refused(
            f"The answer is {status} and not of quart_tasks: is the URL the server's root, and the "
            f"prefix its TASKS_URL_PREFIX?",
            status,
        )
    name = "".join(map(str.capitalize, problem.type.removeprefix(PROBLEM).split("-")))
    kind = getattr(exceptions, name, None)
    if name == "NotFound":  # an id that no path can have
        kind = exceptions.TaskNotFound
    if kind is InvalidArguments:
        errors = [(each.pointer, each.detail) for each in problem.errors]
        detail = problem.detail
        if errors and errors[0][1] not in detail:  # a batch's only counts them
            detail = f"{detail} {errors[0][0]}: {errors[0][1]}"
        return InvalidArguments(detail, errors)
    if kind is QueueFull:
        return QueueFull(problem.detail, int(problem.retry_after or 1))
    if isinstance(kind, type) and issubclass(kind, QuartTasksError):
        return kind(problem.detail)
    return Refused(problem.detail, status)


def passes(error: QuartTasksError) -> bool:
    """Whether it may be gone when the same is asked again."""
    if isinstance(error, Refused):
        return error.status in PASSING
    return isinstance(
        error,
        (QueueFull, exceptions.Draining, exceptions.NotStarted, exceptions.JournalUnavailable),
    )


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds of `Retry-After` (RFC 9110, section 10.2.3); 0 if it says nothing."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return 0.0
