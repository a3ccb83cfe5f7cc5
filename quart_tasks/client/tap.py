"""One reader's part of what the watcher's connection brings."""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec

from .messages import Message, is_last, is_newer, output_number

MOST_MESSAGES = 1_000  # that wait for a reader, which then gets a stream of its own
MOST_BYTES = 4 * 1024 * 1024


class Behind(Exception):
    """The reader is slower than its task, and must not hold up the others' connection."""


class Tap:
    """A task's messages: its history, then what happens, each once and in order, to the last.

    They come from any number of connections. Where one does not go on where the last broke off,
    the history is asked for again, and what was in it before is left out.
    """

    def __init__(self) -> None:
        self.position: str | None = None  # the cursor up to which all has come
        self.output = (-1, -1)  # attempt and index of the last one
        self.knows = False  # so that what happens now goes on where it is
        self._learns = False
        self._waiting: deque[Message] = deque()
        self._bytes = 0
        self._end: BaseException | None = None  # once all that waits was taken
        self._more = asyncio.Event()

    def lose(self) -> None:
        """Something is missing: take nothing until the history comes."""
        self.knows = self._learns = False

    def take_history(self, message: Message) -> None:
        if message.type == "snapshot" and not self.knows:
            self._learns = True
            if not is_newer(message.cursor, self.position):  # a reader may go on after any event
                message = msgspec.structs.replace(message, cursor=self.position)
            self._put(message)
        elif self._learns:
            self._put_new(message)

    def learn(self, cursor: str | None) -> None:
        """The history was that up to this cursor."""
        if self._learns:
            self._learns, self.knows = False, True
            if self._end is None and is_newer(cursor, self.position):
                self.position = cursor

    def take(self, message: Message) -> None:
        if self.knows:
            self._put_new(message)

    def _put_new(self, message: Message) -> None:
        if self._end is not None or not is_newer(message.cursor, self.position):
            return
        if message.type == "output":
            # Another start of the server sends a task's outputs again, from the first on.
            if (number := output_number(message)) <= self.output:
                return
            self.output = number
        self._put(message)

    def _put(self, message: Message) -> None:
        if self._end is not None:
            return
        if message.type != "snapshot":
            self.position = message.cursor
        self._waiting.append(message)
        self._bytes += len(bytes(message.data))
        if is_last(message):
            self.end(StopAsyncIteration())
        elif len(self._waiting) > MOST_MESSAGES or self._bytes > MOST_BYTES:
            self.end(Behind())
        self._more.set()

    def end(self, error: BaseException) -> None:
        self._end = self._end or error
        self._more.set()

    def __aiter__(self) -> Tap:
        return self

    async def __anext__(self) -> Message:
        """Raises Behind, and what the watcher fails with."""
        while not self._waiting:
            if self._end is not None:
                raise self._end
            self._more.clear()
            await self._more.wait()
        message = self._waiting.popleft()
        self._bytes -= len(bytes(message.data))
        return message
