"""How soon does a server with 100,000 unfinished tasks in its journal take new ones, and does it
answer meanwhile?

Half of the tasks wait for a slot and half for their time. Their server ended without a word.
"""

import asyncio
import json
import logging
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import msgspec
from quart import Quart

from quart_tasks import QuartTasks

from . import client
from .common import Figure, Result, figure, in_child, ratio
from .durable import JOURNAL, journaled, loaded

TASKS, QUICK = 100_000, 20_000
MOST = 2.0  # seconds
HEALTH = client.request("GET", "/tasks/health")
PAUSE = 0.01  # seconds between two requests, so that asking is not what the server does

tasks = QuartTasks()


@tasks.task
async def nothing() -> None:
    pass


@tasks.task(durable=False)
async def endless() -> None:
    await asyncio.Event().wait()


class Watch(msgspec.Struct):
    """When the app began to start, by the clock that all processes share; and since it was last
    asked, in seconds, the longest time that its loop was late, and the processor's."""

    began: float = 0.0
    used: float = 0.0
    late: float = 0.0

    def tell(self) -> dict[str, float]:
        told = {"began": self.began, "used": process_time() - self.used, "late": self.late}
        self.used, self.late = process_time(), 0.0
        return told

    async def run(self) -> None:
        while True:
            due = perf_counter() + 0.001
            await asyncio.sleep(0.001)
            self.late = max(self.late, perf_counter() - due)


def create_app() -> Quart:
    logging.getLogger("quart_tasks").setLevel(logging.ERROR)  # what it warns of is on purpose
    app = Quart(__name__)
    app.config["TASKS_JOURNAL"] = os.environ[JOURNAL]
    watch = Watch()
    watching: list[asyncio.Task[None]] = []

    @app.before_serving  # before ours, which opens the journal
    async def begin() -> None:
        watch.began, watch.used = perf_counter(), process_time()
        watching.append(asyncio.create_task(watch.run()))

    @app.after_serving
    async def end() -> None:
        watching.pop().cancel()

    @app.post("/watch")
    async def tell() -> dict[str, float]:
        return watch.tell()

    tasks.init_app(app)
    return app


async def leave(path: str, count: int) -> None:
    """Have a server take tasks; the process then ends as if killed."""
    app = Quart(__name__)
    app.config |= {"TASKS_JOURNAL": path, "TASKS_ASYNC_CONCURRENCY": 1}
    tasks.init_app(app)
    async with app.test_app():
        await loaded(app)
        await endless.submit()
        for _ in range(0, count, 2_000):
            await tasks.submit_many(nothing, [()] * 1_000)
            await tasks.submit_many(nothing.with_options(delay=3600), [()] * 1_000)
        print(json.dumps(count), flush=True)
        os._exit(0)


async def answers(port: int, until: int, most: int) -> list[float]:
    """The milliseconds of each answer, one after another, until one has that status."""
    taken = []
    async with client.http(port) as connection:
        for _ in range(most):
            start = perf_counter()
            answer = await connection.send(HEALTH)
            taken.append((perf_counter() - start) * 1000)
            if answer.status == until:
                return taken
            await asyncio.sleep(PAUSE)
    return taken


async def start(port: int, count: int) -> dict[str, float]:
    """What one start has shown, and the same of the idle server afterwards."""
    loading = await answers(port, 200, 10_000)
    end = perf_counter()
    async with client.http(port) as connection:
        watch = (await connection.ask("POST", "/watch")).json()
        states = await counts(connection)
        while states["queued"] + states["running"]:
            await asyncio.sleep(0.05)
            states = await counts(connection)
        if sum(states.values()) != count:
            raise RuntimeError(f"{sum(states.values())} tasks were loaded of {count}.")
        await connection.ask("POST", "/watch")
        idle = await answers(port, 0, len(loading))
        after = (await connection.ask("POST", "/watch")).json()
    return {
        "seconds": end - watch["began"],
        "used": watch["used"],
        "late": watch["late"] * 1000,
        "late idle": after["late"] * 1000,
        "slowest": max(loading),
        "slowest idle": max(idle),
        "answers": len(loading),
    }


async def counts(connection: client.Http) -> dict[str, int]:
    states: dict[str, int] = (await connection.ask("GET", "/tasks/stats")).json()["states"]
    return states


def reading(path: str) -> float:
    """The seconds that the rows alone take."""
    begun = perf_counter()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("SELECT * FROM tasks").fetchall()
    return perf_counter() - begun


def measure(count: int, repeats: int) -> dict[str, Figure]:
    rows: list[dict[str, float]] = []
    with TemporaryDirectory() as folder:
        left, copy = Path(folder, "left"), Path(folder, "copy")
        left.mkdir()
        in_child(__name__, left / "tasks.db", count)
        for _ in range(repeats):
            shutil.copytree(left, copy)
            rows_alone = reading(f"{copy}/tasks.db")
            shutil.rmtree(copy)  # SQLite has put the WAL's part into it
            shutil.copytree(left, copy)
            # Not pinned: a thread reads while the loop takes in what was read.
            with journaled("restart", f"{copy}/tasks.db", pinned=False) as server:
                row = asyncio.run(start(server.port, count))
            rows.append(row | {"reading": rows_alone})
            shutil.rmtree(copy)
    return {name: figure([row[name] for row in rows]) for name in rows[0]}


def run(quick: bool) -> list[Result]:
    count, repeats = (QUICK, 2) if quick else (TASKS, 5)
    measured = measure(count, repeats)
    most = MOST * count / TASKS
    seconds = measured["seconds"]
    meanwhile = f"while {count:,} unfinished tasks are loaded"
    return [
        Result(
            name="restart",
            question=f"from the start of the app until {count:,} unfinished tasks are loaded",
            ours=seconds,
            baseline=measured["reading"],
            ratio=ratio(seconds, measured["reading"]),
            unit="s",
            aim=f"at most {most:g} s",
            baseline_name="only reading their rows",
            met=seconds.median <= most,
            notes=f"of the processor it takes {measured['used'].median:.2f} s",
        ),
        _compared(f"longest hold of the loop {meanwhile}", measured, "late"),
        _compared(
            f"slowest answer of GET /tasks/health {meanwhile}", measured, "slowest",
            f"{measured['answers'].median:.0f} answers, 503 until all are loaded",
        ),
    ]  # fmt: skip


def _compared(question: str, measured: dict[str, Any], name: str, notes: str = "") -> Result:
    ours, baseline = measured[name], measured[f"{name} idle"]
    return Result(
        name="restart", question=question, ours=ours, baseline=baseline,
        ratio=ratio(ours, baseline), unit="ms", aim="none", met=None, notes=notes,
        baseline_name="idle",
    )  # fmt: skip


if __name__ == "__main__":
    asyncio.run(leave(sys.argv[1], int(sys.argv[2])))
