"""Readers who were away, who come too late, and who do not read at all."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quart_tasks import connections

from .waiting import HANG
from .watching import (
    Frame,
    Script,
    Site,
    after,
    check_order,
    echo,
    flood,
    is_output,
    is_state,
    is_type,
    kinds,
    other,
    outputs,
    play,
    read,
    read_until,
    replayed,
    run_to_end,
    sequence,
    serving,
    tasks,
    until_closed,
    watched_from_the_start,
)

KIB = 1024
MIB = 1024 * KIB
FRAME_LIMIT = 256 * KIB
STALE = ["00000000-1", "", "-", "x", "1", "ffff-", "-5", "é-é", "a" * 5000]  # no cursor of ours


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as site:
        yield site


# Within the window


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(st.sampled_from(["output", "log", "progress", "raise"]), max_size=8),
    back=st.lists(st.integers(0, 99), min_size=9, max_size=9),
    cancelled=st.booleans(),
)
def test_a_resume_at_any_cursor_gives_exactly_the_rest(
    steps: list[str], back: list[int], cancelled: bool
) -> None:
    asyncio.run(resume_everywhere(steps, back, cancelled))


async def resume_everywhere(steps: list[str], back: list[int], cancelled: bool) -> None:
    """A task takes `steps`; before each a reader comes who was away since an earlier cursor, and
    at the end one for every cursor there was."""
    readers: dict[asyncio.Task[list[Frame]], str] = {}
    async with serving() as site, watched_from_the_start(site) as (handle, script, witness):
        path = f"/{handle.id}/events"
        async with asyncio.TaskGroup() as group:
            seen = await read_until(witness, is_state("running"))
            for number, step in enumerate(steps):
                cursor = seen[back[number] % len(seen)]["cursor"]
                story = site.story if number % 2 else site.sse_story
                readers[group.create_task(story(path, after=cursor))] = cursor
                script.say(step, number)
                done = is_state("running") if step == "raise" else is_type(step)
                seen += await read_until(witness, done)
            if cancelled:
                await handle.cancel()
            script.say("end")
            seen += await until_closed(witness)
        for reader, cursor in readers.items():
            check_rest(await reader, after(seen, cursor))
        for cursor in {each["cursor"] for each in seen}:
            frames = await site.story(path, after=cursor)
            check_rest(frames, after(seen, cursor))
            assert await site.sse_story(path, last=cursor) == frames


def check_rest(frames: list[Frame], rest: list[Frame]) -> None:
    assert replayed(frames) == replayed(rest)
    assert "snapshot" not in kinds(frames)
    check_order(frames)


async def test_a_resume_at_any_cursor_of_all_tasks_gives_exactly_the_rest(site: Site) -> None:
    async with site.watch("/events") as client:
        seen = [await read(client)]
        handles = [await (echo if n % 3 else other).submit() for n in range(8)]
        while kinds(seen).count("succeeded") < len(handles):
            seen.append(await read(client))
    for cursor in [each["cursor"] for each in seen[:-1]]:
        rest = after(seen, cursor)
        async with site.watch("/events", after=cursor) as client:
            assert [await read(client) for _ in rest] == rest


async def test_a_cursor_from_before_a_task_gives_its_whole_life(site: Site) -> None:
    await run_to_end(1)
    cursor = await site.cursor()
    [id] = await run_to_end(2)

    assert kinds(await site.story(f"/{id}/events", after=cursor)) == [
        "queued", "running", "succeeded",
    ]  # fmt: skip


async def test_a_reader_that_falls_behind_within_the_window_misses_nothing(site: Site) -> None:
    handle = await flood.submit(3000)
    story = handle.events()
    seen = [await anext(story)]
    await handle
    seen += [event async for event in story]

    assert [each.type for each in seen] == ["snapshot", "state"] + ["output"] * 3000 + ["state"]
    assert [each.data["index"] for each in seen[2:-1]] == list(range(3000))


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
    now = await site.cursor()
    epoch = now.rpartition("-")[0]
    for number in (str(sequence(now) + 1), "9" * 40, "-1", "٣", " 1"):
        frames = await site.story(f"/{id}/events", after=f"{epoch}-{number}")
        assert frames[0]["data"]["reason"] == "epoch"


async def test_beyond_the_window_all_tasks_start_with_a_snapshot() -> None:
    async with serving(TASKS_EVENT_BUFFER=5) as site:
        waiting = await echo.with_options(delay=3600).submit()
        await run_to_end(1)
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
    check_order([snapshot, following])


async def test_beyond_the_window_a_task_still_gives_every_output() -> None:
    async with serving(TASKS_EVENT_BUFFER=5) as site:
        script = Script()
        handle = await play.submit(script)
        path = f"/{handle.id}/events"
        async with site.watch(path) as witness:
            seen = [await read(witness)]
            for number in range(20):
                script.say("output", number)
                script.say("log", str(number))
            script.say("output", 20)
            seen += await read_until(witness, is_output(20))
            for number, cursor in enumerate(each["cursor"] for each in seen[:-1]):
                async with site.watch(path, after=cursor) as client:
                    check_late(await read_until(client, is_output(20)), number, seen)
            script.say("end")
            seen += await until_closed(witness)
        for number, cursor in enumerate(each["cursor"] for each in seen[:-1]):
            check_late(await site.story(path, after=cursor), number, seen)


def check_late(frames: list[Frame], number: int, seen: list[Frame]) -> None:
    """What a reader got who was away after the `number`-th frame, the last five being kept."""
    rest = [each for each in after(seen, seen[number]["cursor"]) if kinds([each]) != ["running"]]
    assert replayed(frames) == rest
    check_order(frames)
    if number < len(seen) - 6:
        assert frames[0]["data"]["reason"] == "lagged"


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


# Snapshots in several frames


@pytest.fixture
async def crowd() -> AsyncIterator[tuple[Site, dict[str, Any]]]:
    """A server whose unfinished tasks take more than one frame, and their handles by id."""
    async with serving(TASKS_EVENT_BUFFER=5) as site:
        handles = [await echo.with_options(delay=3600).submit("é" * 3500) for _ in range(150)]
        yield site, {each.id: each for each in handles}


@pytest.mark.parametrize("reason", ["start", "lagged", "epoch"])
async def test_a_long_snapshot_comes_in_frames(
    crowd: tuple[Site, dict[str, Any]], reason: str
) -> None:
    site, handles = crowd
    old = (await site.cursor()).rpartition("-")[0] + "-3"
    query = {"start": {}, "lagged": {"after": old}, "epoch": {"after": "x-3"}}[reason]
    texts: list[str] = []
    async with site.watch("/events", **query) as client:
        while not texts or json.loads(texts[-1])["data"]["more"]:
            texts.append((await client.receive()).data)
        first, *_ = handles.values()
        await first.cancel()
        following = await read(client)

    frames = [json.loads(each) for each in texts]
    assert len(frames) > 3
    assert max(len(each.encode()) for each in texts) <= FRAME_LIMIT
    assert {each["data"]["reason"] for each in frames} == {reason}
    ids = [task["id"] for each in frames for task in each["data"]["tasks"]]
    assert sorted(ids) == sorted(handles)
    if reason == "lagged":
        assert {each["cursor"] for each in frames[:-1]} == {old}
    check_order([*frames, following])
    assert following["data"]["state"] == "cancelled"


@pytest.mark.parametrize("query", [{}, {"after": "x-3"}])
async def test_a_reader_cut_off_between_two_frames_of_a_snapshot_gets_it_again(
    crowd: tuple[Site, dict[str, Any]], query: dict[str, str]
) -> None:
    site, handles = crowd
    async with site.watch("/events", **query) as client:
        frame = await read(client)
        assert frame["data"]["more"]
    ids: list[str] = []
    async with site.watch("/events", after=frame["cursor"]) as client:
        while frame["data"]["more"]:
            frame = await read(client)
            ids += [task["id"] for task in frame["data"]["tasks"]]

    assert sorted(ids) == sorted(handles)


# What a reader knows


class Reader:
    """A client that keeps a record of every task it was told of, and is cut off at times."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.known: dict[str, Frame] = {}
        self.client: Any = None
        self.cursor = ""
        self._snapshot: set[str] = set()

    async def connect(self) -> None:
        query = {"after": self.cursor} if self.cursor else {}
        self._snapshot = set()
        self.client = await self.site.watch("/events", **query)

    async def cut(self) -> None:
        await self.client.close()

    async def read(self) -> None:
        frame = await read(self.client)
        self.cursor = frame["cursor"]
        if frame["type"] == "snapshot":
            for record in frame["data"]["tasks"]:
                self._snapshot.add(record["id"])
                self._learn(record)
            if not frame["data"]["more"]:  # it has all that are unfinished
                gone = [each for each in self.known.values() if not each["finished_at"]]
                for record in gone:
                    if record["id"] not in self._snapshot:
                        del self.known[record["id"]]
        elif frame["type"] == "state":
            self._learn(frame["data"])
        elif frame["type"] == "deleted":
            self.known.pop(frame["task_id"], None)

    def _learn(self, record: Frame) -> None:
        before = self.known.get(record["id"])
        if before is None or sequence(before) < sequence(record):
            self.known[record["id"]] = record


