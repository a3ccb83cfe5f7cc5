"""Task streams over real sockets: every frame a reader gets, from the first to the last."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import logging
import re
import socket
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quart import Quart

from quart_tasks import QuartTasks, RetryPolicy, progress
from quart_tasks.server import serve

pytestmark = pytest.mark.timeout(20)

Frame = dict[str, Any]
Socket = aiohttp.ClientWebSocketResponse

KIB = 1024
MIB = 1024 * KIB
FRAME_LIMIT = 256 * KIB
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
ENDED = ("succeeded", "failed", "cancelled")
RECORD = (
    "id", "name", "executor", "state", "progress", "args", "kwargs", "result", "result_type",
    "result_size", "error", "omitted", "attempt", "max_attempts", "priority", "key", "parent_id",
    "retry_of", "owner", "cancel_requested", "worker", "created_at", "scheduled_for",
    "started_at", "finished_at", "cursor",
)  # fmt: skip
STALE = ["00000000-1", "", "-", "x", "1", "ffff-", "-5", "é-é", "a" * 5000]  # no cursor of ours

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


# What the tests look through


@dataclass
class Message:
    """One message of an event stream, or one comment."""

    fields: dict[str, str] = field(default_factory=dict)
    comment: bool = False

    @property
    def frame(self) -> Frame:
        return dict(json.loads(self.fields["data"]))


@dataclass
class Site:
    """A server in this event loop, and a client of it."""

    app: Quart
    url: str
    stop: asyncio.Event
    http: aiohttp.ClientSession

    def watch(self, path: str, **query: Any) -> Any:
        return self.http.ws_connect(f"{self.url}/tasks{path}", params=query, max_msg_size=0)

    def sse(self, path: str, last: str | None = None, **query: Any) -> Any:
        headers = {} if last is None else {"Last-Event-ID": last}
        return self.http.get(f"{self.url}/tasks{path}", params=query, headers=headers)

    async def story(self, path: str, **query: Any) -> list[Frame]:
        """What a WebSocket gets until the server closes it with 1000."""
        async with self.watch(path, **query) as client:
            frames = await until_closed(client)
            assert client.close_code == 1000
        return frames

    async def sse_story(self, path: str, last: str | None = None, **query: Any) -> list[Frame]:
        """What an SSE stream gets until the server ends it; nothing for a 204."""
        async with self.sse(path, last, **query) as response:
            if response.status == 204:
                return []
            assert response.status == 200
            return [each.frame async for each in messages(response) if "data" in each.fields]

    async def record(self, id: str) -> Frame:
        async with self.http.get(f"{self.url}/tasks/{id}") as response:
            return dict(await response.json())

    async def cursor(self) -> str:
        """The cursor of this moment."""
        async with self.http.get(f"{self.url}/tasks") as response:
            return str((await response.json())["cursor"])


@asynccontextmanager
async def serving(**config: Any) -> AsyncIterator[Site]:
    app = Quart(__name__)
    app.config.update({"TASKS_DRAIN_TIMEOUT": 0, **config})
    tasks.init_app(app)
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    server = asyncio.create_task(serve(app, port=0, stop=stop, on_listening=url.set_result))
    try:
        await asyncio.wait([url, server], return_when=asyncio.FIRST_COMPLETED)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            yield Site(app, await url, stop, http)
    finally:
        stop.set()
        await server


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as site:
        yield site


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


async def messages(response: aiohttp.ClientResponse) -> AsyncIterator[Message]:
    """An event stream as WHATWG HTML, section 9.2.6, has it read."""
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


def is_state(*states: str) -> Callable[[Frame], bool]:
    return lambda frame: frame["type"] == "state" and frame["data"]["state"] in states


def shows_the_end_of(id: str) -> Callable[[Frame], bool]:
    """By its terminal state, or by the snapshot of a reader that has lagged behind that."""

    def shown(frame: Frame) -> bool:
        records = frame["data"]["tasks"] if frame["type"] == "snapshot" else [frame["data"]]
        return any(each.get("id") == id and each["finished_at"] for each in records)

    return shown


def sequence(cursor: str) -> int:
    return int(cursor.rpartition("-")[2])


def events(frames: list[Frame]) -> list[Frame]:
    """Those that are replayed: no snapshot, no progress."""
    return [each for each in frames if each["type"] not in ("snapshot", "progress", "bye")]


def kinds(frames: list[Frame]) -> list[str]:
    """The types, with the state of each `state`."""
    return [each["data"]["state"] if each["type"] == "state" else each["type"] for each in frames]


def outputs(frames: list[Frame]) -> list[Any]:
    return [each["data"]["value"] for each in frames if each["type"] == "output"]


def check_order(frames: list[Frame]) -> None:
    """Cursors of one epoch, that of each event above all before it."""
    assert len({each["cursor"].rpartition("-")[0] for each in frames}) <= 1
    for before, after in pairwise(frames):
        step = sequence(after["cursor"]) - sequence(before["cursor"])
        assert step >= (after["task_id"] is not None)


async def run_to_end(*arguments: Any) -> list[str]:
    """Ids of `echo` tasks, one for each argument, that have ended one after the other."""
    ids = []
    for argument in arguments:
        handle = await echo.submit(argument)
        await handle
        ids.append(handle.id)
    return ids


@asynccontextmanager
async def watched_from_the_start(site: Site) -> AsyncIterator[tuple[Any, Script, Socket]]:
    """A task that starts once its reader, a WebSocket, has the snapshot."""
    first, script = Script(), Script()
    await solo.submit(first)
    handle = await solo.submit(script)
    async with site.watch(f"/{handle.id}/events") as client:
        first.say("end")
        yield handle, script, client


# One task's stream


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
    snapshot, running, progress_, output, line, succeeded = (each["data"] for each in frames)
    assert list(snapshot) == ["tasks", "reason", "more"]
    assert (snapshot["reason"], snapshot["more"]) == ("start", False)
    [queued] = snapshot["tasks"]
    assert [tuple(each) for each in (queued, running, succeeded)] == [RECORD] * 3
    assert (queued["state"], queued["attempt"], queued["result"]) == ("queued", 0, None)
    assert (running["state"], running["attempt"], running["progress"]) == ("running", 1, None)
    assert progress_ == {"current": 7, "total": 100, "message": "so far", "attempt": 1}
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
        script.say("output", "first")
        script.say("log", "second")
        script.say("output", "third")
        seen = await read_until(early, lambda frame: outputs([frame]) == ["third"])
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
    script = Script()
    handle = await play.submit(script)
    for step in [("output", 1), ("log", "two"), ("end", None)]:
        script.say(*step)
    async with site.watch(f"/{handle.id}/events") as client:
        told = [event async for event in handle.events()]
        frames = await until_closed(client)

    assert [(each.type, each.task_id, each.cursor, each.data) for each in told[1:]] == [
        (each["type"], each["task_id"], each["cursor"], each["data"]) for each in frames[1:]
    ]
    assert [event.cursor async for event in handle.events(after=told[2].cursor)] == [
        each.cursor for each in told[3:]
    ]


async def test_a_cancel_request_is_a_state(site: Site) -> None:
    async with watched_from_the_start(site) as (handle, _, client):
        await read_until(client, is_state("running"))
        await handle.cancel()
        asked, ended = await until_closed(client)

    assert (asked["data"]["state"], asked["data"]["cancel_requested"]) == ("running", True)
    assert (ended["data"]["state"], ended["data"]["cancel_requested"]) == ("cancelled", True)


STEPS = ("output", "log", "progress", "raise")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(st.sampled_from(STEPS), max_size=8),
    back=st.lists(st.integers(0, 99), min_size=9, max_size=9),
    cancelled=st.booleans(),
)
def test_a_resume_at_any_cursor_gives_exactly_the_rest(
    steps: list[str], back: list[int], cancelled: bool
) -> None:
    asyncio.run(resume_everywhere(steps, back, cancelled))


async def resume_everywhere(steps: list[str], back: list[int], cancelled: bool) -> None:
    """A task takes `steps`; after each a reader comes who was away since an earlier cursor, and
    at the end one for every cursor there was."""
    readers: dict[asyncio.Task[list[Frame]], str] = {}
    async with serving() as site, watched_from_the_start(site) as (handle, script, witness):
        path = f"/{handle.id}/events"
        async with asyncio.TaskGroup() as group:
            seen = await read_until(witness, is_state("running"))
            for number, (step, choice) in enumerate(zip([*steps, "end"], back, strict=False)):
                cursor = seen[choice % len(seen)]["cursor"]
                story = site.story if number % 2 else site.sse_story
                readers[group.create_task(story(path, after=cursor))] = cursor
                if step == "end":
                    await handle.cancel() if cancelled else script.say("end")
                    seen += await until_closed(witness)
                else:
                    script.say(step, number)
                    done = is_state("running") if step == "raise" else of_type(step)
                    seen += await read_until(witness, done)
        for reader, cursor in readers.items():
            check_rest(await reader, seen, cursor)
        for cursor in {each["cursor"] for each in seen}:
            frames = await site.story(path, after=cursor)
            check_rest(frames, seen, cursor)
            assert await site.sse_story(path, last=cursor) == frames


def of_type(type: str) -> Callable[[Frame], bool]:
    return lambda frame: frame["type"] == type


def check_rest(frames: list[Frame], seen: list[Frame], cursor: str) -> None:
    later = [each for each in seen if sequence(each["cursor"]) > sequence(cursor)]
    assert events(frames) == events(later)
    check_order(frames)
    assert {each["type"] for each in frames} <= {each["type"] for each in later}


async def test_nothing_comes_after_the_end(site: Site) -> None:
    handle = await count.submit(3)
    ended: list[Frame] = []
    async with site.watch("/events") as client:
        await read(client)
        for _ in range(20):
            await (await count.submit(5000))
            ended += await read_until(client, is_state("succeeded"))
    await handle

    last = {each["task_id"]: each for each in ended}
    assert all(is_state("succeeded")(each) for each in last.values())


async def test_a_slow_reader_of_a_task_that_was_deleted_stops_at_its_end(site: Site) -> None:
    handle = await echo.submit()
    story = handle.events()
    seen = [(await anext(story)).type]
    await handle
    async with site.http.delete(f"{site.url}/tasks/{handle.id}") as response:
        assert response.status == 204
    seen += [event.type async for event in story]

    assert seen == ["snapshot", "state", "state"]


async def test_a_reader_that_leaves_is_forgotten(site: Site) -> None:
    handle = await play.submit(Script())
    async with AsyncExitStack() as stack:
        for _ in range(3):
            client = await stack.enter_async_context(site.watch(f"/{handle.id}/events"))
            await read(client)
            response = await stack.enter_async_context(site.sse("/events"))
            await anext(messages(response))
        assert tasks.stats()["streams"] == 6
        for part in (client, response):
            part.close() if part is response else await part.close()
    # A connection's end is heard in its own time: an event finds out who is still there.
    while tasks.stats()["streams"]:
        await (await echo.submit())


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
        ("name=nobody", ""),
        ("id=nobody", ""),
    ],
)
@pytest.mark.parametrize("kind", ["websocket", "sse"])
async def test_all_tasks_can_be_narrowed(site: Site, kind: str, query: str, wanted: str) -> None:
    later = [echo.with_options(delay=3600)] * 3 + [other.with_options(delay=3600)]
    waiting = {letter: await each.submit() for letter, each in zip("abcd", later, strict=True)}
    ids = {letter: each.id for letter, each in waiting.items()}
    url = f"{site.url}/tasks/events?" + query.format(**ids)
    end = await (echo if wanted in ("", "b", "ac") else other).with_options(delay=3600).submit()
    url += f"&id={end.id}" * (query != "")
    async with AsyncExitStack() as stack:
        if kind == "websocket":
            client = await stack.enter_async_context(site.http.ws_connect(url))
            frames = [await read(client)]
        else:
            response = await stack.enter_async_context(site.http.get(url))
            stream = messages(response)
            await anext(stream)  # retry
            frames = [(await anext(stream)).frame]
        for each in [*waiting.values(), end]:
            await each.cancel()
        while frames[-1]["task_id"] != end.id:
            following = await read(client) if kind == "websocket" else (await anext(stream)).frame
            frames.append(following)

    expected = {ids[letter] for letter in wanted} | {end.id}
    assert {each["id"] for each in frames[0]["data"]["tasks"]} == expected
    assert [each["task_id"] for each in frames[1:]] == [
        *(ids[letter] for letter in wanted), end.id,
    ]  # fmt: skip


async def test_all_tasks_go_on_without_a_gap_after_a_list(site: Site) -> None:
    await run_to_end(1)
    cursor = await site.cursor()
    ids = await run_to_end(2, 3)
    async with site.watch("/events", after=cursor) as client:
        frames = [await read(client) for _ in range(6)]

    assert kinds(frames) == ["queued", "running", "succeeded"] * 2
    assert [each["task_id"] for each in frames] == [ids[0]] * 3 + [ids[1]] * 3


async def test_a_resume_at_any_cursor_of_all_tasks_gives_exactly_the_rest(site: Site) -> None:
    async with site.watch("/events") as client:
        seen = [await read(client)]
        handles = [await (echo if n % 3 else other).submit() for n in range(8)]
        while len([each for each in seen if is_state("succeeded")(each)]) < len(handles):
            seen.append(await read(client))
    for cursor in [each["cursor"] for each in seen[:-1]]:
        rest = [each for each in seen[1:] if sequence(each["cursor"]) > sequence(cursor)]
        async with site.watch("/events", after=cursor) as client:
            assert [await read(client) for _ in rest] == rest


async def test_a_delete_is_told(site: Site) -> None:
    [id] = await run_to_end(1)
    async with site.watch("/events") as client:
        await read(client)
        async with site.http.delete(f"{site.url}/tasks/{id}") as response:
            assert response.status == 204
        deleted = await read(client)

    assert (deleted["type"], deleted["task_id"], deleted["data"]) == ("deleted", id, {})


# Server-Sent Events


async def test_an_event_stream_to_the_letter(site: Site) -> None:
    handle = await play.submit(script := Script())
    path = f"/{handle.id}/events"
    async with site.watch(path) as client, site.sse(path) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8" or (
            response.headers["Content-Type"] == "text/event-stream"
        )
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
    now = await site.cursor()
    for cursor in (end, now):
        async with site.sse(f"/{first}/events", **{how: cursor}) as response:
            assert (response.status, await response.read()) == (204, b"")
        if how == "after":
            assert await site.story(f"/{first}/events", after=cursor) == []
    async with site.sse(f"/{second}/events", **{how: end}) as response:
        assert response.status == 200


async def test_an_event_source_reads_a_task_and_stops(site: Site) -> None:
    """The client of WHATWG HTML, section 9.2.3: it comes back until it is told 204."""
    handle = await play.submit(script := Script())
    script.say("output", 1)
    last, statuses, received = None, [], []
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
        await anext(stream)
        await anext(stream)
        heartbeat = await anext(stream)

    assert heartbeat == Message(comment=True)


async def test_an_event_stream_of_an_unknown_task_is_a_problem(site: Site) -> None:
    async with site.sse("/nobody/events") as response:
        assert response.status == 404
        assert response.content_type == "application/problem+json"


# Cursors that say nothing, and those that are too old


@pytest.mark.parametrize("cursor", STALE)
async def test_a_cursor_of_another_epoch_starts_anew(site: Site, cursor: str) -> None:
    ended = await run_to_end(1, 2)
    waiting = await echo.with_options(delay=3600).submit()
    async with site.watch("/events", after=cursor) as client:
        everything = await read(client)
        await waiting.cancel()
        following = await read(client)
    [snapshot, terminal] = await site.story(f"/{ended[0]}/events", after=cursor)

    assert everything["data"]["reason"] == snapshot["data"]["reason"] == "epoch"
    assert {each["id"] for each in everything["data"]["tasks"]} == {*ended, waiting.id}
    assert following["data"]["state"] == "cancelled"
    assert [each["id"] for each in snapshot["data"]["tasks"]] == [ended[0]]
    assert terminal["data"]["state"] == "succeeded"


async def test_a_cursor_from_the_future_starts_anew(site: Site) -> None:
    [id] = await run_to_end(1)
    epoch, _, number = (await site.cursor()).rpartition("-")
    for bad in (f"{epoch}-{int(number) + 1}", f"{epoch}-{'9' * 40}", f"{epoch}--1", f"{epoch}-٣"):
        frames = await site.story(f"/{id}/events", after=bad)
        assert frames[0]["data"]["reason"] == "epoch"


async def test_beyond_the_window_all_tasks_start_with_a_snapshot() -> None:
    async with serving(TASKS_EVENT_BUFFER=5) as site:
        waiting = await echo.with_options(delay=3600).submit()
        before = await run_to_end(1)
        cursor = await site.cursor()
        since = await run_to_end(2, 3, 4)
        async with site.watch("/events", after=cursor) as client:
            snapshot = await read(client)
            await waiting.cancel()
            following = await read(client)
        async with site.watch("/events", after=snapshot["cursor"]) as client:
            assert await read(client) == following

    assert snapshot["data"]["reason"] == "lagged"
    assert {each["id"] for each in snapshot["data"]["tasks"]} == {*since, waiting.id}
    assert before[0] not in since
    check_order([snapshot, following])


async def test_beyond_the_window_a_task_still_gives_every_output() -> None:
    async with serving(TASKS_EVENT_BUFFER=5) as site:
        script = Script()
        handle = await play.submit(script)
        path = f"/{handle.id}/events"
        async with site.watch(path) as client:
            for number in range(20):
                script.say("output", number)
                if number % 7 == 0:
                    script.say("log", str(number))
            seen = await read_until(client, lambda frame: outputs([frame]) == [19])
            old = [await story_of(site, path, each["cursor"], 20) for each in seen]
            script.say("end")
            seen += await until_closed(client)
        for number, cursor in enumerate(each["cursor"] for each in seen):
            rest = [each for each in seen if sequence(each["cursor"]) > sequence(cursor)]
            frames = await site.story(path, after=cursor)
            check_order(frames)
            assert events(frames)[-len(rest) :] == rest if rest else frames == []
            if number < len(old):
                assert outputs(old[number]) == outputs(rest)
            if number < 10:
                assert frames[0]["data"]["reason"] == "lagged"


async def story_of(site: Site, path: str, cursor: str, end: int) -> list[Frame]:
    """What a reader after `cursor` has got by the time of its next `end`-th output."""
    async with site.watch(path, after=cursor) as client:
        if cursor == (await site.cursor()):
            return []
        return await read_until(client, lambda frame: outputs([frame]) == [end - 1])


async def test_a_reader_that_falls_behind_misses_no_output_of_its_task() -> None:
    async with serving(TASKS_EVENT_BUFFER=50):
        handle = await flood.submit(2000)
        story = handle.events()
        seen = [await anext(story)]
        await handle
        seen += [event async for event in story]

    numbers = [each.data["index"] for each in seen if each.type == "output"]
    assert numbers == list(range(2000))
    assert "lagged" in [each.data["reason"] for each in seen if each.type == "snapshot"]
    assert seen[-1].type == "state"


async def test_a_reader_that_falls_behind_within_the_window_misses_nothing(site: Site) -> None:
    handle = await flood.submit(3000)
    story = handle.events()
    seen = [await anext(story)]
    await handle
    seen += [event async for event in story]

    assert [each.type for each in seen] == ["snapshot", "state"] + ["output"] * 3000 + ["state"]
    assert [each.data["index"] for each in seen[2:-1]] == list(range(3000))


# Progress


@pytest.mark.parametrize("to", [1, 2, 1_000_000])
async def test_progress_is_thinned_out_and_its_last_arrives(site: Site, to: int) -> None:
    async with site.watch("/events") as client:
        await read(client)
        await count.submit(to)
        frames = await read_until(client, is_state("succeeded"))

    numbers = [each["data"]["current"] for each in frames if each["type"] == "progress"]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == to
    assert frames[-2]["type"] == "progress"
    running = [each for each in frames if each["type"] == "progress"]
    spent = seconds(running[-1]) - seconds(running[0])
    assert len(numbers) <= 20 * spent + 3  # the first, the last, and one for the clock's jitter


def seconds(frame: Frame) -> float:
    hours, minutes, rest = frame["time"][11:-1].split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


# Snapshots in several frames


@pytest.fixture
async def crowd() -> AsyncIterator[tuple[Site, dict[str, Any]]]:
    """A server whose unfinished tasks take more than one frame, and their handles by id."""
    async with serving(TASKS_EVENT_BUFFER=5) as site:
        handles = [await echo.with_options(delay=3600).submit("é" * 3500) for _ in range(150)]
        yield site, {each.id: each for each in handles}


@pytest.mark.parametrize("kind", ["start", "lagged", "epoch"])
async def test_a_long_snapshot_comes_in_frames(
    crowd: tuple[Site, dict[str, Any]], kind: str
) -> None:
    site, handles = crowd
    epoch = (await site.cursor()).rpartition("-")[0]
    after = {"start": {}, "lagged": {"after": f"{epoch}-3"}, "epoch": {"after": "x-3"}}[kind]
    texts = []
    async with site.watch("/events", **after) as client:
        while not texts or json.loads(texts[-1])["data"]["more"]:
            texts.append((await client.receive()).data)
        first, *_ = handles.values()
        await first.cancel()
        following = await read(client)

    frames = [json.loads(each) for each in texts]
    assert len(frames) > 3
    assert max(len(each.encode()) for each in texts) <= FRAME_LIMIT
    assert {each["data"]["reason"] for each in frames} == {kind}
    ids = [task["id"] for each in frames for task in each["data"]["tasks"]]
    assert sorted(ids) == sorted(handles)
    if kind == "lagged":
        assert {each["cursor"] for each in frames[:-1]} == {f"{epoch}-3"}
    check_order([*frames, following])
    assert sequence(following["cursor"]) > sequence(frames[-1]["cursor"])
    assert following["data"]["state"] == "cancelled"


@pytest.mark.parametrize("cursor", [None, "x-3"])
async def test_a_reader_cut_off_between_two_frames_of_a_snapshot_gets_it_again(
    crowd: tuple[Site, dict[str, Any]], cursor: str | None
) -> None:
    site, handles = crowd
    async with site.watch("/events", **({"after": cursor} if cursor else {})) as client:
        frame = await read(client)
        assert frame["data"]["more"]
    ids: list[str] = []
    async with site.watch("/events", after=frame["cursor"]) as client:
        while frame["data"]["more"]:
            frame = await read(client)
            assert frame["type"] == "snapshot"
            ids += [task["id"] for task in frame["data"]["tasks"]]

    assert sorted(ids) == sorted(handles)


# Many readers, and those that do not read


def silent(site: Site, path: str, upgrade: bool) -> socket.socket:
    """A client that asks for a stream and reads nothing of it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    host, port = site.url.removeprefix("http://").split(":")
    client.connect((host, int(port)))
    lines = [f"GET /tasks{path} HTTP/1.1", "Host: test"]
    if upgrade:
        key = base64.b64encode(bytes(16)).decode()
        lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
        lines += [f"Sec-WebSocket-Key: {key}"]
    client.sendall("\r\n".join([*lines, "", ""]).encode())
    return client


