"""How long does the server take to end, beyond its drain timeout, whatever is connected and runs?

`quart-tasks serve` gets SIGTERM while 300 WebSockets and 300 SSE streams are read, 20 more are not
read though a task floods them, and tasks run that nothing can stop, of each executor. The baseline
is the same server with nothing connected and nothing running: it has nothing to drain.
"""

import asyncio
import logging
import resource
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from time import perf_counter

import aiohttp
from quart import Quart

from quart_tasks import QuartTasks

from . import client
from .common import ROOT, Result, environment, figure, ratio

DRAIN = 1  # seconds
SOCKETS = STREAMS = 300
SILENT = 20
PLENTY = 8_000_000  # bytes that a reader has seen when the silent ones' buffers are full
HANG = 60  # seconds

tasks = QuartTasks()
log = logging.getLogger("firehose")


@tasks.task
async def waits() -> None:
    await asyncio.Event().wait()


@tasks.task
async def swallows() -> None:
    """Does not let itself be cancelled."""
    never = asyncio.Event()
    while True:
        with suppress(asyncio.CancelledError):
            await never.wait()


@tasks.task
def sleeps() -> None:
    while True:
        time.sleep(3600)


@tasks.task
def spins_in_thread() -> None:
    while True:
        pass


@tasks.task(executor="process")
def spins() -> None:
    while True:
        pass


@tasks.task
async def firehose() -> None:
    line = "x" * 8192
    while True:
        log.info(line)
        await asyncio.sleep(0.001)


STUCK = ("waits", "swallows", "sleeps", "spins_in_thread", "spins")


def create_app() -> Quart:
    log.setLevel(logging.INFO)
    log.propagate = False  # its lines are for the streams alone
    log.addHandler(logging.NullHandler())
    app = Quart(__name__)
    app.config["TASKS_DRAIN_TIMEOUT"] = DRAIN
    tasks.init_app(app)
    return app


class Server:
    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url
        self.port = int(url.rpartition(":")[2])

    async def end(self) -> float:
        """The seconds from SIGTERM to the end; raises RuntimeError where that was no good one."""
        start = perf_counter()
        self.process.send_signal(signal.SIGTERM)
        code = await self.process.wait()
        taken = perf_counter() - start
        if code != 0:
            raise RuntimeError(f"The server ended with exit code {code}.")
        return taken


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "quart_tasks", "serve", f"{__name__}:create_app", "--port", "0",
        cwd=ROOT, env=environment(), stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        yield Server(process, line.partition(" on ")[2].partition(" ")[0])
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def begin(port: int, *names: str) -> None:
    """Start these tasks, and wait until they run."""
    async with client.http(port) as connection:
        for name in names:
            task = (await connection.ask("POST", "/tasks", {"name": name})).json()["id"]
            while (await connection.ask("GET", f"/tasks/{task}")).json()["state"] != "running":
                pass


def silent(port: int, number: int) -> socket.socket:
    """A WebSocket, or an SSE stream, of all tasks, of which nothing is read."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.connect(("127.0.0.1", port))
    lines = ["GET /tasks/events HTTP/1.1", "Host: localhost"]
    if number % 2:
        lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
        lines += ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]
    one.sendall("\r\n".join([*lines, "", ""]).encode())
    return one


async def fill(http: aiohttp.ClientSession, server: Server) -> None:
    """Wait until a reader has got more than those who do not read can take in."""
    async with http.ws_connect(f"{server.url}/tasks/events") as witness:
        await begin(server.port, "firehose")
        size = 0
        while size < PLENTY:
            size += len(await witness.receive_str())


async def read_socket(http: aiohttp.ClientSession, url: str, open: asyncio.Semaphore) -> None:
    async with http.ws_connect(url) as one:
        await one.receive()  # the snapshot
        open.release()
        async for _ in one:
            pass


async def read_stream(http: aiohttp.ClientSession, url: str, open: asyncio.Semaphore) -> None:
    async with http.get(url) as response:
        await response.content.readline()
        open.release()
        await response.read()


async def loaded() -> float:
    """The seconds that the end takes beyond the drain timeout, with all that."""
    connector = aiohttp.TCPConnector(limit=0)
    with ExitStack() as stack:
        async with serving() as server, aiohttp.ClientSession(connector=connector) as http:
            for number in range(SILENT):
                stack.enter_context(silent(server.port, number))
            await fill(http, server)
            url, open = f"{server.url}/tasks/events?name=waits", asyncio.Semaphore(0)
            readers = [asyncio.create_task(read_socket(http, url, open)) for _ in range(SOCKETS)]
            readers += [asyncio.create_task(read_stream(http, url, open)) for _ in range(STREAMS)]
            for _ in readers:
                await open.acquire()
            await begin(server.port, *STUCK)
            taken = await server.end()
            await asyncio.gather(*readers)
    return taken - DRAIN


async def idle() -> float:
    async with serving() as server:
        return await server.end()


async def measure(repeats: int) -> list[Result]:
    ours, baseline = [], []
    for _ in range(repeats):
        async with asyncio.timeout(HANG):
            baseline.append(await idle())
            ours.append(await loaded())
    most, least = figure(ours), figure(baseline)
    return [
        Result(
            name="shutdown",
            question=f"from SIGTERM to the end beyond a drain of {DRAIN} s, with {SOCKETS} "
            f"WebSockets, {STREAMS} SSE streams, {SILENT} that do not read and endless tasks of "
            f"each executor",
            ours=most,
            baseline=least,
            ratio=ratio(most, least),
            unit="s",
            aim="at most 2 s, each time",
            baseline_name="without these",
            met=most.high <= 2,
        )
    ]


def run(quick: bool) -> list[Result]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4096, hard)), hard))
    return asyncio.run(measure(2 if quick else 7))
