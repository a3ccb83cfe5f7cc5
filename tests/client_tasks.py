"""Tasks for the HTTP client, and a server for them in this event loop."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from quart import Quart

from quart_tasks import (
    Blob,
    QuartTasks,
    TaskEvent,
    progress,
)
from quart_tasks.client import TaskHandle, TasksClient
from quart_tasks.client import tasks as client_module
from quart_tasks.server import serve

from .proxy import Proxy, proxy_to
from .waiting import HANG as HANG

tasks = QuartTasks()
gates: dict[str, asyncio.Event] = {}
running = Counter[str]()  # `gated` tasks: now, and the most at once
someone_came = asyncio.Event()
apps: list[Quart] = []


@tasks.task
async def echo(value: Any) -> Any:
    return value


@tasks.task
async def add(first: int, second: int = 1) -> int:
    return first + second


@tasks.task
async def gated(gate: str) -> str:
    progress(1, 2, "at the gate")
    running["now"] += 1
    running["most"] = max(running.values())
    someone_came.set()
    try:
        await gates.setdefault(gate, asyncio.Event()).wait()
    finally:
        running["now"] -= 1
    return gate


@tasks.task(timeout=0.01)
async def too_slow() -> None:
    await asyncio.Event().wait()


@tasks.task
async def fails(message: str) -> None:
    raise LookupError(message)


@tasks.task
async def waits_or_fails(number: int) -> int:
    if number > 1:
        await asyncio.Event().wait()
    if number:
        raise LookupError(str(number))
    return number


@tasks.task
async def picture() -> Blob:
    return Blob(b"\x89PNG", "image/png")


@tasks.task
async def json_blob() -> Blob:
    return Blob(b'{"a": 1}', "application/json")


@tasks.task
async def counts(number: int, gate: str = "") -> AsyncIterator[int]:
    for each in range(number):
        if gate and each == number // 2:
            await gates.setdefault(gate, asyncio.Event()).wait()
        logging.getLogger("shop").warning("at %d", each)
        yield each


@tasks.task(retries=3, timeout=60)
async def with_limits(value: int) -> int:
    return value


@asynccontextmanager
async def serving(tasks: QuartTasks = tasks, **config: Any) -> AsyncIterator[str]:
    """The URL of a server."""
    app = Quart(__name__)
    app.config.update({"TASKS_DRAIN_TIMEOUT": 0, **config})
    gates.clear()
    tasks.init_app(app)
    apps[:] = [app]
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    server = asyncio.create_task(serve(app, port=0, stop=stop, on_listening=url.set_result))
    await asyncio.wait([url, server], return_when=asyncio.FIRST_COMPLETED)
    try:
        yield url.result()
    finally:
        stop.set()
        await server


@pytest.fixture(name="url")
async def url_fixture(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    # What a `map` that is left has cancelled is counted: on no machine are some given up.
    monkeypatch.setattr(client_module, "CANCEL_SECONDS", HANG)
    running.clear()
    async with serving() as url:
        yield url


@pytest.fixture(name="client")
async def client_fixture(url: str) -> AsyncIterator[TasksClient]:
    async with TasksClient(url) as client:
        yield client


@pytest.fixture(name="proxy")
async def proxy_fixture(url: str) -> AsyncIterator[Proxy]:
    async with proxy_to(url) as proxy:
        yield proxy


@asynccontextmanager
async def behind_a_proxy(**config: Any) -> AsyncIterator[tuple[Proxy, TasksClient]]:
    async with serving(**config) as url, proxy_to(url) as proxy, TasksClient(proxy.url) as client:
        yield proxy, client


def open_gate(name: str) -> None:
    gates.setdefault(name, asyncio.Event()).set()


async def until_running(handle: TaskHandle) -> None:
    async for event in handle.events():
        if event.type == "progress" or handle.progress is not None:
            return


async def kinds_of(handle: TaskHandle) -> list[str]:
    """The types of a task's events; of a change the new state."""
    return [
        event.data["state"] if event.type == "state" else event.type
        async for event in handle.events()
    ]


def outputs(events: list[TaskEvent]) -> list[Any]:
    return [event.data["value"] for event in events if event.type == "output"]