async def test_readers_that_do_not_read_delay_nobody_and_cost_little() -> None:
    """100 MB go by, 16 MB at a time; the buffer holds 5 MB."""
    rounds, number, size = 10, 100, 100 * KIB
    async with serving(TASKS_EVENT_BUFFER=50, TASKS_MAX_FINISHED=1) as site, AsyncExitStack() as s:
        for n in range(6):
            s.enter_context(silent(site, "/events", upgrade=n % 2 == 0))
        while tasks.stats()["streams"] < 6:
            await site.cursor()
        reader = await s.enter_async_context(site.watch("/events"))
        await read(reader)
        tracemalloc.start()
        s.callback(tracemalloc.stop)
        for _ in range(rounds):
            handle = await flood.submit(number, size)
            frames = await read_until(reader, shows_the_end_of(handle.id))
            if "snapshot" not in kinds(frames):
                assert len(outputs(frames)) == number
            await handle
            del frames
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        assert tasks.stats()["streams"] == 7

    assert held < 50 * MIB


async def test_a_reader_that_reads_again_gets_a_snapshot_and_goes_on() -> None:
    async with serving(TASKS_EVENT_BUFFER=20, TASKS_MAX_FINISHED=1) as site:
        with silent(site, "/events", upgrade=False) as client:
            while not tasks.stats()["streams"]:
                await site.cursor()
            for _ in range(3):
                await (await flood.submit(140, 100 * KIB))
            last = await echo.submit("the last")
            await last
            client.setblocking(False)
            reader, writer = await asyncio.open_connection(sock=client, limit=MIB)
            frames: list[Frame] = []
            while not frames or frames[-1]["cursor"] != last.record.cursor:
                line = await reader.readline()
                if line.startswith(b"data: "):
                    frames.append(json.loads(line[6:]))
                    frames[-1]["data"].pop("value", None)
                if frames and frames[-1]["type"] == "snapshot":
                    known = {each["id"]: each for each in frames[-1]["data"]["tasks"]}
                    if last.id in known:
                        break
            writer.close()

    check_order(frames)
    assert "lagged" in [each["data"].get("reason") for each in frames]


