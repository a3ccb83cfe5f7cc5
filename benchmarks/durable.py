"""What does the journal cost: requests, tasks in-process, bytes on the disk?

Each server runs on one core, with all that belongs to it, and the client on another.
"""

import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from math import nan
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import msgspec
from msgspec.structs import replace
from quart import Quart

from . import client, peers, tracked
from .common import Figure, Result, figure, in_child, ratio
from .server import Server, serving
from .tracked import nothing, tasks

CONNECTIONS = 32
CALLERS = 1_000  # in-process
SUBMIT = client.request("POST", "/tasks", {"name": "nothing"})
KEPT = 10_000  # records, soon reached: a server that has run for an hour forgets as it accepts
JOURNAL = "BENCHMARK_JOURNAL"  # the variable with the path, for a server's process

Taken = dict[str, list[float]]


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


async def rate(server: Server, seconds: float) -> float:
    return await client.rate(server.port, SUBMIT, connections=CONNECTIONS, seconds=seconds)


async def rate_of_peer(server: Server, seconds: float, problems: list[str]) -> float:
    """nan where it fails, which is its own affair."""
    try:
        async with asyncio.timeout(seconds + 20), client.http(server.port) as connection:
            measured = await rate(server, seconds)
            # Or its worker would be at work in the others' turns.
            await connection.ask("POST", "/forget")
    except (OSError, TimeoutError) as error:
        problems.append(f"it failed under load: {error or type(error).__name__}")
        return nan
    return measured


async def rates(
    ours: dict[str, Server], others: dict[str, Server], problems: dict[str, list[str]], quick: bool
) -> tuple[dict[str, Figure], dict[str, float]]:
    """The requests a second of each, by turns; and the microseconds of processor time that one
    takes of ours, which say more on a machine that has other work."""
    seconds, repeats = (0.5, 2) if quick else (2.0, 7)
    taken: Taken = {name: [] for name in ours | others}
    used: Taken = {name: [] for name in ours}
    for server in ours.values():
        async with client.http(server.port) as connection:
            await connection.ask("POST", f"/fill/{KEPT}")
    for _ in range(1 + repeats):
        for name, server in ours.items():
            before = server.seconds()
            taken[name].append(await rate(server, seconds))
            used[name].append((server.seconds() - before) / taken[name][-1] / seconds * 1e6)
        for name, server in others.items():
            if not problems[name]:
                taken[name].append(await rate_of_peer(server, seconds, problems[name]))
    # The first turn of each is to warm up.
    return (
        {name: figure(each[1:] or [nan]) for name, each in taken.items()},
        {name: median(each[1:]) for name, each in used.items()},
    )


def over_http(quick: bool) -> list[Result]:
    problems: dict[str, list[str]] = {name: [] for name in peers.ABOUT}
    with TemporaryDirectory() as folder, ExitStack() as stack:
        ours = {
            "memory": stack.enter_context(serving("durable")),
            "journal": stack.enter_context(journaled("durable", f"{folder}/tasks.db")),
        }
        others = {}
        for name in peers.ABOUT:
            try:
                others[name] = stack.enter_context(peers.serving(name))
            except peers.Missing as error:
                problems[name].append(f"missing: {error}")
        measured, used = asyncio.run(rates(ours, others, problems, quick))
        sync = sync_time(folder)
    question = f"journaled: POST of an empty task, {CONNECTIONS} connections, against "
    results = [
        _result(
            question + "the same in memory", measured["journal"], measured["memory"],
            "requests/s", 0.8,
            f"a request takes {used['journal']:.0f} µs of the processor, in memory "
            f"{used['memory']:.0f}; this disk writes and syncs 4 KiB in {sync:.0f} µs",
        )
    ]  # fmt: skip
    if measured["memory"].median * used["memory"] < 0.8e6:  # in memory it has nothing to wait for
        results[0] = replace(
            results[0], met=None, aim=f"{results[0].aim}, not judged: the core had other work"
        )
    for name, (text, about) in peers.ABOUT.items():
        other = measured.get(name, figure([nan]))
        notes = "; ".join(problems[name]) or about
        results.append(
            _result(question + text, measured["journal"], other, "requests/s", None, notes)
        )
    return results


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
    taken: Taken = {"journal": [], "memory": []}
    for _ in range(repeats):
        for where, rates in taken.items():
            rates.append(in_child(__name__, "together", where, each))
    return [
        _result(
            f"journaled: an empty task from submit to end, {CALLERS:,} callers at once, against "
            f"in memory",
            figure(taken["journal"]), figure(taken["memory"]), "tasks/s", None,
        )
    ]  # fmt: skip


# -- on the disk -----------------------------------------------------------------------------


async def footprint(path: str, kept: int, seconds: float, most: int) -> dict[str, int]:
    """Bytes after as many tasks as are kept, and after many times more: as many as fit."""
    app = tracked.create_app(TASKS_JOURNAL=path, TASKS_MAX_FINISHED=kept)
    start, count = perf_counter(), 0
    async with app.test_app():
        await loaded(app)
        while count < most and perf_counter() < start + seconds:
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
    kept, seconds, most = (20_000, 6, 100_000) if quick else (100_000, 120, 1_000_000)
    with TemporaryDirectory() as folder:
        path = f"{folder}/tasks.db"
        measured = in_child(__name__, "footprint", path, kept, seconds, most)
        after, data = measured["last"], live(path, f"{folder}/copy.db")
    a_task = (measured["first"] + measured["first_wal"]) / kept
    return [
        _result(
            f"journaled: bytes on the disk an ended empty task ({kept:,} of them), against its "
            f"record as JSON",
            figure([a_task]), figure([measured["record"]]), "bytes", None,
            f"of the journal {measured['first'] / kept:.0f} in the database, the rest in the WAL",
        ),
        Result(
            name="durable",
            question=f"journaled: the file after {measured['count']:,} tasks of which {kept:,} "
            f"are kept, against only these",
            ours=(ours := figure([after / 1e6])),
            baseline=(baseline := figure([data / 1e6])),
            ratio=ratio(ours, baseline),
            unit="MB",
            aim="at most 2",
            met=after <= 2 * data,
            notes=f"and {measured['wal'] / 1e6:.1f} MB of WAL while the server ran",
        ),
    ]  # fmt: skip


def _result(
    question: str, ours: Figure, baseline: Figure, unit: str, least: float | None, notes: str = ""
) -> Result:
    return Result(
        name="durable",
        question=question,
        ours=ours,
        baseline=baseline,
        ratio=ratio(ours, baseline),
        unit=unit,
        aim=f"at least {least}" if least else "none",
        met=ratio(ours, baseline) >= least if least else None,
        notes=notes,
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
