"""How late does the loop come to what is due, while tasks compute?

Every processor is kept busy by a process task, and one thread, or four, spin beside the loop
and take the GIL from it in turns. The lag is measured twice: by `/tasks/stats`, which looks ten
times a second, and by a coroutine of the app that sleeps for 10 ms again and again.

The server is not pinned here: its workers would inherit the pin and leave a processor idle.
"""

import asyncio
import os
from collections.abc import AsyncGenerator
from statistics import quantiles
from time import perf_counter

from quart import Quart

from quart_tasks import current_task

from . import client, tracked
from .common import Figure, Result, figure, ratio
from .latency import FOREVER, end
from .server import serving

STEP = 0.01  # s
MOST = {1: 20, 4: 30}  # ms, by the number of threads that spin


@tracked.tasks.task
def spin_in_thread() -> None:
    task = current_task()
    assert task is not None
    while not task.cancel_requested:
        pass


def create_app() -> Quart:
    """The tracked app; `GET /lags` gives what the coroutine has seen since it was last asked."""
    app = tracked.create_app()
    lags: list[float] = []  # seconds

    async def watch() -> None:
        while True:
            due = perf_counter() + STEP
            await asyncio.sleep(STEP)
            lags.append(perf_counter() - due)

    @app.while_serving
    async def watching() -> AsyncGenerator[None, None]:
        task = asyncio.create_task(watch())
        yield
        task.cancel()

    @app.get("/lags")
    async def seen() -> list[float]:
        answer = lags.copy()
        lags.clear()
        return answer

    return app


async def start(connection: client.Http, name: str, count: int, *args: object) -> list[str]:
    """Start tasks; their ids once all of them run."""
    ids = []
    for _ in range(count):
        task = (await connection.ask("POST", "/tasks", {"name": name, "args": args})).json()
        ids.append(task["id"])
        while task["state"] != "running":
            task = (await connection.ask("GET", f"/tasks/{task['id']}")).json()
    return ids


async def lag(port: int, processes: int, threads: int, seconds: float) -> tuple[float, float]:
    """The p99 in ms, as the app's coroutine saw it and as `/tasks/stats` tells it."""
    async with client.http(port) as connection:
        ids = await start(connection, "spin", processes, FOREVER)
        ids += await start(connection, "spin_in_thread", threads)
        await connection.ask("GET", "/lags")
        await asyncio.sleep(seconds)
        seen = (await connection.ask("GET", "/lags")).json()
        stats = (await connection.ask("GET", "/tasks/stats")).json()
    await end(port, ids)
    return quantiles(seen, n=100)[98] * 1000, stats["loop"]["lag_p99"] * 1000


def measure(processes: int, threads: int, quick: bool) -> list[tuple[float, float]]:
    """Each time in a new server: its `/tasks/stats` looks back over a minute."""
    seconds, repeats = (3.0, 1) if quick else (60.0, 3)
    found = []
    for _ in range(repeats):
        with serving("lag", pinned=False) as server:
            found.append(asyncio.run(lag(server.port, processes, threads, seconds)))
    return found


def run(quick: bool) -> list[Result]:
    cores = os.cpu_count() or 1
    idle = measure(0, 0, quick)
    results = []
    for threads, most in MOST.items():
        busy = measure(cores, threads, quick)
        for by, name in enumerate(("a coroutine", "/tasks/stats")):
            ours: Figure = figure([each[by] for each in busy])
            baseline = figure([each[by] for each in idle])
            results.append(
                Result(
                    name="lag",
                    question=f"p99 lag of the loop by {name}, every processor busy and {threads} "
                    f"spinning thread{'s' * (threads > 1)}, against idle",
                    ours=ours,
                    baseline=baseline,
                    ratio=ratio(ours, baseline),
                    unit="ms",
                    aim=f"at most {most} ms",
                    met=ours.median <= most,
                )
            )
    return results