async def test_a_thousand_readers_get_one_event_each() -> None:
    """Through the app itself: a thousand sockets are more than many systems let a process have."""
    app = Quart(__name__)
    tasks.init_app(app)
    async with app.test_app() as running, AsyncExitStack() as stack:
        clients = []
        for _ in range(1000):
            client = running.test_client().websocket("/tasks/events?name=echo")
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


# Refusals


@pytest.mark.parametrize("path", ["/nobody/events", "/nobody/nothing", "/nothing/at/all"])
async def test_a_refused_websocket_is_told_why(site: Site, path: str) -> None:
    async with site.watch(path) as client:
        [frame] = await until_closed(client)

    assert client.close_code == 4404
    assert (frame["type"], frame["task_id"]) == ("error", None)
    assert set(frame["data"]) >= {"type", "title", "status", "detail"}
    assert frame["data"]["status"] == 404
    assert frame["data"]["type"].startswith("urn:quart-tasks:")


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


# The end of the server


async def test_every_stream_says_bye() -> None:
    async with serving() as site, AsyncExitStack() as stack:
        handle = await play.submit(Script())
        paths = ["/events", f"/{handle.id}/events"]
        sockets = [await stack.enter_async_context(site.watch(each)) for each in paths]
        streams = [messages(await stack.enter_async_context(site.sse(each))) for each in paths]
        commands = await stack.enter_async_context(site.watch("/socket"))
        for client in sockets:
            await read_until(client, lambda frame: frame["type"] == "snapshot")
        for stream in streams:
            await anext(stream)
            await anext(stream)
        await ask(commands, type="subscribe", all=True)
        site.stop.set()
        for client in [*sockets, commands]:
            *_, bye = await until_closed(client)
            assert (bye["type"], bye["task_id"], list(bye["data"])) == ("bye", None, ["reason"])
            assert client.close_code == 1012
        for stream in streams:
            *_, last = [each async for each in stream]
            assert last.fields["event"] == "bye"
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
            retry, bye, rest = (await response.get_data()).decode().split("\n\n")
            assert response.status_code == 200
            assert response.content_type.startswith("text/event-stream")
            assert (retry.partition(": ")[0], rest) == ("retry", "")
            assert bye.startswith("event: bye\nid: ")
            async with running.test_client().websocket(path) as client:
                assert (await client.receive_json())["type"] == "bye"


