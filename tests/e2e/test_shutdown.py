"""SIGTERM, made for real, to the real server with real clients and tasks that do not end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ..processes import Watched, descendants
from ..waiting import Gate
from .serving import HANG, ROOT, Server, serving
from .shutdown_app import STUCK
from .test_story import AiohttpWatcher, post, silent, submit

Frame = dict[str, Any]

APP = "tests.e2e.shutdown_app:create_app"
LONG = "3600"
PLENTY = 8_000_000  # bytes: more than the buffers of one connection take in unread, twice over

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfd_open")


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        yield http


async def running(http: aiohttp.ClientSession, server: Server, *names: str) -> list[str]:
    """The ids of new tasks with these names, once each has reported some progress."""
    tasks = [await submit(http, server, name) for name in names]
    for task in tasks:
        await until_progress(server, task["id"])
    return [task["id"] for task in tasks]


async def until_progress(server: Server, id: str) -> None:
    async with AiohttpWatcher.watching(f"{server.url}/tasks/{id}/events") as watcher:
        while (frame := await watcher.next()) is not None:
            data = frame["data"]
            if frame["type"] == "progress" or data.get("tasks", [data])[0].get("progress"):
                return
    raise AssertionError(f"task {id} ended without progress")


async def websocket_story(client: aiohttp.ClientWebSocketResponse) -> tuple[str, int | None]:
    """The type of its last frame, and how it was closed."""
    frames = [message.data async for message in client]
    return json.loads(frames[-1])["type"], client.close_code


async def begin_the_end(http: aiohttp.ClientSession, server: Server) -> None:
    """Send SIGTERM, and wait until the server drains."""
    async with http.ws_connect(f"{server.url}/tasks/events") as client:
        server.process.send_signal(signal.SIGTERM)
        assert await websocket_story(client) == ("bye", 1012)


async def code_of(server: Server) -> int | None:
    """Wait for the end of a server that was told to end; its exit code."""
    async with asyncio.timeout(HANG):
        _, errors = await server.process.communicate()
    server.errors = errors.decode()
    return server.process.returncode


@asynccontextmanager
async def leaving_no_child(server: Server) -> AsyncIterator[None]:
    """Whatever runs below the server at the start of the block is gone after it."""
    children = [Watched(pid) for pid in descendants(server.process.pid)]
    assert children
    yield
    async with asyncio.timeout(HANG):
        for child in children:
            await child.ended()


def check_errors(server: Server, *interrupted: str) -> None:
    """What a server that was told to end says on stderr: no more than what became of whom."""
    assert "Traceback" not in server.errors, server.errors
    for id in interrupted:
        [line] = [line for line in server.errors.splitlines() if id in line]
        assert "Interrupted" in line


# -- everything at once --------------------------------------------------------------------


async def sse_story(response: aiohttp.ClientResponse) -> str:
    """The type of its last event; the stream has ended in order."""
    last = (await response.read()).rstrip().rpartition(b"\n\n")[2]
    return last.partition(b"\n")[0].decode()


async def test_sigterm_ends_it_whatever_is_connected_and_runs(
    http: aiohttp.ClientSession,
) -> None:
    """60 streams that read, 20 that do not, and tasks that nothing can stop."""
    async with serving(APP, TASKS_DRAIN_TIMEOUT="0.2") as server, AsyncExitStack() as stack:
        ids = await running(http, server, "waits")
        for number in range(20):
            stack.enter_context(silent(server, "/tasks/events", upgrade=number % 2 == 0))
        hose = await submit(http, server, "firehose")
        async with AiohttpWatcher.watching(f"{server.url}/tasks/{hose['id']}/events") as witness:
            size = 0
            while size < PLENTY:
                frame = await witness.next()
                assert frame is not None
                size += len(str(frame["data"]))
        ids += await running(http, server, *STUCK)
        told, ended = await readers(http, server, stack, 10, ids)
        async with leaving_no_child(server):
            assert await server.end() == 0, server.errors
        # A slow server may have cut some off before it told them.
        await asyncio.gather(*told, *ended, return_exceptions=True)
    check_errors(server, hose["id"], *ids)


async def readers(
    http: aiohttp.ClientSession, server: Server, stack: AsyncExitStack, number: int, ids: list[str]
) -> tuple[list[asyncio.Task[Any]], list[asyncio.Task[Any]]]:
    """Three times so many WebSockets, and as many SSE streams, that read to their end."""
    sockets, streams = [], []
    for path in (f"/{ids[0]}/events", "/events?name=waits", "/socket") * number:
        url = f"{server.url}/tasks{path}"
        sockets.append(await stack.enter_async_context(http.ws_connect(url)))
    for path in (f"/{ids[0]}/events", f"/{ids[-1]}/events", "/events?name=waits") * number:
        url = f"{server.url}/tasks{path}"
        streams.append(await stack.enter_async_context(http.get(url)))
    told = [asyncio.create_task(websocket_story(each)) for each in sockets]
    return told, [asyncio.create_task(sse_story(each)) for each in streams]


async def test_without_a_drain_it_ends_at_once(http: aiohttp.ClientSession) -> None:
    async with serving(APP, TASKS_DRAIN_TIMEOUT="0") as server:
        ids = await running(http, server, *STUCK)
        async with leaving_no_child(server):
            assert await server.end() == 0, server.errors
    check_errors(server, *ids)


# -- signals -------------------------------------------------------------------------------


async def test_a_second_signal_waits_for_nothing(http: aiohttp.ClientSession) -> None:
    """By then all 180 that read have been told, whether or not others do."""
    async with serving(APP, TASKS_DRAIN_TIMEOUT=LONG) as server, AsyncExitStack() as stack:
        ids = await running(http, server, *STUCK)
        for number in range(20):
            stack.enter_context(silent(server, "/tasks/events", upgrade=number % 2 == 0))
        told, ended = await readers(http, server, stack, 30, ids)
        async with leaving_no_child(server):
            await begin_the_end(http, server)
            assert set(await asyncio.gather(*told)) == {("bye", 1012)}
            assert set(await asyncio.gather(*ended)) == {"event: bye"}
            for id in ids:
                async with http.get(f"{server.url}/tasks/{id}") as response:
                    assert (await response.json())["state"] == "running"
            assert await server.end(signal.SIGINT) == 0, server.errors
    check_errors(server, *ids)


@pytest.mark.parametrize("names", [("spins",), STUCK])
async def test_two_signals_in_the_same_moment_are_two(
    http: aiohttp.ClientSession, names: tuple[str, ...]
) -> None:
    async with serving(APP, TASKS_DRAIN_TIMEOUT=LONG) as server:
        ids = await running(http, server, *names)
        async with leaving_no_child(server):
            server.process.send_signal(signal.SIGSTOP)
            server.process.send_signal(signal.SIGTERM)
            server.process.send_signal(signal.SIGINT)
            assert await server.end(signal.SIGCONT) == 0, server.errors
    check_errors(server, *ids)


async def test_a_third_signal_ends_the_process(http: aiohttp.ClientSession) -> None:
    async with serving(APP, TASKS_DRAIN_TIMEOUT=LONG, HANGS_AT="the end") as server:
        await running(http, server, "spins", "swallows")
        async with leaving_no_child(server):
            await begin_the_end(http, server)
            server.process.send_signal(signal.SIGTERM)
            assert await said(server) == "hangs at the end"
            assert await server.end() == -signal.SIGTERM
    check_errors(server)


async def said(server: Server) -> str:
    """The next line on the server's stdout."""
    assert server.process.stdout is not None
    return (await server.process.stdout.readline()).decode().strip()


