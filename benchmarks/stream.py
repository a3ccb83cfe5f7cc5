"""How many frames a second does one subscriber get?

A task yields batches of values, each an `output` event, and waits for a `POST /more` between
them; the client posts when it has the whole batch. A batch fits the replay buffer, so nothing
may be lost: the indexes are checked, and a gap or a snapshot ends the run with an error. The
bare route sends one ready-made frame of the same size again and again, in batches likewise.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter, process_time

import msgspec

from . import client
from .common import Result, figure, ratio
from .frames import Frames
from .server import serving

BATCH = 2_000  # of the 10,000 events that the replay buffer has


class Reader:
    """Counts frames; keeps those of tracked outputs in the order that they must have."""

    def __init__(self, batches: int) -> None:
        self.subscribed = asyncio.Event()
        self.count = 0
        self.kept: list[bytes] = []
        self.batches = batches
        self.whole = asyncio.Event()

    def receive(self, frame: bytes) -> None:
        self.subscribed.set()  # by the snapshot, which comes at once; the bare route says `ready`
        self.kept.append(frame)
        if frame.startswith((b'{"type":"output"', b"x")):
            self.count += 1
            if self.count % BATCH == 0:
                self.whole.set()

    def check(self) -> int:
        """The size of an output's frame; raises RuntimeError where one is missing."""
        frames = [msgspec.json.decode(frame) for frame in self.kept]
        indexes = [frame["data"]["index"] for frame in frames if frame["type"] == "output"]
        snapshots = [frame for frame in frames if frame["type"] == "snapshot"]
        if indexes != list(range(len(indexes))) or len(snapshots) > 1:
            raise RuntimeError("Frames were lost, so the figure means nothing: lower BATCH.")
        return len(next(kept for kept in reversed(self.kept) if b'"output"' in kept[:20]))


@asynccontextmanager
async def reading(port: int, path: str, batches: int) -> AsyncIterator[Reader]:
    reader = Reader(batches)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(
        lambda: Frames(path, reader.receive), "127.0.0.1", port
    )
    try:
        await asyncio.wait_for(reader.subscribed.wait(), 30)
        yield reader
    finally:
        transport.close()


async def rate(connection: client.Http, reader: Reader) -> tuple[float, float]:
    """Frames a second over all batches, the request for each among them; and the share of its
    core that this process used for that."""
    start, busy = perf_counter(), process_time()
    for _ in range(reader.batches):
        reader.whole.clear()
        await connection.ask("POST", "/more")
        await asyncio.wait_for(reader.whole.wait(), 30)
    taken = perf_counter() - start
    return reader.count / taken, (process_time() - busy) / taken


async def tracked_rate(port: int, batches: int) -> tuple[float, float, int]:
    async with reading(port, "/tasks/events", batches) as reader, client.http(port) as connection:
        body = {"name": "outputs", "args": [BATCH, batches]}
        task = (await connection.ask("POST", "/tasks", body)).json()
        frames, share = await rate(connection, reader)
        await connection.ask("GET", f"/tasks/{task['id']}?wait=20")
    return frames, share, reader.check()


async def bare_rate(port: int, batches: int, size: int) -> tuple[float, float]:
    path = f"/frames/{size}/{BATCH}/{batches}"
    async with reading(port, path, batches) as reader, client.http(port) as connection:
        return await rate(connection, reader)


async def measure(tracked: int, bare: int, quick: bool) -> Result:
    batches, repeats = (5, 3) if quick else (20, 7)
    *_, size = await tracked_rate(tracked, 2)
    await bare_rate(bare, 2, size)
    rates: list[tuple[float, float]] = []
    shares: list[float] = []
    for _ in range(repeats):
        frames, share, _ = await tracked_rate(tracked, batches)
        bare_frames, bare_share = await bare_rate(bare, batches, size)
        rates.append((frames, bare_frames))
        shares += share, bare_share
    ours, baseline = (figure(column) for column in zip(*rates, strict=True))
    return Result(
        name="stream",
        question="outputs that one WebSocket gets",
        ours=ours,
        baseline=baseline,
        ratio=ratio(ours, baseline),
        unit="frames/s",
        aim="at least 0.8",
        baseline_name="limit: a bare Quart loop",
        met=ratio(ours, baseline) >= 0.8,
        notes=f"frames of {size} bytes; the client used at most {max(shares):.0%} of its core",
    )


def run(quick: bool) -> list[Result]:
    with serving("tracked") as tracked, serving("bare") as bare:
        return [asyncio.run(measure(tracked.port, bare.port, quick))]
