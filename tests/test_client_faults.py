"""The HTTP client on a network where anything breaks at any byte."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from quart import Quart

from quart_tasks import QuartTasks, TaskEvent, progress
from quart_tasks.client import TaskHandle, TasksClient, transport, watcher
from quart_tasks.server import serve

from .proxy import WEBSOCKET, Faults, Proxy, proxy_to
from .waiting import HANG

tasks = QuartTasks()
SEEDS = [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 16))]


@tasks.task
async def echo(value: int) -> int:
    return value


@tasks.task
async def double(value: int) -> int:
    return 2 * value


@tasks.task
async def counts(number: int) -> AsyncIterator[int]:
    """Comes to its end while it is watched: a few outputs a millisecond."""
    for each in range(number):
        progress(each, number)
        await asyncio.sleep(0.002)
        yield each


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    app = Quart(__name__)
    app.config["TASKS_DRAIN_TIMEOUT"] = 0
    tasks.init_app(app)
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    server = asyncio.create_task(serve(app, port=0, stop=stop, on_listening=url.set_result))
    try:
        async with proxy_to(await url) as proxy:
            yield proxy
    finally:
        stop.set()
        await server


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that has gone silent is given up soon."""
    monkeypatch.setattr(watcher, "POLL_SECONDS", 1.0)
    monkeypatch.setattr(transport, "PING_SECONDS", 0.4)
    monkeypatch.setattr(transport, "SILENT_SECONDS", 0.4)

    async def chance(self: transport.Transport, error: transport.Lost, started: float) -> Exception:
        """Two streams in a row that do not begin are a slow machine's, and no reason to poll."""
        return error

    monkeypatch.setattr(transport.Transport, "_held_back", chance)


def number_of(event: TaskEvent) -> int:
    return int(event.cursor.rpartition("-")[2])


def is_passing(event: TaskEvent) -> bool:
    """Not among those that are kept for who comes later."""
    return event.type in ("snapshot", "progress")


def check_stream(events: list[TaskEvent], outputs: int) -> None:
    """Each output once and in order, no cursor twice, one end."""
    assert events[0].type == "snapshot"
    values = [event.data["value"] for event in events if event.type == "output"]
    assert values == list(range(outputs))
    cursors = [number_of(event) for event in events]
    assert cursors == sorted(cursors)
    cursors = [number_of(event) for event in events if event.type != "snapshot"]
    assert len(cursors) == len(set(cursors))
    ends = [event for event in events if event.type == "state" and event.data["finished_at"]]
    assert ends == [events[-1]]


async def all_of(handle: TaskHandle) -> list[TaskEvent]:
    return [event async for event in handle.events()]


async def mapped(client: TasksClient, name: str, count: int) -> list[Any]:
    return [value async for value in client.map(name, range(count))]


async def states_of(client: TasksClient, name: str, ends: int, ready: asyncio.Event) -> list[Any]:
    """All changes of a name's tasks, until so many have ended."""
    seen = []
    async with aclosing(client.events(names=[name])) as events:
        async for event in events:
            ready.set()
            if event.type == "state":
                seen.append((event.task_id, event.data["state"]))
                ends -= event.data["finished_at"] is not None
                if not ends:
                    break
    return seen


async def counted(client: TasksClient, number: int) -> None:
    """Watch two tasks from start to end, one of them twice, and wait for both."""
    handles = await client.submit_many("counts", [[number]] * 2)
    *streams, first, second = await asyncio.gather(*map(all_of, [*handles, handles[0]]), *handles)
    assert first == second == list(range(number))
    for events in streams:
        check_stream(events, number)
    middle = streams[0][len(streams[0]) // 2]
    rest = [event async for event in handles[0].events(middle.cursor)]
    assert [each for each in rest if each.type != "progress"] == [
        each for each in streams[0] if number_of(each) > number_of(middle) and not is_passing(each)
    ]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("blocks", [None, WEBSOCKET])
@pytest.mark.parametrize("seed", SEEDS)
async def test_every_event_and_every_task_once(
    proxy: Proxy, seed: int, blocks: bytes | None
) -> None:
    proxy.blocks = blocks
    async with TasksClient(proxy.url, timeout=1) as client, asyncio.timeout(HANG):
        ready = asyncio.Event()
        watching = asyncio.create_task(states_of(client, "echo", 100 + 20, ready))
        await ready.wait()
        proxy.faults = faults = Faults(seed)
        proxy.cut()  # those that were made before have none

        async def run(value: int) -> int:
            handle = await client.submit("echo", value)
            result: int = await handle
            return result

        echoed, doubled, *results = await asyncio.gather(
            mapped(client, "echo", 100),
            mapped(client, "double", 100),
            *map(run, range(20)),
            *[counted(client, each) for each in (1, 40, 400)],
        )
        assert echoed == list(range(100))
        assert doubled == [2 * value for value in range(100)]
        assert results[:20] == list(range(20))
        changes = Counter(await watching)
        assert set(changes.values()) == {1}
        assert len(changes) == 3 * (100 + 20)  # queued, running, succeeded
        proxy.faults = None
        proxy.cut()
        names = (await client.stats())["names"]
        succeeded = {name: states["succeeded"] for name, states in names.items()}
        assert succeeded == {"echo": 120, "double": 100, "counts": 6}
        assert {sum(states.values()) for states in names.values()} == set(succeeded.values())
        assert faults.happened.total() > 20