ACTIONS = ["submit", "run", "cancel", "delete", "read all", "read one and break off"]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    actions=st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 99)), max_size=30),
    window=st.sampled_from([0, 5, 1000]),
)
def test_a_reader_who_is_cut_off_time_and_again_knows_all_in_the_end(
    actions: list[tuple[str, int]], window: int
) -> None:
    asyncio.run(keep_up(actions, window))


async def keep_up(actions: list[tuple[str, int]], window: int) -> None:
    async with serving(TASKS_EVENT_BUFFER=window) as site:
        # So many and so large that a snapshot of them takes two frames.
        waiting = [await echo.with_options(delay=3600).submit("x" * 7000) for _ in range(50)]
        ended = await run_to_end(*range(3))
        reader = Reader(site)
        await reader.connect()

        async def read_all() -> None:
            last = await echo.with_options(delay=3600).submit()
            while last.id not in reader.known:
                await reader.read()
            waiting.append(last)

        await read_all()
        for action, number in actions:
            if action == "submit":
                waiting.append(await echo.with_options(delay=3600).submit("x" * 7000))
            elif action == "run":
                ended += await run_to_end(number)
            elif action == "cancel" and waiting:
                handle = waiting.pop(number % len(waiting))
                await handle.cancel()
                ended.append(handle.id)
            elif action == "delete" and ended:
                await site.delete(ended.pop(number % len(ended)))
            elif action == "read all":
                await read_all()
            elif action == "read one and break off":
                await reader.cut()
                await reader.connect()
                if reader.cursor != await site.cursor():
                    await reader.read()
                await reader.cut()
                await reader.connect()
        await read_all()
        await reader.cut()

        there = {each.id: each for each in tasks.list(limit=500)}
        for id, record in there.items():
            if not record.finished_at:
                assert reader.known[id]["cursor"] == record.cursor
        for id, known in reader.known.items():
            if id in there:
                assert (known["state"], known["cursor"]) == (there[id].state, there[id].cursor)
            else:
                assert known["finished_at"]  # deleted while the reader was away for too long