# /tasks/socket


async def ask(client: Socket, **command: Any) -> Frame:
    """The answer to a command, which comes next."""
    await client.send_json(command)
    return await read(client)


@pytest.fixture
async def commands(site: Site) -> AsyncIterator[Socket]:
    async with site.watch("/socket") as client:
        yield client


async def test_a_socket_is_silent_until_it_is_asked(site: Site, commands: Socket) -> None:
    await run_to_end(1)
    answer = await ask(commands, type="subscribe", ref="a", names=["echo"])
    [id] = await run_to_end(2)
    frames = await read_until(commands, is_state("succeeded"))

    assert list(answer) == ["type", "ref", "data"]
    assert (answer["type"], answer["ref"], list(answer["data"])) == ("ack", "a", ["cursor"])
    assert kinds(frames) == ["queued", "running", "succeeded"]
    assert {each["task_id"] for each in frames} == {id}
    assert all(list(each) == ["type", "task_id", "cursor", "time", "data"] for each in frames)


@pytest.mark.parametrize("ref", ["a", 7, None, 1.5, True, ["x"], {"y": 1}])
async def test_an_answer_repeats_the_ref(site: Site, commands: Socket, ref: Any) -> None:
    [id] = await run_to_end(1)
    for command in (
        {"type": "subscribe", "all": True},
        {"type": "unsubscribe", "all": True},
        {"type": "submit", "tasks": []},
        {"type": "cancel", "id": id},
        {"type": "cancel", "id": "nobody"},
        {"type": "subscribe"},
        {"type": "nothing"},
    ):
        answer = await ask(commands, ref=ref, **command)
        assert answer["ref"] == ref


