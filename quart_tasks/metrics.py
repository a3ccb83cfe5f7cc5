"""How fast tasks start and end, over the last thousand of them."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable


class Metrics:
    def __init__(self) -> None:
        self.waits: deque[float] = deque(maxlen=1000)  # seconds from due to started
        self.runs: deque[float] = deque(maxlen=1000)  # seconds of attempts
        self._ends: deque[float] = deque(maxlen=1000)
        self._busy_since = time.monotonic()

    def begin(self) -> None:
        """There is something to do again: the time until now says nothing about the rate."""
        self._ends.clear()
        self._busy_since = time.monotonic()

    def end(self) -> None:
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
