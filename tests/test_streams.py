"""The event streams of one task and of all: every frame, from the first to the last."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any

import pytest
import websockets
from quart import Quart

from .watching import (
    Message,
    Script,
    Site,
    check_order,
    count,
    echo,
    flood,
    is_output,
    is_state,
    is_type,
    kinds,
    messages,
    other,
    play,
    read,
    read_until,
    run_to_end,
    serving,
    tasks,
    until_closed,
    watched_from_the_start,
)

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
RECORD = (
    "id", "name", "executor", "state", "progress", "args", "kwargs", "result", "result_type",
    "result_size", "error", "omitted", "attempt", "max_attempts", "priority", "key", "parent_id",
    "retry_of", "owner", "cancel_requested", "worker", "created_at", "scheduled_for",
    "started_at", "finished_at", "cursor",
)  # fmt: skip


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as site:
        yield site


# One task


async def test_frames_to_the_letter(site: Site) -> None:
    async with watched_from_the_start(site) as (handle, script, client):
        frames = await read_until(client, is_state("running"))
        for step in [("progress", 7), ("output", {"a": [1]}), ("log", "careful"), ("end", None)]:
            script.say(*step)
            frames.append(await read(client))
        assert await until_closed(client) == []
        assert client.close_code == 1000

    assert kinds(frames) == ["snapshot", "running", "progress", "output", "log", "succeeded"]
    for frame in frames:
        assert list(frame) == ["type", "task_id", "cursor", "time", "data"]
        assert TIME.fullmatch(frame["time"])
        assert re.fullmatch(r"[0-9a-f]+-[0-9]+", frame["cursor"])
        assert frame["task_id"] == (None if frame["type"] == "snapshot" else handle.id)
    check_order(frames)
    snapshot, running, progress, output, line, succeeded = (each["data"] for each in frames)
    assert list(snapshot) == ["tasks", "reason", "more"]
    assert (snapshot["reason"], snapshot["more"]) == ("start", False)
    [queued] = snapshot["tasks"]
    assert [tuple(each) for each in (queued, running, succeeded)] == [RECORD] * 3
    assert (queued["state"], queued["attempt"], queued["result"]) == ("queued", 0, None)
    assert (running["state"], running["attempt"], running["progress"]) == ("running", 1, None)
    assert progress == {"current": 7, "total": 100, "message": "so far", "attempt": 1}
    assert output == {"index": 0, "value": {"a": [1]}, "attempt": 1}
    assert line == {"level": "WARNING", "logger": "tests.play", "message": "careful", "attempt": 1}
    assert succeeded["result"] == [{"a": [1]}]
    assert succeeded["progress"] == {"current": 7, "total": 100, "message": "so far"}
    assert succeeded["cursor"] == frames[-1]["cursor"]
    assert succeeded == {name: (await site.record(handle.id))[name] for name in RECORD}


async def test_a_late_reader_gets_what_was_and_what_comes(site: Site) -> None:
    script = Script()
    handle = await play.submit(script)
    async with site.watch(f"/{handle.id}/events") as early, AsyncExitStack() as stack:
        for step in [("output", "first"), ("log", "second"), ("output", "third")]:
            script.say(*step)
        seen = await read_until(early, is_output("third"))
        late = await stack.enter_async_context(site.watch(f"/{handle.id}/events"))
        frames = [await read(late) for _ in range(4)]
        script.say("output", "fourth")
        script.say("end")
        seen += await until_closed(early)
        frames += await until_closed(late)

    assert kinds(frames) == ["snapshot", "output", "log", "output", "output", "succeeded"]
    assert frames[0]["data"]["tasks"][0]["state"] == "running"
    assert frames[1:] == seen[-5:]
    check_order(frames)


async def test_an_ended_task_is_told_whole(site: Site) -> None:
    script = Script()
    for step in [("output", 1), ("log", "two"), ("output", 3), ("end", None)]:
        script.say(*step)
    handle = await play.submit(script)
    await handle
    frames = await site.story(f"/{handle.id}/events")

    assert kinds(frames) == ["snapshot", "output", "log", "output", "succeeded"]
    check_order(frames)
    assert (await site.sse_story(f"/{handle.id}/events"))[1:] == frames[1:]


async def test_a_handle_tells_the_same_story(site: Site) -> None:
    async with watched_from_the_start(site) as (handle, script, client):
        frames = await read_until(client, is_state("running"))
        for step in [("output", 1), ("log", "two"), ("end", None)]:
            script.say(*step)
        told = [event async for event in handle.events(after=frames[-1]["cursor"])]
        frames += await until_closed(client)

    assert [(each.type, each.task_id, each.cursor, each.time, each.data) for each in told] == [
        tuple(each.values()) for each in frames[2:]
    ]


async def test_a_cancel_request_is_a_state(site: Site) -> None:
    async with watched_from_the_start(site) as (handle, _, client):
        await read_until(client, is_state("running"))
        await handle.cancel()
        asked, ended = await until_closed(client)

    assert (asked["data"]["state"], asked["data"]["cancel_requested"]) == ("running", True)
    assert (ended["data"]["state"], ended["data"]["cancel_requested"]) == ("cancelled", True)


@pytest.mark.parametrize("to", [1, 2, 1_000_000])
async def test_progress_is_thinned_out_and_its_last_arrives(site: Site, to: int) -> None:
    async with site.watch("/events") as client:
        await read(client)
        await count.submit(to)
        frames = await read_until(client, is_state("succeeded"))

    reports = [each for each in frames if each["type"] == "progress"]
    numbers = [each["data"]["current"] for each in reports]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == to
    assert frames[-2] is reports[-1]
    first, last = (datetime.fromisoformat(each["time"]) for each in (reports[0], reports[-1]))
    most = 20 * (last - first).total_seconds() + 3  # the first, the last, and the clock's jitter
    assert len(numbers) <= most


async def test_nothing_comes_after_the_end(site: Site) -> None:
    async with site.watch("/events") as client:
        frames = [await read(client)]
        for _ in range(20):
            await count.submit(5000)
            frames += await read_until(client, is_state("succeeded"))
        await other.submit()
        frames += await read_until(client, is_state("succeeded"))

    last = {each["task_id"]: each for each in frames[1:]}
    assert len(last) == 21
    assert all(is_state("succeeded")(each) for each in last.values())


async def test_a_slow_reader_of_a_task_that_was_deleted_stops_at_its_end(site: Site) -> None:
    handle = await echo.submit()
    story = handle.events()
    seen = [(await anext(story)).type]
    await handle
    await site.delete(handle.id)
    seen += [event.type async for event in story]

    assert seen == ["snapshot", "state", "state"]


async def test_a_stream_does_not_mind_what_it_is_sent(site: Site) -> None:
    handle = await play.submit(script := Script())
    async with site.watch(f"/{handle.id}/events") as client:
        await read(client)
        for _ in range(100):
            await client.send_str("{")
            await client.send_bytes(b"\xff")
        script.say("output", 1)
        script.say("end")
        frames = await until_closed(client)

    assert kinds(frames)[-2:] == ["output", "succeeded"]


@pytest.mark.parametrize("path", ["/{id}/events", "/events", "/socket"])
async def test_readers_that_leave_are_forgotten_without_a_word(
    site: Site, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    handle = await play.submit(Script())
    path = path.format(id=handle.id)
    async with site.watch(path):
        await site.streams(1)
    await site.streams(0)
    for upgrade in [True] if path == "/socket" else [True, False]:
        with site.silent(path, upgrade=upgrade) as client:
            await site.streams(1)
            no_farewell = struct.pack("ii", 1, 0)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_farewell)
        await site.streams(0)

    assert caplog.text == ""


async def test_a_client_that_still_talks_when_its_stream_ends_is_let_go(site: Site) -> None:
    handle = await play.submit(script := Script())
    url = f"{site.url.replace('http', 'ws')}/tasks/{handle.id}/events"
    # Without timeouts this client waits until the server has closed the connection.
    never: Any = {"open_timeout": None, "close_timeout": None, "ping_interval": None}
    async with websockets.connect(url, **never) as client:
        for _ in range(300):
            await client.send("{")
        script.say("end")
        await client.wait_closed()

    assert client.close_code == 1000


@pytest.mark.parametrize("path", ["/nobody/events", "/nobody/nothing", "/nothing/at/all"])
async def test_a_refused_websocket_is_told_why(site: Site, path: str) -> None:
    async with site.watch(path) as client:
        [frame] = await until_closed(client)

    assert client.close_code == 4404
    assert (frame["type"], frame["task_id"]) == ("error", None)
    assert set(frame["data"]) >= {"type", "title", "status", "detail"}
    assert frame["data"]["status"] == 404
    assert frame["data"]["type"].startswith("urn:quart-tasks:")


# All tasks


async def test_all_tasks_start_with_the_unfinished(site: Site) -> None:
    await run_to_end(1, 2)
    waiting = [await echo.with_options(delay=3600).submit(n) for n in range(3)]
    async with site.watch("/events") as client:
        snapshot = await read(client)
        last = await other.submit()
        frames = await read_until(client, is_state("succeeded"))
        await waiting[0].cancel()
        frames.append(await read(client))

    assert snapshot["data"]["reason"] == "start"
    assert {each["id"] for each in snapshot["data"]["tasks"]} == {each.id for each in waiting}
    assert kinds(frames) == ["queued", "running", "succeeded", "cancelled"]
    assert [each["task_id"] for each in frames] == [last.id] * 3 + [waiting[0].id]
    check_order([snapshot, *frames])


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", "abcd"),
        ("name=echo", "abc"),
        ("name=other", "d"),
        ("name=echo&name=other", "abcd"),
        ("id={b}", "b"),
        ("id={a}&id={c}", "ac"),
        ("name=other&id={a}", "ad"),
        ("name=echo&id={a}", "abc"),
        ("name=nobody&id=nobody", ""),
        ("unknown=x", "abcd"),
    ],
)
@pytest.mark.parametrize("kind", ["websocket", "sse"])
async def test_all_tasks_can_be_narrowed(site: Site, kind: str, query: str, wanted: str) -> None:
    definitions: dict[str, Any] = {"a": echo, "b": echo, "c": echo, "d": other, "end": flood}
    waiting = {}
    for letter, definition in definitions.items():
        waiting[letter] = await definition.with_options(delay=3600).submit(*[0] * (letter == "end"))
    ids = {letter: each.id for letter, each in waiting.items()}
    everything = query in ("", "unknown=x")
    url = f"{site.url}/tasks/events?{query.format(**ids)}{'' if everything else '&name=flood'}"
    async with AsyncExitStack() as stack:
        if kind == "websocket":
            client = await stack.enter_async_context(site.http.ws_connect(url))
            frames = [await read(client)]
        else:
            response = await stack.enter_async_context(site.http.get(url))
            stream = messages(response)
            await anext(stream)
            frames = [(await anext(stream)).frame]
        for each in waiting.values():
            await each.cancel()
        while frames[-1]["task_id"] != ids["end"]:
            frames.append(
                await read(client) if kind == "websocket" else (await anext(stream)).frame
            )

    expected = [*(ids[letter] for letter in wanted), ids["end"]]
    assert sorted(each["id"] for each in frames[0]["data"]["tasks"]) == sorted(expected)
    assert [each["task_id"] for each in frames[1:]] == expected


async def test_a_task_that_is_asked_for_by_its_id_is_there_though_it_has_ended(site: Site) -> None:
    first, _ = await run_to_end(1, 2)
    async with site.watch("/events", id=first) as client:
        snapshot = await read(client)

    assert [each["id"] for each in snapshot["data"]["tasks"]] == [first]


async def test_all_tasks_go_on_without_a_gap_after_a_list(site: Site) -> None:
    await run_to_end(1)
    cursor = await site.cursor()
    first, second = await run_to_end(2, 3)
    async with site.watch("/events", after=cursor) as client:
        frames = [await read(client) for _ in range(6)]

    assert kinds(frames) == ["queued", "running", "succeeded"] * 2
    assert [each["task_id"] for each in frames] == [first] * 3 + [second] * 3


async def test_a_delete_is_told(site: Site) -> None:
    [id] = await run_to_end(1)
    async with site.watch("/events") as client:
        before = await read(client)
        await site.delete(id)
        deleted = await read(client)
    async with site.watch("/events", after=before["cursor"]) as client:
        assert await read(client) == deleted

    assert (deleted["type"], deleted["task_id"], deleted["data"]) == ("deleted", id, {})


async def test_a_thousand_readers_get_one_event_each() -> None:
    """Through the app itself: a thousand sockets are more than many systems let a process have."""
    app = Quart(__name__)
    tasks.init_app(app)
    async with app.test_app() as running, AsyncExitStack() as stack:
        clients: list[Any] = []
        for _ in range(1000):
            client: Any = running.test_client().websocket("/tasks/events?name=echo")
            clients.append(await stack.enter_async_context(client))
            assert (await clients[-1].receive_json())["type"] == "snapshot"
        await other.submit()
        handle = await echo.with_options(delay=3600).submit()
        received = [await each.receive_json() for each in clients]
        await handle.cancel()
        following = [await each.receive_json() for each in clients]

    assert received == [received[0]] * 1000
    assert (received[0]["task_id"], received[0]["data"]["state"]) == (handle.id, "scheduled")
    assert [each["data"]["state"] for each in following] == ["cancelled"] * 1000


# Server-Sent Events


async def test_an_event_stream_to_the_letter(site: Site) -> None:
    handle = await play.submit(script := Script())
    path = f"/{handle.id}/events"
    async with site.watch(path) as client, site.sse(path) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-cache, no-transform"
        assert response.headers["X-Accel-Buffering"] == "no"
        stream = messages(response)
        assert int((await anext(stream)).fields["retry"]) > 0
        received = [await anext(stream)]
        frames = [await read(client)]
        script.say("output", "two\nlines: é\r")
        script.say("log", ":\n\n")
        script.say("end")
        received += [each async for each in stream]
        frames += await until_closed(client)

    assert [each.frame for each in received][1:] == frames[1:]
    for each in received:
        assert list(each.fields) == ["event", "id", "data"]
        assert each.fields["event"] == each.frame["type"]
        assert each.fields["id"] == each.frame["cursor"]


async def test_last_event_id_wins_over_after(site: Site) -> None:
    handle = await flood.submit(5)
    await handle
    path = f"/{handle.id}/events"
    frames = await site.story(path)
    early, late = frames[1]["cursor"], frames[4]["cursor"]

    assert await site.sse_story(path, last=late, after=early) == frames[5:]
    assert await site.sse_story(path, last=early, after=late) == frames[2:]


@pytest.mark.parametrize("how", ["last", "after"])
async def test_a_reader_who_knows_the_end_gets_204(site: Site, how: str) -> None:
    first, second = await run_to_end(1, 2)
    end = (await site.record(first))["cursor"]
    for cursor in (end, await site.cursor()):
        async with site.sse(f"/{first}/events", **{how: cursor}) as response:
            assert (response.status, await response.read()) == (204, b"")
        assert await site.story(f"/{first}/events", after=cursor) == []
    async with site.sse(f"/{second}/events", **{how: end}) as response:
        assert response.status == 200


async def test_an_event_source_reads_a_task_and_stops(site: Site) -> None:
    """The client of WHATWG HTML, section 9.2.3: it comes back until it is told 204."""
    handle = await play.submit(script := Script())
    script.say("output", 1)
    last = None
    statuses: list[int] = []
    received: list[str] = []
    while statuses[-1:] != [204]:
        async with site.sse(f"/{handle.id}/events", last) as response:
            statuses.append(response.status)
            async for each in messages(response):
                last = each.fields.get("id", last)
                received += [each.fields["event"]] if "event" in each.fields else []
                if received[-1:] == ["output"] and len(statuses) == 1:
                    break  # the connection is lost
        script.say("end")

    assert statuses == [200, 200, 204]
    assert received[-2:] == ["output", "state"]
    assert received.count("output") == 1


@pytest.mark.long
async def test_a_quiet_event_stream_has_a_heartbeat(site: Site) -> None:
    async with site.sse("/events") as response:
        stream = messages(response)
        assert "retry" in (await anext(stream)).fields
        assert (await anext(stream)).fields["event"] == "snapshot"
        heartbeat = await anext(stream)

    assert heartbeat == Message(comment=True)


async def test_an_event_stream_of_an_unknown_task_is_a_problem(site: Site) -> None:
    async with site.sse("/nobody/events") as response:
        assert response.status == 404
        assert response.content_type == "application/problem+json"


# The end of the server


async def test_every_stream_says_bye(site: Site) -> None:
    handle = await play.submit(Script())
    paths = ["/events", f"/{handle.id}/events"]
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(site.watch(each)) for each in paths]
        streams = [messages(await stack.enter_async_context(site.sse(each))) for each in paths]
        commands = await stack.enter_async_context(site.watch("/socket"))
        for client in sockets:
            await read_until(client, is_type("snapshot"))
        for stream in streams:
            await anext(stream)
            await anext(stream)
        await site.streams(5)
        site.stop.set()
        for client in [*sockets, commands]:
            [bye] = await until_closed(client)
            assert (bye["type"], bye["task_id"], list(bye["data"])) == ("bye", None, ["reason"])
            assert client.close_code == 1012
        for stream in streams:
            [last] = [each async for each in stream]
            assert last.fields["event"] == last.frame["type"] == "bye"
            assert last.fields["id"] == last.frame["cursor"]


async def test_a_stream_that_comes_while_draining_is_sent_away() -> None:
    app = Quart(__name__)
    app.config["TASKS_DRAIN_TIMEOUT"] = 0
    tasks.init_app(app)
    async with app.test_app() as running:
        handle = await play.submit(Script())
        await tasks.close_streams(app)
        for path in ("/tasks/events", f"/tasks/{handle.id}/events"):
            response = await running.test_client().get(path)
            retry, bye, rest = (await response.get_data(as_text=True)).split("\n\n")
            assert response.status_code == 200
            assert response.content_type.startswith("text/event-stream")
            assert (retry.partition(": ")[0], rest) == ("retry", "")
            assert bye.startswith("event: bye\nid: ")
            async with running.test_client().websocket(path) as client:
                assert (await client.receive_json())["type"] == "bye"
