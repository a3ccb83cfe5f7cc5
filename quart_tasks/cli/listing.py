"""`quart-tasks list`."""

from __future__ import annotations

import re
import time
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from ..client import TasksClient
from ..record import Record
from .definitions import similar
from .records import gist, name_of, state_text, took
from .screen import Screen, table
from .session import Session
from .words import ago, clean

EVERYTHING = 10**9


async def list_tasks(session: Session, limit: int | None, as_json: bool, **filters: Any) -> None:
    most = EVERYTHING if limit is None else limit
    async with session.client() as client:
        records = await client.list(limit=most + 1, **filters)
        meant = "" if records else await _meant(session, client, filters["name"], filters["q"])
    more, records = len(records) > most, records[:most]
    screen = Screen()
    if as_json:
        screen.json(msgspec.to_builtins({"tasks": records}))
        return
    notes = Screen(error=True)
    if not records:
        filtered = any(value is not None for value in filters.values())
        server = session.server
        todo = server.command("list") if filtered else server.command("types")
        why = "shows all there are" if filtered else "shows what can be submitted"
        notes.line(Text(f"There are no such tasks.{meant} `{todo}` {why}.", style="dim"))
        return
    screen.show(_table(screen, records))
    if more:
        notes.line(Text("There are more: see --limit and --all.", style="dim"))


async def _meant(session: Session, client: TasksClient, name: str | None, q: str | None) -> str:
    """What may have been meant by filters that nothing fits."""
    if words := re.findall(r"\b(state|name):(\S+)", q or ""):
        command = session.server.command("list", *(f"--{key}={value}" for key, value in words))
        return f" -q looks for a text: is `{clean(command)}` meant?"
    if name is None:
        return ""
    names = [each["name"] for each in await client.types()]
    return "" if name in names else similar(name, names)


def _table(screen: Screen, records: list[Record]) -> Table:
    rows = table("ID", "NAME", "STATE", "CREATED", "TOOK>", rest=True)
    now = time.time()
    for record in records:
        rows.add_row(
            Text(screen.id(record, records), style="dim"), name_of(record), state_text(record),
            ago(record.created_at, now), took(record, now), gist(record, now),
        )  # fmt: skip
    return rows
