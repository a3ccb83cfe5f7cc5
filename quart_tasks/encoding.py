"""JSON as it is kept and sent: strict, so that what was accepted can be read back."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from .exceptions import InvalidResult

MAX_DEPTH = 200  # levels of lists and objects

EMPTY_LIST = msgspec.Raw(b"[]")
EMPTY_OBJECT = msgspec.Raw(b"{}")
NULL = msgspec.Raw(b"null")

# type "/" subtype and parameters (RFC 9110, section 8.3.1), kept to printable ASCII
_MIMETYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+( *; *[\x20-\x7e]*)?", re.ASCII)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Blob(msgspec.Struct, frozen=True):
    """Bytes as a task's result, with their media type: `Blob(png, "image/png")`.

    Over HTTP `GET /tasks/{id}/result` answers them as they are. Raises ValueError for a media
    type that cannot stand in a header.
    """

    data: bytes
    mimetype: str = "application/octet-stream"

    def __post_init__(self) -> None:
        if not _MIMETYPE.fullmatch(self.mimetype):
            raise ValueError(f"Blob: {self.mimetype!r} is not a media type such as 'image/png'.")


Head = tuple[int, list[tuple[str, str]]]  # status and headers
_encode_head = msgspec.msgpack.Encoder().encode
decode_head = msgspec.msgpack.Decoder(Head).decode


class StoredResponse(msgspec.Struct, frozen=True, gc=False):
    """What a background view has answered. Its head is encoded, so that the cycle collector need
    not walk the headers of all that are kept."""

    head: bytes
    mimetype: str
    data: bytes

    @classmethod
    def of(cls, status: int, headers: list[tuple[str, str]], data: bytes) -> StoredResponse:
        named = (value for name, value in headers if name.lower() == "content-type")
        mimetype = next(named, "").partition(";")[0].strip() or "application/octet-stream"
        return cls(_encode_head((status, headers)), mimetype, data)


def encode(value: Any) -> msgspec.Raw:
    """`value` as JSON.

    Raises TypeError, ValueError or RecursionError for what JSON cannot carry: another type,
    NaN and infinity (RFC 8259, section 6), a lone surrogate, a cycle.
    """
    if value is None:
        return NULL
    data = _encode(value)
    # msgspec writes null for NaN and infinity, so only a text with null in it needs a look.
    if b"null" in data and _has_nan(msgspec.to_builtins(value)):
        raise ValueError("NaN and infinity are not JSON")
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        _check_depth(msgspec.to_builtins(value))
    return msgspec.Raw(data)


def decode(data: msgspec.Raw | bytes) -> Any:
    return _decode(data)


def _check_depth(value: Any) -> None:
    """Raises ValueError for what is nested so deeply that reading it back could fail: how deep
    JSON may be depends on how deep the stack is at that moment."""
    level: list[Any] = [[value]]
    for _ in range(MAX_DEPTH + 1):
        inside: list[Any] = []
        for item in level:
            inside += item.values() if isinstance(item, dict) else item
        level = [item for item in inside if isinstance(item, (dict, list, tuple))]
        if not level:
            return
    raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")


def _has_nan(value: Any) -> bool:
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, float):
            if not math.isfinite(item):
                return True
        elif isinstance(item, dict):
            todo += item.values()
            todo += item.keys()
        elif isinstance(item, (list, tuple, set, frozenset)):
            todo += item
    return False


def encode_result(value: Any, limit: int) -> tuple[bytes, str | None]:
    """What is kept of a result: its bytes, and their media type if they are a blob.

    Raises InvalidResult for what JSON cannot carry, or for more than `limit` bytes.
    """
    mimetype = None
    if isinstance(value, Blob):
        data, mimetype = bytes(value.data), value.mimetype
    elif isinstance(value, (bytes, bytearray, memoryview)):
        data, mimetype = bytes(value), "application/octet-stream"
    else:
        try:
            data = bytes(encode(value))
        except (TypeError, ValueError, RecursionError, OverflowError) as error:
            raise InvalidResult(
                f"The result of type {type(value).__name__!r} is not JSON: {error}. Return plain "
                f"data (numbers, text, lists, dicts, dataclasses), bytes or a Blob."
            ) from None
    if len(data) > limit:
        raise InvalidResult(too_large("result", len(data), limit))
    return data, mimetype


def too_large(what: str, size: int, limit: int) -> str:
    return (
        f"The {what} has {size:,} bytes and TASKS_MAX_RESULT_SIZE allows {limit:,}. Return less, "
        f"or write it to a file and return its path."
    )


def text(value: object, limit: int = 8192) -> str:
    """`str(value)`, whatever it does, as text that JSON and UTF-8 can carry, at most `limit`
    characters with its middle cut out."""
    try:
        result = str(value)
    except BaseException as error:  # noqa: BLE001 - a __str__ may raise anything, SystemExit too
        result = f"<{type(value).__name__} whose __str__ raised {type(error).__name__}>"
    result = result.encode("utf-8", "backslashreplace").decode()
    if len(result) > limit:
        half = (limit - 5) // 2
        result = f"{result[:half]} ... {result[-half:]}"
    return result
