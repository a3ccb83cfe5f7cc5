"""The last minutes in figures, a sample a second: what the dashboard's plots begin with."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from itertools import islice
from typing import Any

import msgspec

from .events import Event
from .feed import bye
from .metrics import Metrics, percentile
from .record import State
from .registry import Registry
from .subscriptions import Closed, Subscription

EVERY = 1.0  # seconds
KEPT = 300  # samples: five minutes
MOST = 1000  # durations that a sample's percentiles are of, at most: the newest


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One second. `submitted`, `succeeded`, `failed` and `cancelled` count what happened in it,
    `scheduled`, `queued` and `running` are as of its end. `wait` (from due to started) and `run`
    (of attempts that ended) are seconds: [p50, p95, p99], or None when there were none; `lag` is
    the longest that the event loop was late, in seconds."""

    time: str
    submitted: int
    succeeded: int
    failed: int
    cancelled: int
    scheduled: int
    queued: int
    running: int
    wait: tuple[float, float, float] | None
    run: tuple[float, float, float] | None
    lag: float


class History:
    """Takes the samples, and hands each to those who watch."""

    def __init__(self, registry: Registry, metrics: Metrics) -> None:
        self.samples: deque[Sample] = deque(maxlen=KEPT)
        self._readers: set[Subscription] = set()
        self._registry, self._metrics = registry, metrics
        self._before = self._totals()

    def _totals(self) -> tuple[int, ...]:
        metrics = self._metrics
        submitted = metrics.ended + self._registry.unfinished_count
        return (
            submitted, metrics.ended, metrics.failed, metrics.cancelled, metrics.started,
            metrics.attempts,
        )  # fmt: skip

    def take(self, time: str, states: dict[State, int], lag: float) -> Sample:
        """Add a sample of the time since the last one."""
        now = self._totals()
        submitted, ended, failed, cancelled, started, attempts = (
            new - old for new, old in zip(now, self._before, strict=True)
        )
        self._before = now
        sample = Sample(
            time, max(0, submitted), ended - failed - cancelled, failed, cancelled,
            states["scheduled"], states["queued"], states["running"],
            _percentiles(self._metrics.waits, started),
            _percentiles(self._metrics.runs, attempts), lag,
        )  # fmt: skip
        self.samples.append(sample)
        return sample

    async def watch(self, now: Callable[[], dict[str, Any]]) -> AsyncGenerator[list[Event], None]:
        """`stats` frames of what `now` gives: the first with all `samples`, each later one with
        the newest; at last `bye`. One who does not read for minutes begins anew."""
        registry = self._registry
        reader = registry.subscriptions.open()
        self._readers.add(reader)
        try:
            batch: list[Event] | None = None
            while True:
                if batch is None:
                    reader.rejoin(registry.log.last)
                    data = now() | {"samples": list(self.samples)}
                    batch = [registry.log.moment("stats", data)]
                yield batch
                batch = await reader.next()
        except Closed:
            yield [bye(registry)]
        finally:
            self._readers.discard(reader)
            registry.subscriptions.close(reader)

    def tell(self, now: Callable[[], dict[str, Any]]) -> None:
        """Send the newest sample to all who watch."""
        if self._readers:
            data = now() | {"samples": [self.samples[-1]]}
            event = self._registry.log.moment("stats", data)
            for reader in self._readers:
                reader.put(event)
                if reader.behind:  # what it missed is not in the log
                    reader.lost = "lagged"
                reader.wake()


def _percentiles(newest_last: deque[float], count: int) -> tuple[float, float, float] | None:
    values: Iterable[float] = islice(reversed(newest_last), min(count, MOST))
    ordered = sorted(values)
    found = [percentile(ordered, percent) for percent in (50, 95, 99)]
    if (p50 := found[0]) is None or (p95 := found[1]) is None or (p99 := found[2]) is None:
        return None
    return p50, p95, p99
