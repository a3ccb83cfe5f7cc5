"""How many tasks a second does a server accept, tracked and not?

One core serves and another asks. The client is not the limit: see `client.py`; the notes give
the share of its core that it used in this run.
"""

import asyncio
from time import perf_counter, process_time

from . import client
from .common import Result, figure, ratio
from .server import Server, serving

CONNECTIONS = 32
RECORDS = 100_000  # the default limit: a server that has run for an hour forgets as it accepts
SUBMIT = client.request("POST", "/tasks", {"name": "nothing"})


async def fill(port: int, records: int) -> None:
    for _ in range(0, records, 10_000):
        async with client.http(port) as connection:
            await connection.ask("POST", f"/fill/{min(records, 10_000)}")


async def measure(tracked: Server, bare: Server, quick: bool) -> Result:
    seconds, repeats = (0.5, 3) if quick else (2.0, 7)
    await fill(tracked.port, RECORDS)
    rates: dict[Server, list[float]] = {tracked: [], bare: []}
    for server in rates:
        await client.rate(server.port, SUBMIT, connections=CONNECTIONS, seconds=0.5)
    start, mine, theirs = perf_counter(), process_time(), tracked.seconds() + bare.seconds()
    for _ in range(repeats):
        for server, taken in rates.items():
            taken.append(
                await client.rate(server.port, SUBMIT, connections=CONNECTIONS, seconds=seconds)
            )
    elapsed = perf_counter() - start
    asking = (process_time() - mine) / elapsed
    serving_share = (tracked.seconds() + bare.seconds() - theirs) / elapsed
    ours, baseline = figure(rates[tracked]), figure(rates[bare])
    # Servers that mostly wait, for a delayed ACK or for the processor, are alike whatever they do.
    at_work = serving_share > 0.8
    return Result(
        name="accept",
        question=f"POST that starts an empty task, {CONNECTIONS} connections, against bare Quart",
        ours=ours,
        baseline=baseline,
        ratio=ratio(ours, baseline),
        unit="requests/s",
        aim="at least 0.85" + ("" if at_work else ", not judged: the servers mostly waited"),
        met=ratio(ours, baseline) >= 0.85 if at_work else None,
        notes=f"the servers used {serving_share:.0%} of their core and the client {asking:.0%} "
        f"of its; {RECORDS:,} records are kept",
    )


def run(quick: bool) -> list[Result]:
    with serving("tracked") as tracked, serving("bare") as bare:
        return [asyncio.run(measure(tracked, bare, quick))]
