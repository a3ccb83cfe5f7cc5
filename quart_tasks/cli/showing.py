"""`quart-tasks show`."""

from __future__ import annotations

import time
from typing import cast

import msgspec
from rich.table import Table
from rich.text import Text

from ..record import Detail, Record
from .options import Server
from .records import LEVELS, LONG_ID, how_far, name_of, result_in_short, state_text, took, trace
from .screen import Screen
from .session import Session, find
from .words import ago, clean, local, short


async def show_task(session: Session, id: str, as_json: bool) -> None:
    async with session.client() as client:
        handle = await find(session, client, id)
        record = cast(Detail, await handle.refresh())
    screen = Screen()
    if as_json:
        screen.json(msgspec.to_builtins(record))
        return
    screen.line(Text(name_of(record), style="bold"), "  ", state_text(record))
    screen.write()
    screen.show(_facts(record))
    _show_logs(screen, record)
    if record.error is not None:
        screen.write()
        screen.line(Text(clean(trace(record), lines=True), style="red"))
    if (hint := _next(session.server, record)) is not None:
        screen.write()
        screen.line(Text(hint, style="dim"))


def _facts(record: Detail) -> Table:
    facts = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")

    def add(name: str, value: str | Text | None) -> None:
        if value:
            facts.add_row(name, Text(value) if isinstance(value, str) else value)

    def time_of(text: str | None) -> str | None:
        return f"{local(text)} ({ago(text)})" if text else None

    now = time.time()
    add("id", record.id)
    add("arguments", _call(record))
    add("progress", how_far(record))
    add("result", result_in_short(record) if record.state == "succeeded" else None)
    add("created", time_of(record.created_at))
    if record.state == "scheduled":
        add("starts", time_of(record.scheduled_for))
    add("started", time_of(record.started_at))
    add("ended", time_of(record.finished_at))
    add("took", took(record, now))
    many = record.max_attempts > 1 or record.attempt > 1
    add("attempt", f"{record.attempt} of {record.max_attempts}" if many else None)
    add("runs in", clean(record.worker or record.executor))
    add("priority", str(record.priority) if record.priority else None)
    add("key", clean(record.key or ""))
    add("owner", clean(record.owner or ""))
    add("parent", record.parent_id)
    add("retry of", record.retry_of)
    return facts


def _call(record: Record) -> str:
    if "args" in record.omitted or "kwargs" in record.omitted:
        return "(too large)"
    positional = [short(value) for value in record.args]
    named = [f"{clean(name)}={short(value)}" for name, value in record.kwargs.items()]
    return " ".join([*positional, *named])


def _show_logs(screen: Screen, record: Detail) -> None:
    if record.logs:
        screen.write()
    for line in record.logs:
        level = Text(f"{clean(line.level):8}", style=LEVELS.get(line.level, ""))
        text = clean(line.message, lines=True)
        screen.line(Text(f"{local(line.time)[11:]} ", style="dim"), level, f" {text}")


def _next(server: Server, record: Record) -> str | None:
    id = record.id[:LONG_ID]
    if not record.ended:
        return f"Watch it: {server.command('watch', id)}"
    if record.state != "succeeded":
        return f"Run it again: {server.command('retry', id)}"
    if result_in_short(record) and record.result is None:
        return f"Write its result: {server.command('result', id, '--output', 'FILE')}"
    return None
