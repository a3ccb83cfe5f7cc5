"""How fast tasks start and end, over the last thousand of them."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable

from .record import State


class Metrics:
    def __init__(self) -> None:
        self.waits: deque[float] = deque(maxlen=1000)  # seconds from due to started
        self.runs: deque[float] = deque(maxlen=1000)  # seconds of attempts
        # Since the start: what begun and what ended, attempts and tasks.
        self.started = self.attempts = 0
        self.ended = self.failed = self.cancelled = 0
        self._ends: deque[float] = deque(maxlen=1000)
        self._busy_since = time.monotonic()

    def begin(self) -> None:
        """There is something to do again: the time until now says nothing about the rate."""
        self._ends.clear()
        self._busy_since = time.monotonic()

    def wait(self, seconds: float) -> None:
        """An attempt has started, so long after it was due."""
        self.started += 1
        self.waits.append(seconds)

    def run(self, seconds: float) -> None:
        """An attempt is over that took so long."""
        self.attempts += 1
        self.runs.append(seconds)

    def end(self, state: State) -> None:
        """A task is over."""
        self.ended += 1
        if state == "failed":
            self.failed += 1
        elif state == "cancelled":
            self.cancelled += 1
        self._ends.append(time.monotonic())

    def seconds_for(self, tasks: int) -> int:
        """About how long the next `tasks` ends will take, from 1 to 60 s."""
        full = len(self._ends) == self._ends.maxlen
        since = self._ends[0] if full else self._busy_since
        per_task = (time.monotonic() - since) / max(1, len(self._ends))
        return max(1, min(60, math.ceil(tasks * per_task)))

    def latency(self) -> dict[str, float | None]:
        return {
            "wait_p50": percentile(self.waits, 50),
            "wait_p99": percentile(self.waits, 99),
            "run_p50": percentile(self.runs, 50),
            "run_p99": percentile(self.runs, 99),
        }


def percentile(values: Iterable[float], percent: int) -> float | None:
    """The nearest-rank percentile, None of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
