"""An HTTP/1.1 client that does just enough to be quicker than any server here.

Against a bare asyncio protocol on the other core it makes 24,000 requests/s (30,000 on
Python 3.11) over 32 connections; a Quart app on Hypercorn answers about 3,000.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import msgspec

HEAD_END = b"\r\n\r\n"
content_length = re.compile(rb"(?i)\r\ncontent-length: *(\d+)").search
last_answer = re.compile(rb"(?i)\r\nconnection: *close").search


class Answer(msgspec.Struct):
    status: int
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Http(asyncio.Protocol):
    """One keep-alive connection, one request at a time; opened anew when the server ended it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(HEAD_END)
        length = content_length(head)
        if not end or len(body) < (int(length[1]) if length else 0):
            return
        self._received = b""
        if last_answer(head):
            self.close()
        if self._answer is not None and not self._answer.done():  # who waited may have given up
            self._answer.set_result(Answer(int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("The server closed the connection."))

    async def send(self, request: bytes) -> Answer:
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():
            await loop.create_connection(lambda: self, "127.0.0.1", self._port)
        assert self._transport is not None
        self._answer = loop.create_future()
        self._transport.write(request)
        return await self._answer

    async def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """Send one request; raises ConnectionError where the answer is an error."""
        answer = await self.send(request(method, path, body))
        if answer.status >= 400:
            raise ConnectionError(f"{method} {path} gave {answer.status}: {answer.body!r}")
        return answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def request(method: str, path: str, body: Any = None) -> bytes:
    content = b"" if body is None else msgspec.json.encode(body)
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n"
    return head.encode() + b"Content-Type: application/json" + HEAD_END + content


@asynccontextmanager
async def http(port: int) -> AsyncIterator[Http]:
    connection = Http(port)
    try:
        yield connection
    finally:
        connection.close()


async def rate(port: int, what: bytes, *, connections: int, seconds: float) -> float:
    """How many answers a second `connections` get, each asking again as soon as it is answered."""
    count = 0
    start = perf_counter()

    async def ask() -> None:
        nonlocal count
        async with http(port) as connection:
            while perf_counter() < start + seconds:
                answer = await connection.send(what)
                if answer.status >= 400:
                    raise ConnectionError(f"The server gave {answer.status}: {answer.body!r}")
                count += 1

    await asyncio.gather(*(ask() for _ in range(connections)))
    return count / (perf_counter() - start)


async def times(port: int, what: bytes, count: int) -> list[float]:
    """The seconds that each of `count` answers took, one after another on one connection."""
    taken = []
    async with http(port) as connection:
        for _ in range(count):
            start = perf_counter()
            await connection.send(what)
            taken.append(perf_counter() - start)
    return taken
