"""`quart-tasks stats`."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from ..record import STATES
from .records import COLOURS
from .screen import Screen, table
from .session import Session
from .words import clean, duration


async def show_stats(session: Session, as_json: bool) -> None:
    async with session.client() as client:
        stats = await client.stats()
    screen = Screen()
    if as_json:
        screen.json(stats)
        return
    states = [(state, count) for state, count in stats["states"].items() if count]
    counts = [Text(f"{count:,} {state}", style=COLOURS.get(state, "")) for state, count in states]
    screen.line(Text("   ").join(counts) if counts else "There are no tasks yet.")
    if stats["names"]:
        screen.write()
        screen.show(_names(stats["names"]))
    screen.write()
    screen.show(_executors(stats["executors"]))
    screen.write()
    screen.show(_times(stats))


def _names(names: dict[str, dict[str, int]]) -> Table:
    shown = [state for state in STATES if any(counts.get(state) for counts in names.values())]
    rows = table("TASK", *(f"{state.upper()}>" for state in shown))
    for name, counts in sorted(names.items()):
        rows.add_row(clean(name), *(_count(counts.get(state)) for state in shown))
    return rows


def _executors(executors: dict[str, dict[str, Any]]) -> Table:
    rows = table("EXECUTOR", "SLOTS>", "RUNNING>", "QUEUED>")
    for name, counts in executors.items():
        cells = [_count(counts.get(key)) for key in ("slots", "running", "queued")]
        rows.add_row(clean(name), *cells)
    return rows


def _count(value: Any) -> str:
    return "" if value is None else f"{value:,}"


def _times(stats: dict[str, Any]) -> Table:
    rows = table("", "HALF>", "99 %>", rest=True)
    latency, lag = stats["latency"], stats["loop"]
    for name, p50, p99, meaning in (
        ("waited", latency["wait_p50"], latency["wait_p99"], "from submission to start"),
        ("ran", latency["run_p50"], latency["run_p99"], "from start to end"),
        ("loop lag", lag["lag_p50"], lag["lag_p99"], "by which the event loop was late"),
    ):
        rows.add_row(name, _time(p50), _time(p99), Text(meaning, style="dim"))
    rows.add_row("up for", _time(stats["uptime"]), "", "")
    return rows


def _time(seconds: float | None) -> str:
    return "" if seconds is None else duration(seconds)
