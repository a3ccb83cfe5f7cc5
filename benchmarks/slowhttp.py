"""How many requests a second do tasks make of an HTTP server that takes 100 ms for each answer?

The server has a core of its own, and answers far more than any side asks. Slower sides make fewer
requests: what counts is the rate.
"""

import sys
from collections.abc import Collection, Iterable
from contextlib import ExitStack
from statistics import median

from . import fetching, peers
from .asking import Side, peer, side
from .common import Figure, Result, figure, ratio
from .fetching import CELERY_THREADS, THREADS
from .server import CORES
from .slow import DELAY, serving
from .sockets import raise_file_limit

AIM = 0.95
# So many that the server's time is what counts, and so many that a core has all it can do.
TOGETHER = (250, 1_000)
QUICK = 4  # times fewer requests
REQUESTS = {"ours": 10_000, "bare": 10_000, "threads": 3_000, "loops": 1_000, "celery": 1_000}

Taken = dict[str, list[float]]


def at_most(threads: int) -> str:
    return f"so many threads make at most {threads / DELAY:,.0f} requests/s"


PEERS = {
    "threads": (
        f"Flask, {THREADS} threads",
        f"a pool of threads that use urllib, with a connection for each request; "
        f"{at_most(THREADS)}",
    ),
    "loops": (
        "Flask, a loop each",
        f"`asyncio.run` with an aiohttp session for each request, in {THREADS} threads",
    ),
    "celery": (
        f"Celery, {CELERY_THREADS} threads",
        f"urllib; Redis for messages and results; {at_most(CELERY_THREADS)}",
    ),
}


def ask(together: int, names: Iterable[str], quick: bool) -> tuple[Taken, Taken, dict[str, str]]:
    """By side: requests a second, and the microseconds of the processor that one takes; and why a
    side is missing."""
    repeats = 3 if quick else 7
    rates: Taken = {}
    used: Taken = {}
    missing: dict[str, str] = {}
    sides: dict[str, Side] = {}
    with ExitStack() as stack:
        url = stack.enter_context(serving())
        for name in names:
            try:
                each = side(__name__, name, url, together, cores=CORES[:1])
                sides[name] = stack.enter_context(each)
            except peers.Missing as problem:
                missing[name] = str(problem)
        for repeat in range(1 + repeats):
            for name, asked in sides.items():
                if name in missing:
                    continue
                number = REQUESTS[name] // (QUICK if quick else 1)
                try:
                    seconds, of_processor = asked.ask(number)
                except peers.Missing as problem:
                    if name not in PEERS:
                        raise
                    missing[name] = f"it failed: {problem}"
                    continue
                if repeat:  # the first is to warm up: its connections are opened
                    rates.setdefault(name, []).append(number / seconds)
                    used.setdefault(name, []).append(of_processor / number * 1e6)
    return rates, used, missing


def result(together: int, names: Collection[str], quick: bool) -> Result:
    rates, used, missing = ask(together, ["ours", "bare", *names], quick)
    ours: Figure = figure(rates["ours"])
    bare = figure(rates["bare"])
    return Result(
        name="slowhttp",
        question=f"requests from tasks to a server that answers after {DELAY * 1000:.0f} ms, "
        f"{together:,} at once",
        ours=ours,
        baseline=bare,
        ratio=ratio(ours, bare),
        unit="requests/s",
        aim=f"at least {AIM}",
        met=ratio(ours, bare) >= AIM,
        notes=f"{together:,} at once could be {together / DELAY:,.0f} requests/s; a request takes "
        f"ours {median(used['ours']):.0f} µs of the processor, the bare session "
        f"{median(used['bare']):.0f}; 10,000 take {10_000 / ours.median:.1f} s and "
        f"{10_000 / bare.median:.1f} s",
        baseline_name="a bare aiohttp session",
        peers=[peer(PEERS[name][0], rates.get(name), bare, note(name, missing)) for name in names],
    )


def note(name: str, missing: dict[str, str]) -> str:
    return missing.get(name, PEERS[name][1])


def run(quick: bool) -> list[Result]:
    raise_file_limit(max(TOGETHER))
    few, many = TOGETHER
    return [result(few, [], quick), result(many, PEERS if peers.wanted else [], quick)]


if __name__ == "__main__":
    fetching.SIDES[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
