"""Servers beside each other, each asked by turns how many tasks a second it accepts.

By turns, so that a slow minute of the machine falls on all alike. All serve on one core, with all
their processes, and this process asks from another.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import ExitStack
from statistics import median
from time import perf_counter, process_time
from typing import NamedTuple

from . import client, peers
from .common import Figure, Peer, figure, ratio
from .server import Server

CONNECTIONS = 32
SUBMIT = client.request("POST", "/tasks", {"name": "nothing"})

Ask = Callable[[int, float], Awaitable[float]]  # a port and seconds; tasks a second


class Contestant(NamedTuple):
    server: Server
    ask: Ask


class Turn(NamedTuple):
    rate: float
    asking: float  # the share of its core that the client used
    serving: float  # and the server


class Taken(NamedTuple):
    """What the turns gave, by contestant, and why peers have none."""

    turns: dict[str, list[Turn]]
    problems: dict[str, str]

    def rate(self, name: str) -> Figure:
        return figure([turn.rate for turn in self.turns[name]])

    def work(self, name: str) -> Figure:
        """The microseconds of the server's processor for each task, which say more than a rate
        where the machine has other work."""
        return figure([turn.serving / turn.rate * 1e6 for turn in self.turns[name]])

    def at_work(self, *names: str) -> bool:
        """Whether the core was theirs: servers that mostly wait are alike whatever they do."""
        return all(median(turn.serving for turn in self.turns[name]) > 0.8 for name in names)

    def asking(self) -> float:
        """The most that the client used of its core."""
        return max(median(turn.asking for turn in each) for each in self.turns.values() if each)


async def one_by_one(port: int, seconds: float) -> float:
    return await client.rate(port, SUBMIT, connections=CONNECTIONS, seconds=seconds)


def contest(
    ours: dict[str, Contestant], names: Collection[str], quick: bool, turns: int = 7
) -> Taken:
    """Ask `ours` and the peers of these names, each `turns` times (with `quick` 3 short ones), and
    once before to warm up."""
    seconds, repeats = (0.4, 3) if quick else (2.0, turns)
    taken = Taken({name: [] for name in ours}, {})
    with ExitStack() as stack:
        contestants = dict(ours)
        for name in names if peers.wanted else ():
            try:
                server = stack.enter_context(peers.serving(name))
            except peers.Missing as error:
                taken.problems[name] = str(error)
            else:
                contestants[name] = Contestant(server, of_peer)
                taken.turns[name] = []
        asyncio.run(by_turns(contestants, taken, seconds, 1 + repeats))
    return taken


async def by_turns(
    contestants: dict[str, Contestant], taken: Taken, seconds: float, repeats: int
) -> None:
    for repeat in range(repeats):
        for name, contestant in contestants.items():
            if name in taken.problems:
                continue
            try:
                async with asyncio.timeout(seconds + 20):
                    turn = await one_turn(contestant, seconds)
            except (OSError, TimeoutError) as error:
                if contestant.ask is not of_peer:
                    raise
                taken.problems[name] = f"it failed under load: {str(error) or type(error).__name__}"
                continue
            if repeat:
                taken.turns[name].append(turn)


async def one_turn(contestant: Contestant, seconds: float) -> Turn:
    server = contestant.server
    start, asked, served = perf_counter(), process_time(), server.seconds()
    rate = await contestant.ask(server.port, seconds)
    elapsed = perf_counter() - start
    asked, served = process_time() - asked, server.seconds() - served
    return Turn(rate, asked / elapsed, served / elapsed)


async def of_peer(port: int, seconds: float) -> float:
    rate = await one_by_one(port, seconds)
    async with client.http(port) as connection:
        # Or what waits would be at work in the others' turns.
        await connection.ask("POST", "/forget")
    return rate


def rows(
    taken: Taken, names: Collection[str], limit: Figure, ours: Figure, *, judged: bool
) -> list[Peer]:
    """The peers' rows: `ours` is to be ahead of those that do what it does."""
    found = []
    for name in names if peers.wanted else ():
        about = peers.ABOUT[name]
        if problem := taken.problems.get(name):
            found.append(Peer(name=about.text, figure=None, notes=problem))
            continue
        theirs = taken.rate(name)
        found.append(
            Peer(
                name=about.text, figure=theirs, ratio=ratio(theirs, limit),
                aim="ours is ahead" if about.rival else "",
                met=ours.median > theirs.median if about.rival and judged else None,
                notes=about.notes,
            )
        )  # fmt: skip
    return found