async def test_submit_and_cancel(site: Site, commands: Socket) -> None:
    bodies = [
        {"name": "echo", "args": [1]},
        {"name": "echo", "kwargs": {"value": 2}, "options": {"delay": 3600}},
    ]
    answer = await ask(commands, type="submit", ref=1, tasks=bodies)
    first, second = answer["data"]["tasks"]
    cancelled = await ask(commands, type="cancel", ref=2, id=second["id"])

    assert (answer["type"], answer["ref"], list(answer["data"])) == ("ack", 1, ["tasks"])
    assert tuple(first) == tuple(second) == RECORD
    assert (first["args"], second["kwargs"]) == ([1], {"value": 2})
    assert await tasks.get(first["id"]) == 1
    assert (cancelled["type"], cancelled["ref"]) == ("ack", 2)
    assert [each["id"] for each in cancelled["data"]["tasks"]] == [second["id"]]
    assert (await site.record(second["id"]))["state"] == "cancelled"


async def test_subscriptions_are_one_union(site: Site, commands: Socket) -> None:
    waiting = [await echo.with_options(delay=3600).submit() for _ in range(3)]
    ids = [each.id for each in waiting]
    await ask(commands, type="subscribe", ids=ids[:2])
    await ask(commands, type="subscribe", ids=ids[1:2], names=["echo", "other"])
    await ask(commands, type="subscribe", all=True)
    for each in waiting:
        await each.cancel()
    await other.submit()
    frames = await read_until(commands, is_state("succeeded"))

    assert kinds(frames) == ["cancelled"] * 3 + ["queued", "running", "succeeded"]
    assert [each["task_id"] for each in frames[:3]] == ids
    check_order(frames)


