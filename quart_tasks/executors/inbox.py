"""What a worker says beside its pool: progress, outputs and log lines, in order."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from ..record import Progress
from .base import Attempt, Reports


class Inbox:
    """The parent's end of a worker's pipe: length-prefixed MessagePack."""

    def __init__(self, pipe: Connection, reports: Reports) -> None:
        self.attempt: Attempt | None = None  # which the messages are about
        self._pipe = pipe
        self._reports = reports
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._hung_up = False
        self._count = 0  # messages of this attempt
        self._expected: tuple[int, asyncio.Future[None]] | None = None

    def open(self) -> None:
        os.set_blocking(self._pipe.fileno(), False)
        self._loop.add_reader(self._pipe.fileno(), self._read)

    def close(self) -> None:
        self._hang_up()
        self._pipe.close()

    def connected(self) -> bool:
        """Whether there is somebody at the other end."""
        self._read()
        return not self._hung_up

    async def received(self, count: int) -> None:
        """Wait until `count` messages of this attempt have been read. Raises EOFError."""
        if self._count < count:
            if self._hung_up:
                raise EOFError("The worker's pipe has ended.")
            self._expected = count, self._loop.create_future()
            await self._expected[1]
        self._count = 0

    def _read(self) -> None:
        try:
            data = os.read(self._pipe.fileno(), 65536)
        except (BlockingIOError, OSError):
            return
        if not data:
            self._hang_up()
            return
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= 4:
            end = at + 4 + int.from_bytes(buffer[at : at + 4], "big")
            if len(buffer) < end:
                break
            self._count += 1
            try:
                self._deliver(*msgspec.msgpack.decode(buffer[at + 4 : end]))
            except (msgspec.DecodeError, TypeError):  # the task wrote to a pipe not its own
                self._hang_up()
                return
            at = end
        del buffer[:at]
        if self._expected is not None and self._count >= self._expected[0]:
            self._expected[1].set_result(None)
            self._expected = None

    def _hang_up(self) -> None:
        """Nothing more can be read from this worker."""
        self._hung_up = True
        with suppress(OSError):
            self._loop.remove_reader(self._pipe.fileno())
        if self._expected is not None:
            self._expected[1].set_exception(EOFError("The worker's pipe has ended."))
            self._expected = None

    def _deliver(self, kind: str, *values: Any) -> None:
        attempt = self.attempt
        if attempt is None:
            return
        if kind == "progress":
            self._reports.progress(attempt, Progress(*values))
        elif kind == "output":
            self._reports.output(attempt, *values)
        else:
            self._reports.log(attempt, *values)
            _log_here(*values)


def _log_here(level: str, name: str, message: str) -> None:
    """Show a child's log line in this process's log too."""
    logger = logging.getLogger(name)
    number = logging.getLevelNamesMapping().get(level, logging.INFO)
    if logger.isEnabledFor(number):
        logger.handle(logger.makeRecord(name, number, "", 0, message, (), None))
