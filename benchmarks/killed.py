"""How long after `kill -9` of a server is none of its processes left?

Three workers are busy: in a loop in Python, in C code that holds the GIL, and with a child of
its own. The baseline is a process with a busy `ProcessPoolExecutor`.
"""

import asyncio
import os
import re
import select
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from uuid import uuid4

from . import client
from .common import ROOT, Result, environment, figure, ratio
from .faulty import fifo, loops

BUSY = ("loops", "holds_the_gil", "has_a_child")
MOST = 1_000  # ms
LONGEST = 3.0  # seconds that are waited for


def family(mark: str) -> set[int]:
    """The processes that have `mark` in their environment, by whatever way they came to it."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it has just ended
            if mark.encode() in path.read_bytes():
                found.add(int(path.parent.name))
    return found


def until_gone(mark: str, parent: subprocess.Popen[str]) -> tuple[float, int]:
    """Kill the parent; the milliseconds until the last process of its family is gone, and how
    many are not after LONGEST. Those are killed too."""
    watched = [os.pidfd_open(pid) for pid in family(mark)]  # readable once it has ended
    start = perf_counter()
    parent.kill()
    for fd in watched:
        select.select([fd], [], [], max(0, start + LONGEST - perf_counter()))
    taken = (perf_counter() - start) * 1000
    parent.wait()
    for fd in watched:
        os.close(fd)
    left = family(mark)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return taken, len(left)


def started(mark: str, *command: str) -> subprocess.Popen[str]:
    name, _, value = mark.partition("=")
    return subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, cwd=ROOT, env=environment() | {name: value, "TASKS_PROCESSES": str(len(BUSY))},
    )  # fmt: skip


def server_killed() -> tuple[float, int]:
    mark = f"FAMILY={uuid4().hex}"
    command = ("quart_tasks", "serve", "benchmarks.faulty:create_app", "--port=0")
    with started(mark, *command) as server:
        assert server.stdout is not None
        port = re.search(r"127\.0\.0\.1:(\d+)", server.stdout.readline())
        if port is None:
            raise RuntimeError("The server did not start.")
        asyncio.run(until_busy(int(port[1])))
        return until_gone(mark, server)


async def until_busy(port: int) -> None:
    async with asyncio.timeout(30), client.http(port) as connection:
        for name in BUSY:
            answer = await connection.ask("POST", "/tasks", {"name": name})
            path = f"/tasks/{answer.json()['id']}"
            while (await connection.ask("GET", path)).json()["progress"] is None:
                pass


def stock_killed() -> tuple[float, int]:
    mark = f"FAMILY={uuid4().hex}"
    with started(mark, __name__) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        return until_gone(mark, parent)


def be_stock() -> None:
    """Have a busy pool until the end."""
    with fifo() as pids, ProcessPoolExecutor(2, get_context("forkserver")) as pool:
        for _ in range(2):
            pool.submit(loops, pids.path)
            pids.pid()
        print("busy", flush=True)
        signal.pause()


def run(quick: bool) -> list[Result]:
    kills = [server_killed() for _ in range(5 if quick else 20)]
    stock_ms, stock_left = stock_killed()
    left = sum(each for _, each in kills)
    ours = figure([ms for ms, _ in kills])
    baseline = figure([stock_ms])
    return [
        Result(
            name="killed",
            question=f"from kill -9 of the server until no process of it is left ({len(kills)} "
            f"kills)",
            ours=ours,
            baseline=baseline,
            ratio=ratio(ours, baseline),
            unit="ms",
            aim=f"at most {MOST:,} ms, each time",
            baseline_name="ProcessPoolExecutor",
            met=ours.high <= MOST and not left,
            notes=f"after {LONGEST:g} s, processes left: ours {left}, baseline's {stock_left}",
        )
    ]


if __name__ == "__main__":
    be_stock()
