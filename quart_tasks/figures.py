"""What a server says of itself: how busy and how quick it is, and what it cannot do."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any

from .catalog import Catalog
from .config import Config
from .events import Event
from .history import EVERY, History
from .ids import timestamp
from .metrics import percentile
from .record import STATES, State
from .registry import Registry
from .runner import Runner


class Figures:
    """Reads what the parts of one app count; changes none of them."""

    def __init__(
        self, config: Config, catalog: Catalog, registry: Registry, runner: Runner
    ) -> None:
        self._config, self._catalog = config, catalog
        self._registry, self._runner = registry, runner
        self._history = History(registry, runner.metrics)
        self._started = self._sampled = time.monotonic()
        self._lags: deque[float] = deque(maxlen=600)
        self._longest = 0.0  # lag since the last sample

    def tick(self, lag: float) -> None:
        """The event loop was late by so many seconds just now. Every second this takes a sample,
        and sends it to those who watch."""
        self._lags.append(lag)
        self._longest = max(self._longest, lag)
        now = time.monotonic()
        if now - self._sampled >= EVERY:
            states = _sums(self._registry.counts())
            self._history.take(timestamp(), states, self._longest)
            self._history.tell(self._frame)
            self._sampled, self._longest = now, 0.0

    def watch(self) -> AsyncGenerator[list[Event], None]:
        """`stats` frames: the samples of the last minutes, and then each new one."""
        return self._history.watch(self._frame)

    def _frame(self) -> dict[str, Any]:
        """What a frame has beside its samples."""
        return {"stats": self.stats(), "health": self.unhealthy()}

    def stats(self) -> dict[str, Any]:
        """What `GET /tasks/stats` answers."""
        names = self._registry.counts()
        executors = {
            name: {
                "slots": lane.executor.slots,
                "running": lane.taken,
                "queued": lane.waiting,
                "abandoned": lane.abandoned,
            }
            for name, lane in self._runner.lanes.items()
        }
        return {
            "states": _sums(names),
            "names": names,
            "executors": executors,
            "loop": {"lag_p50": percentile(self._lags, 50), "lag_p99": percentile(self._lags, 99)},
            "latency": self._runner.metrics.latency(),
            "streams": len(self._registry.subscriptions),
            "uptime": time.monotonic() - self._started,
            "epoch": self._registry.log.epoch,
        }

    def unhealthy(self) -> str | None:
        """Why this server cannot do all that it should, or None."""
        runner = self._runner
        if runner.draining:
            return "draining: the server is shutting down"
        if self._registry.loading:
            return "loading: the journal is being read"
        if runner.ledger.problem is not None:
            return runner.ledger.problem
        if stuck := len(runner.lanes["thread"].stuck):
            return (
                f"{stuck} of {self._config.threads} slots for threads are held by tasks past their "
                f"timeout, which cannot be stopped; {self._config.max_abandoned_threads} others "
                f"(TASKS_MAX_ABANDONED_THREADS) run on already."
            )
        if any(each.executor == "process" for each in self._catalog.definitions.values()):
            return runner.lanes["process"].executor.health()
        return None


def _sums(names: dict[str, dict[State, int]]) -> dict[State, int]:
    """Tasks by state, of those by name and state."""
    return {state: sum(counts[state] for counts in names.values()) for state in STATES}
