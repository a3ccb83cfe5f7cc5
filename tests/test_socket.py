"""`/tasks/socket`: commands, their answers, and the events that they ask for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from quart import Quart

from .watching import (
    Frame,
    Site,
    Socket,
    check_order,
    count,
    echo,
    is_state,
    kinds,
    other,
    read,
    read_until,
    run_to_end,
    serving,
    tasks,
    until_closed,
)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as site:
        yield site


@pytest.fixture
async def commands(site: Site) -> AsyncIterator[Socket]:
    async with site.watch("/socket") as client:
        yield client


async def ask(client: Socket, **command: Any) -> Frame:
    """The answer to a command, which comes next."""
    await client.send_json(command)
    return await read(client)


async def test_a_socket_is_silent_until_it_is_asked(commands: Socket) -> None:
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
async def test_an_answer_repeats_the_ref(commands: Socket, ref: Any) -> None:
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
    assert (first["args"], second["kwargs"]) == ([1], {"value": 2})
    assert await tasks.get(first["id"]) == 1
    assert (cancelled["type"], cancelled["ref"]) == ("ack", 2)
    assert [each["id"] for each in cancelled["data"]["tasks"]] == [second["id"]]
    assert (await site.record(second["id"]))["state"] == "cancelled"


async def test_subscriptions_are_one_union(commands: Socket) -> None:
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


async def test_unsubscribe_takes_away_what_was_named(commands: Socket) -> None:
    waiting = [await echo.with_options(delay=3600).submit() for _ in range(6)]
    ids = [each.id for each in waiting]

    async def told(*numbers: int) -> list[int]:
        """Which of these are told of when they are cancelled; `count` is, and comes last."""
        for number in numbers:
            await waiting[number].cancel()
        await count.submit(0)
        frames = await read_until(commands, is_state("succeeded"))
        return [ids.index(each["task_id"]) for each in frames if each["task_id"] in ids]

    await ask(commands, type="subscribe", all=True, ids=ids[:2], names=["count", "other"])
    assert await told(2) == [2]
    await ask(commands, type="unsubscribe", all=True)
    assert await told(3) == []
    await ask(commands, type="unsubscribe", ids=[ids[0], ids[4]], names=["nobody"])
    assert await told(0, 1) == [1]
    await ask(commands, type="unsubscribe", ids=[ids[1]], names=["other"])
    await other.submit()
    assert await told(5) == []


async def test_a_socket_goes_on_after_a_cursor(site: Site, commands: Socket) -> None:
    ids = await run_to_end(1, 2)
    cursor = (await site.record(ids[0]))["cursor"]
    answer = await ask(commands, type="subscribe", names=["echo"], after=cursor)
    frames = await read_until(commands, is_state("succeeded"))

    assert answer["type"] == "ack"
    assert kinds(frames) == ["queued", "running", "succeeded"]
    assert {each["task_id"] for each in frames} == {ids[1]}


async def test_only_the_first_subscription_may_go_on_after_a_cursor(
    site: Site, commands: Socket
) -> None:
    cursor = await site.cursor()
    await ask(commands, type="subscribe", names=["echo"])
    answer = await ask(commands, type="subscribe", ref=2, names=["other"], after=cursor)

    assert (answer["type"], answer["ref"], answer["data"]["status"]) == ("error", 2, 422)
    assert [each["pointer"] for each in answer["data"]["errors"]] == ["#/after"]


async def test_a_socket_that_comes_too_late_gets_a_snapshot(commands: Socket) -> None:
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
    ('{"type": "cancel", "id": ' + "[" * 100_000, 400),
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
    commands: Socket, frame: str | bytes, status: int
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
    """By the app, which answers; and by the server, which closes before it has read it all."""
    app = Quart(__name__)
    app.config["TASKS_MAX_BODY_SIZE"] = 2000
    tasks.init_app(app)
    fits = json.dumps({"type": "submit", "ref": 1, "tasks": []}).ljust(2000)
    path = "/tasks/socket"
    async with app.test_app() as running, running.test_client().websocket(path) as client:
        await client.send(fits + " ")
        answer = await client.receive_json()
        await client.send(fits)
        following = await client.receive_json()
    async with serving(TASKS_MAX_BODY_SIZE=2000) as site, site.watch("/socket") as real:
        await real.send_str(fits * 3)
        frames = await until_closed(real)

    assert (answer["type"], answer["ref"], answer["data"]["status"]) == ("error", None, 413)
    assert (following["type"], following["ref"]) == ("ack", 1)
    assert (frames, real.close_code) == ([], 1009)


async def test_many_commands_are_answered_in_order(commands: Socket) -> None:
    async def send() -> None:
        for number in range(2000):
            await commands.send_json({"type": "submit", "ref": number, "tasks": []})

    sending = asyncio.create_task(send())
    refs = [(await read(commands))["ref"] for _ in range(2000)]
    await sending

    assert refs == list(range(2000))
