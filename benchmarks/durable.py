"""What does the journal cost: requests, tasks in-process, bytes on the disk?"""

import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import msgspec
from msgspec.structs import replace
from quart import Quart

from . import peers, tracked
from .accept import fill
from .common import Figure, Result, figure, in_child, ratio
from .contest import CONNECTIONS, Contestant, Taken, contest, one_by_one, rows
from .server import Server, serving
from .tracked import nothing, tasks

PEERS = ("taskflow_sqlite", "celery_redis", "celery_rabbitmq")
TURNS = 15  # without the peers: the two are near each other, and a shared machine's turns are not
CALLERS = 1_000  # in-process
KEPT = 10_000  # records, soon reached: a server that has run for an hour forgets as it accepts
JOURNAL = "BENCHMARK_JOURNAL"  # the variable with the path, for a server's process

Rates = dict[str, list[float]]


def create_app() -> Quart:
    return tracked.create_app(TASKS_JOURNAL=os.environ.get(JOURNAL), TASKS_MAX_FINISHED=KEPT)


@contextmanager
def journaled(app: str, path: str, *, pinned: bool = True) -> Iterator[Server]:
    """Serve an app that takes the journal's path from its environment."""
    os.environ[JOURNAL] = path
    try:
        with serving(app, pinned=pinned) as server:
            yield server
    finally:
        del os.environ[JOURNAL]


async def loaded(app: Quart) -> None:
    """Wait until the app takes tasks: an empty journal is read, too."""
    asking = app.test_client()
    while (await asking.get("/tasks/health")).status_code != 200:  # noqa: ASYNC110
        await asyncio.sleep(0.001)


def sync_time(folder: str, count: int = 200) -> float:
    """The median of the microseconds that the disk takes to write 4 KiB and sync them."""
    taken = []
    with open(f"{folder}/sync", "wb", buffering=0) as file:
        for _ in range(count):
            start = perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            taken.append((perf_counter() - start) * 1e6)
    return median(taken)


# -- over HTTP -------------------------------------------------------------------------------


def over_http(quick: bool) -> list[Result]:
    with TemporaryDirectory() as folder, ExitStack() as stack:
        servers = {
            "memory": stack.enter_context(serving("durable")),
            "journal": stack.enter_context(journaled("durable", f"{folder}/tasks.db")),
        }
        for server in servers.values():
            asyncio.run(fill(server.port, KEPT))
        ours = {name: Contestant(server, one_by_one) for name, server in servers.items()}
        alone, sync = contest(ours, (), quick, turns=TURNS), sync_time(folder)
        # The limit is judged without the peers: brokers and workers take some of the core even when
        # nobody asks them.
        beside = contest(ours, PEERS, quick) if peers.wanted else None
    what = f"tasks accepted a second, on the disk when the answer comes, {CONNECTIONS} connections"
    results = [accepted(what, alone, sync, ())]
    if beside is not None:
        by_turns = f"{what}, by turns with peers that stay on the same core"
        results.append(accepted(by_turns, beside, sync, PEERS))
    return results


def accepted(question: str, taken: Taken, sync: float, names: Sequence[str]) -> Result:
    memory, journal = taken.rate("memory"), taken.rate("journal")
    # What waits for the disk does not use all of its core; in memory there is nothing to wait for.
    judged = taken.at_work("memory")
    limit = judged and not names
    notes = (
        f"a task takes {taken.work('journal').median:.0f} µs of the processor, in memory "
        f"{taken.work('memory').median:.0f}; this disk writes and syncs 4 KiB in {sync:.0f} µs"
        + ("" if judged else "; not judged: the core had other work")
    )
    return replace(
        _result(question, journal, memory, "tasks/s", "limit: the same in memory", notes),
        aim="none" if names else "at least 0.8",
        met=ratio(journal, memory) >= 0.8 if limit else None,
        ours_name="quart_tasks with a journal",
        peers=rows(taken, names, memory, journal, judged=judged),
    )


# -- in-process ------------------------------------------------------------------------------


