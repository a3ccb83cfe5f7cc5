"""An app whose tasks have much to say."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator

from quart import Quart

from quart_tasks import QuartTasks
from quart_tasks.web import handshakes

tasks = QuartTasks()

log = logging.getLogger("overload")
log.setLevel(logging.INFO)
log.propagate = False  # its lines are for the streams alone
log.addHandler(logging.NullHandler())


@tasks.task
async def empty() -> None:
    pass


@tasks.task
async def outputs(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number
        await asyncio.sleep(0)


@tasks.task
async def firehose() -> None:
    """Log lines of 1 KiB without an end, as fast as the loop has turns."""
    line = "x" * 1024
    while True:
        log.info(line)
        await asyncio.sleep(0)


def create_app() -> Quart:
    app = Quart(__name__)
    app.config["TASKS_DRAIN_TIMEOUT"] = 0
    handshakes.CLOSE_SECONDS = float(os.environ.get("CLOSE_SECONDS", handshakes.CLOSE_SECONDS))
    tasks.init_app(app)
    return app
