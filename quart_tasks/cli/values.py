"""`key=value` on the command line as a task's arguments."""

from __future__ import annotations

from typing import Any

import msgspec

from .errors import Refused

# What JSON looks like for a shell.
LIKE = {"array": '\'["a", "b"]\'', "object": "'{\"a\": 1}'"}


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


def hint(key: str, given: Any, detail: str) -> str:
    """How to write what was meant, where `given` did not fit for the reason `detail`."""
    if "Expected `str" in detail and not isinstance(given, str):
        return f" For text that looks like JSON, quote it twice: {key}='\"…\"'."
    expected = detail.partition("Expected `")[2].partition("`")[0]
    like = next((like for kind, like in LIKE.items() if kind in expected), None)
    return f" It is written as in {key}={like}; what is no valid JSON is text." if like else ""


def value(text: str) -> Any:
    """JSON as the server reads it, so that `NaN` and what is half JSON are text."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return text
