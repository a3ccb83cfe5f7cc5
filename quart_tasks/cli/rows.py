"""A row for each task: its name, a bar, how far it is, the time, and its own word to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from ..record import Record
from .records import abbreviated, name_of, percent, stage
from .words import ago, clean, clock, moment, number

NAME_WIDTH = 24
BAR_WIDTHS = range(16, 33)  # columns of a bar: at least, and at most
MESSAGE_WIDTH = 16  # what is left to a task's own words before its bar becomes shorter
IDS_FROM = 70  # columns of a terminal from which on ids are shown
GAP = "  "


@dataclass(frozen=True)
class Row:
    name: Text
    id: Text
    gauge: float | Text  # a part of 1, or words in place of a bar
    far: Text
    time: Text
    message: Text


def row_of(record: Record, ids: Sequence[str], now: float) -> Row:
    """`ids`: those from which this one is told; if there are none it is not shown."""
    far, time, message = "", "", ""
    gauge: float | Text = _waiting(record, now)
    if record.state == "running" and record.started_at is not None:
        ran = max(0.0, now - moment(record.started_at))
        time = clock(ran)
        progress = record.progress
        if progress is not None:
            message = clean(progress.message or "")
            far = number(progress.current)
        if progress is not None and progress.total and not record.cancel_requested:
            current, total = progress.current, progress.total
            gauge, far = max(0.0, min(1.0, current / total)), percent(current, total)
            time = f"{clock(ran * (total - current) / current)} left" if current > 0 else ""
    name, id = Text(name_of(record), "bold"), abbreviated(record.id, ids) if ids else ""
    return Row(name, Text(id, "dim"), gauge, Text(far), Text(time, "dim"), Text(message))


def _waiting(record: Record, now: float) -> Text:
    if record.state != "scheduled" or record.cancel_requested:
        return stage(record)
    return Text(
        f"{'again' if record.attempt else 'starts'} {ago(record.scheduled_for, now)}", "cyan"
    )


def draw(rows: Sequence[Row], width: int) -> Text:
    """One below the other, none wider than `width`."""
    names = min(NAME_WIDTH, max(row.name.cell_len for row in rows))
    ids = max(row.id.cell_len for row in rows) if width >= IDS_FROM else 0
    far = max(row.far.cell_len for row in rows)
    times = max(row.time.cell_len for row in rows)
    messages = max(row.message.cell_len for row in rows)
    taken = sum(each + len(GAP) for each in (names, ids, far, times) if each)
    room = width - taken - (min(messages, MESSAGE_WIDTH) + len(GAP) if messages else 0)
    bar = max(BAR_WIDTHS.start, min(BAR_WIDTHS.stop - 1, room))
    lines = []
    for row in rows:
        gauge = row.gauge if isinstance(row.gauge, Text) else bar_of(row.gauge, bar)
        cells = [
            _cell(row.name, names), _cell(row.id, ids), _cell(gauge, bar),
            Text(" " * (far - row.far.cell_len)) + row.far if far else Text(),
            _cell(row.time, times), row.message,
        ]  # fmt: skip
        line = Text(GAP).join(cell for cell in cells if cell.plain)
        line.truncate(width, overflow="ellipsis")
        lines.append(line)
    return Text("\n", no_wrap=True).join(lines)


def _cell(text: Text, width: int) -> Text:
    cell = text.copy()
    cell.truncate(width, overflow="ellipsis", pad=True)
    return cell


def bar_of(part: float, width: int) -> Text:
    """A bar that can be read without colours too."""
    halves = int(part * width * 2)
    full = "━" * (halves // 2) + "╸" * (halves % 2)
    return Text.assemble((full, "bright_blue"), ("─" * (width - len(full)), "dim"))