async def test_unsubscribe_takes_away_what_was_named(site: Site, commands: Socket) -> None:
    waiting = {name: await echo.with_options(delay=3600).submit() for name in "abcdef"}
    ids = {name: each.id for name, each in waiting.items()}
    await ask(commands, type="subscribe", all=True, ids=[ids["a"], ids["b"]], names=["other"])

    async def told(*names: str) -> list[str]:
        for name in names:
            await waiting[name].cancel()
        answer = await ask(commands, type="cancel", ref="end", id="nobody")
        frames = [answer] if answer["ref" if "ref" in answer else "type"] == "end" else [answer]
        while frames[-1].get("ref") != "end":
            frames.append(await read(commands))
        found = {id: name for name, id in ids.items()}
        return [found[each["task_id"]] for each in frames[:-1]]

    assert await settled(told("c")) == ["c"]
    await ask(commands, type="unsubscribe", all=True)
    assert await settled(told("d")) == []
    await ask(commands, type="unsubscribe", ids=[ids["a"], ids["e"]], names=["nobody"])
    assert await settled(told("a", "b")) == ["b"]
    await ask(commands, type="unsubscribe", ids=[ids["b"]], names=["other"])
    await other.submit()
    assert await settled(told("f")) == []


async def settled(told: Awaitable[list[str]]) -> list[str]:
    return await told


