"""For how long does one event to 1,000 subscribers hold the server's loop?

The app looks at the clock in every turn of its loop, and so knows the longest turn. A round is
one event, the acceptance of a task, and ends when the last subscriber has it; the baseline is
the same round with nobody subscribed.

Rounds before those that count let the garbage collector make its passes over what came with the
subscribers; the longest turn until then is in the notes.
"""

import asyncio
from collections.abc import AsyncGenerator
from time import perf_counter, thread_time

from quart import Quart

from . import client, tracked
from .common import Figure, Result, figure, ratio
from .frames import Frames
from .server import serving
from .sockets import raise_file_limit

SUBSCRIBERS = 1_000
SETTLING = 50  # rounds
MOST = 20  # ms
LATER = {"name": "nothing", "options": {"delay": 3600}}


def create_app() -> Quart:
    """The tracked app; `GET /held` tells of the longest turn since it was last asked."""
    app = tracked.create_app()
    longest = {"wall": 0.0, "cpu": 0.0}  # seconds

    async def watch() -> None:
        wall, cpu = perf_counter(), thread_time()
        while True:
            await asyncio.sleep(0)
            longest["wall"] = max(longest["wall"], perf_counter() - wall)
            longest["cpu"] = max(longest["cpu"], thread_time() - cpu)
            wall, cpu = perf_counter(), thread_time()

    @app.while_serving
    async def watching() -> AsyncGenerator[None, None]:
        task = asyncio.create_task(watch())
        yield
        task.cancel()

    @app.get("/held")
    async def held() -> dict[str, float]:
        answer = dict(longest)
        longest.update(wall=0.0, cpu=0.0)
        return answer

    return app


class Crowd:
    """Subscribers, and how many of them still wait for the event of this round."""

    def __init__(self) -> None:
        self.missing = 0
        self.complete = asyncio.Event()
        self._transports: list[asyncio.BaseTransport] = []

    async def gather(self, port: int, size: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(size):
            self.expect(1)  # the snapshot
            transport, _ = await loop.create_connection(
                lambda: Frames("/tasks/events", self.receive), "127.0.0.1", port
            )
            self._transports.append(transport)
            await asyncio.wait_for(self.complete.wait(), 30)

    def expect(self, frames: int) -> None:
        self.missing = frames
        if frames:
            self.complete.clear()
        else:
            self.complete.set()

    def receive(self, frame: bytes) -> None:
        self.missing -= 1
        if self.missing == 0:
            self.complete.set()

    def leave(self) -> None:
        for transport in self._transports:
            transport.close()


async def rounds(port: int, size: int, count: int) -> list[dict[str, float]]:
    """The longest turn of each round, in ms by the clock and of processor time; first that
    until then."""
    crowd = Crowd()
    await crowd.gather(port, size)
    taken = []
    async with client.http(port) as connection:
        for number in range(-SETTLING, count):
            crowd.expect(size)
            await connection.ask("POST", "/tasks", LATER)
            await asyncio.wait_for(crowd.complete.wait(), 30)
            if number >= -1:
                held = (await connection.ask("GET", "/held")).json()
                taken.append({clock: seconds * 1000 for clock, seconds in held.items()})
    crowd.leave()
    return taken


async def measure(quick: bool) -> Result:
    count = 20 if quick else 200
    with serving("fanout") as server:
        _, *alone = await rounds(server.port, 0, count)
        settling, *crowded = await rounds(server.port, SUBSCRIBERS, count)
    ours: Figure = figure([each["wall"] for each in crowded])
    baseline = figure([each["wall"] for each in alone])
    return Result(
        name="fanout",
        question=f"longest turn of the loop while {SUBSCRIBERS:,} WebSockets get one event, "
        f"against none",
        ours=ours,
        baseline=baseline,
        ratio=ratio(ours, baseline),
        unit="ms",
        aim=f"never more than {MOST} ms",
        met=ours.high <= MOST,
        notes=f"in processor time, whatever else the machine did, at most "
        f"{max(each['cpu'] for each in crowded):.3g} ms; while the sockets came, with the garbage "
        f"collector's passes, {settling['cpu']:.3g} ms",
    )


def run(quick: bool) -> list[Result]:
    raise_file_limit(SUBSCRIBERS)
    return [asyncio.run(measure(quick))]
