"""Tasks to watch, a server for them in this event loop, and readers with real sockets."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import aiohttp
from quart import Quart

from quart_tasks import QuartTasks, RetryPolicy, progress
from quart_tasks.server import serve

from .sockets import silent_client

Frame = dict[str, Any]
Socket = aiohttp.ClientWebSocketResponse

tasks = QuartTasks()
log = logging.getLogger("tests.play")


class Script:
    """What a task is to do next, as its test tells it."""

    def __init__(self) -> None:
        self.steps: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

    def say(self, kind: str, value: Any = None) -> None:
        self.steps.put_nowait((kind, value))


@tasks.task(retries=RetryPolicy(20, delay=0))
async def play(script: Script) -> AsyncIterator[Any]:
    """Do what the script says."""
    while True:
        match await script.steps.get():
            case "output", value:
                yield value
            case "log", message:
                log.warning(message)
            case "progress", current:
                progress(current, 100, "so far")
            case "raise", message:
                raise RuntimeError(message)
            case "end", _:
                return


solo = tasks.task(name="solo", concurrency=1, retries=RetryPolicy(20, delay=0))(play)


@tasks.task
async def echo(value: Any = None) -> Any:
    return value


@tasks.task
async def other() -> None:
    pass


@tasks.task
async def flood(count: int, size: int = 1) -> AsyncIterator[str]:
    for _ in range(count):
        yield "x" * size


@tasks.task
async def count(to: int) -> None:
    for current in range(to):
        progress(current + 1, to)
        if current % 1000 == 0:
            await asyncio.sleep(0)


async def run_to_end(*arguments: Any) -> list[str]:
    """Ids of `echo` tasks, one for each argument, that have ended one after the other."""
    ids = []
    for argument in arguments:
        handle = await echo.submit(argument)
        await handle
        ids.append(handle.id)
    return ids


@dataclass
class Site:
    """A server in this event loop, and a client of it."""

    app: Quart
    url: str
    stop: asyncio.Event
    http: aiohttp.ClientSession

    def watch(self, path: str, **query: str) -> Any:
        """A WebSocket."""
        return self.http.ws_connect(f"{self.url}/tasks{path}", params=query, max_msg_size=0)

    def sse(self, path: str, last: str | None = None, **query: str) -> Any:
        """A response of Server-Sent Events; `last` is the Last-Event-ID."""
        headers = {} if last is None else {"Last-Event-ID": last}
        return self.http.get(f"{self.url}/tasks{path}", params=query, headers=headers)

    def silent(self, path: str, *, upgrade: bool) -> socket.socket:
        """A client that asks for a stream, a WebSocket or an SSE one, and reads nothing of it."""
        return silent_client(self.url, f"/tasks{path}", upgrade=upgrade)

    async def story(self, path: str, **query: str) -> list[Frame]:
        """What a WebSocket gets until the server closes it, with 1000."""
        async with self.watch(path, **query) as client:
            frames = await until_closed(client)
            assert client.close_code == 1000
        return frames

    async def sse_story(self, path: str, last: str | None = None, **query: str) -> list[Frame]:
        """What an SSE stream gets until the server ends it; nothing for a 204."""
        async with self.sse(path, last, **query) as response:
            if response.status == 204:
                return []
            assert response.status == 200
            return [each.frame async for each in messages(response) if "data" in each.fields]

    async def record(self, id: str) -> Frame:
        async with self.http.get(f"{self.url}/tasks/{id}") as response:
            return dict(await response.json())

    async def delete(self, id: str) -> None:
        async with self.http.delete(f"{self.url}/tasks/{id}") as response:
            assert response.status == 204

    async def cursor(self) -> str:
        """The cursor of this moment."""
        async with self.http.get(f"{self.url}/tasks") as response:
            return str((await response.json())["cursor"])

    async def streams(self, number: int) -> None:
        """Wait until there are so many streams: the server learns of each in its own time."""
        while tasks.stats()["streams"] != number:
            await self.cursor()


@asynccontextmanager
async def serving(**config: Any) -> AsyncIterator[Site]:
    app = Quart(__name__)
    app.config.update({"TASKS_DRAIN_TIMEOUT": 0, **config})
    tasks.init_app(app)
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    server = asyncio.create_task(serve(app, port=0, stop=stop, on_listening=url.set_result))
    either: list[asyncio.Future[Any]] = [url, server]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            yield Site(app, url.result(), stop, http)
    finally:
        stop.set()
        await server


@asynccontextmanager
async def watched_from_the_start(site: Site) -> AsyncIterator[tuple[Any, Script, Socket]]:
    """A task that starts once its reader, a WebSocket, is there."""
    first, script = Script(), Script()
    await solo.submit(first)
    handle = await solo.submit(script)
    async with site.watch(f"/{handle.id}/events") as client:
        first.say("end")
        yield handle, script, client


@dataclass
class Message:
    """One message of an event stream, or one comment."""

    fields: dict[str, str] = field(default_factory=dict)
    comment: bool = False

    @property
    def frame(self) -> Frame:
        return dict(json.loads(self.fields["data"]))


async def messages(response: aiohttp.ClientResponse) -> AsyncIterator[Message]:
    """An event stream, read as WHATWG HTML, section 9.2.6, says."""
    message = Message()
    async for raw in response.content:
        line = raw.decode().removesuffix("\n")
        if line.startswith(":"):
            message.comment = True
        elif line:
            name, _, value = line.partition(": ")
            assert name not in message.fields
            message.fields[name] = value
        else:
            yield message
            message = Message()


async def read(client: Socket) -> Frame:
    message = await client.receive()
    assert message.type is aiohttp.WSMsgType.TEXT, (message, client.close_code)
    return dict(json.loads(message.data))


async def read_until(client: Socket, wanted: Callable[[Frame], bool]) -> list[Frame]:
    frames = [await read(client)]
    while not wanted(frames[-1]):
        frames.append(await read(client))
    return frames


async def until_closed(client: Socket) -> list[Frame]:
    return [json.loads(message.data) async for message in client]


def is_state(*states: str) -> Callable[[Frame], bool]:
    return lambda frame: frame["type"] == "state" and frame["data"]["state"] in states


def is_type(type: str) -> Callable[[Frame], bool]:
    return lambda frame: frame["type"] == type


def is_output(value: Any) -> Callable[[Frame], bool]:
    return lambda frame: frame["type"] == "output" and frame["data"]["value"] == value


def kinds(frames: list[Frame]) -> list[str]:
    """The types, with the state of each `state`."""
    return [each["data"]["state"] if each["type"] == "state" else each["type"] for each in frames]


def outputs(frames: list[Frame]) -> list[Any]:
    return [each["data"]["value"] for each in frames if each["type"] == "output"]


def replayed(frames: list[Frame]) -> list[Frame]:
    """Those that a replay repeats: no snapshot, no progress."""
    return [each for each in frames if each["type"] not in ("snapshot", "progress", "bye")]


def sequence(frame_or_cursor: Frame | str) -> int:
    cursor = frame_or_cursor if isinstance(frame_or_cursor, str) else frame_or_cursor["cursor"]
    return int(cursor.rpartition("-")[2])


def after(frames: list[Frame], cursor: str) -> list[Frame]:
    return [each for each in frames if sequence(each) > sequence(cursor)]


def check_order(frames: list[Frame]) -> None:
    """Cursors of one epoch, that of each event above all before it."""
    assert len({each["cursor"].rpartition("-")[0] for each in frames}) <= 1
    for before, following in pairwise(frames):
        step = sequence(following) - sequence(before)
        assert step >= (following["task_id"] is not None)
