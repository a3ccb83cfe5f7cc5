"""Does a page of the list take longer where there are many records?"""

import asyncio

from . import client
from .accept import fill
from .common import Result, figure, ratio
from .server import serving

MANY, FEW = 100_000, 100
PAGE = client.request("GET", "/tasks?limit=50")


async def measure(many: int, few: int, quick: bool) -> Result:
    count, repeats = (50, 5) if quick else (100, 15)
    await fill(many, MANY)
    await fill(few, FEW)
    taken: dict[int, list[float]] = {many: [], few: []}
    for port in taken:
        async with client.http(port) as connection:
            found = len((await connection.ask("GET", "/tasks?limit=50")).json()["tasks"])
            if found != 50:
                raise RuntimeError(f"A page has {found} records where 50 were to be.")
        await client.times(port, PAGE, count)
    for _ in range(repeats):
        for port, medians in taken.items():
            medians.append(figure(await client.times(port, PAGE, count)).median * 1000)
    ours, baseline = figure(taken[many]), figure(taken[few])
    return Result(
        name="listing",
        question=f"GET /tasks?limit=50 with {MANY:,} records",
        ours=ours,
        baseline=baseline,
        ratio=ratio(ours, baseline),
        unit="ms",
        aim="at most 1.2",
        baseline_name=f"with {FEW} records",
        met=ratio(ours, baseline) <= 1.2,
    )


def run(quick: bool) -> list[Result]:
    with serving("tracked") as many, serving("tracked") as few:
        return [asyncio.run(measure(many.port, few.port, quick))]
