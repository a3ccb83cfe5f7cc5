"""How many `progress()` events a second get to WebSockets, and how late?

In rounds: each task reports once, and the round is over when the last subscriber has the last
frame; rounds are far enough apart that none of their reports has to wait, as a task may send 20 a
second. The limit has the same reporters and no tasks: a queue for each WebSocket, and a loop that
sends.

Then a thousand tasks that each report ten times a second: how long from `progress()` to the
client, which is another process and compares the clock with the time in the message.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import median, quantiles
from time import perf_counter, process_time
from typing import NamedTuple

import msgspec

from . import client
from .common import Figure, Result, figure, ratio
from .frames import Frames
from .reporting import INTERVAL, MOST
from .server import Server, serving
from .sockets import raise_file_limit

MANY = 1_000  # tasks, or subscribers
APART = 0.1  # seconds between the beginnings of two rounds; a report may wait for 0.05
PROGRESS = b'{"type":"progress"'
OURS, BARE = "reporting", "reporting_bare"  # the apps
BARE_NAME = "bare Quart, a queue each"
STREAMS = {OURS: "/tasks", BARE: ""}
WARM_UP = 5  # rounds
SETTLE = 1.0  # seconds
AIM = 0.85
MOST_LATE = 20  # ms


class Audience:
    """Subscribers, what they get of a round, and when each frame came."""

    def __init__(self) -> None:
        self.missing = 0
        self.all = asyncio.Event()
        self.came: list[tuple[float, bytes]] = []
        self.keeps = False
        self._greeted = asyncio.Event()
        self._transports: list[asyncio.BaseTransport] = []

    async def join(self, port: int, path: str) -> None:
        loop = asyncio.get_running_loop()
        self._greeted.clear()
        transport, _ = await loop.create_connection(
            lambda: Frames(path, self.receive), "127.0.0.1", port
        )
        self._transports.append(transport)
        await asyncio.wait_for(self._greeted.wait(), 30)

    def receive(self, frame: bytes) -> None:
        if not frame.startswith(PROGRESS):
            self._greeted.set()  # by the snapshot, or by the limit's `ready`
            return
        if self.keeps:
            self.came.append((perf_counter(), frame))
        self.missing -= 1
        if self.missing == 0:
            self.all.set()

    def leave(self) -> None:
        for transport in self._transports:
            transport.close()


@asynccontextmanager
async def gathered(port: int, paths: Sequence[str]) -> AsyncIterator[Audience]:
    audience = Audience()
    try:
        for path in paths:
            await audience.join(port, path)
        yield audience
    finally:
        audience.leave()


# -- rounds --------------------------------------------------------------------------------


async def one_round(connection: client.Http, audience: Audience, frames: int) -> float:
    """Frames a second."""
    audience.missing = frames
    audience.all.clear()
    start = perf_counter()
    await connection.ask("POST", "/round")
    await asyncio.wait_for(audience.all.wait(), 30)
    taken = perf_counter() - start
    await asyncio.sleep(max(0.0, APART - taken))
    return frames / taken


async def rounds(
    ports: dict[str, int], executor: str, reporters: int, subscribers: int, count: int
) -> dict[str, Figure]:
    """Frames a second by app, whose rounds take turns. The first ones are to warm up: a process
    may still be starting, and its first frames come late."""
    taken: dict[str, list[float]] = {app: [] for app in ports}
    async with AsyncExitStack() as stack:
        sides = {}
        for app, port in ports.items():
            connection = await stack.enter_async_context(client.http(port))
            await connection.ask("POST", f"/begin/{executor}/{reporters}")
            paths = [f"{STREAMS[app]}/events"] * subscribers
            sides[app] = connection, await stack.enter_async_context(gathered(port, paths))
        for number in range(-WARM_UP, count):
            for app, (connection, audience) in sides.items():
                rate = await one_round(connection, audience, reporters * subscribers)
                if number >= 0:
                    taken[app].append(rate)
    return {app: figure(rates) for app, rates in taken.items()}


def rate_result(executor: str, subscribers: int, quick: bool) -> Result:
    reporters = MOST[executor] if subscribers == 1 else 1
    with serving(OURS) as ours, serving(BARE) as bare:
        ports = {OURS: ours.port, BARE: bare.port}
        count = 10 if quick else 100
        rates = asyncio.run(rounds(ports, executor, reporters, subscribers, count))
    return Result(
        name="progress",
        question=f"frames of progress to {subscribers:,} WebSocket{'s' * (subscribers > 1)}, in "
        f"rounds of {reporters:,} task{'s' * (reporters > 1)}, executor {executor}",
        ours=rates[OURS],
        baseline=rates[BARE],
        ratio=ratio(rates[OURS], rates[BARE]),
        unit="frames/s",
        aim=f"at least {AIM}",
        met=ratio(rates[OURS], rates[BARE]) >= AIM,
        baseline_name=BARE_NAME,
    )


# -- lateness ------------------------------------------------------------------------------


class Heard(NamedTuple):
    """What a client heard: milliseconds from report to frame, frames a second, and the shares of
    their cores that the server used and the client."""

    p50: float
    p99: float
    rate: float
    serving: float
    asking: float


async def listen(app: str, server: Server, each: bool, seconds: float) -> Heard:
    async with client.http(server.port) as connection:
        ids = (await connection.ask("POST", f"/regularly/{MANY}")).json()
    base = STREAMS[app]
    paths = [f"{base}/{id}/events" for id in ids] if each else [f"{base}/events"]
    async with gathered(server.port, paths) as audience:
        await asyncio.sleep(SETTLE)
        audience.keeps = True
        start, served, asked = perf_counter(), server.seconds(), process_time()
        await asyncio.sleep(seconds)
        elapsed = perf_counter() - start
        served, asked = server.seconds() - served, process_time() - asked
    delays = [(came - told(frame)) * 1000 for came, frame in audience.came]
    cuts = quantiles(delays, n=100)
    return Heard(cuts[49], cuts[98], len(delays) / elapsed, served / elapsed, asked / elapsed)


def told(frame: bytes) -> float:
    return float(msgspec.json.decode(frame)["data"]["message"])


def late_result(each: bool, quick: bool) -> Result:
    seconds, repeats = (2.0, 1) if quick else (10.0, 5)
    heard: dict[str, list[Heard]] = {app: [] for app in STREAMS}
    for _ in range(repeats):
        for app, turns in heard.items():
            with serving(app) as server:
                turns.append(asyncio.run(listen(app, server, each, seconds)))
    ours, bare = (figure([turn.p99 for turn in heard[app]]) for app in STREAMS)
    return Result(
        name="progress",
        question=f"p99 from progress() to the client, {MANY:,} tasks that report "
        f"{1 / INTERVAL:.0f} times a second, {'one watching each' if each else 'one watching all'}",
        ours=ours,
        baseline=bare,
        ratio=ratio(ours, bare),
        unit="ms",
        aim=f"at most {MOST_LATE} ms",
        met=ours.median <= MOST_LATE,
        baseline_name=BARE_NAME,
        notes=f"ours: {about(heard[OURS])}; bare: {about(heard[BARE])}",
    )


def about(turns: list[Heard]) -> str:
    p50, _, rate, serving, asking = map(median, zip(*turns, strict=True))
    return (
        f"p50 {p50:.3g} ms, {rate:,.0f} of {MANY / INTERVAL:,.0f} frames/s came, the server used "
        f"{serving:.0%} of its core and the client {asking:.0%}"
    )


def run(quick: bool) -> list[Result]:
    raise_file_limit(2 * MANY)
    rates = [
        rate_result(executor, subscribers, quick) for subscribers in (1, MANY) for executor in MOST
    ]
    return [*rates, *(late_result(each, quick) for each in (False, True))]
