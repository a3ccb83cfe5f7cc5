"""How long after a cancel has the slot of a busy process task run its next task?

The task is one that only a kill ends: a loop in Python, or one call of C code that holds the
GIL. The baseline is pebble's pool of one worker, if pebble is installed. Each is measured in
processes of its own, by turns.
"""

import asyncio
import json
import sys
from contextlib import suppress
from time import perf_counter

from quart_tasks import TaskCancelled

from .common import Result
from .faulty import PLAIN, against_pebble, by_turns, create_app, fifo, nothing, pebble_pool, tasks

KINDS = {"loops": "a loop in Python", "holds_the_gil": "C code that holds the GIL"}


async def ours(kind: str, count: int) -> list[float]:
    """The milliseconds, `count` times."""
    taken = []
    with fifo() as pids:
        async with create_app().test_app():
            await (await tasks.submit("nothing"))
            for _ in range(count):
                handle = await tasks.submit(kind, pids.path)
                await asyncio.to_thread(pids.pid)
                start = perf_counter()
                await handle.cancel()
                await (await tasks.submit("nothing"))
                taken.append((perf_counter() - start) * 1000)
                with suppress(TaskCancelled):
                    await handle
    return taken


def pebbles(kind: str, count: int) -> list[float]:
    taken = []
    with fifo() as pids, pebble_pool() as pool:
        for _ in range(count):
            future = pool.schedule(PLAIN[kind], (pids.path,))
            pids.pid()
            start = perf_counter()
            future.cancel()
            pool.schedule(nothing).result()
            taken.append((perf_counter() - start) * 1000)
    return taken


def run(quick: bool) -> list[Result]:
    repeats, count = (1, 5) if quick else (3, 10)
    return [
        against_pebble(
            "hardcancel",
            f"from the cancel of {text} to the result of the slot's next, empty task",
            *by_turns(__name__, kind, repeats, count),
        )
        for kind, text in KINDS.items()
    ]


if __name__ == "__main__":
    whose, kind, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    taken = asyncio.run(ours(kind, count)) if whose == "ours" else pebbles(kind, count)
    print(json.dumps(taken))
