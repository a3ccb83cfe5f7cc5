"""Progress bars of all watched tasks at once, drawn anew in place."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection

from rich.live import Live
from rich.text import Text

from ..events import TaskEvent
from ..record import Record
from .board import Board
from .records import SHORT_ID, name_of, said, stage
from .rows import draw, row_of
from .screen import Screen

FRAME_SECONDS = 0.1
MOST_TEXT = 2000  # characters of what a task says at once
CLOCK_SECONDS = 1.0  # after which a frame is due though nothing has happened


class Bars:
    """A row for each unfinished task, and above them what has happened, which stays. `told`: the
    states whose results or errors are told elsewhere."""

    def __init__(self, screen: Screen, board: Board, *, all: bool, told: Collection[str]) -> None:
        self._screen, self._board, self._all, self._told = screen, board, all, told
        self._live = Live(
            console=screen.console, auto_refresh=False, transient=True, redirect_stdout=False,
            redirect_stderr=False, get_renderable=self._picture,
        )  # fmt: skip
        self._above: list[Text] = []
        self._dirty = asyncio.Event()
        self._drawing: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._live.start()
        self._drawing = asyncio.create_task(self._draw())

    def stop(self) -> None:
        if self._drawing is not None:
            self._drawing.cancel()
            self._drawing = None
            self._live.stop()
            self._print_above()

    def show(self, event: TaskEvent, changed: list[Record]) -> None:
        for record in changed:
            if record.ended or (record.state == "scheduled" and record.error is not None):
                self._add(record, stage(record, details=record.state not in self._told))
        task = self._board.records.get(event.task_id or "")
        if task is not None and (text := said(event, lines=True)) is not None:
            self._add(task, text)
        self._dirty.set()

    def say(self, text: str) -> None:
        self._above.append(Text(text, style="yellow"))
        if self._drawing is None:
            self._screen.console.file.write("\r")  # over the ^C that the terminal has written
            self._print_above()
        self._dirty.set()

    def _add(self, record: Record, text: Text) -> None:
        id = Text(f" {record.id[:SHORT_ID]} ", style="dim")
        if len(text) > MOST_TEXT:
            text = text[:MOST_TEXT] + "…"
        self._above.append(Text.assemble((name_of(record), "bold"), id, text))

    async def _draw(self) -> None:
        while True:
            self._print_above()
            self._live.refresh()
            await asyncio.sleep(FRAME_SECONDS)
            try:
                async with asyncio.timeout(CLOCK_SECONDS - FRAME_SECONDS):
                    await self._dirty.wait()
            except TimeoutError:
                pass
            self._dirty.clear()

    def _print_above(self) -> None:
        lines, self._above = self._above, []
        if lines:
            self._screen.console.print(Text("\n").join(lines), soft_wrap=True)

    # -- the picture -----------------------------------------------------------------------

    def _picture(self) -> Text:
        unfinished = self._board.unfinished
        records = sorted(unfinished, key=lambda each: (each.state != "running", each.id))
        room = max(self._screen.console.height - 2, 1)
        shown, rest = records[:room], records[room:]
        ids = [record.id for record in shown]
        if len(self._board.records) == 1 and not self._all:
            ids = []  # there is only this one
        now, width = time.time(), self._screen.console.width - 1
        parts = [draw([row_of(record, ids, now) for record in shown], width)] if shown else []
        if (footer := self._footer(records, rest)) is not None:
            parts.append(Text(footer, style="dim"))
        return Text("\n", no_wrap=True, overflow="ellipsis").join(parts)

    def _footer(self, records: list[Record], rest: list[Record]) -> str | None:
        if rest:
            return f"… and {len(rest):,} more: {_counts(rest)}"
        if not records:
            return "Nothing runs. Waiting for tasks; Ctrl-C leaves." if self._all else None
        return None


def _counts(records: list[Record]) -> str:
    counts = Counter(record.state for record in records)
    return ", ".join(f"{count:,} {state}" for state, count in counts.items())
