"""Clients that send too much, read nothing, or just stay: what they cost the real server."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ..waiting import poll
from .serving import HANG, Server, serving
from .test_story import post, silent, submit

APP = "tests.e2e.overload_app:create_app"
MB = 1_000_000
LIMIT = 20 * MB
FLOOD = 100 * MB
DEAD = 50
ENOUGH = 100  # answers after which it does not read from somebody
LATER = {"name": "empty", "options": {"delay": 3600}}

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        yield http


def memory(server: Server, key: str = "VmRSS") -> int:
    """The bytes that the server holds; with `VmHWM` the most since `forget_peak`."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def forget_peak(server: Server) -> None:
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")  # proc(5)


def files(server: Server) -> int:
    """How many it has open: each connection is one."""
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


async def streams(http: aiohttp.ClientSession, server: Server) -> int:
    async with http.get(f"{server.url}/tasks/stats") as response:
        return int((await response.json())["streams"])


async def until_streams(http: aiohttp.ClientSession, server: Server, number: int) -> None:
    """Wait until there are so many: the server learns of each in its own time."""

    async def enough() -> bool:
        return await streams(http, server) >= number

    await poll(enough)


# Those that never read


def dead(server: Server, stack: AsyncExitStack) -> None:
    """DEAD subscribers of all tasks that read nothing, half of them WebSockets."""
    for number in range(DEAD):
        stack.enter_context(silent(server, "/tasks/events", upgrade=number % 2 == 0))


async def read_outputs(client: aiohttp.ClientWebSocketResponse, id: str) -> list[int]:
    """The outputs of a task, from the events of all, to its end."""
    values = []
    async for message in client:
        frame = message.json()
        if frame["task_id"] == id and frame["type"] == "output":
            values.append(frame["data"]["value"])
        if frame["task_id"] == id and frame["data"].get("finished_at"):
            break
    return values


async def test_subscribers_that_never_read_cost_nobody(http: aiohttp.ClientSession) -> None:
    """Nobody misses an output beside them, and the server holds hardly more."""
    count = 9_000  # of the 10,000 events that the replay buffer has
    async with (
        serving(APP) as server,
        AsyncExitStack() as stack,
        http.ws_connect(f"{server.url}/tasks/events") as client,
    ):
        held = []
        for number in range(4):
            if number == 2:
                dead(server, stack)
                await until_streams(http, server, DEAD + 1)
            task = await submit(http, server, "outputs", count)
            assert await read_outputs(client, task["id"]) == list(range(count))
            held.append(memory(server))

    assert held[3] - held[1] < LIMIT


@pytest.mark.long
async def test_subscribers_that_never_read_are_dropped(http: aiohttp.ClientSession) -> None:
    async with serving(APP) as server, AsyncExitStack() as stack:
        await streams(http, server)
        before = files(server)
        dead(server, stack)
        await until_streams(http, server, DEAD)
        assert files(server) >= before + DEAD
        task = await submit(http, server, "firehose")  # now: none is dropped before all are there
        while await streams(http, server) or files(server) > before:
            async with http.get(f"{server.url}/tasks/{task['id']}?wait=1") as response:
                assert (await response.json())["state"] == "running"

    assert "exception" not in server.errors


# Those that send too much


def frame(size: int) -> bytes:
    """A masked text frame (RFC 6455, section 5.2)."""
    return b"\x81\xff" + size.to_bytes(8) + bytes(4) + b"x" * size


FLOODS = {
    "messages of 100 bytes": (b"", (b"\x81\xe4" + bytes(4) + b"x" * 100) * 10_000, 10 * MB),
    "messages of 1 MB": (b"", frame(MB), FLOOD),
    "one frame": (frame(FLOOD)[:14], b"x" * MB, FLOOD),
    "one message in fragments": (
        b"\x01\x80" + bytes(4), b"\x00\xff" + (MB).to_bytes(8) + bytes(4) + b"x" * MB, FLOOD,
    ),
}  # fmt: skip


