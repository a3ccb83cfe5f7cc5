"""Tasks that do what a test says next, and servers for them in the test's own event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta
from quart import Quart

from quart_tasks import Blob, QuartTasks, TaskHandle, progress
from quart_tasks.server import serve

from ..waiting import until_progress, until_state
from ..watching import Script

tasks = QuartTasks()
log = logging.getLogger("site.play")


@tasks.task
async def play(script: Script) -> AsyncIterator[Any]:
    """Do what the script says."""
    while True:
        match await script.steps.get():
            case "output", value:
                yield value
            case "log", message:
                log.warning("%s", message)
            case "progress", (current, message):
                progress(current, 100, message)
            case "raise", error:
                raise error
            case "end", _:
                return


@tasks.task
async def echo(value: Any = None) -> Any:
    return value


@tasks.task
def read(path: str) -> str:
    """The text of a file, which may come later than the first attempt to read it."""
    return Path(path).read_text()


@tasks.task
async def book(guest: str, code: Annotated[str, Meta(pattern="^[A-Z]{2}-[0-9]+$")]) -> list[str]:
    return [guest, code]


@tasks.task
async def blob(data: str, mimetype: str) -> Blob:
    return Blob(data.encode(), mimetype)


@tasks.task
async def family(*scripts: Script) -> None:
    """Submit a `play` for each script, and wait for them."""
    for handle in [await play.submit(script) for script in scripts]:
        await handle


@asynccontextmanager
async def served(app: Quart) -> AsyncIterator[str]:
    """The URL of an app, while it is served."""
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    server = asyncio.create_task(serve(app, port=0, stop=stop, on_listening=url.set_result))
    either: list[asyncio.Future[Any]] = [url, server]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        yield url.result()
    finally:
        stop.set()
        await server


def make_app(extension: QuartTasks = tasks, **config: Any) -> Quart:
    app = Quart(__name__)
    app.config.update({"TASKS_PROCESSES": 1, "TASKS_DRAIN_TIMEOUT": 0, **config})
    extension.init_app(app)
    return app


async def play_running(**options: Any) -> tuple[TaskHandle[Any], Script]:
    """A `play` that runs, and what tells it how to go on."""
    script = Script()
    handle: TaskHandle[Any] = await play.with_options(**options).submit(script)
    await until_state(handle, "running")
    return handle, script


async def at(handle: TaskHandle[Any], script: Script, current: float, message: str = "") -> None:
    """Have a `play` report progress, and wait until the server has it."""
    script.say("progress", (current, message or None))
    await until_progress(handle, current)
