"""How long does a small route take, and how many does it answer, while CPU-bound tasks keep every
processor busy?

No server is pinned here: its workers would inherit the pin and leave a processor idle. Each is
compared with itself when idle.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import quantiles
from time import perf_counter
from typing import NamedTuple

from . import client, peers
from .common import Figure, Peer, Result, figure, ratio
from .peers.busy import FOLDER, RUN
from .server import CORES, serving

SMALL = client.request("GET", "/small")
FOREVER = 10**9
CONNECTIONS = 32
OURS = "ours"
PATIENCE = 60  # seconds: a server whose processor is busy may take long to answer, or to rest
AGAINST_ITSELF = "the ratio is to itself when idle"
PEERS = ["busy_pool", "busy_fastapi", "busy_celery"]


class Metric(NamedTuple):
    name: str
    unit: str
    aim: str
    met: Callable[[float], bool]


METRICS = [
    Metric("p50 of a small route", "µs", "at most 1.2", lambda ratio: ratio <= 1.2),
    Metric("p99 of a small route", "µs", "at most 3", lambda ratio: ratio <= 3),
    Metric("answers of a small route", "requests/s", "at least 0.95", lambda ratio: ratio >= 0.95),
]

# -- what keeps the processors busy --------------------------------------------------------


async def begin(port: int) -> list[str]:
    """Start one endless task a processor; returns their ids once all of them run."""
    ids = []
    async with asyncio.timeout(30), client.http(port) as connection:
        for _ in range(os.cpu_count() or 1):
            answer = await connection.ask("POST", "/tasks", {"name": "spin", "args": [FOREVER]})
            ids.append(answer.json()["id"])
        for task in ids:
            while (await connection.ask("GET", f"/tasks/{task}")).json()["state"] != "running":
                pass
    return ids


async def end(port: int, ids: list[str]) -> None:
    async with client.http(port) as connection:
        for task in ids:
            await connection.ask("POST", f"/tasks/{task}/cancel")
        for task in ids:
            await connection.ask("GET", f"/tasks/{task}?wait=20")


@asynccontextmanager
async def ours_busy(port: int) -> AsyncIterator[None]:
    ids = await begin(port)
    yield
    await end(port, ids)


@asynccontextmanager
async def peer_busy(folder: Path, port: int) -> AsyncIterator[None]:
    (folder / RUN).touch()
    try:
        async with asyncio.timeout(PATIENCE), client.http(port) as connection:
            for _ in CORES:
                await connection.ask("POST", "/busy")
            while len(os.listdir(folder)) <= len(CORES):  # noqa: ASYNC110 - another process' files
                await asyncio.sleep(0.01)
        yield
    finally:
        (folder / RUN).unlink()
        async with asyncio.timeout(PATIENCE):
            while os.listdir(folder):  # noqa: ASYNC110
                await asyncio.sleep(0.01)


# -- what is measured ----------------------------------------------------------------------


async def measure(port: int, count: int, seconds: float) -> list[float]:
    """By METRICS. Of a slow server the percentiles are those of fewer answers."""
    taken: list[float] = []
    start = perf_counter()
    while len(taken) < count and perf_counter() < start + 3 * seconds:
        taken += await client.times(port, SMALL, 10)
    cuts = quantiles(taken, n=100)
    rate = await client.rate(port, SMALL, connections=CONNECTIONS, seconds=seconds)
    return [cuts[49] * 1e6, cuts[98] * 1e6, rate]


class Side(NamedTuple):
    """A server, how to keep the processors busy, and what was measured: a list by METRICS for
    each turn."""

    port: int
    busy: Callable[[int], AbstractAsyncContextManager[None]]
    when_idle: list[list[float]]
    when_busy: list[list[float]]

    def figures(self, metric: int) -> tuple[Figure, Figure]:
        idle, busy = (
            figure([turn[metric] for turn in turns]) for turns in (self.when_idle, self.when_busy)
        )
        return idle, busy


async def by_turns(sides: dict[str, Side], problems: dict[str, str], quick: bool) -> None:
    """Each is asked when idle and when busy; the first time idle is to warm up. A peer that fails
    is left out from then on, with the reason among `problems`."""
    count, seconds, repeats = (300, 0.5, 2) if quick else (2_000, 2.0, 7)
    for side in sides.values():
        await measure(side.port, count, seconds)
    for _ in range(repeats):
        for name, side in sides.items():
            if name in problems:
                continue
            try:
                idle = await measure(side.port, count, seconds)
                async with side.busy(side.port):
                    busy = await measure(side.port, count, seconds)
            except (OSError, TimeoutError) as error:
                if name == OURS:
                    raise
                problems[name] = f"it failed under load: {str(error) or type(error).__name__}"
            else:
                side.when_idle.append(idle)
                side.when_busy.append(busy)


def run(quick: bool) -> list[Result]:
    sides: dict[str, Side] = {}
    problems: dict[str, str] = {}
    with ExitStack() as stack:
        folders = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.callback(os.environ.pop, FOLDER, None)
        server = stack.enter_context(serving("tracked", pinned=False))
        sides[OURS] = Side(server.port, ours_busy, [], [])
        for name in PEERS if peers.wanted else ():
            # One each: gunicorn kills a worker that is starved for 30 s, and its file stays.
            folder = folders / name
            folder.mkdir()
            os.environ[FOLDER] = str(folder)
            try:
                server = stack.enter_context(peers.serving(name, pinned=False))
                sides[name] = Side(server.port, partial(peer_busy, folder), [], [])
            except peers.Missing as error:
                problems[name] = str(error)
        asyncio.run(by_turns(sides, problems, quick))
    return [result(index, sides, problems) for index in range(len(METRICS))]


def result(index: int, sides: dict[str, Side], problems: dict[str, str]) -> Result:
    metric = METRICS[index]
    idle, busy = sides[OURS].figures(index)
    rows = []
    for name in PEERS if peers.wanted else ():
        text = peers.ABOUT[name].text
        if name in problems:
            rows.append(Peer(name=text, figure=None, notes=problems[name]))
        else:
            theirs, then = sides[name].figures(index)
            rows.append(
                Peer(name=text, figure=then, ratio=ratio(then, theirs), notes=AGAINST_ITSELF)
            )
    return Result(
        name="latency",
        question=f"{metric.name} with every processor busy, against idle",
        ours=busy,
        baseline=idle,
        ratio=ratio(busy, idle),
        unit=metric.unit,
        aim=metric.aim,
        met=metric.met(ratio(busy, idle)),
        baseline_name="quart_tasks, idle",
        peers=rows,
    )