async def test_a_signal_during_the_start_is_heard_after_it(gate: Gate) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "quart_tasks", "serve", APP, "--port", "0",
        cwd=ROOT, env=os.environ | {"STARTS_WITH": gate.path}, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    server = Server(process, "")
    assert await said(server) == "starts"
    process.send_signal(signal.SIGTERM)
    gate.open()
    assert await code_of(server) == 0, server.errors
    assert server.errors == ""


async def test_a_signal_right_after_the_start_ends_it() -> None:
    for _ in range(3):
        async with serving(APP, TASKS_DRAIN_TIMEOUT=LONG) as server:
            assert await server.end() == 0
        assert server.errors == ""


# -- tasks that do not run just now --------------------------------------------------------


async def test_what_was_not_run_is_said_by_name_and_number(http: aiohttp.ClientSession) -> None:
    async with serving(APP, TASKS_DRAIN_TIMEOUT="0") as server:
        failed = await submit(http, server, "fails")
        async with AiohttpWatcher.watching(f"{server.url}/tasks/{failed['id']}/events") as watcher:
            while True:  # until it waits for its second attempt
                frame = await watcher.next()
                assert frame is not None
                record = frame["data"].get("tasks", [frame["data"]])[0]
                if record.get("attempt") == 1 and record.get("state") == "scheduled":
                    break
        await running(http, server, "one_by_one")
        for _ in range(2):
            await submit(http, server, "one_by_one")
        later = {"name": "waits", "options": {"delay": 3600}}
        await post(http, f"{server.url}/tasks/batch", {"tasks": [later] * 3})
        assert await server.end() == 0, server.errors
    [line] = [line for line in server.errors.splitlines() if "Not run" in line]
    for each in ("1 of fails", "2 of one_by_one", "3 of waits"):
        assert each in line


