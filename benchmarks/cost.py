"""What does a task cost in memory and in time, and does it cost more where there are many?

Times are of the processor, by turns in processes of their own, each with so many ended records.
"""

import asyncio
import json
import logging
import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from time import process_time

import msgspec
from msgspec.structs import replace
from quart import Quart

from . import pools, sockets, tracked
from .asking import peer, side
from .common import Figure, Peer, Result, figure, in_child, ratio, rss
from .records import OPERATIONS
from .tracked import nothing, tasks

AIM = 1.2

# -- memory --------------------------------------------------------------------------------

FIRST, LAST = 10_000, 60_000


async def ended_by_us() -> float:
    app = tracked.create_app(TASKS_MAX_FINISHED=LAST * 2, TASKS_RETENTION=86_400)
    async with app.test_app():
        # Three events a task: after the first 10,000 the replay buffer, of 10,000, is full.
        await one_by_one(FIRST)
        before = rss()
        await one_by_one(LAST - FIRST)
        kept = tasks.stats()["states"]["succeeded"]
        if kept != LAST:
            raise RuntimeError(f"{kept} records are kept where {LAST} were to be.")
        return (rss() - before) / (LAST - FIRST)


async def waiting_by_us() -> float:
    logging.getLogger("quart_tasks").setLevel(logging.CRITICAL)  # they never run, on purpose
    later = nothing.with_options(delay=3600)
    async with tracked.create_app().test_app():
        for _ in range(FIRST):
            await later.submit()
        before = rss()
        for _ in range(LAST - FIRST):
            await later.submit()
        return (rss() - before) / (LAST - FIRST)


async def dicts() -> float:
    """The record of an ended task as `json.loads` gives it."""
    async with tracked.create_app().test_app():
        await (handle := await nothing.submit())
        text = msgspec.json.encode(handle.record)
    kept = [json.loads(text) for _ in range(FIRST)]
    before = rss()
    kept += [json.loads(text) for _ in range(LAST - FIRST)]
    return (rss() - before) / (LAST - FIRST)


async def one_by_one(count: int) -> None:
    for _ in range(count):
        await (await nothing.submit())


async def worker() -> float:
    app = Quart(__name__)
    app.config["TASKS_PROCESSES"] = 1
    pools.tasks.init_app(app)
    async with app.test_app():
        return await (await pools.memory.submit())


async def bare_worker() -> float:
    """Of a pool whose worker comes from a fork server, too, and imports the same module."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("forkserver")) as pool:
        return pool.submit(pools.own_memory).result()


MEASURES = {
    "ended": ended_by_us, "waiting": waiting_by_us, "dicts": dicts, "worker": worker,
    "bare_worker": bare_worker,
}  # fmt: skip


def in_memory(quick: bool) -> list[Result]:
    taken: dict[str, list[float]] = {name: [] for name in MEASURES}
    for _ in range(1 if quick else 3):
        for name, values in taken.items():
            values.append(in_child(__name__, name) / 1000)
    held = {name: figure(values) for name, values in taken.items()}
    dict_name = "the record as json.loads gives it"
    return [
        _result("memory of an ended empty task", held["ended"], held["dicts"], "KB",
                dict_name, "at most 1 KB", held["ended"].median <= 1),
        _result("memory of a waiting empty task", held["waiting"], held["dicts"], "KB", dict_name),
        _result("memory of a worker that has run a task, its own alone", held["worker"],
                held["bare_worker"], "KB", "a bare pool's, fork server"),
        replace(sockets.idle_result(quick), name="cost"),
    ]  # fmt: skip


# -- operations ----------------------------------------------------------------------------

SIZES = [1_000, 10_000, 100_000, 1_000_000]
TIMES = {"list": 50}  # others: MANY
MANY = 500


def by_size(quick: bool) -> list[Result]:
    """What an operation takes with 100,000 records, against a thousand."""
    sizes, repeats = (SIZES[::2], 5) if quick else (SIZES, 15)
    taken: dict[tuple[str, int, str], list[float]] = {}
    with ExitStack() as stack:
        sides = {
            (whose, size): stack.enter_context(side("benchmarks.records", whose, size))
            for size in sizes
            for whose in ("ours", "dicts")
        }
        for repeat in range(1 + repeats):
            for (whose, size), each in sides.items():
                for operation in OPERATIONS:
                    microseconds = each.ask(operation, TIMES.get(operation, MANY))
                    if repeat:
                        key = whose, size, operation
                        taken.setdefault(key, []).append(microseconds)
    few, most = SIZES[0], SIZES[2]
    results = []
    for operation, text in OPERATIONS.items():
        ours, baseline = (figure(taken["ours", size, operation]) for size in (most, few))
        rows = [
            peer(f"{name}, {size:,}", taken[whose, size, operation], baseline)
            for whose, name in (("ours", "quart_tasks"), ("dicts", "dict of dicts"))
            for size in sizes
            if whose == "dicts" or size not in (few, most)
        ]
        plain = figure(taken["dicts", most, operation]), figure(taken["dicts", few, operation])
        results.append(
            _result(
                f"{text}, with {most:,} ended records, against {few:,}", ours, baseline, "µs",
                f"quart_tasks, {few:,}", f"at most {AIM}", ratio(ours, baseline) <= AIM, rows,
                f"of a dict of dicts this ratio is {ratio(*plain):.2f}",
            )
        )  # fmt: skip
    return results


# -- many tasks, one after another -----------------------------------------------------------

STEP, LONG, QUICK = 100_000, 1_000_000, 200_000
TOGETHER = 100


async def pass_through(count: int) -> list[tuple[float, float]]:
    """Megabytes held, and microseconds of the processor a task, after each STEP of them."""
    # At 10,000 records and 10,000 events the bounds are reached long before the first reading.
    readings = []
    async with tracked.create_app(TASKS_MAX_FINISHED=10_000).test_app():
        for _ in range(0, count, STEP):
            start = process_time()
            for _ in range(0, STEP, TOGETHER):
                for handle in [await nothing.submit() for _ in range(TOGETHER)]:
                    await handle
            taken = process_time() - start
            readings.append((rss() / 1e6, taken / STEP * 1e6))
    return readings


def through(quick: bool) -> list[Result]:
    count = QUICK if quick else LONG
    (held, took), *_, (held_at_last, took_at_last) = in_child(__name__, "pass_through", count)
    first = f"after {STEP:,}"
    return [
        _result(f"memory after {count:,} tasks, against {first}", figure([held_at_last]),
                figure([held]), "MB", first, "at most 5 MB more", held_at_last - held <= 5),
        _result(f"an empty task, from submit to end, of the last {STEP:,} of {count:,} tasks",
                figure([took_at_last]), figure([took]), "µs", f"of the first {STEP:,}",
                f"at most {AIM}", took_at_last <= AIM * took),
    ]  # fmt: skip


def _result(
    question: str, ours: Figure, baseline: Figure, unit: str, baseline_name: str,
    aim: str = "none", met: bool | None = None, peers: Sequence[Peer] = (), notes: str = "",
) -> Result:  # fmt: skip
    return Result(
        name="cost", question=question, ours=ours, baseline=baseline,
        ratio=ratio(ours, baseline), unit=unit, aim=aim, met=met,
        baseline_name=baseline_name, peers=list(peers), notes=notes,
    )  # fmt: skip


def run(quick: bool) -> list[Result]:
    return in_memory(quick) + by_size(quick) + through(quick)


if __name__ == "__main__":
    what, *count = sys.argv[1:]
    answer = pass_through(int(count[0])) if count else MEASURES[what]()
    print(json.dumps(asyncio.run(answer)))
