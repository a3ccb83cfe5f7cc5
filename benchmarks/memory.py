"""How much memory does the record of one ended task hold?

Measured in a child process. The baseline is what the same record would hold as `json.loads`
gives it, the simplest way to keep one.
"""

import asyncio
import json
import sys

import msgspec

from .common import Figure, Result, figure, in_child, ratio, rss
from .tracked import create_app, nothing, tasks

FIRST, LAST = 10_000, 60_000


async def leave(count: int) -> None:
    for _ in range(count):
        await (await nothing.submit())


async def kept_by_us() -> float:
    app = create_app(TASKS_MAX_FINISHED=LAST * 2, TASKS_RETENTION=86_400)
    async with app.test_app():
        # Three events a task: after the first 10,000 the replay buffer, of 10,000, is full.
        await leave(FIRST)
        before = rss()
        await leave(LAST - FIRST)
        kept = tasks.stats()["states"]["succeeded"]
        if kept != LAST:
            raise RuntimeError(f"{kept} records are kept where {LAST} were to be.")
        return (rss() - before) / (LAST - FIRST)


async def kept_as_dicts() -> float:
    app = create_app()
    async with app.test_app():
        handle = await nothing.submit()
        await handle
        text = msgspec.json.encode(handle.record)
    kept = [json.loads(text) for _ in range(FIRST)]
    before = rss()
    kept += [json.loads(text) for _ in range(LAST - FIRST)]
    return (rss() - before) / (LAST - FIRST)


def run(quick: bool) -> list[Result]:
    repeats = 1 if quick else 3
    ours: Figure = figure([in_child(__name__, "ours") / 1000 for _ in range(repeats)])
    baseline = figure([in_child(__name__, "dicts") / 1000 for _ in range(repeats)])
    return [
        Result(
            name="memory",
            question="memory of the record of an ended empty task, against the same as a dict",
            ours=ours,
            baseline=baseline,
            ratio=ratio(ours, baseline),
            unit="KB",
            aim="ours at most 1.5 KB",
            met=ours.median <= 1.5,
        )
    ]


if __name__ == "__main__":
    print(asyncio.run(kept_by_us() if sys.argv[1] == "ours" else kept_as_dicts()))
