"""Tasks that report progress: in rounds, or ten times a second with the time in the message."""

import asyncio
import logging
from time import perf_counter

from quart import Quart

from quart_tasks import QuartTasks, progress

from .rounds import Rounds, report

INTERVAL = 0.1  # seconds
MOST = {"async": 1_000, "thread": 64, "process": 8}  # tasks at once

tasks = QuartTasks()
rounds = Rounds()


@tasks.task
async def on_loop() -> None:
    number = 0
    while True:
        await rounds.wait()
        progress(number := number + 1)


@tasks.task(executor="thread")
def in_thread(path: str) -> None:
    report(path, progress)


@tasks.task(executor="process")
def in_process(path: str) -> None:
    report(path, progress)


@tasks.task
async def regularly(number: int, of: int) -> None:
    """Report, one after the other within each interval."""
    loop = asyncio.get_running_loop()
    due = loop.time() + INTERVAL * (1 + number / of)
    while True:
        await asyncio.sleep(due - loop.time())
        due += INTERVAL
        progress(1, message=str(perf_counter()))


def create_app() -> Quart:
    logging.getLogger("quart_tasks").setLevel(logging.CRITICAL)  # all end with the server
    app = Quart(__name__)
    app.config.update(
        TASKS_ASYNC_CONCURRENCY=MOST["async"], TASKS_THREADS=MOST["thread"],
        TASKS_PROCESSES=MOST["process"], TASKS_DRAIN_TIMEOUT=0,
    )  # fmt: skip
    tasks.init_app(app)

    @app.after_serving
    async def close() -> None:
        rounds.close()

    @app.post("/begin/<executor>/<int:number>")
    async def begin(executor: str, number: int) -> list[str]:
        """Start so many, and give their ids once all of them run."""
        if executor == "async":
            handles = [await on_loop.submit() for _ in range(number)]
        else:
            work = in_thread if executor == "thread" else in_process
            handles = [await work.submit(rounds.pipe()) for _ in range(number)]
        while any(handle.state == "queued" for handle in handles):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return [handle.id for handle in handles]

    @app.post("/regularly/<int:number>")
    async def begin_regularly(number: int) -> list[str]:
        return [(await regularly.submit(each, number)).id for each in range(number)]

    @app.post("/round")
    async def round() -> tuple[str, int]:
        rounds.begin()
        return "", 204

    return app
