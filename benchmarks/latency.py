"""How long does a small route take while CPU-bound tasks keep every processor busy?

The server is not pinned here: its workers would inherit the pin and leave a processor idle.
"""

import asyncio
import os
from statistics import quantiles

from . import client
from .common import Result, figure, ratio
from .server import serving

SMALL = client.request("GET", "/small")
FOREVER = 10**9


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


async def measure(port: int, quick: bool) -> list[Result]:
    count, repeats = (300, 3) if quick else (2_000, 7)
    idle: list[list[float]] = []
    busy: list[list[float]] = []
    await client.times(port, SMALL, count)
    for _ in range(repeats):
        idle.append(await client.times(port, SMALL, count))
        ids = await begin(port)
        busy.append(await client.times(port, SMALL, count))
        await end(port, ids)
    results = []
    for name, percentile, most in (("median", 50, 1.5), ("p99", 99, None)):
        ours, baseline = (
            figure([quantiles(taken, n=100)[percentile - 1] * 1e6 for taken in repeat])
            for repeat in (busy, idle)
        )
        results.append(
            Result(
                name="latency",
                question=f"{name} answer of a small route with every processor busy, against idle",
                ours=ours,
                baseline=baseline,
                ratio=ratio(ours, baseline),
                unit="µs",
                aim=f"at most {most}" if most else "none",
                met=ratio(ours, baseline) <= most if most else None,
            )
        )
    return results


def run(quick: bool) -> list[Result]:
    with serving("tracked", pinned=False) as server:
        return asyncio.run(measure(server.port, quick))
