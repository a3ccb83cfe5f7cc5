"""What a newcomer does with the demo, against the real server and with clients of many kinds."""

from __future__ import annotations

import asyncio
import html
import io
import json
import os
import re
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import pytest
import pytest_asyncio
import websockets
from aiohttp import web
from PIL import Image

from ..processes import Watched, descendants
from ..sockets import silent_client
from ..waiting import HANG
from .serving import Server, serving

Frame = dict[str, Any]

CURL = shutil.which("curl")
CHROMIUM = shutil.which("chromium")
PATIENCE = 3600  # seconds in which a link may answer: here as soon as the test lets it
needs_curl = pytest.mark.skipif(CURL is None, reason="needs curl")


class Links:
    """A web server with as many pages as anyone asks for, which all wait for `open`."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.url = ""

    def urls(self, number: int) -> list[str]:
        return [f"{self.url}/{each}" for each in range(number)]

    async def get(self, request: web.Request) -> web.Response:
        await self.open.wait()
        return web.Response(text=request.path)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        application = web.Application()
        application.router.add_get("/{number}", self.get)
        runner = web.AppRunner(application, handler_cancellation=True)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0]
            self.url = f"http://{host}:{port}"
            yield
        finally:
            await runner.cleanup()


@pytest.fixture
async def links() -> AsyncIterator[Links]:
    links = Links()
    async with links.serve():
        yield links


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo() -> AsyncIterator[Server]:
    async with serving() as server:
        yield server


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


async def post(http: aiohttp.ClientSession, url: str, body: Any, **headers: str) -> Any:
    async with http.post(url, json=body, headers=headers) as response:
        assert response.status in (200, 202), await response.text()
        return await response.json()


async def submit(http: aiohttp.ClientSession, server: Server, name: str, *args: Any) -> Frame:
    return dict(await post(http, f"{server.url}/tasks", {"name": name, "args": args}))


# Three ways to watch


class Watcher(Protocol):
    async def next(self) -> Frame | None:
        """The next frame; None at the end."""

    def cut(self) -> None:
        """Break the connection off without a farewell."""


class WebsocketsWatcher:
    def __init__(self, client: websockets.ClientConnection) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def watching(cls, url: str) -> AsyncIterator[Watcher]:
        address = url.replace("http", "ws")
        async with websockets.connect(address, open_timeout=None, ping_interval=None) as client:
            yield cls(client)

    async def next(self) -> Frame | None:
        try:
            return dict(json.loads(await self._client.recv()))
        except websockets.ConnectionClosedOK:
            return None

    def cut(self) -> None:
        self._client.transport.abort()


class AiohttpWatcher:
    def __init__(self, client: aiohttp.ClientWebSocketResponse) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def watching(cls, url: str) -> AsyncIterator[Watcher]:
        async with aiohttp.ClientSession() as http, http.ws_connect(url) as client:
            yield cls(client)

    async def next(self) -> Frame | None:
        message = await self._client.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            return dict(json.loads(message.data))
        assert self._client.close_code == 1000
        return None

    def cut(self) -> None:
        transport = self._client.get_extra_info("socket")
        transport.shutdown(socket.SHUT_RDWR)


class CurlWatcher:
    """Server-Sent Events with `curl -N`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def watching(cls, url: str) -> AsyncIterator[Watcher]:
        process = await curl("-N", url)
        try:
            yield cls(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def next(self) -> Frame | None:
        assert self._process.stdout is not None
        fields: dict[str, str] = {}
        while "data" not in fields:
            line = (await self._process.stdout.readline()).decode()
            if not line:
                assert await self._process.wait() == 0
                return None
            name, _, value = line.strip().partition(": ")
            fields[name] = value
        frame = dict(json.loads(fields["data"]))
        assert (fields["event"], fields["id"]) == (frame["type"], frame["cursor"])
        return frame

    def cut(self) -> None:
        self._process.kill()


KINDS = [
    WebsocketsWatcher,
    AiohttpWatcher,
    pytest.param(CurlWatcher, marks=needs_curl),
]
Kind = type[WebsocketsWatcher | AiohttpWatcher | CurlWatcher]


async def curl(*arguments: str) -> asyncio.subprocess.Process:
    assert CURL is not None
    return await asyncio.create_subprocess_exec(
        CURL, "--silent", *arguments, stdout=asyncio.subprocess.PIPE, limit=2**20
    )


async def read(watcher: Watcher, number: int) -> list[Frame]:
    """So many `state` frames, with what comes in between."""
    frames: list[Frame] = []
    while len(states(frames)) < number:
        frame = await watcher.next()
        assert frame is not None
        frames.append(frame)
    return frames


async def read_to_end(watcher: Watcher) -> list[Frame]:
    """To the terminal state, and where the stream is that of one task to its end."""
    frames: list[Frame] = []
    while frames[-1:] == [] or frames[-1]["type"] != "state" or not is_over(frames[-1]["data"]):
        frame = await watcher.next()
        assert frame is not None
        frames.append(frame)
    return frames


def is_over(record: Frame) -> bool:
    return record["state"] in ("succeeded", "failed", "cancelled")


def states(frames: list[Frame]) -> list[Frame]:
    return [each for each in frames if each["type"] == "state"]


def sequence(frame: Frame) -> int:
    return int(frame["cursor"].rpartition("-")[2])


# The demo


async def test_primes_over_one_request(http: aiohttp.ClientSession, demo: Server) -> None:
    body = {"name": "primes", "args": [1_000_000]}
    async with http.post(f"{demo.url}/tasks", json=body, headers={"Prefer": "wait=60"}) as response:
        record = await response.json()
        assert response.status == 200
        assert "wait" in response.headers["Preference-Applied"]

    assert (record["state"], record["result"]) == ("succeeded", 78498)


async def test_mandelbrot_is_a_picture(http: aiohttp.ClientSession, demo: Server) -> None:
    record = await submit(http, demo, "mandelbrot", 160, 120)
    async with http.get(f"{demo.url}/tasks/{record['id']}/result?wait=60") as response:
        assert (response.status, response.content_type) == (200, "image/png")
        data = await response.read()

    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        assert (picture.format, picture.size) == ("PNG", (160, 120))
        assert len(picture.convert("RGB").getcolors(2**24) or ()) > 10


@needs_curl
async def test_everyone_is_told_the_same_story(
    http: aiohttp.ClientSession, links: Links, demo: Server
) -> None:
    """Three clients watch all tasks, three the one task, and one polls it."""
    kinds: list[Kind] = [WebsocketsWatcher, AiohttpWatcher, CurlWatcher]
    async with AsyncExitStack() as stack:

        async def watch(path: str) -> list[tuple[Watcher, Frame]]:
            url = f"{demo.url}/tasks{path}"
            found = [await stack.enter_async_context(kind.watching(url)) for kind in kinds]
            first = [await watcher.next() for watcher in found]
            return [(watcher, frame) for watcher, frame in zip(found, first, strict=True) if frame]

        of_all = await watch("/events?name=check_links")
        urls = links.urls(50)
        task = await submit(http, demo, "check_links", urls, PATIENCE)
        polling = asyncio.create_task(poll(http, f"{demo.url}/tasks/{task['id']}"))
        of_one = await watch(f"/{task['id']}/events")
        assert len(of_all + of_one) == 6
        links.open.set()
        stories = [await read_to_end(watcher) for watcher, _ in of_all + of_one]
        assert [await watcher.next() for watcher, _ in of_one] == [None] * 3
        polled = await polling

    witness = stories[0]
    assert [each["data"]["state"] for each in states(witness)] == ["queued", "running", "succeeded"]
    last = witness[-1]["data"]
    assert [(each["url"], each["status"]) for each in last["result"]] == [(u, 200) for u in urls]
    assert (last["progress"]["current"], last["progress"]["total"]) == (50, 50)
    for story in stories[:3]:
        assert states(story) == states(witness)
    for (_, snapshot), story in zip(of_one, stories[3:], strict=True):
        assert [each["id"] for each in snapshot["data"]["tasks"]] == [task["id"]]
        assert states(story) == [
            each for each in states(witness) if sequence(each) > sequence(snapshot)
        ]
    for story in stories:
        assert {each["task_id"] for each in story} == {task["id"]}
        numbers = [sequence(each) for each in story]
        assert numbers == sorted(set(numbers))
        progress = [each["data"]["current"] for each in story if each["type"] == "progress"]
        assert progress == sorted(set(progress))
        assert progress[-1] == 50
    check_polled(polled, stories)


async def poll(http: aiohttp.ClientSession, url: str) -> list[Frame]:
    """The record as it is, and again after each change, until the task has ended."""
    records: list[Frame] = []
    headers: dict[str, str] = {}
    while not records or not is_over(records[-1]):
        async with http.get(f"{url}?wait=60", headers=headers) as response:
            assert response.status == 200
            headers["If-None-Match"] = response.headers["ETag"]
            records.append(await response.json())
    return records


def check_polled(polled: list[Frame], stories: list[list[Frame]]) -> None:
    """Each record that was polled fits the frame with its cursor, and they come in order."""
    numbers = [sequence(each) for each in polled]
    assert numbers == sorted(set(numbers))
    told = {each["cursor"]: each for story in stories for each in story}
    for record in polled:
        frame = told.get(record["cursor"])
        if frame is not None and frame["type"] == "state":
            assert frame["data"] == {name: record[name] for name in frame["data"]}
        elif frame is not None:
            assert frame["data"]["current"] == record["progress"]["current"]
    assert polled[-1]["cursor"] == stories[0][-1]["cursor"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("when", ["at once", "later"])
async def test_a_watcher_cut_off_in_the_middle_misses_nothing_and_sees_nothing_twice(
    http: aiohttp.ClientSession, links: Links, demo: Server, kind: Kind, when: str
) -> None:
    async with AsyncExitStack() as stack:
        url = f"{demo.url}/tasks/events"
        witness = await stack.enter_async_context(AiohttpWatcher.watching(url))
        assert await witness.next()
        async with kind.watching(url) as watcher:
            assert await watcher.next()
            bodies = [
                {"name": "check_links", "args": [[each], PATIENCE]} for each in links.urls(50)
            ]
            await post(http, f"{url.removesuffix('/events')}/batch", {"tasks": bodies})
            seen = await read(watcher, 60)
            watcher.cut()
        told: list[Frame] = []
        if when == "later":
            links.open.set()
            told += await read(witness, 150)
        back = f"{url}?after={seen[-1]['cursor']}"
        watcher = await stack.enter_async_context(kind.watching(back))
        links.open.set()
        seen += await read(watcher, 90)
        told += await read(witness, 150 - len(states(told)))

    assert "snapshot" not in [each["type"] for each in seen]
    assert states(seen) == states(told)
    numbers = [sequence(each) for each in seen]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_watcher_that_comes_back_beyond_the_window_gets_a_snapshot(
    http: aiohttp.ClientSession, links: Links, kind: Kind
) -> None:
    async with serving(TASKS_EVENT_BUFFER="20") as server, AsyncExitStack() as stack:
        url = f"{server.url}/tasks/events"
        witness = await stack.enter_async_context(AiohttpWatcher.watching(url))
        assert await witness.next()
        async with kind.watching(url) as watcher:
            assert await watcher.next()
            bodies = [
                {"name": "check_links", "args": [[each], PATIENCE]} for each in links.urls(50)
            ]
            answer = await post(http, f"{server.url}/tasks/batch", {"tasks": bodies})
            seen = await read(watcher, 60)
            watcher.cut()
        links.open.set()
        await read(witness, 150)
        back = f"{url}?after={seen[-1]['cursor']}"
        watcher = await stack.enter_async_context(kind.watching(back))
        snapshot = await watcher.next()
        assert snapshot is not None
        last = await submit(http, server, "countdown", 0, 1)
        following = await read(watcher, 3)

    assert (snapshot["type"], snapshot["data"]["reason"]) == ("snapshot", "lagged")
    known = {each["id"]: each["state"] for each in snapshot["data"]["tasks"]}
    assert known == {each["id"]: "succeeded" for each in answer["tasks"]}
    assert {each["task_id"] for each in following} == {last["id"]}
    assert [each["data"]["state"] for each in states(following)] == [
        "queued", "running", "succeeded",
    ]  # fmt: skip


async def test_a_cursor_of_an_earlier_server_starts_anew(http: aiohttp.ClientSession) -> None:
    async with serving() as server:
        task = await submit(http, server, "countdown", 0)
        async with http.get(f"{server.url}/tasks/{task['id']}?wait=60") as response:
            old = (await response.json())["cursor"]
    async with serving() as server:
        task = await submit(http, server, "countdown", 0)
        async with http.get(f"{server.url}/tasks/{task['id']}?wait=60") as response:
            assert (await response.json())["state"] == "succeeded"
        url = f"{server.url}/tasks/events?after={old}"
        async with AiohttpWatcher.watching(url) as watcher:
            snapshot = await watcher.next()

    assert snapshot is not None
    assert (snapshot["type"], snapshot["data"]["reason"]) == ("snapshot", "epoch")
    assert [each["id"] for each in snapshot["data"]["tasks"]] == [task["id"]]


@needs_curl
async def test_an_ended_task_sends_its_reader_away(
    http: aiohttp.ClientSession, demo: Server
) -> None:
    task = await submit(http, demo, "countdown", 0)
    url = f"{demo.url}/tasks/{task['id']}/events"
    async with CurlWatcher.watching(url) as watcher:
        frames = await read_to_end(watcher)
        assert await watcher.next() is None
    resumed = await curl("-H", f"Last-Event-ID: {frames[-1]['cursor']}", "-w", "%{http_code}", url)
    answer, _ = await resumed.communicate()

    assert answer == b"204"


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
async def test_the_event_source_of_a_browser_stops_asking(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with serving("tests.e2e.browser_app:app") as server:
        task = await submit(http, server, "greet")
        async with http.get(f"{server.url}/tasks/{task['id']}?wait=60") as response:
            end = (await response.json())["cursor"]
        story = await browse(f"{server.url}/page/{task['id']}", tmp_path)
        async with http.get(f"{server.url}/asked") as response:
            asked = await response.json()

    received = story["received"]
    assert [type for type, *_ in received] == ["snapshot", "output", "output", "state"]
    assert all(last_event_id == cursor for _, last_event_id, cursor in received)
    assert received[-1][1] == end
    assert (story["closed"], asked) == (True, [200, 204])


async def browse(url: str, profile: Path) -> Any:
    """What a page has written into its `pre`, half a minute of its own time after it was opened.

    That time runs as fast as nothing happens: an EventSource that is not told to stop would
    have asked some thirty times.
    """
    assert CHROMIUM is not None
    process = await asyncio.create_subprocess_exec(
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", f"--user-data-dir={profile}", "--virtual-time-budget=30000",
        "--dump-dom", url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(HANG):
            page, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    found = re.search(r"<pre>(.*)</pre>", page.decode())
    assert found is not None, page
    return json.loads(html.unescape(found[1]))


# The end of the server


@contextmanager
def silent(server: Server, path: str, *, upgrade: bool) -> Iterator[socket.socket]:
    """A client that asks for a stream and reads no more than the first line of the answer."""
    with silent_client(server.url, path, upgrade=upgrade) as client:
        assert client.recv(12) == (b"HTTP/1.1 101" if upgrade else b"HTTP/1.1 200")
        yield client


async def test_a_hundred_open_sockets_do_not_hold_up_the_end(http: aiohttp.ClientSession) -> None:
    """Forty WebSockets and forty SSE streams that read, ten of each that do not."""
    async with (
        serving(TASKS_DRAIN_TIMEOUT="3600") as server,
        AsyncExitStack() as stack,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as many,
    ):
        task = await submit(http, server, "countdown", 3600)
        url = f"{server.url}/tasks/{task['id']}/events"
        sockets = [await stack.enter_async_context(many.ws_connect(url)) for _ in range(40)]
        streams = [await stack.enter_async_context(many.get(url)) for _ in range(40)]
        for number in range(20):
            stack.enter_context(silent(server, "/tasks/events", upgrade=number % 2 == 0))
        # 30 KB in three frames each: more than the 3 MB that a connection takes in unread.
        bodies = [{"name": "check_links", "args": [["x" * 7000]]} for _ in range(50)]
        async with AiohttpWatcher.watching(f"{server.url}/tasks/events") as witness:
            assert await witness.next()
            for _ in range(3):
                await post(http, f"{server.url}/tasks/batch", {"tasks": bodies})
                await read(witness, 150)
        ending = asyncio.create_task(server.end())
        for client in sockets:
            last = json.loads([message.data async for message in client][-1])
            assert (last["type"], client.close_code) == ("bye", 1012)
        for response in streams:
            assert b"\nevent: bye\n" in await response.read()
        # The drain, in which those that read are told, ends with what runs.
        await post(many, f"{server.url}/tasks/{task['id']}/cancel", None)
        assert await ending == 0

    assert "Traceback" not in server.errors, server.errors


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfd_open")
async def test_two_ctrl_c_interrupt_what_runs_and_leave_no_process(
    http: aiohttp.ClientSession,
) -> None:
    async with serving(TASKS_DRAIN_TIMEOUT="3600") as server:
        task = await submit(http, server, "primes", 10**10)
        url = f"{server.url}/tasks/{task['id']}/events"
        async with AiohttpWatcher.watching(url) as watcher:
            await read_until(watcher, "progress")
            children = [Watched(each) for each in descendants(server.process.pid)]
            assert len(children) >= 2
            server.process.send_signal(signal.SIGINT)
            await read_until(watcher, "bye")
            assert await server.end(signal.SIGINT) == 0
        async with asyncio.timeout(HANG):
            for child in children:
                await child.ended()

    assert "Interrupted" in server.errors
    assert "Traceback" not in server.errors


async def read_until(watcher: Watcher, type: str) -> None:
    while (frame := await watcher.next()) is not None:
        if frame["type"] == type:
            return
    raise AssertionError(f"the stream ended without {type}")