async def together(journal: str | None, each: int) -> float:
    """Tasks a second, from the first submission to the last end, of 1,000 callers."""
    app = tracked.create_app(TASKS_JOURNAL=journal, TASKS_MAX_FINISHED=KEPT)

    async def call(times: int) -> None:
        for _ in range(times):
            await nothing.submit()

    async with app.test_app():
        await loaded(app)
        await asyncio.gather(*(call(1) for _ in range(CALLERS)))
        start = perf_counter()
        await asyncio.gather(*(call(each) for _ in range(CALLERS)))
        await tasks.join()
        return CALLERS * each / (perf_counter() - start)


def in_process(quick: bool) -> list[Result]:
    each, repeats = (10, 1) if quick else (20, 7)
    taken: Rates = {"journal": [], "memory": []}
    for _ in range(repeats):
        for where, rates in taken.items():
            rates.append(in_child(__name__, "together", where, each))
    return [
        _result(
            f"journaled: an empty task from submit to end, {CALLERS:,} callers at once",
            figure(taken["journal"]), figure(taken["memory"]), "tasks/s", "the same in memory",
        )
    ]  # fmt: skip


# -- on the disk -----------------------------------------------------------------------------


async def footprint(path: str, kept: int, seconds: float, most: int) -> dict[str, int]:
    """Bytes after as many tasks as are kept, and after many times more: as many as fit."""
    app = tracked.create_app(TASKS_JOURNAL=path, TASKS_MAX_FINISHED=kept)
    start, count = perf_counter(), 0
    async with app.test_app():
        await loaded(app)
        while count < kept or (count < most and perf_counter() < start + seconds):
            handles = await tasks.submit_many(nothing, [()] * 1000)
            await tasks.join()
            count += 1000
            if count == kept:
                record = len(msgspec.json.encode(handles[-1].record))
                first, first_wal = size(path), size(f"{path}-wal")
        wal = size(f"{path}-wal")
    return {
        "record": record, "first": first, "first_wal": first_wal, "count": count,
        "last": size(path), "wal": wal,
    }  # fmt: skip


def size(path: str) -> int:
    return os.stat(path).st_size


def live(path: str, copy: str) -> int:
    """The bytes that the same rows take in a file of their own."""
    connection = sqlite3.connect(path)
    connection.execute("VACUUM INTO ?", (copy,))
    connection.close()
    return size(copy)


def on_disk(quick: bool) -> list[Result]:
    kept, seconds, most = (20_000, 3, 100_000) if quick else (100_000, 120, 1_000_000)
    with TemporaryDirectory() as folder:
        path = f"{folder}/tasks.db"
        measured = in_child(__name__, "footprint", path, kept, seconds, most)
        after, data = measured["last"], live(path, f"{folder}/copy.db")
    a_task = (measured["first"] + measured["first_wal"]) / kept
    return [
        _result(
            f"journaled: bytes on the disk of an ended empty task, of {kept:,}",
            figure([a_task]), figure([measured["record"]]), "bytes", "its record as JSON",
            f"of the journal {measured['first'] / kept:.0f} in the database, the rest in the WAL",
        ),
        Result(
            name="durable",
            question=f"journaled: the file after {measured['count']:,} tasks of which {kept:,} "
            f"are kept",
            ours=(ours := figure([after / 1e6])),
            baseline=(baseline := figure([data / 1e6])),
            ratio=ratio(ours, baseline),
            unit="MB",
            aim="at most 2",
            met=after <= 2 * data,
            baseline_name="a file with only these",
            notes=f"and {measured['wal'] / 1e6:.1f} MB of WAL while the server ran",
        ),
    ]  # fmt: skip


def _result(
    question: str, ours: Figure, baseline: Figure, unit: str, against: str, notes: str = ""
) -> Result:
    return Result(
        name="durable",
        question=question,
        ours=ours,
        baseline=baseline,
        ratio=ratio(ours, baseline),
        unit=unit,
        aim="none",
        met=None,
        notes=notes,
        baseline_name=against,
    )


def run(quick: bool) -> list[Result]:
    return over_http(quick) + in_process(quick) + on_disk(quick)


def main(what: str, *rest: str) -> object:
    if what == "footprint":
        return asyncio.run(footprint(rest[0], *map(int, rest[1:])))
    with TemporaryDirectory() as folder:
        journal = f"{folder}/tasks.db" if rest[0] == "journal" else None
        return asyncio.run(together(journal, int(rest[1])))


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
