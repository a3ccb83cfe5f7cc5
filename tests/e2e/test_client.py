"""The HTTP client, while its server is killed, restarted, and gone."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from quart_tasks import TaskEvent, TaskNotFound
from quart_tasks.client import TasksClient, Unreachable
from quart_tasks.client import sync as blocking

from ..proxy import Proxy, proxy_to
from ..waiting import Gate
from .serving import HANG, Server, serving

APP = "tests.e2e.client_app:app"
PATIENCE = 5 * HANG  # seconds, however long the server takes to end and to start


class Place:
    """Where the server is, for clients: one address for all its starts."""

    def __init__(self, stack: AsyncExitStack, server: Server, proxy: Proxy, journal: str) -> None:
        self._stack, self._server, self.proxy, self._journal = stack, server, proxy, journal

    @property
    def url(self) -> str:
        return self.proxy.url

    async def end(self, number: int) -> None:
        self.proxy.refuses = True
        await self._server.end(number)

    async def restart(self, number: int) -> None:
        """End the server by a signal and start another."""
        await self.end(number)
        await self.start()

    async def start(self) -> None:
        self._server = await self._stack.enter_async_context(started(self._journal))
        self.proxy.port = int(self._server.url.rpartition(":")[2])
        self.proxy.refuses = False


def started(journal: str) -> Any:
    return serving(APP, TASKS_JOURNAL=journal, TASKS_DRAIN_TIMEOUT="0")


@asynccontextmanager
async def place_of(journal: str) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(started(journal))
        proxy = await stack.enter_async_context(proxy_to(server.url))
        yield Place(stack, server, proxy, journal)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with place_of(str(tmp_path / "tasks.db")) as place:
        yield place


@pytest.fixture
def gate(tmp_path: Path) -> Any:
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.close()


def check_outputs(events: list[TaskEvent], number: int) -> None:
    """Each output of an attempt once, all of the last one; and one end, at the end."""
    attempts: dict[int, list[int]] = {}
    for event in events:
        if event.type == "output":
            attempts.setdefault(event.data["attempt"], []).append(event.data["value"])
    assert attempts == {1: list(range(number // 2)), 2: list(range(number))}
    ends = [event for event in events if event.type == "state" and event.data["finished_at"]]
    assert ends == [events[-1]]
    assert events[-1].data["state"] == "succeeded"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_waits_streams_and_maps_survive_a_restart(
    place: Place, gate: Gate, number: int
) -> None:
    async with TasksClient(place.url, patience=PATIENCE) as client:
        handles = [await client.submit("gated", gate.path) for _ in range(5)]
        waiting = [asyncio.create_task(handle.result()) for handle in handles]
        counting = await client.submit("counts", 20, gate.path)
        half = asyncio.Event()
        events = []

        async def watch() -> None:
            async for event in counting.events():
                events.append(event)
                if event.type == "output" and event.data["value"] == 9:
                    half.set()

        async def items() -> AsyncIterator[int]:
            for each in range(60):
                if each == 30:
                    await restarted.wait()
                yield each

        async def mapping() -> list[int]:
            return [value async for value in client.map("echo", items())]

        restarted = asyncio.Event()
        watching, mapped = asyncio.create_task(watch()), asyncio.create_task(mapping())
        async with asyncio.timeout(HANG):
            await half.wait()
        await place.restart(number)
        restarted.set()
        gate.open()
        async with asyncio.timeout(HANG):
            assert await asyncio.gather(*waiting) == [gate.path] * 5
            await watching
            assert await mapped == list(range(60))
        check_outputs(events, 20)
        assert await counting == list(range(20))
        assert (await client.stats())["names"]["echo"]["succeeded"] == 60


async def test_blocking_waits_and_streams_survive_a_restart(place: Place, gate: Gate) -> None:
    client = blocking.TasksClient(place.url, patience=PATIENCE)

    def stream(handle: blocking.TaskHandle) -> list[TaskEvent]:
        events = []
        for event in handle.events():
            events.append(event)
            if event.type == "output" and event.data["value"] == 9:
                loop.call_soon_threadsafe(half.set)
        return events

    loop, half = asyncio.get_running_loop(), asyncio.Event()
    handle = await asyncio.to_thread(client.submit, "gated", gate.path)
    counting = await asyncio.to_thread(client.submit, "counts", 20, gate.path)
    waiting = asyncio.create_task(asyncio.to_thread(handle.result, PATIENCE))
    watching = asyncio.create_task(asyncio.to_thread(stream, counting))
    async with asyncio.timeout(HANG):
        await half.wait()
    await place.restart(signal.SIGKILL)
    gate.open()
    async with asyncio.timeout(HANG):
        assert await waiting == gate.path
        check_outputs(await watching, 20)
    await asyncio.to_thread(client.close)


async def test_a_submission_waits_for_the_server(place: Place) -> None:
    async with TasksClient(place.url, patience=PATIENCE) as client:
        await client.stats()
        await place.end(signal.SIGKILL)
        submitting = asyncio.create_task(client.submit("echo", 1))
        mapping = asyncio.create_task(anext(client.map("echo", [2])))
        await place.start()
        async with asyncio.timeout(HANG):
            assert await (await submitting) == 1
            assert await mapping == 2
        assert (await client.stats())["names"]["echo"]["succeeded"] == 2


async def test_a_server_that_does_not_come_back(place: Place, gate: Gate) -> None:
    async with TasksClient(place.url, patience=0.5) as client:
        handle = await client.submit("gated", gate.path)
        waiting = asyncio.create_task(handle.result())
        async with asyncio.timeout(HANG):
            async for _ in handle.events():
                if handle.progress is not None:
                    break
            await place.end(signal.SIGKILL)
            with pytest.raises(Unreachable, match=place.url):
                await waiting
            with pytest.raises(Unreachable, match=place.url):
                await client.submit("echo", 1)
            with pytest.raises(Unreachable, match=place.url):
                [event async for event in handle.events()]


async def test_a_server_without_a_journal_has_forgotten(gate: Gate) -> None:
    async with place_of("") as place, TasksClient(place.url, patience=PATIENCE) as client:
        handle = await client.submit("gated", gate.path)
        waiting = asyncio.create_task(handle.result())
        mapping = asyncio.create_task(anext(client.map("gated", [gate.path])))
        async with asyncio.timeout(HANG), aclosing(client.events(names=["gated"])) as events:
            running = set()
            async for event in events:
                records = event.data["tasks"] if event.type == "snapshot" else [event.data]
                running |= {each["id"] for each in records if each.get("state") == "running"}
                if len(running) == 2:
                    break
        await place.restart(signal.SIGKILL)
        async with asyncio.timeout(HANG):
            for wait in (waiting, mapping):
                with pytest.raises(TaskNotFound):
                    await wait
            with pytest.raises(TaskNotFound):
                [event async for event in handle.events()]
        assert await (await client.submit("echo", 1)) == 1