async def test_without_running_tasks_there_is_nothing_to_drain(
    http: aiohttp.ClientSession,
) -> None:
    """An hour's drain is not waited for by a task that waits for its retry, or is scheduled."""
    async with serving(APP, TASKS_DRAIN_TIMEOUT=LONG) as server:
        await post(http, f"{server.url}/tasks", {"name": "waits", "options": {"delay": 3600}})
        await submit(http, server, "fails")
        assert await server.end() == 0, server.errors
    assert "1 of waits" in server.errors
    assert "1 of fails" in server.errors


SLOW = """
import multiprocessing, os, time
from quart import Quart
from quart_tasks import QuartTasks

SERVER = os.environ.setdefault("SERVER", str(os.getpid())) == str(os.getpid())
WORKER = multiprocessing.parent_process() is not None
if not SERVER:
    if WORKER or os.environ["SLOW"] == "fork server":
        print("slow", flush=True)
        time.sleep(3600)
    raise ImportError("so that the worker has to import it")

app = Quart(__name__)
tasks = QuartTasks(app)

@tasks.task(executor="process")
def work():
    pass
"""


@pytest.mark.parametrize("where", ["worker", "fork server"])
async def test_a_worker_that_is_still_starting_does_not_hold_it_up(
    http: aiohttp.ClientSession, tmp_path: Path, where: str
) -> None:
    """Its imports take longer than the server may take to end."""
    (tmp_path / "slow_app.py").write_text(SLOW)
    environment = {"PYTHONPATH": str(tmp_path), "SLOW": where, "TASKS_DRAIN_TIMEOUT": "0.5"}
    async with serving("slow_app:app", **environment) as server:
        await submit(http, server, "work")
        assert await said(server) == "slow"
        async with leaving_no_child(server):
            assert await server.end() == 0, server.errors
    check_errors(server)
    assert "1 of work" in server.errors


# -- clients that wait ---------------------------------------------------------------------


class Waiting:
    """Requests that wait for a task of the server's."""

    def __init__(self, http: aiohttp.ClientSession, server: Server) -> None:
        self._http = http
        self._server = server

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Status and document of the answer; 304 has none."""
        url = f"{self._server.url}/tasks{path}"
        async with self._http.request(method, url, json=body, headers=headers) as response:
            return response.status, None if response.status == 304 else await response.json()

    async def begin(self, gate: Gate) -> list[asyncio.Task[Any]]:
        """A POST that waits for its task, GETs for its end, its result, and its next change."""
        url = f"{self._server.url}/tasks/events?name=hold"
        async with AiohttpWatcher.watching(url) as watcher:
            assert await watcher.next()  # it watches by now, and will see the progress
            body = {"name": "hold", "args": [gate.path]}
            asked = [asyncio.create_task(self.ask("POST", "", body, Prefer="wait=60"))]
            while (frame := await watcher.next()) is not None and frame["type"] != "progress":
                pass
            assert frame is not None
        path, tag = f"/{frame['task_id']}", {"If-None-Match": f'"{frame["cursor"]}"'}
        for query, headers in (("?wait=60", {}), ("/result?wait=60", {}), ("?wait=60", tag)):
            asked.append(asyncio.create_task(self.ask("GET", path + query, **headers)))
            assert await said(self._server) == "waits"
        return asked


async def test_clients_that_wait_see_their_task_end(
    http: aiohttp.ClientSession, gate: Gate
) -> None:
    async with serving(APP, TASKS_DRAIN_TIMEOUT=LONG, GRACE=LONG) as server:
        asked = await Waiting(http, server).begin(gate)
        await begin_the_end(http, server)
        gate.open()
        *records, result, (changed, _) = await asyncio.gather(*asked)
        for status, record in records:
            assert (status, record["state"], record["result"]) == (200, "succeeded", "held")
        assert result == (200, "held")
        assert changed in (200, 304)
        assert await code_of(server) == 0, server.errors
    check_errors(server)


async def test_clients_that_wait_are_told_of_the_interruption(
    http: aiohttp.ClientSession, gate: Gate
) -> None:
    async with serving(APP, TASKS_DRAIN_TIMEOUT="0.1", GRACE=LONG) as server:
        asked = await Waiting(http, server).begin(gate)
        server.process.send_signal(signal.SIGTERM)
        *records, (status, problem), (changed, _) = await asyncio.gather(*asked)
        assert (status, problem["type"]) == (409, "urn:quart-tasks:interrupted")
        for status, record in records:
            assert (status, record["state"]) == (200, "failed")
            assert record["error"]["type"] == "Interrupted"
        assert changed in (200, 304)
        assert await code_of(server) == 0, server.errors
    check_errors(server)
