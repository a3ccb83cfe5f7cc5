"""The journal: what makes an accepted task survive `kill -9` and a power cut.

One thread writes. All that is to be written while a commit is on its way goes into the next one
(group commit), so that a thousand callers share the disk's sync, and a lone one waits for its own.
Whoever asks for a commit is called back on the event loop, in the order of asking.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context

import msgspec

from .database import Batch, Database

RETRY_SECONDS = 0.5  # between two tries to write, while the disk is full, say
GATHER_SECONDS = 0.002  # that the first of a commit waits for more, while more comes
TOLD_AT_ONCE = 200  # callers called back in one turn of the loop
SLICE = 2000  # tasks read at once

logger = logging.getLogger("quart_tasks")


class Change(msgspec.Struct, frozen=True, gc=False):
    """What is written about one task; nothing but its id: it is forgotten."""

    id: str
    accepted: bytes | None = None  # of a new one
    current: bytes | None = None
    result: bytes | None = None


class Entry(msgspec.Struct, frozen=True):
    """Changes that are committed together. `done` is told whether they were; those that `must`
    be are tried again until they are."""

    changes: list[Change]
    done: Callable[[bool], None] | None = None
    must: bool = True


class Journal:
    def __init__(self, path: str) -> None:
        self.database = Database(path)
        self.problem: str | None = None  # why it cannot be written
        self._loop = asyncio.get_running_loop()
        self._asked: list[Entry] = []  # in this turn of the loop
        self._entries: list[Entry] = []  # for the thread
        self._changed = threading.Condition()
        self._closing = self._given_up = False
        self._thread: threading.Thread | None = None
        self._committed: deque[tuple[Entry, bool]] = deque()  # whose callers are to be told
        self._telling = False  # `_tell_some` is called, or will be

    def start(self) -> None:
        """Begin to write. The database is open, and all that is wanted of it has been read."""
        self._thread = threading.Thread(target=self._work, name="quart-tasks-journal", daemon=True)
        self._thread.start()

    def write(self, entry: Entry) -> None:
        """Have an entry committed; returns at once."""
        self._asked.append(entry)
        if len(self._asked) == 1:
            until = self._loop.time() + GATHER_SECONDS
            self._loop.call_soon(self._gather, 1, until, context=Context())

    def _gather(self, seen: int, until: float) -> None:
        """Hand over once a turn of the loop has asked for nothing more. Woken for the first, the
        thread would commit that one alone and let the others wait."""
        if len(self._asked) > seen and self._loop.time() < until:
            self._loop.call_soon(self._gather, len(self._asked), until)
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        with self._changed:
            self._entries += self._asked
            self._changed.notify()
        self._asked.clear()

    async def close(self, timeout: float) -> bool:
        """Commit what has been asked for, within `timeout` seconds, and let go of the file.
        Whether all was committed."""
        thread = self._thread
        if thread is None:
            self.database.close()
            return True
        ended = self._loop.create_future()
        self._hand_over()

        def wait() -> None:
            thread.join(timeout)
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(ended.set_result, None)

        with self._changed:
            self._closing = True
            self._changed.notify()
        threading.Thread(target=wait, daemon=True).start()
        await ended
        self._tell()
        self._hand_over()  # what came too late, if anything did
        return not thread.is_alive() and not self._entries

    # -- the writer's thread ---------------------------------------------------------------

    def _work(self) -> None:
        while (entries := self._next()) is not None:
            try:
                if entries:
                    self.database.write(_merge(entries))
                else:
                    self.database.probe()
            except (sqlite3.Error, MemoryError, OverflowError) as error:
                self._failed(entries, error)
            else:
                if self.problem is not None:
                    logger.warning("The journal %s can be written again.", self.database.path)
                    self.problem = None
                self._report([(entry, True) for entry in entries])
        self.database.close()

    def _next(self) -> list[Entry] | None:
        """What to write now: nothing, to see whether it can be again; None at the end."""
        with self._changed:
            if self.problem is not None:
                if self._given_up:
                    return None
                self._given_up = self._closing  # after one more try
                self._changed.wait_for(lambda: self._closing, RETRY_SECONDS)
            else:
                self._changed.wait_for(lambda: self._entries or self._closing)
                if not self._entries:
                    return None
            entries, self._entries = self._entries, []
            return entries

    def _failed(self, entries: list[Entry], error: Exception) -> None:
        if self.problem is None:
            logger.error(
                "The journal %s cannot be written: %s. Submissions are refused until it can.",
                self.database.path, error,
            )  # fmt: skip
        self.problem = f"the journal cannot be written: {error}"
        with self._changed:
            self._entries[:0] = [entry for entry in entries if entry.must]
        self._report([(entry, False) for entry in entries if not entry.must])

    def _report(self, told: list[tuple[Entry, bool]]) -> None:
        if not told:
            return
        with self._changed:
            self._committed += told
            wake, self._telling = not self._telling, True
        if wake:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._tell_some, context=Context())

    # -- on the loop -----------------------------------------------------------------------

    def _tell_some(self) -> None:
        """Call back, in slices, those whose entries are committed."""
        for _ in range(min(TOLD_AT_ONCE, len(self._committed))):  # `close` may have told them
            entry, committed = self._committed.popleft()
            try:
                if entry.done is not None:
                    entry.done(committed)
            except Exception:  # the others must be told all the same
                logger.exception("What the journal has could not be carried out.")
        with self._changed:
            self._telling = bool(self._committed)
        if self._telling:
            self._loop.call_soon(self._tell_some)

    def _tell(self) -> None:
        while self._committed:
            self._tell_some()


def _merge(entries: list[Entry]) -> Batch:
    batch = Batch()
    for entry in entries:
        for change in entry.changes:
            if change.current is None:
                batch.forget(change.id)
            elif change.accepted is not None:
                batch.accept(change.id, change.accepted, change.current)
            else:
                batch.update(change.id, change.current, change.result)
    return batch
