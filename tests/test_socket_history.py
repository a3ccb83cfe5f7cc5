"""`history` in a socket's `subscribe`: each task begins as on its own stream, and goes on live."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from quart import abort

from quart_tasks import Record

from .test_access import ALICE, BOB, NOBODY, ROOT, Hook, Household, who
from .watching import (
    Frame,
    Script,
    Site,
    Socket,
    check_order,
    flood,
    is_output,
    is_state,
    kinds,
    outputs,
    play,
    read,
    read_until,
    run_to_end,
    sequence,
    serving,
)
from .web import Socket as AsgiSocket
from .web import check_problem

MIB = 1024 * 1024


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as site:
        yield site


@pytest.fixture
async def commands(site: Site) -> AsyncIterator[Socket]:
    async with site.watch("/socket") as client:
        yield client


async def history(client: Socket, *ids: str, ref: Any = 1) -> tuple[list[Frame], Frame]:
    """What comes before the answer, and the answer."""
    await client.send_json({"type": "subscribe", "ref": ref, "ids": ids, "history": True})
    *frames, answer = await read_until(client, lambda frame: "ref" in frame)
    assert (answer["type"], answer["ref"]) == ("ack", ref)
    return frames, answer


async def own_stream(site: Site, id: str, last: Any) -> list[Frame]:
    async with site.watch(f"/{id}/events") as client:
        return await read_until(client, last)


def times_removed(frames: list[Frame]) -> list[Frame]:
    """Frames without what differs: when they were sent, and whose a snapshot says it is."""
    return [
        {**frame, "time": None, "task_id": None} if frame["type"] == "snapshot" else frame
        for frame in frames
    ]


async def test_a_running_task_begins_as_its_own_stream_and_goes_on(
    site: Site, commands: Socket
) -> None:
    script = Script()
    handle = await play.submit(script)
    for kind, value in (("output", 1), ("log", "so"), ("output", 2), ("progress", 7)):
        script.say(kind, value)
    script.say("output", 3)
    frames = await own_stream(site, handle.id, is_output(3))
    seen, answer = await history(commands, handle.id)

    assert [each["task_id"] for each in seen] == [handle.id] * 5
    assert kinds(seen) == ["snapshot", "output", "log", "output", "output"]
    assert seen[0]["data"]["tasks"][0]["progress"]["current"] == 7
    assert times_removed(seen[1:]) == [each for each in frames if each["type"] in ("output", "log")]
    assert sequence(answer["data"]["cursor"]) >= sequence(seen[-1])

    script.say("output", 4)
    script.say("end")
    live = await read_until(commands, is_state("succeeded"))
    assert kinds(live) == ["output", "succeeded"]
    check_order([*seen[1:], *live])


async def test_an_ended_task_is_told_to_its_end(site: Site, commands: Socket) -> None:
    handle = await flood.submit(3)
    await handle
    seen, _ = await history(commands, handle.id)

    assert times_removed(seen) == times_removed(await site.story(f"/{handle.id}/events"))
    assert kinds(seen) == ["snapshot", *["output"] * 3, "succeeded"]


async def test_several_tasks_one_after_the_other(site: Site, commands: Socket) -> None:
    ids = [*await run_to_end(1, 2), NOBODY]
    await site.delete(ids[1])
    seen, _ = await history(commands, *ids)

    assert [each["task_id"] for each in seen] == [ids[0], ids[0], ids[1], NOBODY]
    assert kinds(seen) == ["snapshot", "succeeded", "snapshot", "snapshot"]
    assert [each["data"]["tasks"] for each in seen[2:]] == [[], []]  # they are not kept


async def test_it_may_be_asked_for_again_and_live_frames_come_once(
    site: Site, commands: Socket
) -> None:
    script = Script()
    handle = await play.submit(script)
    script.say("output", 1)
    await own_stream(site, handle.id, is_output(1))
    first, _ = await history(commands, handle.id)
    again, _ = await history(commands, handle.id)
    script.say("output", 2)
    script.say("end")
    live = await read_until(commands, is_state("succeeded"))

    assert times_removed(first) == times_removed(again)
    assert kinds(live) == ["output", "succeeded"]


async def test_a_retry_begins_its_outputs_anew(site: Site, commands: Socket) -> None:
    script = Script()
    handle = await play.submit(script)
    for kind, value in (("output", 1), ("raise", "again"), ("output", 2)):
        script.say(kind, value)
    await own_stream(site, handle.id, is_output(2))
    seen, _ = await history(commands, handle.id)

    assert outputs(seen) == [2]
    assert seen[0]["data"]["tasks"][0]["attempt"] == 2


async def test_without_it_a_subscription_starts_silent(commands: Socket) -> None:
    [id] = await run_to_end(1)
    for ref, what in enumerate([{}, {"history": False}]):
        await commands.send_json({"type": "subscribe", "ref": ref, "ids": [id], **what})
        assert (await read(commands))["ref"] == ref


@pytest.mark.parametrize(
    ("what", "pointer"),
    [
        ({"history": 1}, "#/history"),
        ({"history": "yes"}, "#/history"),
        ({"history": None}, "#/history"),
        ({"history": []}, "#/history"),
        ({"history": True, "ids": ["x"] * 101}, "#/ids"),
        ({"history": True, "ids": []}, "#"),
    ],
)
async def test_a_bad_one_is_refused_and_subscribes_to_nothing(
    commands: Socket, what: Any, pointer: str
) -> None:
    [id] = await run_to_end(1)
    await commands.send_json({"type": "subscribe", "ref": 1, "ids": [id], **what})
    answer = await read(commands)

    assert (answer["type"], answer["ref"]) == ("error", 1)
    problem = check_problem(answer["data"], 422)
    assert [each["pointer"] for each in problem["errors"]] == [pointer]
    await commands.send_json({"type": "subscribe", "ref": 2, "all": True, "after": "x"})
    assert (await read(commands))["type"] == "ack"  # it was not the first


async def test_ids_nobody_could_have(commands: Socket) -> None:
    ids = ["", "x", "../types", "\u2028" * 1000]
    seen, _ = await history(commands, *ids)
    assert [each["task_id"] for each in seen] == ids
    assert [each["data"]["tasks"] for each in seen] == [[]] * 4


# -- who may -------------------------------------------------------------------------------


async def asked(house: Household, headers: Any, *ids: str) -> list[Frame]:
    """All that an `ask` for histories brings, its answer included."""
    async with AsgiSocket(house.app, "/tasks/socket", headers) as socket:
        socket.send({"type": "subscribe", "ref": 1, "ids": ids, "history": True})
        frames = [await socket.receive()]
        while "ref" not in frames[-1]:
            frames.append(await socket.receive())
    return frames


async def test_anothers_task_looks_like_one_that_is_not_kept() -> None:
    house = Household(who)
    async with house.app.test_app():
        await house.prepare()
        for id in (house.running, house.ended):
            *frames, answer = await asked(house, BOB, id, NOBODY)
            alices, nobodys = frames
            assert answer["type"] == "ack"
            assert (alices.pop("task_id"), nobodys.pop("task_id")) == (id, NOBODY)
            assert alices | {"time": ""} == nobodys | {"time": ""}
            assert alices["data"]["tasks"] == []
            for owner in (ALICE, ROOT):
                assert (await asked(house, owner, id))[0]["data"]["tasks"][0]["id"] == id


async def test_the_hook_is_asked_of_each_task_as_its_own_stream_asks() -> None:
    questions = []

    async def hook(action: str, name: str | None, record: Record | None) -> str | None:
        questions.append((action, name, None if record is None else record.id))
        if name == "hold":
            abort(403, "Not that one.")
        return None

    allowed: Hook = hook
    house = Household()
    async with house.app.test_app():
        await house.prepare()
        house.tasks.authorize(allowed)
        frames = await asked(house, ALICE, house.ended)
        assert kinds(frames[:-1]) == ["snapshot", "succeeded"]
        assert ("events", "echo", house.ended) in questions
        [refusal] = await asked(house, ALICE, house.ended, house.running)
        assert check_problem(refusal["data"], 403)["detail"] == "Not that one."
        assert house.running not in json.dumps(refusal)


# -- many outputs --------------------------------------------------------------------------

MANY = 250_000


@pytest.mark.long
async def test_many_outputs_and_a_slow_reader(site: Site, commands: Socket) -> None:
    handle = await flood.submit(MANY)
    assert len(await handle) == MANY
    command = {"type": "subscribe", "ref": 1, "ids": [handle.id], "history": True}
    gc.collect()
    tracemalloc.start()
    try:
        await commands.send_json(command)
        assert (await read(commands))["type"] == "snapshot"
        # It is sent in many turns of the loop: others are answered while this one does not read.
        for _ in range(10):
            await site.cursor()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2 * MIB
    answered = asyncio.create_task(site.cursor())
    received = 0
    while not answered.done():
        received += (await read(commands))["type"] == "output"
    assert received < MANY / 10
    while (frame := await read(commands))["type"] == "output":
        received += 1
    assert received == MANY
    assert is_state("succeeded")(frame)
    assert (await read(commands))["ref"] == 1


async def test_an_id_that_comes_twice_has_one_history(site: Site, commands: Socket) -> None:
    [id] = await run_to_end(1)
    frames, _ = await history(commands, id, id, id)
    assert kinds(frames) == ["snapshot", "succeeded"]


async def test_a_history_goes_on_after_no_cursor(site: Site, commands: Socket) -> None:
    [id] = await run_to_end(1)
    command = {"type": "subscribe", "ref": 1, "ids": [id], "history": True, "after": "1-1"}
    await commands.send_json(command)
    answer = await read(commands)
    problem = check_problem(answer["data"], 422, "invalid-arguments")
    assert [each["pointer"] for each in problem["errors"]] == ["#/after"]
