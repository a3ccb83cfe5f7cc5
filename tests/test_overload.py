"""A full queue refuses alike everywhere, says when to come again and keeps nothing of what it
refused; and `/tasks/stats` shows a loop that is held up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from quart import Quart
from quart.testing import QuartClient as Client

from quart_tasks import QuartTasks, QueueFull, metrics

from .waiting import poll
from .web import Socket, check_problem, client_of, problem

LATER = {"name": "empty", "options": {"delay": 3600}}
EMPTY = {"name": "empty"}


class Clock:
    """What rates are measured with, in the place of `time`: here only tasks take time."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(metrics, "time", clock)
    return clock


def make_tasks() -> QuartTasks:
    tasks = QuartTasks()

    @tasks.task
    async def empty(number: int = 0) -> int:
        return number

    @tasks.task
    async def block_the_loop(seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - the fault that is looked at

    @tasks.task
    def hold_the_gil(seconds: float) -> None:
        """In one call of C code, as long as it takes."""
        numbers = 5_000_000
        while True:
            start = time.perf_counter()
            sum(range(numbers))
            if time.perf_counter() - start > seconds:
                return
            numbers *= 2

    return tasks


@asynccontextmanager
async def running(**config: Any) -> AsyncIterator[tuple[Quart, QuartTasks, Client]]:
    app, tasks = Quart(__name__), make_tasks()
    app.config.update({"TASKS_DRAIN_TIMEOUT": 0, **config})
    tasks.init_app(app)
    async with app.test_app():
        yield app, tasks, client_of(app)


async def fill(client: Client, count: int) -> None:
    """Have `count` tasks wait for an hour."""
    response = await client.post("/tasks/batch", json={"tasks": [LATER] * count})
    assert response.status_code == 202


async def run_one_by_one(tasks: QuartTasks, clock: Clock, seconds: float) -> None:
    """Five tasks, each of so many seconds."""
    for _ in range(5):
        handle = await tasks.submit("empty")
        clock.now += seconds
        await handle


def waiting(tasks: QuartTasks) -> int:
    states = tasks.stats()["states"]
    return int(states["scheduled"] + states["queued"])


# When to come again


async def in_rest(app: Quart, client: Client, tasks: QuartTasks, number: int) -> int:
    response = await client.post("/tasks/batch", json={"tasks": [LATER] * number})
    await problem(response, 429, "queue-full")
    return int(response.headers["Retry-After"])


async def in_a_socket(app: Quart, client: Client, tasks: QuartTasks, number: int) -> int:
    async with Socket(app, "/tasks/socket") as socket:
        answer = await socket.ask({"type": "submit", "ref": 1, "tasks": [LATER] * number})
    assert (answer["type"], answer["ref"]) == ("error", 1)
    return int(check_problem(answer["data"], 429, "queue-full")["retry_after"])


async def in_python(app: Quart, client: Client, tasks: QuartTasks, number: int) -> int:
    with pytest.raises(QueueFull, match="TASKS_MAX_PENDING") as refusal:
        await tasks.submit_many("empty", [()] * number)
    return refusal.value.retry_after


WAYS = [in_rest, in_a_socket, in_python]


@pytest.mark.parametrize("way", WAYS)
async def test_when_to_come_again_follows_the_rate_at_which_tasks_end(
    clock: Clock, way: Any
) -> None:
    async def told(seconds: float) -> int:
        async with running(TASKS_MAX_PENDING=60) as (app, tasks, client):
            await fill(client, 55)
            await run_one_by_one(tasks, clock, seconds)
            return int(await way(app, client, tasks, 60))

    # After five that took 1/8 s each, 60 more take 7.5 s, or 6 by the four pauses between ends.
    assert 6 <= await told(0.125) <= 8
    assert await told(0.0) == 1


@pytest.mark.parametrize("way", WAYS)
async def test_more_tasks_are_to_come_later(clock: Clock, way: Any) -> None:
    async with running(TASKS_MAX_PENDING=100) as (app, tasks, client):
        await fill(client, 95)
        await run_one_by_one(tasks, clock, 0.05)
        told = [await way(app, client, tasks, number) for number in (6, 100)]

    assert 1 <= told[0] < told[1]


@pytest.mark.parametrize("way", WAYS)
async def test_without_a_rate_it_is_soon(way: Any) -> None:
    async with running(TASKS_MAX_PENDING=3) as (app, tasks, client):
        await fill(client, 3)
        assert await way(app, client, tasks, 3) == 1


async def test_time_in_which_there_was_nothing_to_do_is_no_slowness(clock: Clock) -> None:
    async with running(TASKS_MAX_PENDING=100) as (app, tasks, client):
        for idle in (3600, 0):
            await run_one_by_one(tasks, clock, 0.0)
            clock.now += idle
        await fill(client, 100)
        assert await in_python(app, client, tasks, 100) == 1


async def test_one_refused_task_is_told_the_same_in_header_problem_and_python() -> None:
    async with running(TASKS_MAX_PENDING=1) as (_, tasks, client):
        await fill(client, 1)
        response = await client.post("/tasks", json=EMPTY)
        refused = await problem(response, 429, "queue-full")
        with pytest.raises(QueueFull) as refusal:
            await tasks.submit("empty")
        with pytest.raises(QueueFull) as from_a_thread:
            await asyncio.to_thread(tasks.submit_sync, "empty")

    header = int(response.headers["Retry-After"])
    told = {refused["retry_after"], refusal.value.retry_after, from_a_thread.value.retry_after}
    assert told == {header}


# Nothing is half accepted


async def test_of_many_at_once_each_is_accepted_whole_or_not_at_all() -> None:
    """Batches of seven, over REST, sockets and from Python, against a limit of 100."""
    async with running(TASKS_MAX_PENDING=100) as (app, tasks, client):
        accepted: list[str] = []

        async def rest() -> None:
            response = await client.post("/tasks/batch", json={"tasks": [LATER] * 7})
            if response.status_code == 202:
                accepted.extend(each["id"] for each in (await response.get_json())["tasks"])
            else:
                await problem(response, 429, "queue-full")

        async def socket() -> None:
            async with Socket(app, "/tasks/socket") as client:
                answer = await client.ask({"type": "submit", "ref": 1, "tasks": [LATER] * 7})
            if answer["type"] == "ack":
                accepted.extend(each["id"] for each in answer["data"]["tasks"])
            else:
                check_problem(answer["data"], 429, "queue-full")

        @tasks.task
        async def later() -> None:
            pass

        async def python() -> None:
            with suppress(QueueFull):
                accepted.append((await later.with_options(delay=3600).submit()).id)

        await asyncio.gather(*(each() for _ in range(10) for each in (rest, socket)))
        assert len(accepted) == 98
        await asyncio.gather(*(python() for _ in range(5)))

        kept = {record.id for record in tasks.list(limit=500)}
        assert len(accepted) == waiting(tasks) == 100
        assert set(accepted) == kept


async def test_watchers_hear_nothing_of_what_was_refused() -> None:
    async with (
        running(TASKS_MAX_PENDING=2) as (app, tasks, client),
        Socket(app, "/tasks/socket") as socket,
    ):
        await socket.ask({"type": "subscribe", "ref": 1, "all": True})
        await fill(client, 2)
        accepted = [(await socket.receive())["task_id"] for _ in range(2)]
        for way in (in_rest, in_a_socket, in_python):
            await way(app, client, tasks, 2)
        refused = await socket.ask({"type": "submit", "ref": 2, "tasks": [LATER]})
        await tasks.cancel(accepted[0])
        following = await socket.receive()

    check_problem(refused["data"], 429, "queue-full")
    assert (following["task_id"], following["data"]["state"]) == (accepted[0], "cancelled")


async def test_a_refused_task_takes_no_key() -> None:
    """Neither an idempotency key, which another body may use then, nor a key of its own."""
    async with running(TASKS_MAX_PENDING=1) as (_, tasks, client):
        await fill(client, 1)
        options = {"delay": 3600, "key": "mine"}
        body = {"name": "empty", "options": options, "idempotency_key": "k"}
        await problem(await client.post("/tasks", json=body), 429, "queue-full")
        await tasks.cancel(tasks.list()[0].id)
        response = await client.post("/tasks", json={**body, "args": [1]})
        assert response.status_code == 202
        record = await response.get_json()

    assert (record["args"], record["key"], record["state"]) == ([1], "mine", "scheduled")


async def test_a_full_queue_still_knows_the_tasks_that_it_has() -> None:
    """What adds nothing is not refused: a key, or an idempotency key, whose task is there."""
    async with running(TASKS_MAX_PENDING=1) as (_, _, client):
        body = {"name": "empty", "options": {"delay": 3600, "key": "mine"}, "idempotency_key": "k"}
        first = await (await client.post("/tasks", json=body)).get_json()
        await problem(await client.post("/tasks", json=EMPTY), 429, "queue-full")
        for again in (body, {key: body[key] for key in ("name", "options")}):
            for path, sent in (("/tasks", again), ("/tasks/batch", {"tasks": [again]})):
                response = await client.post(path, json=sent)
                assert response.status_code == 202, (path, sent)
                answer = await response.get_json()
                assert answer.get("tasks", [answer])[0]["id"] == first["id"]


async def test_map_ends_with_queue_full_and_leaves_none_of_its_tasks_behind() -> None:
    async with running(TASKS_MAX_PENDING=5) as (_, tasks, client):
        await fill(client, 2)

        @tasks.task(name="late")
        async def late(number: int) -> int:
            return number

        with pytest.raises(QueueFull):
            async for _ in late.with_options(delay=3600).map(range(10)):
                pass
        assert waiting(tasks) == 2
        mine = tasks.list(name="late")

    assert [record.state for record in mine] == ["cancelled"] * 3


async def test_a_full_queue_takes_tasks_again_as_those_before_them_start() -> None:
    """What runs does not count; every submitter that comes again gets through in the end."""
    async with running(TASKS_MAX_PENDING=3, TASKS_ASYNC_CONCURRENCY=2) as (_, tasks, _):
        results = []

        async def insist(number: int) -> None:
            while True:
                try:
                    handle = await tasks.submit("empty", number)
                    break
                except QueueFull:
                    await asyncio.sleep(0)
            results.append(await handle)

        await asyncio.gather(*(insist(number) for number in range(200)))

    assert sorted(results) == list(range(200))


# The loop's lag


@pytest.mark.parametrize("name", ["block_the_loop", "hold_the_gil"])
async def test_stats_show_that_the_loop_was_held_up(name: str) -> None:
    async with running() as (_, tasks, client):

        async def lag() -> float:
            return float((await (await client.get("/tasks/stats")).get_json())["loop"]["lag_p99"])

        before = await lag()

        async def shows() -> bool:
            await (await tasks.submit(name, before + 0.3))
            return await lag() > before + 0.15  # up to 0.1 s of it are between two looks

        # Again, as a thread may be held up between its look at the clock and its call of C code.
        await poll(shows)
