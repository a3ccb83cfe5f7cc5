"""How many CPU tasks a second, of 0, 1, 10 and 100 ms, with two workers and with eight?

The work is counted in steps, as many as take the milliseconds on this machine when nothing else
runs, so that what else the machine does falls on all sides alike.
"""

import sys
from contextlib import ExitStack
from time import perf_counter

from . import peers, pools
from .asking import Side, peer, side
from .common import Figure, Result, figure, ratio

PEERS = {
    "pebble": ("pebble", ""),
    "loky": ("loky", ""),
    "celery": ("Celery, prefork worker", "with Redis, for messages and results"),
}
AIMS = {0: 0.5, 1: 0.85, 10: 0.95, 100: 0.95}  # by the milliseconds of a task
TASKS = {0: 1_200, 1: 240, 10: 32, 100: 8}  # in a quick turn: half a second or less
FEWER = {"celery": 4}  # times, of those under 10 ms: it would take as long as the rest together


def steps_per_ms() -> float:
    steps = 100_000
    best = float("inf")
    for _ in range(20):
        start = perf_counter()
        pools.count(steps)
        best = min(best, perf_counter() - start)
    return steps / best / 1000


def rates(workers: int, quick: bool) -> tuple[dict[int, dict[str, list[float]]], dict[str, str]]:
    """Tasks a second by milliseconds and side; and why a side is missing."""
    repeats, times = (2, 1) if quick else (7, 4)
    per_ms = steps_per_ms()
    missing: dict[str, str] = {}
    sides: dict[str, Side] = {}
    taken: dict[int, dict[str, list[float]]] = {ms: {} for ms in TASKS}
    with ExitStack() as stack:
        for name in pools.SIDES if peers.wanted else ("ours", "bare"):
            try:
                sides[name] = stack.enter_context(side(__name__, name, workers))
            except peers.Missing as problem:
                missing[name] = str(problem)
        for _ in range(repeats):
            for ms, number in TASKS.items():
                for name, each in sides.items():
                    if name in missing:
                        continue
                    asked = number * times // (FEWER.get(name, 1) if ms < 10 else 1)
                    try:
                        seconds = each.ask(round(ms * per_ms), asked)
                    except peers.Missing as problem:
                        if name not in PEERS:
                            raise
                        missing[name] = f"it failed: {problem}"
                        continue
                    taken[ms].setdefault(name, []).append(asked / seconds)
    return taken, missing


def run(quick: bool) -> list[Result]:
    results = []
    for workers in (2, 8):
        taken, missing = rates(workers, quick)
        for ms, by_side in taken.items():
            ours: Figure = figure(by_side["ours"])
            bare = figure(by_side["bare"])
            results.append(
                Result(
                    name="cpu",
                    question=f"tasks of {ms} ms of CPU from submit to result, {workers} workers",
                    ours=ours,
                    baseline=bare,
                    ratio=ratio(ours, bare),
                    unit="tasks/s",
                    aim=f"at least {AIMS[ms]}",
                    met=ratio(ours, bare) >= AIMS[ms],
                    baseline_name="a bare ProcessPoolExecutor",
                    peers=[
                        peer(text, by_side.get(name), bare, missing.get(name, notes))
                        for name, (text, notes) in PEERS.items()
                        if peers.wanted
                    ],
                )
            )
    return results


if __name__ == "__main__":
    pools.SIDES[sys.argv[1]](int(sys.argv[2]))
