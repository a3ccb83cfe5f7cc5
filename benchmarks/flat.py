"""Does memory stay flat over a million tasks?"""

import asyncio
import sys

from .common import Figure, Result, figure, in_child, ratio, rss
from .tracked import create_app, nothing

FIRST, LAST, QUICK = 100_000, 1_000_000, 200_000
TOGETHER = 100


async def pass_through(count: int) -> None:
    for _ in range(0, count, TOGETHER):
        for handle in [await nothing.submit() for _ in range(TOGETHER)]:
            await handle


async def growth(last: int) -> list[int]:
    # At 10,000 records and 10,000 events the bounds are reached long before the first reading.
    app = create_app(TASKS_MAX_FINISHED=10_000)
    async with app.test_app():
        await pass_through(FIRST)
        before = rss()
        await pass_through(last - FIRST)
        return [before, rss()]


def run(quick: bool) -> list[Result]:
    last = QUICK if quick else LAST
    before, after = (value / 1e6 for value in in_child(__name__, last))
    ours: Figure = figure([after])
    baseline = figure([before])
    return [
        Result(
            name="flat",
            question=f"memory after {last:,} tasks, against after {FIRST:,}",
            ours=ours,
            baseline=baseline,
            ratio=ratio(ours, baseline),
            unit="MB",
            aim="at most 5 MB more",
            met=after - before <= 5,
        )
    ]


if __name__ == "__main__":
    print(asyncio.run(growth(int(sys.argv[1]))))
