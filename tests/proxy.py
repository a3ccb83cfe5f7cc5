"""A TCP proxy between a client and a server, which drops, delays and halves what passes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from random import Random
from urllib.parse import urlsplit

WEBSOCKET = b"upgrade: websocket"
EVENT_STREAM = b"accept: text/event-stream"
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Proxy:
    """`async with proxy_to(url) as proxy:`, and clients are given `proxy.url`."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port  # of the server, which may change
        self.url = ""
        self.connections = 0  # made so far
        self.refused = self.held = self.cut_off = 0  # so far
        self.refuses = False  # new connections
        self.lost_answers = 0  # how many more requests end when their server answers
        self.blocks: bytes | None = None  # requests with this in their headers get a 403
        self.holds: bytes | None = None  # and those with this no answer
        self.random: Random | None = None  # for pieces that are small, late, and cut
        self._passages: dict[asyncio.Task[None], _Passage] = {}

    def cut(self) -> None:
        """Break all connections."""
        for passage in self._passages.values():
            passage.abort()

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
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
        random = self._proxy.random
        with suppress(OSError):
            while data := await reader.read(64 * 1024 if random is None else 1000):
                if not lets(data):
                    return
                if self._held:
                    continue
                if random is None:
                    writer.write(data)
                else:
                    await asyncio.sleep(random.random() / 500)
                    cuts = random.random() < 0.03
                    writer.write(data[: len(data) // 2] if cuts else data)
                    if cuts:
                        self._proxy.cut_off += 1
                        return
                await writer.drain()

    def _lets_request(self, data: bytes) -> bool:
        proxy, data = self._proxy, data.lower()
        self._websocket = self._websocket or WEBSOCKET in data
        if proxy.blocks is not None and proxy.blocks in data:
            proxy.refused += 1
            self._writers[0].write(FORBIDDEN)
            return False
        if proxy.holds is not None and proxy.holds in data:
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
