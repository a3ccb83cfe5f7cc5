"""Watching tasks, to their end or until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress

from ..client import TasksClient, Unreachable
from ..exceptions import TaskNotFound
from ..record import Record
from .bars import Bars
from .board import Board
from .errors import Refused
from .following import end, events_of
from .lines import Display, JsonLines, Lines
from .records import LONG_ID, SHORT_ID, name_of, stage, trace
from .screen import Screen
from .session import Session
from .words import clean, plural

AGAIN_SECONDS = 2.0  # in which a second Ctrl-C cancels


class Watch:
    """Shows what happens to these tasks, to their end; if there are none: to all, for ever.

    `back` is the command line by which a person comes back to them; with `delivers` the results
    are written after that.
    """

    def __init__(
        self, session: Session, records: Sequence[Record], screen: Screen, *, as_json: bool,
        back: str | None = None, delivers: bool = False,
    ) -> None:  # fmt: skip
        self._session, self._records, self._back = session, records, back
        all = not records
        self.board = Board(all=all)
        self._display: Display
        if as_json:
            self._display = JsonLines()
        elif screen.live:
            told = [] if all else ["failed", "succeeded"] if delivers else ["failed"]
            self._display = Bars(screen, self.board, all=all, told=told)
        else:
            self._display = Lines(screen, self.board)
        self._away = self._stopped = False

    async def run(self) -> int:
        """Returns 0 when all have succeeded, 1 when not, 128 and its number after a signal."""
        with _signals() as signals:
            async with self._session.steady_client(self.tell_away) as client:
                reading = asyncio.create_task(self._read(client))
                leaving = asyncio.create_task(signals.get())
                try:
                    self._display.begin()
                    await asyncio.wait({reading, leaving}, return_when=asyncio.FIRST_COMPLETED)
                    self._stop()
                    if reading.done():
                        await reading
                        return self._code()
                    if self._unfinished() and leaving.result() == signal.SIGINT:
                        await self._leave(reading, signals)
                    return 128 + leaving.result()
                finally:
                    self._stop()
                    await end(reading, leaving)

    def _stop(self) -> None:
        """Show no more events."""
        self._stopped = True
        self._display.stop()

    def tell_away(self, error: Exception) -> None:
        """For a steady client: that the server is waited for."""
        if not self._away:
            self._away = True
            url, why = self._session.server.url, clean(str(error))
            state = "is away" if isinstance(error, Unreachable) else f"says: {why}"
            self._display.say(f"The server at {url} {state}; waiting for it.")

    async def _read(self, client: TasksClient) -> None:
        ids = [record.id for record in self._records]
        source = events_of(client, ids) if ids else client.events()
        async with aclosing(source) as events:
            async for event in events:
                if self._away:
                    self._away = False
                    self._display.say("The server is back.")
                changed = self.board.take(event)
                if not self._stopped:
                    self._display.show(event, changed)

    def _code(self) -> int:
        if self.board.gone:
            raise Refused(
                f"The server does not know {' '.join(self.board.gone)} any more: it has started "
                f"anew, and without a journal (its TASKS_JOURNAL) tasks end with it."
            )
        return int(any(record.state != "succeeded" for record in self.board.records.values()))

    def show_failures(self) -> None:
        """The tracebacks, on stderr."""
        errors = Screen(error=True)
        failed = [each for each in self.board.records.values() if each.state == "failed"]
        for record in failed:
            if len(self._records) > 1:
                errors.write(f"{name_of(record)} {record.id}:")
            errors.write(clean(trace(record), lines=True))

    def _unfinished(self) -> list[Record]:
        """Of the tasks that were asked for: perhaps nothing was heard of them yet."""
        now = [self.board.records.get(record.id, record) for record in self._records]
        return [each for each in now if not each.ended and each.id not in self.board.gone]

    # -- Ctrl-C ----------------------------------------------------------------------------

    async def _leave(self, reading: asyncio.Task[None], signals: asyncio.Queue[int]) -> None:
        """Say how to come back, and cancel the tasks if Ctrl-C comes once more."""
        unfinished = self._unfinished()
        one = len(unfinished) == 1
        ids = [record.id[:LONG_ID] for record in unfinished]
        back = self._back or self._session.server.command("watch", *ids)
        self._display.say(
            f"{_names(unfinished)} {'goes' if one else 'go'} on. Come back with:\n  {back}\n"
            f"Ctrl-C again within {AGAIN_SECONDS:g} s cancels {'it' if one else 'them'}."
        )
        again = asyncio.create_task(signals.get())
        try:
            await asyncio.wait(
                {reading, again}, timeout=AGAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if again.done():
                await self._cancel(reading, signals)
        finally:
            await end(again)

    async def _cancel(self, reading: asyncio.Task[None], signals: asyncio.Queue[int]) -> None:
        unfinished = self._unfinished()
        self._display.say(f"Cancelling {_names(unfinished)}.")
        async with self._session.client() as client:
            for record in unfinished:
                with suppress(TaskNotFound):
                    await client.cancel(record.id)
        leaving = asyncio.create_task(signals.get())
        try:
            await asyncio.wait({reading, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(leaving)
        for record in unfinished:
            now = self.board.records.get(record.id, record)
            self._display.say(f"{name_of(now)} {now.id[:SHORT_ID]} {stage(now).plain}")


def _names(records: list[Record]) -> str:
    return name_of(records[0]) if len(records) == 1 else plural(len(records), "task")


@contextmanager
def _signals() -> Iterator[asyncio.Queue[int]]:
    """The signals that ask to leave, one after the other; they do nothing by themselves."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[int] = asyncio.Queue()
    numbers = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN  # as in `nohup`, or a script's `&`
    ]
    for number in numbers:
        loop.add_signal_handler(number, queue.put_nowait, number)
    try:
        yield queue
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