async def test_a_socket_goes_on_after_a_cursor(site: Site, commands: Socket) -> None:
    ids = await run_to_end(1, 2)
    seen = [(await site.record(each))["cursor"] for each in ids]
    answer = await ask(commands, type="subscribe", ref=1, names=["echo"], after=seen[0])
    frames = await read_until(commands, is_state("succeeded"))
    refused = await ask(commands, type="subscribe", ref=2, names=["other"], after=seen[0])

    assert answer["type"] == "ack"
    assert kinds(frames) == ["queued", "running", "succeeded"]
    assert {each["task_id"] for each in frames} == {ids[1]}
    assert (refused["type"], refused["ref"], refused["data"]["status"]) == ("error", 2, 422)
    assert refused["data"]["errors"][0]["pointer"] == "#/after"


async def test_a_socket_that_comes_too_late_gets_a_snapshot(site: Site, commands: Socket) -> None:
    [id] = await run_to_end(1)
    await ask(commands, type="subscribe", names=["echo"], after="elsewhere-1")
    snapshot = await read(commands)

    assert (snapshot["type"], snapshot["data"]["reason"]) == ("snapshot", "epoch")
    assert [each["id"] for each in snapshot["data"]["tasks"]] == [id]


BAD: list[tuple[str | bytes, int]] = [
    ("", 400),
    (b"", 400),
    ("x", 400),
    ("{", 400),
    (b"\xff\xfe", 400),
    (b"\x80{}", 400),
    ("NaN", 400),
    ('{"type": "cancel", "ref": NaN}', 400),
    ("[" * 100_000, 400),
    ('{"type": "cancel", "id": "\\ud800"}', 400),
    ("[]", 422),
    ("null", 422),
    ("7", 422),
    ("{}", 422),
    ('{"type": 7}', 422),
    ('{"type": "nothing"}', 422),
    ('{"type": "subscribe"}', 422),
    ('{"type": "subscribe", "ids": "a"}', 422),
    ('{"type": "subscribe", "all": 1}', 422),
    ('{"type": "subscribe", "all": true, "after": 7}', 422),
    ('{"type": "submit"}', 422),
    ('{"type": "submit", "tasks": {}}', 422),
    ('{"type": "submit", "tasks": [7]}', 422),
    ('{"type": "submit", "tasks": [{"name": "nobody"}]}', 422),
    ('{"type": "submit", "tasks": [{"name": "echo"}, {"name": "flood", "args": ["x"]}]}', 422),
    ('{"type": "cancel"}', 422),
    ('{"type": "cancel", "id": 7}', 422),
    ('{"type": "cancel", "id": "nobody"}', 404),
]


