"""What does tracking add to one empty async task, in-process?"""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter

from quart import Quart

from .common import Result, figure, ratio
from .tracked import create_app, nothing

QUESTION = "an empty async task from submit to end, one at a time, against "


async def ours() -> None:
    handle = await nothing.submit()
    await handle


async def plain() -> None:
    await asyncio.create_task(empty())


async def empty() -> None:
    pass


def quarts_own(app: Quart) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        app.add_background_task(empty)
        (task,) = app.background_tasks
        await task

    return run


async def microseconds(once: Callable[[], Awaitable[None]], count: int) -> float:
    start = perf_counter()
    for _ in range(count):
        await once()
    return (perf_counter() - start) / count * 1e6


async def measure(quick: bool) -> list[Result]:
    # The limit is reached while warming up, so that forgetting old records is paid for as well.
    app = create_app(TASKS_MAX_FINISHED=10_000)
    count, repeats = (1_000, 5) if quick else (5_000, 15)
    ways = [ours, plain, quarts_own(app)]
    async with app.test_app():
        await microseconds(ours, 12_000)
        # Interleaved, so that a slow minute of the machine falls on all three alike.
        rows = [[await microseconds(way, count) for way in ways] for _ in range(repeats)]
    tracked, created, background = (figure(column) for column in zip(*rows, strict=True))
    return [
        Result(
            name="inprocess",
            question=QUESTION + against,
            ours=tracked,
            baseline=baseline,
            ratio=ratio(tracked, baseline),
            unit="µs",
            aim=f"at most {most}",
            met=ratio(tracked, baseline) <= most,
        )
        for against, baseline, most in (
            ("asyncio.create_task", created, 4.0),
            ("app.add_background_task", background, 1.0),
        )
    ]


def run(quick: bool) -> list[Result]:
    return asyncio.run(measure(quick))
