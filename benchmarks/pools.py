"""CPU work in the processes of ours and of others, each in a process of its own (see `asking`).

Each question is how much work a task does and how many there are, the answer the seconds from
the first submission until all results are there. Each pool is used as its own documentation
says, with its defaults, but for our niceness: no other is nice, and would be given the time of
ours where the machine has other work.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

from quart import Quart

from quart_tasks import QuartTasks

from .asking import answer, answer_async

WARM_UP = 200  # tasks

tasks = QuartTasks()


def count(steps: int) -> int:
    """Work that is measured in steps, not by the clock."""
    done = 0
    for _ in range(steps):
        done += 1
    return done


def own_memory() -> int:
    """The bytes that this process shares with no other."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


work = tasks.task(name="work", executor="process")(count)
memory = tasks.task(name="memory", executor="process")(own_memory)


def check(results: list[int], steps: int, number: int) -> None:
    if results != [steps] * number:
        raise RuntimeError(f"Not all of {number} tasks gave {steps}.")


async def ours(workers: int) -> None:
    app = Quart(__name__)
    app.config.update(TASKS_PROCESSES=workers, TASKS_PROCESS_NICE=0)
    tasks.init_app(app)

    async def measure(steps: int, number: int) -> float:
        start = perf_counter()
        results = [result async for result in work.map([steps] * number)]
        taken = perf_counter() - start
        check(results, steps, number)
        return taken

    async with app.test_app():
        await measure(0, WARM_UP)
        await answer_async(measure)


def futures(submit: Callable[[Any, int], Future[int]]) -> None:
    """For what gives a future for each task."""

    def measure(steps: int, number: int) -> float:
        start = perf_counter()
        given = [submit(count, steps) for _ in range(number)]
        results = [each.result() for each in given]
        taken = perf_counter() - start
        check(results, steps, number)
        return taken

    measure(0, WARM_UP)
    answer(measure)


def bare(workers: int) -> None:
    with ProcessPoolExecutor(workers) as pool:
        futures(pool.submit)


def pebble(workers: int) -> None:
    with import_module("pebble").ProcessPool(max_workers=workers) as pool:
        futures(lambda function, steps: pool.schedule(function, (steps,)))


def loky(workers: int) -> None:
    with import_module("loky").get_reusable_executor(max_workers=workers) as pool:
        futures(pool.submit)


def celery(workers: int) -> None:
    celery_worker = import_module("benchmarks.peers.celery_worker")
    group = import_module("celery").group

    def measure(steps: int, number: int) -> float:
        start = perf_counter()
        results = group(celery_worker.count.s(steps) for _ in range(number))().get(timeout=120)
        taken = perf_counter() - start
        check(results, steps, number)
        return taken

    with celery_worker.running("--pool=prefork", f"--concurrency={workers}"):
        measure(0, WARM_UP)
        answer(measure)


SIDES: dict[str, Callable[[int], None]] = {
    "ours": lambda workers: asyncio.run(ours(workers)),
    "bare": bare,
    "pebble": pebble,
    "loky": loky,
    "celery": celery,
}
