"""What does a worker cost that is killed in mid-task?

Its slot is out of work until there is a new one: the baseline for that is pebble, if it is
installed. Other tasks: `ProcessPoolExecutor` loses them. And what this process holds.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

from quart_tasks import TaskFailed, TaskHandle

from .common import Figure, Result, figure, in_child, ratio, rss
from .faulty import (
    against_pebble,
    by_turns,
    create_app,
    fifo,
    loops,
    noted,
    nothing,
    pebble_pool,
    tasks,
)

OTHERS = 20  # tasks on the way at each kill
WARM = 10  # kills before the first reading


# -- until the slot runs its next task -------------------------------------------------------


async def ours(count: int) -> list[float]:
    """The milliseconds, `count` times."""
    taken = []
    with fifo() as pids:
        async with create_app().test_app():
            for _ in range(count):
                victim = await tasks.submit("loops", pids.path)
                pid = await asyncio.to_thread(pids.pid)
                start = perf_counter()
                os.kill(pid, signal.SIGKILL)
                await (await tasks.submit("nothing"))
                taken.append((perf_counter() - start) * 1000)
                with suppress(TaskFailed):
                    await victim
    return taken


def pebbles(count: int) -> list[float]:
    taken = []
    with fifo() as pids, pebble_pool() as pool:
        for _ in range(count):
            pool.schedule(loops, (pids.path,))
            pid = pids.pid()
            start = perf_counter()
            os.kill(pid, signal.SIGKILL)
            pool.schedule(nothing).result()
            taken.append((perf_counter() - start) * 1000)
    return taken


# -- what others lose ------------------------------------------------------------------------


async def losses(kills: int) -> dict[str, list[float]]:
    """How many other tasks were lost at each kill, and what this process held before and after
    them all: file descriptors, and MB."""
    lost: list[float] = []
    held: list[tuple[int, float]] = []
    with tempfile.TemporaryDirectory() as folder, fifo() as pids:
        path = str(Path(folder, "notes"))
        app = create_app(TASKS_PROCESSES=2, TASKS_MAX_FINISHED=100, TASKS_EVENT_BUFFER=100)
        async with app.test_app():
            for number in range(WARM + kills):
                if number == WARM:
                    held.append(await _held())
                victim = await tasks.submit("loops", pids.path)
                pid = await asyncio.to_thread(pids.pid)
                others = await tasks.submit_many("note", [[path]] * OTHERS)
                os.kill(pid, signal.SIGKILL)
                lost.append(await _lost(others, path))
                with suppress(TaskFailed):
                    await victim
            held.append(await _held())
    return {"lost": lost, "files": [files for files, _ in held], "MB": [mb for _, mb in held]}


async def _lost(others: Sequence[TaskHandle[Any]], path: str) -> int:
    """How many did not succeed, or did not run exactly once."""
    failed = set()
    for handle in others:
        try:
            await handle
        except TaskFailed:
            failed.add(handle.id)
    ran = noted(path)
    return len(failed | {each.id for each in others if ran[each.id] != 1})


async def _held() -> tuple[int, float]:
    await asyncio.sleep(0.5)  # the threads of dead pools have ended by then
    return len(os.listdir("/proc/self/fd")), rss() / 1e6


def stock_losses(kills: int) -> list[int]:
    """The same with `ProcessPoolExecutor`, a new pool for each kill, as it is broken then."""
    lost = []
    for _ in range(kills):
        with fifo() as pids, ProcessPoolExecutor(2, get_context("forkserver")) as pool:
            pool.submit(loops, pids.path)
            pid = pids.pid()
            others = [pool.submit(time.sleep, 0.001) for _ in range(OTHERS)]
            os.kill(pid, signal.SIGKILL)
            lost.append(sum(each.exception() is not None for each in others))
    return lost


def run(quick: bool) -> list[Result]:
    kills = 20 if quick else 100
    question = "from the kill of a worker to the result of the slot's next, empty task"
    milliseconds = by_turns(__name__, "", *((1, 5) if quick else (3, 10)))
    measured = in_child(__name__, "losses", kills)
    stock: Figure = figure(in_child(__name__, "stock", 5 if quick else 20))
    lost: Figure = figure(measured["lost"])
    return [
        against_pebble("crash", question, *milliseconds),
        Result(
            name="crash",
            question=f"of {OTHERS} other tasks, how many a killed worker costs ({kills} kills)",
            ours=lost,
            baseline=stock,
            ratio=ratio(lost, stock),
            unit="tasks",
            aim="no task",
            baseline_name="ProcessPoolExecutor",
            met=lost.high == 0,
        ),
        *(_flat(unit, more, kills, *measured[unit]) for unit, more in (("files", 0), ("MB", 5))),
    ]


def _flat(unit: str, more: int, kills: int, before: float, after: float) -> Result:
    return Result(
        name="crash",
        question=f"what the server holds after {kills} killed workers",
        ours=(ours := figure([after])),
        baseline=(baseline := figure([before])),
        ratio=ratio(ours, baseline),
        unit=unit,
        aim=f"at most {more} more" if more else "no more",
        baseline_name="before",
        met=after - before <= more,
    )


def main(what: str, *rest: str) -> object:
    match what:
        case "ours":
            return asyncio.run(ours(int(rest[1])))
        case "pebble":
            return pebbles(int(rest[1]))
        case "losses":
            return asyncio.run(losses(int(rest[0])))
        case _:
            return stock_losses(int(rest[0]))


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
