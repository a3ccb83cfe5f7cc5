"""An HTTP server that takes 100 ms for each answer, and does just enough to be quicker than any
client here: `python -m benchmarks.slow` prints its port, and serves until stdin ends."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from .common import ROOT
from .server import CORES

DELAY = 0.1  # seconds
BODY = b"x" * 1000
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
ANSWER = HEAD % len(BODY) + BODY


class Slow(asyncio.Protocol):
    """Answers each request after DELAY; none comes on a connection before the last's answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\r\n\r\n"):
            asyncio.get_running_loop().call_later(DELAY, self._transport.write, ANSWER)


async def serve() -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    server = await loop.create_server(Slow, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop.add_reader(sys.stdin, stop.set)  # readable means that it has ended
    await stop.wait()


@contextmanager
def serving() -> Iterator[str]:
    """Serve, on all cores but the first where there are others; gives the URL."""
    command = [sys.executable, "-m", __name__]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    with child:
        assert child.stdout is not None
        os.sched_setaffinity(child.pid, CORES[1:] or CORES)
        yield f"http://127.0.0.1:{int(child.stdout.readline())}/"
        child.communicate()


if __name__ == "__main__":
    asyncio.run(serve())
