"""Text for people: times, sizes and values in words, and what tasks have written made harmless."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from typing import Any

# What moves the cursor, starts an escape sequence (ECMA-48: C0, C1), breaks the line or turns the
# direction of what follows (Unicode's bidirectional controls), and what UTF-8 cannot write.
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def clean(text: str, *, lines: bool = False) -> str:
    """Text from elsewhere without anything that a terminal obeys: such characters are shown as
    Python writes them, `\\x1b`. With `lines`, line breaks and tabs stay."""
    if lines:
        text = text.expandtabs(4)
        return "\n".join(_CONTROL.sub(_escaped, line) for line in text.split("\n"))
    return _CONTROL.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def to_json(value: Any, *, indent: int | None = None) -> str:
    """JSON that a terminal can show: what it would obey is escaped, as JSON allows in text."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    escape = {"\n": "\n"} if indent is not None else {}
    return _CONTROL.sub(lambda found: escape.get(found[0], f"\\u{ord(found[0]):04x}"), text)


def short(value: Any, most: int = 200) -> str:
    """A value on one line."""
    text = to_json(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def duration(seconds: float) -> str:
    """`40 ms`, `3.2 s`, `3 min 5 s`, `2 h 5 min`: two units at most."""
    if seconds < 0.995:
        milliseconds = max(seconds, 0) * 1000
        return f"{milliseconds:.0f} ms" if milliseconds >= 9.95 else f"{milliseconds:.1f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    smaller, below = 1, "s"
    parts = [f"{whole} s"]
    for size, unit in reversed(UNITS):
        if whole < size:
            break
        first, rest = divmod(whole, size)
        parts = [f"{first} {unit}", *([f"{rest // smaller} {below}"] if rest >= smaller else [])]
        smaller, below = size, unit
    return " ".join(parts)


def moment(text: str) -> float:
    """A record's time in seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


def ago(text: str | None, now: float | None = None) -> str:
    """A record's time as seen from now: `3 min ago`, `in 2 h`, `just now`."""
    if text is None:
        return ""
    seconds = (time.time() if now is None else now) - moment(text)
    if abs(seconds) < 1:
        return "just now"
    whole = round(abs(seconds))
    size, unit = next((each for each in UNITS if whole >= 0.99 * each[0]), (1, "s"))
    words = f"{round(whole / size)} {unit}"
    return f"{words} ago" if seconds > 0 else f"in {words}"


def clock(seconds: float) -> str:
    """As `duration`, without what changes faster than one reads."""
    return duration(float(round(seconds))) if seconds >= 9.95 else f"{max(seconds, 0):.0f} s"


def local(text: str) -> str:
    """A record's time on the clock here: `2026-11-21 09:00:00`."""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def size(count: int) -> str:
    """`48.1 kB`: thousands, as files are counted."""
    if count < 1000:
        return plural(count, "byte")
    number = float(count)
    unit = ""
    for unit in ("kB", "MB", "GB"):  # noqa: B007 - the last one is kept
        number /= 1000
        if number < 999.95:
            break
    return f"{number:.1f} {unit}"


def plural(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def number(value: float) -> str:
    """`1,000`, `0.5`: not more digits than it has."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.4g}"
