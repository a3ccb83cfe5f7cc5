"""Task ids and timestamps: both are made for every task, so both are made cheaply."""

from __future__ import annotations

import time
from os import urandom


class UUID7:
    """Makes UUIDs of version 7 as text (RFC 9562, section 5.7), strictly increasing.

    The 12 bits of `rand_a` are a counter within the millisecond (section 6.2, method 1), so
    ids sort by their making even within one; a full counter borrows from the next
    millisecond. `rand_b` comes from the system's random source, which is asked for many ids
    at once: that is most of what `uuid.uuid4()` spends its 1.5 µs on.
    """

    __slots__ = ("_count", "_head", "_ms", "_tails")

    def __init__(self) -> None:
        self._ms = self._count = 0
        self._head = ""
        self._tails: list[str] = []

    def __call__(self) -> str:
        now = time.time_ns() // 1_000_000
        if now > self._ms:
            self._begin(now)
        else:
            self._count += 1
            if self._count > 0xFFF:
                self._begin(self._ms + 1)
        if not self._tails:
            self._tails = _tails()
        return f"{self._head}-{hex(0x7000 + self._count)[2:]}-{self._tails.pop()}"

    def _begin(self, ms: int) -> None:
        digits = f"{ms:012x}"
        self._ms, self._count, self._head = ms, 0, f"{digits[:8]}-{digits[8:]}"


AT_ONCE = 256  # ids whose random bits are fetched together


def _tails() -> list[str]:
    """The variant and `rand_b` of so many ids; the two bits beside the variant are always 0."""
    random = urandom(8 * AT_ONCE)
    return ["8" + random[at : at + 8].hex("-", 6)[1:] for at in range(0, len(random), 8)]


_second = ("", "")  # the last second that was formatted, and how


def timestamp(ns: int | None = None) -> str:
    """Nanoseconds since the epoch (default: now) as RFC 3339 in UTC, always with microseconds:
    `2026-11-21T08:00:00.000000Z`. So timestamps sort as text."""
    global _second
    micros = str((time.time_ns() if ns is None else ns) // 1000)
    second, text = _second
    if micros[:-6] != second:
        second = micros[:-6]
        text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(int(second or 0)))
        _second = (second, text)
    return f"{text}{micros[-6:]}Z"
