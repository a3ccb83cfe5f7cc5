"""What a client's handles read over the one socket that they share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from quart import abort

from quart_tasks import (
    QuartTasks,
    Record,
    TaskEvent,
    TaskNotFound,
)
from quart_tasks.client import (
    Refused,
    TaskHandle,
    TasksClient,
    tap,
    transport,
)

from .client_tasks import (  # noqa: F401 - fixtures are used by name
    HANG,
    client_fixture,
    gates,
    open_gate,
    outputs,
    proxy_fixture,
    serving,
    tasks,
    until_running,
    url_fixture,
)
from .proxy import Proxy, proxy_to


@tasks.task
async def floods(number: int, size: int) -> AsyncIterator[str]:
    for _ in range(number):
        yield "x" * size


async def all_of(handle: TaskHandle) -> list[TaskEvent]:
    return [event async for event in handle.events()]


async def test_events_of_a_task(client: TasksClient) -> None:
    handle = await client.submit("counts", 3)
    events = [event async for event in handle.events()]
    assert events[0].type == "snapshot"
    assert outputs(events) == [0, 1, 2]
    assert [event.data["message"] for event in events if event.type == "log"][-1] == "at 2"
    assert events[-1].data["state"] == "succeeded"
    assert handle.state == "succeeded"
    position = next(n for n, event in enumerate(events) if event.type == "output")
    rest = [event async for event in handle.events(events[position].cursor)]
    assert rest == events[position + 1 :]
    assert [event async for event in handle.events(events[-1].cursor)] == []


async def test_events_of_what_is_not_there(client: TasksClient) -> None:
    handle = await client.submit("add", 1)
    await handle
    await client._transport.ask("DELETE", f"/{handle.id}")
    with pytest.raises(TaskNotFound):
        [event async for event in handle.events()]


async def test_events_of_all_tasks(client: TasksClient) -> None:
    def ends(event: TaskEvent) -> bool:
        return event.type == "state" and event.data["state"] == "succeeded"

    stream = client.events(names=["add"])
    assert (await anext(stream)).type == "snapshot"
    await (await client.submit("echo", 1))
    handle = await client.submit("add", 1)
    first = await anext(event async for event in stream if ends(event))
    assert first.task_id == handle.id
    again = client.events(after=first.cursor)
    other = await client.submit("echo", 2)
    assert (await anext(event async for event in again if ends(event))).task_id == other.id


async def test_a_hundred_readers_take_one_stream_and_one_connection(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FIRST_SECONDS", "PING_SECONDS"):  # a machine that pauses makes no other one
        monkeypatch.setattr(transport, name, HANG)
    async with TasksClient(proxy.url, timeout=HANG) as client:
        handles = await client.submit_many("gated", [["a"]] * 50)
        before = proxy.connections
        reading = [asyncio.create_task(all_of(handle)) for handle in handles * 2]
        await asyncio.gather(*map(until_running, handles))
        assert proxy.connections <= before + 1
        assert (await client.stats())["streams"] == 1
        open_gate("a")
        for events in await asyncio.gather(*reading):
            assert events[0].type == "snapshot"
            assert events[-1].data["result"] == "a"


async def test_a_later_reader_begins_with_all_and_the_first_gets_nothing_twice(
    client: TasksClient,
) -> None:
    handle = await client.submit("counts", 40, gate="half")
    first: list[TaskEvent] = []
    second: list[TaskEvent] = []
    async for event in handle.events():
        first.append(event)
        if event.type == "output" and event.data["value"] == 19:
            async for other in handle.events():
                second.append(other)
                if other.type == "output" and other.data["value"] == 19:
                    open_gate("half")
    for events in (first, second):
        assert events[0].type == "snapshot"
        assert outputs(events) == list(range(40))
        assert events[-1].data["state"] == "succeeded"
    assert [event.type for event in first].count("snapshot") == 1


async def test_who_stops_reading_is_not_told_any_more(client: TasksClient) -> None:
    handles = [await client.submit("gated", "a") for _ in range(2)]
    for handle in handles:
        async with aclosing(handle.events()) as events:
            await anext(events)
    open_gate("a")
    assert await asyncio.gather(*handles) == ["a", "a"]
    assert not client._watcher.watches


@pytest.mark.parametrize(("number", "size"), [(5_000, 1), (100, 100_000)])
async def test_a_slow_reader_holds_up_nobody_and_misses_nothing(
    client: TasksClient, number: int, size: int
) -> None:
    slow, quick = await client.submit("floods", number, size), await client.submit("gated", "a")
    async with aclosing(slow.events()) as events:
        seen = [await anext(events)]
        open_gate("a")
        assert await quick == "a"
        # What waits for the reader is bounded, so at some point it gets a stream of its own.
        assert len((await all_of(slow))[-1].data["omitted"]) == 1
        seen += [event async for event in events]
    assert len(outputs(seen)) == number
    assert [event.data["index"] for event in seen if event.type == "output"] == list(range(number))
    assert seen[-1].data["state"] == "succeeded"


def test_what_waits_for_a_slow_reader_is_bounded() -> None:
    assert tap.MOST_MESSAGES < 5_000
    assert tap.MOST_BYTES < 200 * 100_000


async def test_a_resume_that_is_too_large_for_the_server_asks_for_histories() -> None:
    async with (
        serving(TASKS_MAX_BODY_SIZE=3000) as url,
        proxy_to(url) as proxy,
        TasksClient(proxy.url) as client,
    ):
        handles = [await client.submit("gated", "a") for _ in range(100)]
        reading = [asyncio.create_task(all_of(handle)) for handle in handles]
        waiting = [asyncio.create_task(handle.result()) for handle in handles]
        await asyncio.gather(*map(until_running, handles))
        before = proxy.connections
        proxy.cut()
        await proxy.reaches(before + 2)  # the first is told that it is too much
        open_gate("a")
        async with asyncio.timeout(HANG):
            assert await asyncio.gather(*waiting) == ["a"] * 100
            for events in await asyncio.gather(*reading):
                ends = [event for event in events if event.type == "state"]
                assert ends[-1].data["state"] == "succeeded"
                assert len({event.cursor for event in ends}) == len(ends)


async def test_a_connection_that_goes_silent_is_made_anew(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "PING_SECONDS", 0.3)
    # Not so short that a busy machine's handshakes, two in a row, look as if they were held back.
    async with TasksClient(proxy.url, timeout=1.5) as client, asyncio.timeout(HANG):
        handle = await client.submit("counts", 40, gate="half")
        waiting = asyncio.create_task(handle.result())
        seen = []
        async for event in handle.events():
            seen.append(event)
            if event.type == "output" and event.data["value"] == 19:
                proxy.silence()
                open_gate("half")
        assert outputs(seen) == list(range(40))
        assert await waiting == list(range(40))
        proxy.silence()
        assert await (await client.submit("gated", "half")) == "half"


async def test_a_server_that_has_forgotten_more_than_was_missed() -> None:
    async with (
        serving(TASKS_EVENT_BUFFER=10) as url,
        proxy_to(url) as proxy,
        TasksClient(proxy.url) as client,
    ):
        handle = await client.submit("counts", 100, gate="half")
        others = [await client.submit("gated", "half") for _ in range(5)]
        waiting = [asyncio.create_task(other.result()) for other in others]
        seen = []
        async for event in handle.events():
            seen.append(event)
            if event.type == "output" and event.data["value"] == 49:
                proxy.refuses = True
                proxy.cut()
                open_gate("half")
                await tasks.join(HANG)
                proxy.refuses = False
        assert outputs(seen) == list(range(100))
        assert [event.type for event in seen].count("snapshot") == 2
        assert await asyncio.gather(*waiting) == ["half"] * 5


async def test_one_task_that_may_not_be_watched_spoils_nothing_for_the_others() -> None:
    guarded = QuartTasks()

    @guarded.task
    async def held(gate: str) -> str:
        await gates.setdefault(gate, asyncio.Event()).wait()
        return gate

    @guarded.authorize
    async def hook(action: str, name: str | None, record: Record | None) -> str | None:
        if action == "events" and record is not None and record.args == ["secret"]:
            abort(403, "Not that one.")
        return None

    async with serving(guarded) as url, TasksClient(url) as client:
        handles = [await client.submit("held", gate) for gate in ("a", "secret", "a", "secret")]
        waiting = [asyncio.create_task(handle.result()) for handle in handles]
        reading = [asyncio.create_task(all_of(handle)) for handle in handles]
        for each in (waiting[1], waiting[3], reading[1], reading[3]):
            with pytest.raises(Refused, match="Not that one") as refused:
                await each
            assert refused.value.status == 403
        open_gate("a")
        assert [await waiting[0], await waiting[2]] == ["a", "a"]
        for events in (await reading[0], await reading[2]):
            assert events[-1].data["result"] == "a"


async def test_a_task_that_is_deleted_while_it_is_read(client: TasksClient) -> None:
    handle = await client.submit("gated", "a")
    stale = await client.get(handle.id)
    open_gate("a")
    await handle
    await client._transport.ask("DELETE", f"/{handle.id}")
    with pytest.raises(TaskNotFound):
        await all_of(stale)
