"""How many tasks a second does a server accept, tracked and not, and how many do the others?

One core serves, with all that belongs to the server, and another asks. The client is not the
limit: see `client.py`; the notes give the share of its core that it used in this run.
"""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from math import nan
from time import perf_counter

from msgspec.structs import replace
from quart import Quart

from . import client, tracked
from .common import Figure, Peer, Result, figure, ratio
from .contest import CONNECTIONS, Contestant, Taken, contest, one_by_one, rows
from .frames import Frames, text_frame
from .server import serving

AIMS = {"hypercorn": 0.95, "uvicorn": 0.9}
KEPT = 10_000  # records, soon reached: a server that has run for an hour forgets as it accepts
BATCH = 100
SUBMIT_BATCH = client.request("POST", "/tasks/batch", {"tasks": [{"name": "nothing"}] * BATCH})
SUBMIT_FRAME = text_frame(
    b'{"type":"submit","ref":1,"tasks":[%b]}' % b",".join([b'{"name":"nothing"}'] * BATCH)
)
PEERS = ("flask_pool", "flask_threads", "celery", "fastapi", "taskflow")
ON_UVICORN = ("fastapi", "taskflow")
TIMES = 5  # as many tasks in batches as any peer that tracks accepts one by one


def create_app() -> Quart:
    return tracked.create_app(TASKS_MAX_FINISHED=KEPT)


async def fill(port: int, records: int) -> None:
    for _ in range(0, records, 10_000):
        async with client.http(port) as connection:
            await connection.ask("POST", f"/fill/{min(records, 10_000)}")


# -- ways to submit --------------------------------------------------------------------------


async def in_batches(port: int, seconds: float) -> float:
    rate = await client.rate(port, SUBMIT_BATCH, connections=CONNECTIONS, seconds=seconds)
    return rate * BATCH


async def over_sockets(port: int, seconds: float) -> float:
    """Each socket sends the next batch when the last one is acknowledged."""
    count = 0
    start = perf_counter()

    async def submit() -> None:
        nonlocal count
        loop = asyncio.get_running_loop()
        answers: asyncio.Queue[bytes] = asyncio.Queue()
        transport, socket = await loop.create_connection(
            lambda: Frames("/tasks/socket", answers.put_nowait), "127.0.0.1", port
        )
        await asyncio.wait_for(socket.opened.wait(), 30)
        answered = 0
        while not answered or perf_counter() < start + seconds:
            socket.send(SUBMIT_FRAME)
            answer = await asyncio.wait_for(answers.get(), 30)
            if not answer.startswith(b'{"type":"ack"'):
                raise ConnectionError(f"The server gave {answer[:200]!r}")
            answered += BATCH
        transport.close()
        count += answered

    await asyncio.gather(*(submit() for _ in range(CONNECTIONS)))
    return count / (perf_counter() - start)


# -- the results -----------------------------------------------------------------------------


def run(quick: bool) -> list[Result]:
    kinds = ["hypercorn"] + ["uvicorn"] * (find_spec("uvicorn") is not None)
    ours: dict[str, Contestant] = {}
    with ExitStack() as stack:
        for kind in kinds:
            for app in ("bare", "accept"):
                server = stack.enter_context(serving(app, kind))
                ours[f"{app} {kind}"] = Contestant(server, one_by_one)
            asyncio.run(fill(server.port, KEPT))
        server = ours["accept hypercorn"].server
        ours["batches"] = Contestant(server, in_batches)
        ours["sockets"] = Contestant(server, over_sockets)
        taken = contest(ours, PEERS, quick)
    first, second = (single(taken, kind) for kind in AIMS)
    others = beside(taken, PEERS, first)
    most = max((row.figure.median for row in others if row.figure and row.aim), default=0.0)
    batches = [
        batched(f"quart_tasks, {how}", taken.rate(way), first, most)
        for how, way in (
            (f"batches of {BATCH}", "batches"),
            (f"socket, {BATCH} a message", "sockets"),
        )
    ]
    return [
        replace(first, peers=batches + others),
        replace(second, peers=beside(taken, ON_UVICORN, second)),
        processor(taken),
    ]


def beside(taken: Taken, names: Sequence[str], result: Result) -> list[Peer]:
    judged = result.met is not None
    return rows(taken, names, result.baseline, result.ours, judged=judged)


def batched(name: str, rate: Figure, first: Result, most: float) -> Peer:
    """`most` is the rate of the quickest peer that tracks its tasks, 0 where there is none."""
    least = TIMES * most
    return Peer(
        name=name,
        figure=rate,
        ratio=ratio(rate, first.baseline),
        aim=f"at least {least:,.0f}" if most else "",
        met=rate.median >= least if most and first.met is not None else None,
        notes=f"the aim is {TIMES} times any peer that tracks its tasks" if most else "",
    )


def single(taken: Taken, kind: str) -> Result:
    """A request a task: ours against the bare app on the same kind of server."""
    names = f"bare {kind}", f"accept {kind}"
    there = names[0] in taken.turns
    limit, ours = (taken.rate(name) if there else figure([nan]) for name in names)
    judged = there and taken.at_work(*names)
    notes = f"{kind} is not installed"
    if there:
        notes = f"the client used at most {taken.asking():.0%} of its core"
        notes += "" if judged else "; not judged: the servers mostly waited for the processor"
    server = {"hypercorn": "Hypercorn"}.get(kind, kind)
    return Result(
        name="accept",
        question=f"tasks accepted a second on one core, {CONNECTIONS} connections, on {server}",
        ours=ours,
        baseline=limit,
        ratio=ratio(ours, limit),
        unit="tasks/s",
        aim=f"at least {AIMS[kind]}",
        met=ratio(ours, limit) >= AIMS[kind] if judged else None,
        notes=notes,
        baseline_name=f"limit: bare Quart on {server}",
        ours_name=f"quart_tasks on {server}",
    )


def processor(taken: Taken) -> Result:
    """The same as processor time, which is steady where the machine has other work."""
    ours, bare = taken.work("accept hypercorn"), taken.work("bare hypercorn")
    others = {
        f"quart_tasks, batches of {BATCH}": "batches",
        f"quart_tasks, socket, {BATCH} a message": "sockets",
        "bare Quart on uvicorn": "bare uvicorn",
        "quart_tasks on uvicorn": "accept uvicorn",
    }
    return Result(
        name="accept",
        question="the server's processor time that a task takes",
        ours=ours,
        baseline=bare,
        ratio=ratio(ours, bare),
        unit="CPU µs",
        aim="none",
        met=None,
        baseline_name="bare Quart on Hypercorn",
        ours_name="quart_tasks on Hypercorn",
        peers=[
            Peer(name=name, figure=(used := taken.work(way)), ratio=ratio(used, bare))
            for name, way in others.items()
            if way in taken.turns
        ],
    )