async def flood(
    http: aiohttp.ClientSession,
    server: Server,
    client: socket.socket,
    first: bytes,
    again: bytes,
    total: int,
) -> None:
    """Send so many bytes, or until the server waits for this client, which never reads: it has
    answered ENOUGH others and has taken nothing more. It answers others all the while."""
    client.setblocking(False)
    with suppress(ConnectionError):
        for data in [first, *[again] * (total // len(again))]:
            left, answered = memoryview(data), 0
            while left and answered < ENOUGH:
                try:
                    left, answered = left[client.send(left) :], 0
                except BlockingIOError:
                    await streams(http, server)
                    answered += 1
            if left:
                return
            await streams(http, server)


@pytest.mark.parametrize("path", ["/tasks/events", "/tasks/socket"])
@pytest.mark.parametrize("kind", FLOODS)
async def test_what_floods_a_socket_is_not_kept(
    http: aiohttp.ClientSession, kind: str, path: str
) -> None:
    async with serving(APP) as server:
        await streams(http, server)
        before = memory(server)
        forget_peak(server)
        with silent(server, path, upgrade=True) as client:
            await flood(http, server, client, *FLOODS[kind])

        assert memory(server, "VmHWM") - before < LIMIT


def flood_to_the_end(client: socket.socket) -> bool:
    """Send until the server closes the connection; False if it neither does nor reads on."""
    _, messages, _ = FLOODS["messages of 100 bytes"]
    client.settimeout(HANG)
    try:
        while True:
            client.sendall(messages)
    except TimeoutError:
        return False
    except ConnectionError:
        return True


@pytest.mark.parametrize("end", ["its task ends", "the server ends"])
async def test_a_socket_whose_client_does_not_close_is_gone_all_the_same(
    http: aiohttp.ClientSession, end: str
) -> None:
    """Ten clients flood it in the moment of its end, ten are silent; none answers the close."""
    async with serving(APP, CLOSE_SECONDS="0.5") as server, AsyncExitStack() as stack:
        task = await post(http, f"{server.url}/tasks", LATER)
        before = files(server)
        path = f"/tasks/{task['id']}/events"
        clients = [stack.enter_context(silent(server, path, upgrade=True)) for _ in range(20)]
        threads = stack.enter_context(ThreadPoolExecutor(10))
        floods = [threads.submit(flood_to_the_end, each) for each in clients[:10]]
        await until_streams(http, server, len(clients))
        if end == "its task ends":
            async with http.post(f"{server.url}/tasks/{task['id']}/cancel") as response:
                assert response.status == 202
        else:
            assert await server.end() == 0
        assert all(await asyncio.gather(*map(asyncio.wrap_future, floods)))
        if end == "its task ends":
            await poll(lambda: files(server) <= before)

    assert "Traceback" not in server.errors


# Those that just stay


async def snapshot_of(http: aiohttp.ClientSession, url: str, kind: str, stack: Any) -> None:
    """Read a stream to the end of its snapshot, and keep it open."""
    if kind == "websocket":
        client = await stack.enter_async_context(http.ws_connect(url, max_msg_size=0))
        while (await client.receive_json())["data"]["more"]:
            pass
    else:
        response = await stack.enter_async_context(http.get(url))
        async for line in response.content:
            if line.startswith(b"data: ") and line.endswith(b'"more":false}}\n'):
                break


@pytest.mark.parametrize("kind", ["websocket", "sse"])
async def test_an_idle_stream_does_not_hold_on_to_its_snapshot(
    http: aiohttp.ClientSession, kind: str
) -> None:
    """A hundred of them, of 250 unfinished tasks: more than 100 KB each."""
    async with serving(APP) as server, AsyncExitStack() as stack:
        await post(http, f"{server.url}/tasks/batch", {"tasks": [LATER] * 250})
        url = f"{server.url}/tasks/events"
        for _ in range(10):
            await snapshot_of(http, url, kind, stack)
        before = memory(server)
        for _ in range(100):
            await snapshot_of(http, url, kind, stack)

        assert memory(server) - before < 10 * MB
