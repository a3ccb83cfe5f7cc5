"""The limit of `reporting`: the same reporters in a plain Quart app, without tasks. What they say
goes into a queue for each WebSocket, as in Quart's own tutorial, and a loop sends it."""

import asyncio
import multiprocessing
import threading
from collections import defaultdict
from multiprocessing.connection import Connection
from time import perf_counter

from quart import Quart, websocket

from .reporting import INTERVAL
from .rounds import Rounds, report

# As long as ours, but for what they say.
FRAME = (
    '{"type":"progress","task_id":"01a1ff8e-614a-7000-8d4c-4beb62c493cc","cursor":"3f2a6b1c-12345",'
    '"time":"2026-11-21T08:00:00.000000Z","data":{"current":%d,"total":null,"message":"%s",'
    '"attempt":1}}'
)

app = Quart(__name__)
queues: dict[int, set[asyncio.Queue[str]]] = defaultdict(set)  # by reporter; -1: of all
running: set[asyncio.Task[None]] = set()
rounds = Rounds()


def say(reporter: int, number: int, message: str = "") -> None:
    frame = FRAME % (number, message)
    for reader in queues[-1] | queues[reporter]:
        reader.put_nowait(frame)


@app.websocket("/events", defaults={"reporter": -1})
@app.websocket("/<int:reporter>/events")
async def events(reporter: int) -> None:
    queue: asyncio.Queue[str] = asyncio.Queue()
    queues[reporter].add(queue)
    await websocket.send("ready")
    while True:
        await websocket.send(await queue.get())


async def on_loop(reporter: int) -> None:
    number = 0
    while True:
        await rounds.wait()
        say(reporter, number := number + 1)


def in_process(path: str, pipe: Connection) -> None:
    report(path, pipe.send)


def begin_in_thread(reporter: int) -> None:
    loop = asyncio.get_running_loop()

    def tell(number: int) -> None:
        loop.call_soon_threadsafe(say, reporter, number)

    threading.Thread(target=report, args=(rounds.pipe(), tell), daemon=True).start()


def begin_in_process(reporter: int) -> None:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("spawn")
    context.Process(target=in_process, args=(rounds.pipe(), theirs), daemon=True).start()
    loop = asyncio.get_running_loop()
    loop.add_reader(ours.fileno(), lambda: say(reporter, ours.recv()))


async def regularly(reporter: int, of: int) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time() + INTERVAL * (1 + reporter / of)
    while True:
        await asyncio.sleep(due - loop.time())
        due += INTERVAL
        say(reporter, 1, str(perf_counter()))


def create_app() -> Quart:
    return app


@app.after_serving
async def close() -> None:
    rounds.close()
    for task in running:
        task.cancel()


@app.post("/begin/<executor>/<int:number>")
async def begin(executor: str, number: int) -> list[str]:
    for reporter in range(number):
        if executor == "async":
            running.add(asyncio.create_task(on_loop(reporter)))
        elif executor == "thread":
            begin_in_thread(reporter)
        else:
            begin_in_process(reporter)
    return [str(reporter) for reporter in range(number)]


@app.post("/regularly/<int:number>")
async def begin_regularly(number: int) -> list[str]:
    for reporter in range(number):
        running.add(asyncio.create_task(regularly(reporter, number)))
    return [str(reporter) for reporter in range(number)]


@app.post("/round")
async def round() -> tuple[str, int]:
    rounds.begin()
    return "", 204
