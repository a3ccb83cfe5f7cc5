"""What do 50 subscribers that never read cost the others, and for how long?

The firehose: eight connections that post empty tasks as fast as they are answered, three events
each. One subscriber of all tasks reads; its latency is from an event's `time` to the arrival of
its frame. The same is measured without and with 50 subscribers beside it, half of them
WebSockets and half SSE, that read nothing. When the server has dropped them all, 50 more come.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from statistics import quantiles
from time import monotonic, time

import msgspec

from quart_tasks.connections import USER_TIMEOUT_SECONDS

from . import client
from .accept import fill
from .common import Figure, Result, figure, ratio
from .contest import SUBMIT
from .frames import Frames
from .server import Server, serving
from .sockets import UPGRADE, memory

RECORDS = 100_000  # the default limit: a server that has run for an hour forgets as it accepts
DEAD = 50
CONNECTIONS = 8
GROWTH = 20  # MB
REAPED = 30  # s
SLOWER, FEWER = 1.25, 0.9  # by so much p99 and rate may differ and count as unchanged
PLAIN = "GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Timed(msgspec.Struct):
    """Of a frame, what its latency needs."""

    time: str


timed = msgspec.json.Decoder(Timed).decode


class Measured(msgspec.Struct):
    """A run of the firehose."""

    tasks: float  # a second
    p99: float  # ms
    frames: float  # that the reader got for each task
    held: float  # MB, when the run ended
    reaped: list[float]  # s, until the last of 50 was gone


class Reader:
    """The subscriber that reads."""

    def __init__(self) -> None:
        self.latencies: list[float] = []  # s

    def receive(self, frame: bytes) -> None:
        sent = datetime.fromisoformat(timed(frame).time).timestamp()
        self.latencies.append(time() - sent)

    @asynccontextmanager
    async def reading(self, port: int) -> AsyncIterator[None]:
        transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: Frames("/tasks/events", self.receive), "127.0.0.1", port
        )
        try:
            yield
        finally:
            transport.close()


def silent(port: int, request: str) -> socket.socket:
    """A client that asks for a stream and reads nothing of it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(request.format("/tasks/events").encode())
    return client


def established(port: int) -> int:
    """How many connections the server has, as the kernel sees it."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[3] == "01" and int(row[1].partition(":")[2], 16) == port for row in rows)


async def bear(port: int, until: float) -> list[float]:
    """Have the server bear DEAD silent subscribers, and as many again when all are gone; the
    seconds that it took to be rid of each lot, by its own count and the kernel's."""
    reaped: list[float] = []
    async with client.http(port) as connection:

        async def streams() -> int:
            await asyncio.sleep(0.25)
            return int((await connection.ask("GET", "/tasks/stats")).json()["streams"])

        others = await streams()
        while monotonic() < until:
            with ExitStack() as lot:
                begun = monotonic()
                for number in range(DEAD):
                    lot.enter_context(silent(port, (PLAIN, UPGRADE)[number % 2]))
                while await streams() < others + DEAD and monotonic() < until:
                    pass
                rest = established(port) - DEAD
                while await streams() > others or established(port) > rest:
                    if monotonic() > until:
                        return reaped
                reaped.append(monotonic() - begun)
    return reaped


async def firehose(server: Server, seconds: float, dead: bool) -> Measured:
    reader = Reader()
    async with reader.reading(server.port), asyncio.TaskGroup() as group:
        bearing = group.create_task(bear(server.port, monotonic() + seconds * dead))
        rate = await client.rate(server.port, SUBMIT, connections=CONNECTIONS, seconds=seconds)
        held = memory(server) / 1e6
    p99 = quantiles(reader.latencies, n=100)[98] * 1000
    return Measured(rate, p99, len(reader.latencies) / (rate * seconds), held, bearing.result())


async def measure(server: Server, quick: bool) -> list[Result]:
    seconds, repeats = (4.0, 1) if quick else (60.0, 3)
    await fill(server.port, RECORDS)
    await firehose(server, min(seconds, 10.0), dead=False)
    without, beside = [], []
    for _ in range(repeats):
        without.append(await firehose(server, seconds, dead=False))
        beside.append(await firehose(server, seconds, dead=True))

    def compared(
        what: str, key: str, unit: str, aim: str, fits: Callable[[float, float], bool]
    ) -> Result:
        ours: Figure = figure([getattr(each, key) for each in beside])
        baseline = figure([getattr(each, key) for each in without])
        return Result(
            name="overload",
            question=f"{what}, with {DEAD} subscribers that never read",
            ours=ours,
            baseline=baseline,
            ratio=ratio(ours, baseline),
            unit=unit,
            aim=aim,
            baseline_name="without them",
            met=fits(ours.median, baseline.median),
            notes=f"the one that reads got {beside[0].frames:.3g} frames a task, of 3",
        )

    return [
        compared(
            "memory of the server after a firehose", "held", "MB", f"less than {GROWTH} MB more",
            lambda ours, baseline: ours - baseline < GROWTH,
        ),
        compared(
            "p99 latency of one that reads", "p99", "ms", f"at most {SLOWER}",
            lambda ours, baseline: ours <= baseline * SLOWER,
        ),
        compared(
            "empty tasks over HTTP", "tasks", "tasks/s", f"at least {FEWER}",
            lambda ours, baseline: ours >= baseline * FEWER,
        ),
        *reaping([seconds for each in beside for seconds in each.reaped]),
    ]  # fmt: skip


def reaping(taken: list[float]) -> list[Result]:
    if not taken:  # a quick run ends before the first is gone
        return []
    ours: Figure = figure(taken)
    timeout = figure([USER_TIMEOUT_SECONDS])
    return [
        Result(
            name="overload",
            question=f"until the last of {DEAD} that never read is gone",
            ours=ours,
            baseline=timeout,
            ratio=ratio(ours, timeout),
            unit="s",
            aim=f"at most {REAPED} s",
            baseline_name="TCP_USER_TIMEOUT",
            met=ours.high <= REAPED,
        )
    ]


def run(quick: bool) -> list[Result]:
    with serving("tracked") as server:
        return asyncio.run(measure(server, quick))
