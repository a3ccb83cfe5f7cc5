"""How many tasks a second does a server accept, tracked and not?

One core serves and another asks. The client is not the limit: see `client.py`; the notes give
the share of its core that it used in this run.
"""

import asyncio
from time import perf_counter, process_time

from . import client
from .common import Result, figure, ratio
from .server import serving

CONNECTIONS = 32
RECORDS = 100_000  # the default limit: a server that has run for an hour forgets as it accepts
SUBMIT = client.request("POST", "/tasks", {"name": "nothing"})


async def fill(port: int, records: int) -> None:
    for _ in range(0, records, 10_000):
        async with client.http(port) as connection:
            await connection.ask("POST", f"/fill/{min(records, 10_000)}")


async def measure(tracked: int, bare: int, quick: bool) -> Result:
    seconds, repeats = (0.5, 3) if quick else (2.0, 7)
    await fill(tracked, RECORDS)
    rates: dict[int, list[float]] = {tracked: [], bare: []}
    for port in rates:
        await client.rate(port, SUBMIT, connections=CONNECTIONS, seconds=0.5)
    start, busy = perf_counter(), process_time()
    for _ in range(repeats):
        for port, taken in rates.items():
            taken.append(await client.rate(port, SUBMIT, connections=CONNECTIONS, seconds=seconds))
    share = (process_time() - busy) / (perf_counter() - start)
    ours, baseline = figure(rates[tracked]), figure(rates[bare])
    return Result(
        name="accept",
        question=f"POST that starts an empty task, {CONNECTIONS} connections, against bare Quart",
        ours=ours,
        baseline=baseline,
        ratio=ratio(ours, baseline),
        unit="requests/s",
        aim="at least 0.85",
        met=ratio(ours, baseline) >= 0.85,
        notes=f"the client used {share:.0%} of its core; the server keeps {RECORDS:,} records",
    )


def run(quick: bool) -> list[Result]:
    with serving("tracked") as tracked, serving("bare") as bare:
        return [asyncio.run(measure(tracked, bare, quick))]