@pytest.mark.parametrize(("frame", "status"), BAD, ids=[repr(each[0])[:50] for each in BAD])
async def test_a_bad_frame_is_answered_and_the_socket_stays(
    site: Site, commands: Socket, frame: str | bytes, status: int
) -> None:
    await (commands.send_str(frame) if isinstance(frame, str) else commands.send_bytes(frame))
    answer = await read(commands)
    following = await ask(commands, type="subscribe", ref="still", all=True)

    assert (answer["type"], answer["ref"]) == ("error", None)
    assert set(answer["data"]) >= {"type", "title", "status", "detail"}
    assert answer["data"]["status"] == status
    assert (following["type"], following["ref"]) == ("ack", "still")
    assert tasks.list() == []


async def test_a_message_that_is_too_large_is_refused() -> None:
    """By the app, that answers; and by the server, that closes before it has read it all."""
    app = Quart(__name__)
    app.config["TASKS_MAX_BODY_SIZE"] = 2000
    tasks.init_app(app)
    fits = json.dumps({"type": "submit", "ref": 1, "tasks": [], "x": ""})
    fits = fits.replace('""', '"' + "x" * (2000 - len(fits)) + '"')
    async with app.test_app() as running:
        async with running.test_client().websocket("/tasks/socket") as client:
            await client.send(fits + " ")
            answer = await client.receive_json()
            await client.send(fits)
            following = await client.receive_json()
    async with serving(TASKS_MAX_BODY_SIZE=2000) as site, site.watch("/socket") as real:
        await real.send_str(fits + " " * 5000)
        frames = await until_closed(real)

    assert (answer["type"], answer["ref"], answer["data"]["status"]) == ("error", None, 413)
    assert (following["type"], following["ref"]) == ("ack", 1)
    assert (frames, real.close_code) == ([], 1009)


async def test_many_commands_are_answered_in_order(site: Site, commands: Socket) -> None:
    async def send() -> None:
        for number in range(2000):
            await commands.send_json({"type": "submit", "ref": number, "tasks": []})

    sending = asyncio.create_task(send())
    refs = [(await read(commands))["ref"] for _ in range(2000)]
    await sending

    assert refs == list(range(2000))