# Readers that do not read


@pytest.fixture
def patient_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not read stays connected, however long a test takes."""
    monkeypatch.setattr(connections, "USER_TIMEOUT_SECONDS", 10 * HANG)


@contextmanager
def memory_held() -> Iterator[list[int]]:
    """The bytes that are held at the end and were not at the start."""
    held: list[int] = []
    tracemalloc.start()
    try:
        yield held
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()


@pytest.mark.usefixtures("patient_server")
async def test_readers_that_do_not_read_delay_nobody() -> None:
    async with serving(TASKS_EVENT_BUFFER=50, TASKS_MAX_FINISHED=1) as site, AsyncExitStack() as s:
        for number in range(6):
            s.enter_context(site.silent("/events", upgrade=number % 2 == 0))
        await site.streams(6)
        reader = await s.enter_async_context(site.watch("/events"))
        await read(reader)
        for _ in range(200):
            handle = await flood.submit(5, 100 * KIB)
            frames = await read_until(reader, is_state("succeeded"))
            assert kinds(frames) == ["queued", "running", *["output"] * 5, "succeeded"]
            assert {each["task_id"] for each in frames} == {handle.id}
        assert tasks.stats()["streams"] == 7


@pytest.mark.usefixtures("patient_server")
@pytest.mark.parametrize("upgrade", [True, False])
async def test_readers_that_stop_one_after_the_other_cost_little(upgrade: bool) -> None:
    """100 MB go by, of which the buffer holds 10, and ten readers stop in the midst of it."""
    config = {"TASKS_EVENT_BUFFER": 100, "TASKS_MAX_FINISHED": 1}
    async with serving(**config) as site, AsyncExitStack() as stack:
        with memory_held() as held:
            for number in range(10):
                cursor = await site.cursor()
                for _ in range(9):
                    await (await flood.submit(10, 100 * KIB))
                path = f"/events?after={cursor}"
                stack.enter_context(site.silent(path, upgrade=upgrade))
                await site.streams(number + 1)
            await (await flood.submit(100, 100))  # the buffer is empty of what was large

    assert held[0] < 40 * MIB


@pytest.mark.usefixtures("patient_server")
async def test_a_reader_that_reads_again_gets_a_snapshot_and_goes_on() -> None:
    async with serving(TASKS_EVENT_BUFFER=20) as site:
        with site.silent("/events", upgrade=False) as client:
            await site.streams(1)
            for _ in range(3):
                await (await flood.submit(140, 100 * KIB))
            last = await echo.with_options(delay=3600).submit("the last")
            client.setblocking(False)
            reader, writer = await asyncio.open_connection(sock=client, limit=MIB)
            frames: list[Frame] = []
            known: set[str] = set()
            while last.id not in known:
                line = await reader.readline()
                assert line
                if line.startswith(b"data: "):
                    frames.append(json.loads(line[6:]))
                    known |= {frames[-1]["task_id"]}
                    known |= {each["id"] for each in frames[-1]["data"].get("tasks", ())}
            writer.close()

    check_order(frames)
    assert "lagged" in [each["data"].get("reason") for each in frames]
    assert len(outputs(frames)) < 3 * 140
