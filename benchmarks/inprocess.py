"""What does one empty async task cost in-process, from submit to its end, here and elsewhere?"""

import asyncio
from contextlib import AsyncExitStack
from time import process_time

from . import peers
from .common import Peer, Result, figure, ratio
from .peers.in_process import RIVALS, Once, Rival, empty
from .tracked import create_app, nothing

MOST = 3.0  # times asyncio.create_task


async def ours() -> None:
    handle = await nothing.submit()
    await handle


async def plain() -> None:
    await asyncio.create_task(empty())


async def microseconds(once: Once, count: int) -> float:
    """Of the processor, since nothing waits: what else the machine does counts for less."""
    start = process_time()
    for _ in range(count):
        await once()
    return (process_time() - start) / count * 1e6


async def measure(quick: bool) -> tuple[dict[str, list[float]], dict[str, str]]:
    """The microseconds of each, and why some have none."""
    # The limit is reached while warming up, so that forgetting old records is paid for as well.
    app = create_app(TASKS_MAX_FINISHED=10_000)
    count, repeats = (1_000, 5) if quick else (5_000, 15)
    ways: dict[str, Once] = {"plain": plain, "ours": ours}
    problems = {}
    async with app.test_app(), AsyncExitStack() as stack:
        for rival in RIVALS if peers.wanted else ():
            try:
                ways[rival.text] = await rival.make(app, stack)
            except ImportError as error:
                problems[rival.text] = str(error)
        await microseconds(ours, 12_000)
        taken: dict[str, list[float]] = {name: [] for name in ways}
        # Interleaved, so that a slow minute of the machine falls on all alike.
        for _ in range(1 + repeats):
            for name, once in ways.items():
                taken[name].append(await microseconds(once, count))
    return {name: each[1:] for name, each in taken.items()}, problems


def run(quick: bool) -> list[Result]:
    taken, problems = asyncio.run(measure(quick))
    figures = {name: figure(each) for name, each in taken.items()}
    limit, tracked = figures["plain"], figures["ours"]

    def row(rival: Rival) -> Peer:
        theirs = figures.get(rival.text)
        if theirs is None:
            return Peer(name=rival.text, figure=None, notes=problems[rival.text])
        return Peer(
            name=rival.text, figure=theirs, ratio=ratio(theirs, limit),
            aim="ours is ahead" if rival.like_ours else "",
            met=tracked.median < theirs.median if rival.like_ours else None,
            notes=rival.notes,
        )  # fmt: skip

    return [
        Result(
            name="inprocess",
            question="an empty async task from submit to end, one at a time",
            ours=tracked,
            baseline=limit,
            ratio=ratio(tracked, limit),
            unit="CPU µs",
            aim=f"at most {MOST:g}",
            met=ratio(tracked, limit) <= MOST,
            baseline_name="limit: asyncio.create_task",
            peers=[row(rival) for rival in RIVALS] if peers.wanted else [],
        )
    ]
