"""The baseline over the network: plain Quart that does the same and keeps no track of it."""

import asyncio

from quart import Quart, websocket

app = Quart(__name__)
more = asyncio.Semaphore(0)
running: set[asyncio.Task[None]] = set()


def create_app() -> Quart:
    return app


async def nothing() -> None:
    pass


@app.post("/tasks")
async def create() -> tuple[dict[str, str], int]:
    task = asyncio.create_task(nothing())
    running.add(task)
    task.add_done_callback(running.discard)
    return {"state": "queued"}, 202


@app.post("/more")
async def release() -> tuple[str, int]:
    more.release()
    return "", 204


@app.websocket("/frames/<int:size>/<int:batch>/<int:batches>")
async def frames(size: int, batch: int, batches: int) -> None:
    await websocket.send("ready")
    frame = "x" * size
    for _ in range(batches):
        await more.acquire()
        for _ in range(batch):
            await websocket.send(frame)
