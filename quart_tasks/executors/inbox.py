"""The parent's end of the socket to a worker: length-prefixed messages, in order, both ways."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

import msgspec

from ..events import MAX_FRAME
from ..record import Progress
from .base import Attempt, Reports
from .process_worker import Reply

_decode = msgspec.msgpack.Decoder().decode


class Inbox(asyncio.Protocol):
    """Gives what an attempt says on the way to `reports`, and to `replied` its reply. `silence`
    comes once there is nobody at the other end. `limit` is TASKS_MAX_RESULT_SIZE."""

    def __init__(
        self,
        reports: Reports,
        socket: socket.socket,
        replied: Callable[[Attempt, Reply], None],
        limit: int,
    ) -> None:
        self.attempt: Attempt | None = None  # which the messages are about
        self._job = 0  # its number
        self._reports = reports
        self._socket = socket
        self._replied = replied
        # Only a result may be larger than a frame is: outputs, log lines and errors are not.
        self._longest = limit + MAX_FRAME
        self.silence = asyncio.Event()
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_unix_connection(lambda: self, sock=self._socket)

    def close(self) -> None:
        if self._transport is None:
            self._socket.close()
        else:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.silence.set()

    def send(self, attempt: Attempt, job: int, data: bytes) -> None:
        """Hand over an attempt as the job of that number, if there is still somebody."""
        assert self._transport is not None  # noqa: S101 - it was opened
        self.attempt, self._job = attempt, job
        self._transport.write(len(data).to_bytes(4, "big") + data)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= 4:
            length = int.from_bytes(buffer[at : at + 4], "big")
            end = at + 4 + length
            if length > self._longest:  # the task wrote to a socket not its own
                self.close()
                return
            if len(buffer) < end:
                break
            try:
                self._deliver(*_decode(memoryview(buffer)[at + 4 : end]))
            except (msgspec.DecodeError, TypeError):  # the same
                self.close()
                return
            at = end
        del buffer[:at]

    def _deliver(self, kind: str, job: int, *values: Any) -> None:
        attempt = self.attempt
        if attempt is None or job != self._job:  # of a thread that an earlier one left behind
            return
        if kind == "reply":
            self.attempt = None
            self._replied(attempt, values)
        elif kind == "progress":
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
