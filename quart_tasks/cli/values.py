"""`key=value` on the command line as a task's arguments."""

from __future__ import annotations

from typing import Any

import msgspec

from .errors import Refused


def arguments(words: tuple[str, ...]) -> dict[str, Any]:
    """Each value is JSON, or else text. Raises Refused."""
    found: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key.isidentifier():
            raise Refused(
                f"{word!r} is not key=value: name the argument, as in `submit primes limit=1000`."
            )
        if key in found:
            raise Refused(f"{key} is given twice.")
        found[key] = value(text)
    return found


def value(text: str) -> Any:
    """JSON as the server reads it, so that `NaN` and what is half JSON are text."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return text
