"""A task in words: what became of it, how far it is, what it has said."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from ..events import TaskEvent
from ..record import Record
from .words import ago, clean, duration, moment, number, short, size, to_json

# Of an id, made of the time as `ids.py` says: its millisecond, which is mostly enough to tell it
# from others, and its number in that, which always is.
SHORT_ID, LONG_ID = 13, 18
COLOURS = {
    "scheduled": "cyan",
    "queued": "cyan",
    "running": "bright_blue",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "yellow",
}
SYMBOLS = {"succeeded": "✓", "failed": "✗", "cancelled": "⊘"}
LEVELS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red", "DEBUG": "dim"}


def abbreviated(id: str, others: Sequence[str] = ()) -> str:
    for length in (SHORT_ID, LONG_ID):
        if not any(other[:length] == id[:length] and other != id for other in others):
            return id[:length]
    return id


def name_of(record: Record) -> str:
    return clean(record.name)


def state_text(record: Record) -> Text:
    """`✓ succeeded`, or what a task is about to become."""
    word = "cancelling" if record.cancel_requested and not record.ended else record.state
    symbol = SYMBOLS.get(record.state)
    return Text(f"{symbol} {word}" if symbol else word, style=COLOURS[record.state])


def took(record: Record, now: float) -> str:
    """How long the last attempt ran, or has run so far."""
    if record.started_at is None or not (record.ended or record.state == "running"):
        return ""
    end = moment(record.finished_at) if record.finished_at else now
    return duration(end - moment(record.started_at))


def gist(record: Record, now: float | None = None) -> Text:
    """What there is to know about a task beside its state, in a few words."""
    if record.state == "scheduled":
        words = ago(record.scheduled_for, now)
        if record.attempt:
            words = f"attempt {record.attempt + 1} of {record.max_attempts} {words}"
        return Text(words)
    if record.state == "failed":
        return Text(_error(record), style=COLOURS["failed"])
    if record.state == "running":
        return Text(how_far(record))
    if record.state == "succeeded":
        return Text(result_in_short(record))
    return Text()


def how_far(record: Record) -> str:
    """`45 %`, or `1,200` where the total is not known, and the task's own word to it."""
    progress = record.progress
    if progress is None:
        return ""
    message = clean(progress.message or "")
    if progress.total:
        return f"{percent(progress.current, progress.total)} {message}".rstrip()
    return f"{number(progress.current)} {message}".rstrip()


def percent(current: float, total: float) -> str:
    # Rounded down: 100 % is all of it.
    return f"{int(max(0.0, min(1.0, current / total)) * 100)} %"


def result_in_short(record: Record) -> str:
    if record.result_type not in (None, "application/json") or "result" in record.omitted:
        kind = clean(record.result_type or "JSON")
        return kind if record.result_size is None else f"{kind}, {size(record.result_size)}"
    return "" if record.result is None else short(record.result)


def trace(record: Record) -> str:
    """Why the last attempt failed, as Python tells it."""
    if record.error is None:
        return "The server does not say why."
    return (record.error.traceback or f"{record.error.type}: {record.error.message}").rstrip()


def stage(record: Record, *, symbol: bool = True, details: bool = True) -> Text:
    """`running`, `scheduled in 5 s`, `✓ succeeded in 3.2 s: 168`, `✗ failed after 2 s: …`."""
    if record.ended:
        return _ending(record, symbol, details)
    if record.cancel_requested:
        return Text("cancelling", style=COLOURS["cancelled"])
    text = Text(record.state, style=COLOURS[record.state])
    if record.state == "scheduled":
        if record.error is not None:
            failed = f"attempt {record.attempt} of {record.max_attempts} failed"
            text = Text(f"{failed}: {_error(record)}; again")
        when = ago(record.scheduled_for)
        text.append(" at once" if when == "just now" else f" {when}")
    elif record.state == "running" and record.attempt > 1:
        text.append(f", attempt {record.attempt} of {record.max_attempts}")
    return text


def _ending(record: Record, symbol: bool, details: bool) -> Text:
    text = Text(f"{SYMBOLS[record.state]} " if symbol else "", style=COLOURS[record.state])
    text.append(record.state)
    if time_taken := took(record, 0.0):
        text.append(f" {'in' if record.state == 'succeeded' else 'after'} {time_taken}")
    if details and (more := gist(record)).plain:
        text.append(": ").append_text(more)
    return text


def _error(record: Record) -> str:
    return "" if record.error is None else clean(f"{record.error.type}: {record.error.message}")


def said(event: TaskEvent, *, lines: bool = False) -> Text | None:
    """What a task has logged or yielded."""
    if event.type == "log":
        level = clean(event.data["level"])
        message = clean(event.data["message"], lines=lines)
        return Text.assemble((level, LEVELS.get(level, "cyan")), f" {message}")
    if event.type == "output":
        value = event.data["value"]
        text = clean(value, lines=lines) if isinstance(value, str) else to_json(value)
        return Text(text)
    return None
