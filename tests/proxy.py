"""A TCP proxy between a client and a server, which cuts, drops, delays and halves what passes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from random import Random
from urllib.parse import urlsplit

WEBSOCKET = b"upgrade: websocket"
EVENT_STREAM = b"accept: text/event-stream"
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Faults:
    """What goes wrong, and after how many bytes: at any of them, so that most frames that it hits
    are halved. The same `seed` draws the same."""

    CUT, CLOSE, SILENCE, DELAY = KINDS = "cut", "close", "silence", "delay"

    def __init__(self, seed: int, distance: int = 20_000) -> None:
        self.happened: Counter[str] = Counter()
        self._random = Random(seed)
        self._distance = distance  # bytes between two of them, on average and in each direction

    def bytes_to_next(self) -> int:
        return 1 + int(self._random.expovariate(1 / self._distance))

    def next(self) -> str:
        kind = self._random.choices(self.KINDS, [4, 2, 1, 4])[0]
        self.happened[kind] += 1
        return kind

    def seconds(self) -> float:
        return self._random.random() / 50


class Proxy:
    """`async with proxy_to(url) as proxy:`, and clients are given `proxy.url`."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port  # of the server, which may change
        self.url = ""
        self.connections = 0  # made so far
        self.refused = self.held = 0  # so far
        self.refuses = False  # new connections
        self.lost_answers = 0  # how many more requests end when their server answers
        self.blocks: bytes | None = None  # requests with this in their headers get a 403
        self.breaks: bytes | None = None  # and those with this are broken off
        self.holds: Iterable[bytes] = []  # and those with one of these no answer
        self.faults: Faults | None = None
        self._made = asyncio.Event()
        self._passages: dict[asyncio.Task[None], _Passage] = {}

    async def reaches(self, connections: int) -> None:
        """Wait until so many were made."""
        while self.connections < connections:
            self._made.clear()
            await self._made.wait()

    def cut(self) -> None:
        """Break all connections."""
        for passage in self._passages.values():
            passage.abort()

    def silence(self) -> None:
        """Let nothing pass any more, in either direction, on the connections that are there."""
        for passage in self._passages.values():
            passage.silence()

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._made.set()
        passage = _Passage(self, reader, writer)
        if self.refuses:
            passage.abort()
            return
        task = asyncio.create_task(passage.run())
        self._passages[task] = passage
        task.add_done_callback(self._passages.pop)

    async def end(self) -> None:
        tasks = list(self._passages)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Passage:
    """One connection."""

    def __init__(
        self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._proxy, self._reader, self._writers = proxy, reader, [writer]
        self._held = self._websocket = False

    def abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def silence(self) -> None:
        self._held = True

    async def run(self) -> None:
        try:
            reader, writer = await asyncio.open_connection(self._proxy.host, self._proxy.port)
            self._writers.append(writer)
            up = asyncio.create_task(self._copy(self._reader, writer, self._lets_request))
            down = asyncio.create_task(self._copy(reader, self._writers[0], self._lets_answer))
            try:
                await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
            finally:
                up.cancel()
                down.cancel()
        except OSError:
            pass  # the server is not there
        finally:
            self.abort()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
        lets: Callable[[bytes], bool],
    ) -> None:  # fmt: skip
        faults = self._proxy.faults
        left = 0 if faults is None else faults.bytes_to_next()
        with suppress(OSError):
            while data := await reader.read(64 * 1024):
                if not lets(data):
                    return
                while faults is not None and len(data) > left:
                    await self._write(writer, data[:left])
                    if not await self._lives_through(faults, writer):
                        return
                    data, left = data[left:], faults.bytes_to_next()
                left -= len(data)
                await self._write(writer, data)

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        if not self._held:
            writer.write(data)
            await writer.drain()

    async def _lives_through(self, faults: Faults, writer: asyncio.StreamWriter) -> bool:
        """Have the next fault; whether the connection goes on."""
        kind = faults.next()
        if kind == Faults.DELAY:
            await asyncio.sleep(faults.seconds())
        elif kind == Faults.SILENCE:  # both ways, as when packets are dropped
            self.silence()
        elif kind == Faults.CLOSE:
            writer.close()
            await writer.wait_closed()
        return kind in (Faults.DELAY, Faults.SILENCE)

    def _lets_request(self, data: bytes) -> bool:
        proxy, data = self._proxy, data.lower()
        self._websocket = self._websocket or WEBSOCKET in data
        if proxy.blocks is not None and proxy.blocks in data:
            proxy.refused += 1
            self._writers[0].write(FORBIDDEN)
            return False
        if proxy.breaks is not None and proxy.breaks in data:
            return False
        if any(each in data for each in proxy.holds):
            proxy.held += 1
            self._held = True
        return True

    def _lets_answer(self, data: bytes) -> bool:
        if self._proxy.lost_answers and not self._websocket:
            self._proxy.lost_answers -= 1
            return False
        return True


@asynccontextmanager
async def proxy_to(url: str) -> AsyncIterator[Proxy]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    proxy = Proxy(parts.hostname, parts.port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        await proxy.end()
