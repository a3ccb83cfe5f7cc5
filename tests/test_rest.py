"""The HTTP table, row by row: what each request answers, to the header."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from quart import Quart, Response
from quart.testing import QuartClient as Client
from werkzeug.http import parse_options_header

from quart_tasks import Blob, QuartTasks, RetryPolicy, progress

from .web import PROBLEM, Record, Socket, client_of, ended, problem, submit

RECORD = {
    "id", "name", "executor", "state", "progress", "args", "kwargs", "result", "result_type",
    "result_size", "error", "omitted", "attempt", "max_attempts", "priority", "key", "parent_id",
    "retry_of", "owner", "cancel_requested", "worker", "created_at", "scheduled_for",
    "started_at", "finished_at", "cursor",
}  # fmt: skip
DETAIL = RECORD | {"attempts", "logs"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
CURSOR = re.compile(r"[^-]+-\d+")
NOBODY = "00000000-0000-7000-8000-000000000000"
LARGE = "x" * 9000  # more than the 8 KiB that lists and frames carry
HUGE = 10**13  # a number that is far beyond a bound and still a number

PNG = b"\x89PNG\r\n\x1a\n"

log = logging.getLogger("tests.rest")


@dataclass
class Point:
    x: int
    y: float = 0.0


class World:
    """An app with a task for each row, and gates at which those that must not end wait."""

    def __init__(self, **config: Any) -> None:
        self.app = Quart(__name__)
        self.app.config.update({"TASKS_DRAIN_TIMEOUT": 0, **config})
        self.tasks = QuartTasks(self.app)
        self.gate = asyncio.Event()
        self.logged = asyncio.Event()
        define(self.tasks, self)

    @property
    def client(self) -> Client:
        return client_of(self.app)


def define(tasks: QuartTasks, world: World) -> None:
    @tasks.task
    async def echo(value: Any = None) -> Any:
        return value

    @tasks.task
    async def add(a: int, b: int = 1, *, scale: float = 1.0) -> float:
        """Add two numbers.

        The sum is scaled.
        """
        return (a + b) * scale

    @tasks.task
    async def hold(value: Any = None) -> str:
        await world.gate.wait()
        return "released"

    @tasks.task
    async def report() -> None:
        await world.gate.wait()
        progress(1, 2, "half")
        await asyncio.Event().wait()

    @tasks.task
    async def note() -> None:
        await world.gate.wait()
        log.warning("a line")
        world.logged.set()
        await asyncio.Event().wait()

    @tasks.task
    async def lines() -> None:
        log.warning("first")
        log.warning("second")

    @tasks.task
    async def fail(message: str = "no luck") -> None:
        raise ValueError(message)

    @tasks.task(retries=RetryPolicy(2, delay=0))
    async def fail_thrice() -> None:
        raise ValueError("again")

    @tasks.task(timeout=0.01)
    async def too_slow() -> None:
        await asyncio.Event().wait()

    @tasks.task(concurrency=1)
    async def alone() -> None:
        await world.gate.wait()

    @tasks.task
    async def picture() -> Blob:
        return Blob(PNG, "image/png")

    @tasks.task
    async def raw(data: str = "") -> bytes:
        return data.encode()

    @tasks.task
    async def count_up(stop: int) -> AsyncIterator[int]:
        for number in range(stop):
            yield number

    @tasks.task(timeout=50, retries=3, priority=7, idempotent=True, concurrency=2)
    def picky(
        point: Point, mode: Literal["fast", "good"], tags: list[str] | None = None, **more: int
    ) -> None: ...

    @tasks.task(public=False)
    async def secret() -> None: ...


@asynccontextmanager
async def serving(**config: Any) -> AsyncIterator[World]:
    world = World(**config)
    async with world.app.test_app():
        yield world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with serving() as world:
        yield world


@pytest.fixture
def client(world: World) -> Client:
    return world.client


async def listed(client: Client, query: str = "") -> list[str]:
    response = await client.get(f"/tasks{query}")
    assert response.status_code == 200
    return [record["id"] for record in (await response.get_json())["tasks"]]


async def running(client: Client, name: str = "hold") -> Record:
    """A task that runs and waits at the gate."""
    record = await submit(client, name)
    while record["state"] != "running":
        tag = {"If-None-Match": f'"{record["cursor"]}"'}
        response = await client.get(f"/tasks/{record['id']}?wait=60", headers=tag)
        record = await response.get_json()
    return record


def check_accepted(response: Response, prefix: str = "/tasks") -> str:
    """202 and its headers; the task's id."""
    assert response.status_code == 202
    assert int(response.headers["Retry-After"]) >= 1
    assert response.headers["Cache-Control"] == "no-cache"
    location = response.headers["Location"]
    assert location.startswith(prefix + "/")
    return str(location.removeprefix(prefix + "/"))


# -- POST /tasks ---------------------------------------------------------------------------


async def test_a_submission_is_202_with_where_to_look_and_the_record(client: Client) -> None:
    body = {"name": "add", "args": [2], "kwargs": {"b": 3, "scale": 0.5}}
    response = await client.post("/tasks", json=body)
    record = await response.get_json()
    assert response.content_type == "application/json"
    assert check_accepted(response) == record["id"]
    assert set(record) == RECORD
    assert uuid.UUID(record["id"]).version == 7
    assert TIME.fullmatch(record["created_at"])
    assert CURSOR.fullmatch(record["cursor"])
    assert record["state"] == "queued"
    known = ("id", "state", "created_at", "cursor", "name", "args", "kwargs", "executor")
    assert {key: value for key, value in record.items() if key not in known} == {
        "progress": None, "result": None, "result_type": None, "result_size": None,
        "error": None, "omitted": [], "attempt": 0, "max_attempts": 1, "priority": 0,
        "key": None, "parent_id": None, "retry_of": None, "owner": None,
        "cancel_requested": False, "worker": None, "scheduled_for": None, "started_at": None,
        "finished_at": None,
    }  # fmt: skip
    assert (record["name"], record["executor"]) == ("add", "async")
    assert (record["args"], record["kwargs"]) == ([2], {"b": 3, "scale": 0.5})

    done = await ended(client, record["id"])
    assert set(done) == DETAIL
    assert (done["state"], done["result"], done["attempt"]) == ("succeeded", 2.5, 1)
    assert (done["result_type"], done["result_size"]) == ("application/json", 3)
    assert done["created_at"] <= done["started_at"] <= done["finished_at"]


async def test_a_view_may_answer_the_same_with_accepted(world: World) -> None:
    @world.app.post("/own")
    async def own() -> Response:
        task = await world.tasks.submit("hold")
        return task.accepted()

    response = await world.client.post("/own")
    assert check_accepted(response) == (await response.get_json())["id"]
    assert set(await response.get_json()) == RECORD


@pytest.mark.parametrize(
    "prefer",
    [
        "wait=60", "WAIT=60", 'wait="60"', "respond-async, wait=60", "wait=60; x=y",
        "handling=lenient,wait=60", f"wait={HUGE}",
    ],
)  # fmt: skip
async def test_prefer_wait_answers_200_at_the_end(client: Client, prefer: str) -> None:
    body = {"name": "add", "args": [2, 3]}
    response = await client.post("/tasks", json=body, headers={"Prefer": prefer})
    assert response.status_code == 200
    assert response.headers["Preference-Applied"] == "wait=60"
    record = await response.get_json()
    assert set(record) >= RECORD
    assert (record["state"], record["result"]) == ("succeeded", 5.0)


async def test_prefer_wait_answers_202_when_the_time_is_over(client: Client) -> None:
    response = await client.post("/tasks", json={"name": "hold"}, headers={"Prefer": "wait=0"})
    id = check_accepted(response)
    assert "Preference-Applied" not in response.headers
    assert await listed(client, "?name=hold") == [id]


async def test_a_failure_within_prefer_wait_is_an_answer_as_well(client: Client) -> None:
    response = await client.post("/tasks", json={"name": "fail"}, headers={"Prefer": "wait=60"})
    assert response.status_code == 200
    record = await response.get_json()
    assert record["state"] == "failed"
    assert set(record["error"]) == {"type", "message", "traceback"}
    assert (record["error"]["type"], record["error"]["message"]) == ("ValueError", "no luck")
    assert "raise ValueError(message)" in record["error"]["traceback"]


@pytest.mark.parametrize("prefer", ["wait=soon", "wait=-1", "wait=", "wait", "wait=1.x", "await=9"])
async def test_a_bad_prefer_is_ignored(client: Client, prefer: str) -> None:
    response = await client.post("/tasks", json={"name": "hold"}, headers={"Prefer": prefer})
    check_accepted(response)


@pytest.mark.parametrize("name", ["nobody", "secret", "", "Echo"])
async def test_an_unknown_name_is_404(client: Client, name: str) -> None:
    response = await client.post("/tasks", json={"name": name})
    await problem(response, 404, "unknown-task")
    assert await listed(client) == []


POINT = {"x": 1}


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"name": "add"}, ["#/kwargs/a"]),
        ({"name": "add", "args": ["one"]}, ["#/args/0"]),
        ({"name": "add", "args": [1, 2, 3]}, ["#/args/2"]),
        ({"name": "add", "args": [1.5, "b"]}, ["#/args/0", "#/args/1"]),
        ({"name": "add", "args": [1], "kwargs": {"a": 1}}, ["#/kwargs/a"]),
        ({"name": "add", "kwargs": {"a": None, "c": 1}}, ["#/kwargs/a", "#/kwargs/c"]),
        ({"name": "add", "kwargs": {"a": 1, "scale": "x"}}, ["#/kwargs/scale"]),
        ({"name": "add", "kwargs": {"a": 1, "x/y~z": 1}}, ["#/kwargs/x~1y~0z"]),
        ({"name": "add", "args": [True]}, ["#/args/0"]),
        ({"name": "picky", "kwargs": {"point": {"y": 1}, "mode": "slow"}},
         ["#/kwargs/point", "#/kwargs/mode"]),
        ({"name": "picky", "args": [{"x": "1"}, "fast"]}, ["#/args/0/x"]),
        ({"name": "picky", "args": [POINT, "fast", ["a", 1]]}, ["#/args/2/1"]),
        ({"name": "picky", "args": [POINT, "fast"], "kwargs": {"n": "x"}}, ["#/kwargs/n"]),
        ({"name": "echo", "args": {}}, ["#/args"]),
        ({"name": "echo", "kwargs": []}, ["#/kwargs"]),
        ({"name": 5}, ["#/name"]),
        ({}, ["#"]),
        ({"name": "echo", "argz": []}, ["#"]),
        ({"name": "echo", "idempotency_key": ""}, ["#/idempotency_key"]),
        ({"name": "echo", "idempotency_key": "k" * 256}, ["#/idempotency_key"]),
        ({"name": "echo", "idempotency_key": 5}, ["#/idempotency_key"]),
        ({"name": "echo", "options": {"delay": -1}}, ["#/options/delay"]),
        ({"name": "echo", "options": {"delay": "1"}}, ["#/options/delay"]),
        ({"name": "echo", "options": {"eta": "tomorrow"}}, ["#/options/eta"]),
        ({"name": "echo", "options": {"eta": "2030-01-01T00:00:00"}}, ["#/options/eta"]),
        ({"name": "echo", "options": {"delay": 1, "eta": "2030-01-01T00:00:00Z"}},
         ["#/options/eta"]),
        ({"name": "echo", "options": {"expires": 0}}, ["#/options/expires"]),
        ({"name": "echo", "options": {"expires": -1}}, ["#/options/expires"]),
        ({"name": "echo", "options": {"priority": 1.5}}, ["#/options/priority"]),
        ({"name": "echo", "options": {"priority": "high"}}, ["#/options/priority"]),
        ({"name": "echo", "options": {"timeout": 0}}, ["#/options/timeout"]),
        ({"name": "echo", "options": {"retries": -1}}, ["#/options/retries"]),
        ({"name": "echo", "options": {"retries": 1}}, ["#/options/retries"]),
        ({"name": "echo", "options": {"key": ""}}, ["#/options/key"]),
        ({"name": "echo", "options": {"colour": "red"}}, ["#/options"]),
        ({"name": "picky", "args": [POINT, "fast"], "options": {"timeout": 51, "retries": 4}},
         ["#/options/timeout", "#/options/retries"]),
        ({"name": "picky", "args": [1], "options": {"timeout": 51}},
         ["#/options/timeout", "#/args/0", "#/kwargs/mode"]),
    ],
)  # fmt: skip
async def test_what_does_not_fit_is_422_with_pointers(
    client: Client, body: Any, pointers: list[str]
) -> None:
    data = await problem(await client.post("/tasks", json=body), 422, "invalid-arguments")
    assert sorted(error["pointer"] for error in data["errors"]) == sorted(pointers)
    assert await listed(client) == []


async def test_options_may_lower_timeout_and_retries(client: Client) -> None:
    options = {"timeout": 49.5, "retries": 1, "priority": -3}
    args = [POINT, "fast"]
    record = await submit(client, "picky", *args, options=options)
    assert (record["max_attempts"], record["priority"]) == (2, -3)
    same = await submit(client, "picky", *args, options={"timeout": 50, "retries": 3})
    assert (same["max_attempts"], same["priority"]) == (4, 7)
    first = await submit(client, "hold", options={"timeout": 0.01})
    assert (await ended(client, first["id"]))["error"]["type"] == "TaskTimeout"


async def test_a_delay_or_an_eta_makes_it_scheduled(client: Client) -> None:
    before = datetime.now(UTC)
    record = await submit(client, "echo", options={"delay": 3600})
    after = datetime.now(UTC)
    assert record["state"] == "scheduled"
    due = datetime.fromisoformat(record["scheduled_for"])
    hour, rounding = timedelta(hours=1), timedelta(milliseconds=1)
    assert before - rounding <= due - hour <= after + rounding
    assert TIME.fullmatch(record["scheduled_for"])

    eta = "2100-01-01T02:00:00.5+02:00"
    record = await submit(client, "echo", options={"eta": eta})
    assert (record["state"], record["scheduled_for"]) == (
        "scheduled",
        "2100-01-01T00:00:00.500000Z",
    )


@pytest.mark.parametrize(
    "options",
    [{"delay": 0}, {"eta": "2001-01-01T00:00:00Z"}, {"eta": "0001-01-01T00:00:00+14:00"}],
)
async def test_what_is_due_already_runs_now(client: Client, options: Any) -> None:
    record = await submit(client, "echo", options=options)
    assert (await ended(client, record["id"]))["state"] == "succeeded"


async def test_a_short_delay_runs_when_it_is_over(client: Client) -> None:
    record = await submit(client, "echo", "late", options={"delay": 0.01})
    assert record["state"] == "scheduled"
    assert (await ended(client, record["id"]))["result"] == "late"


async def test_at_most_one_unfinished_task_of_a_definition_has_a_key(world: World) -> None:
    client = world.client
    first = await submit(client, "hold", 1, options={"key": "k"})
    again = await submit(client, "hold", 2, options={"key": "k"})
    assert (again["id"], again["args"], again["key"]) == (first["id"], [1], "k")
    other_key = await submit(client, "hold", options={"key": "l"})
    other_name = await submit(client, "echo", options={"key": "k", "delay": 1000})
    assert len({first["id"], other_key["id"], other_name["id"]}) == 3
    world.gate.set()
    await ended(client, first["id"])
    assert (await submit(client, "hold", options={"key": "k"}))["id"] != first["id"]


# -- idempotency keys ----------------------------------------------------------------------


@pytest.mark.parametrize("place", ["header", "body", "both"])
async def test_the_same_key_and_body_give_the_same_task(client: Client, place: str) -> None:
    headers = {"Idempotency-Key": "once"} if place != "body" else {}
    more = {"idempotency_key": "once"} if place != "header" else {}
    body: dict[str, Any] = {"name": "add", "kwargs": {"a": 1, "b": 2}, **more}
    first = await client.post("/tasks", json=body, headers=headers)
    done = await ended(client, check_accepted(first))
    turned = {**more, "kwargs": {"b": 2, "a": 1}, "name": "add"}
    again = await client.post("/tasks", data=json.dumps(turned),
                              headers={**headers, "Content-Type": "application/json"})  # fmt: skip
    assert again.status_code == 202
    record = await again.get_json()
    assert (record["id"], record["state"]) == (done["id"], "succeeded")
    waited = await client.post("/tasks", json=body, headers={**headers, "Prefer": "wait=60"})
    assert (waited.status_code, (await waited.get_json())["id"]) == (200, done["id"])
    assert await listed(client) == [done["id"]]


async def test_key_in_header_and_body_are_one_key(client: Client) -> None:
    first = await submit(client, "echo", idempotency_key="k")
    body = {"name": "echo", "args": []}
    again = await client.post("/tasks", json=body, headers={"Idempotency-Key": "k"})
    assert check_accepted(again) == first["id"]


@pytest.mark.parametrize(
    "other",
    [
        {"name": "echo", "args": [2]}, {"name": "hold", "args": [1]},
        {"name": "echo", "kwargs": {"value": 1}},
        {"name": "echo", "args": [1], "options": {"priority": 1}},
    ],
)  # fmt: skip
async def test_the_same_key_with_another_body_is_422(client: Client, other: Any) -> None:
    headers = {"Idempotency-Key": "once"}
    first = await client.post("/tasks", json={"name": "echo", "args": [1]}, headers=headers)
    data = await problem(await client.post("/tasks", json=other, headers=headers), 422)
    assert [error["pointer"] for error in data["errors"]] == ["#/idempotency_key"]
    assert await listed(client) == [check_accepted(first)]


async def test_keys_that_differ_in_header_and_body_are_422(client: Client) -> None:
    body = {"name": "echo", "idempotency_key": "a"}
    response = await client.post("/tasks", json=body, headers={"Idempotency-Key": "b"})
    data = await problem(response, 422)
    assert [error["pointer"] for error in data["errors"]] == ["#/idempotency_key"]
    assert await listed(client) == []


async def test_a_key_is_free_again_with_its_record(client: Client) -> None:
    first = await submit(client, "echo", 1, idempotency_key="k")
    await ended(client, first["id"])
    assert (await client.delete(f"/tasks/{first['id']}")).status_code == 204
    second = await submit(client, "echo", 2, idempotency_key="k")
    assert second["id"] != first["id"]


async def test_a_refused_submission_does_not_use_up_its_key(client: Client) -> None:
    refused = {"name": "add", "idempotency_key": "k"}
    await problem(await client.post("/tasks", json=refused), 422)
    assert (await submit(client, "add", 1, idempotency_key="k"))["state"] == "queued"


# -- full, and going -----------------------------------------------------------------------

LATER = {"name": "echo", "options": {"delay": 3600}}


async def test_a_full_queue_is_429_with_retry_after() -> None:
    async with serving(TASKS_MAX_PENDING=2) as world:
        client = world.client
        for _ in range(2):
            check_accepted(await client.post("/tasks", json=LATER))
        full = await listed(client)
        for path, body in (
            ("/tasks", LATER),
            ("/tasks/batch", {"tasks": [LATER]}),
            (f"/tasks/{full[0]}/cancel", None),  # which makes room for one
            ("/tasks/batch", {"tasks": [LATER, LATER]}),
        ):
            response = await client.post(path, json=body)
            if body is None:
                assert response.status_code == 202
            else:
                await problem(response, 429, "queue-full")
                assert int(response.headers["Retry-After"]) >= 1
            assert await listed(client) == full
        response = await client.post("/tasks/retry", json={"ids": full})
        assert await response.get_json() == {"count": 1}
        response = await client.post(f"/tasks/{full[0]}/retry")
        await problem(response, 429, "queue-full")
        response = await client.post("/tasks/retry", json={"state": "cancelled"})
        await problem(response, 429, "queue-full")
        assert int(response.headers["Retry-After"]) >= 1
        assert len(await listed(client)) == 3


async def test_a_draining_server_takes_no_tasks_and_shows_the_rest(world: World) -> None:
    client = world.client
    record = await submit(client, "echo", 5)
    await ended(client, record["id"])
    held = await running(client)
    tag = {"If-None-Match": f'"{held["cursor"]}"'}
    waiting = asyncio.create_task(client.get(f"/tasks/{held['id']}?wait=60", headers=tag))
    async with Socket(world.app, f"/tasks/{held['id']}/events") as socket:
        await socket.receive()  # so `waiting` waits by now
        await world.tasks.close_streams(world.app)
    assert (await waiting).status_code in (200, 304)
    for path, body in (
        ("/tasks", {"name": "echo"}),
        ("/tasks/batch", {"tasks": [{"name": "echo"}]}),
        (f"/tasks/{record['id']}/retry", None),
        ("/tasks/retry", {"ids": [record["id"]]}),
    ):
        response = await client.post(path, json=body)
        await problem(response, 503, "draining")
        assert int(response.headers["Retry-After"]) >= 1
    response = await client.get("/tasks/health")
    assert "draining" in (await problem(response, 503))["detail"]
    assert set(await listed(client)) == {held["id"], record["id"]}
    response = await client.get(f"/tasks/{record['id']}/result")
    assert await response.get_json() == 5


# -- POST /tasks/batch ---------------------------------------------------------------------


async def test_a_batch_is_accepted_in_order(client: Client) -> None:
    items: list[Any] = [{"name": "echo", "args": [number]} for number in range(10)]
    items.insert(5, {"name": "add", "kwargs": {"a": 1}, "options": {"priority": 3}})
    response = await client.post("/tasks/batch", json={"tasks": items})
    assert response.status_code == 202
    assert response.headers["Cache-Control"] == "no-cache"
    answer = await response.get_json()
    assert set(answer) == {"tasks"}
    records = answer["tasks"]
    assert all(set(record) == RECORD for record in records)
    assert [record["args"] for record in records] == [each.get("args", []) for each in items]
    assert (records[5]["name"], records[5]["priority"]) == ("add", 3)
    assert await listed(client) == [record["id"] for record in reversed(records)]
    assert [(await ended(client, each["id"]))["result"] for each in records] == [
        0, 1, 2, 3, 4, 2.0, 5, 6, 7, 8, 9,
    ]  # fmt: skip


async def test_a_batch_with_bad_items_names_them_and_accepts_none(client: Client) -> None:
    items: list[Any] = [
        {"name": "echo"},
        {"name": "nobody"},
        {"name": "add", "args": ["x", "y"]},
        7,
        {"name": "echo", "options": {"delay": 1, "eta": "2030-01-01T00:00:00Z"}},
        {"name": "picky", "args": [{"x": "no"}, "fast"]},
        {},
        {"name": "secret"},
        {"name": "echo", "nope": 1},
        {"name": "echo"},
    ]
    data = await problem(await client.post("/tasks/batch", json={"tasks": items}), 422)
    assert sorted(error["pointer"] for error in data["errors"]) == sorted([
        "#/tasks/1/name", "#/tasks/2/args/0", "#/tasks/2/args/1", "#/tasks/3",
        "#/tasks/4/options/eta", "#/tasks/5/args/0/x", "#/tasks/6", "#/tasks/7/name", "#/tasks/8",
    ])  # fmt: skip
    assert await listed(client) == []


async def test_a_batch_has_at_most_1000_items(client: Client) -> None:
    item = {"name": "echo"}
    await problem(await client.post("/tasks/batch", json={"tasks": [item] * 1001}), 422)
    assert await listed(client) == []
    response = await client.post("/tasks/batch", json={"tasks": [item] * 1000})
    assert response.status_code == 202
    assert len((await response.get_json())["tasks"]) == 1000


async def test_idempotency_keys_and_keys_in_a_batch(client: Client) -> None:
    old = await submit(client, "echo", 0, idempotency_key="old")
    keyed = {"name": "echo", "args": [1], "idempotency_key": "new"}
    held = {"name": "hold", "options": {"key": "k"}}
    items = [keyed, {"name": "echo", "args": [0], "idempotency_key": "old"}, keyed, held, held]
    response = await client.post("/tasks/batch", json={"tasks": items})
    assert response.status_code == 202
    ids = [record["id"] for record in (await response.get_json())["tasks"]]
    assert (ids[0], ids[1], ids[3]) == (ids[2], old["id"], ids[4])
    assert await listed(client) == [ids[3], ids[0], old["id"]]

    other = {"name": "echo", "args": [2], "idempotency_key": "fresh"}
    items = [{**keyed, "args": [9]}, other, {**other, "args": [3]}]
    data = await problem(await client.post("/tasks/batch", json={"tasks": items}), 422)
    pointers = {error["pointer"] for error in data["errors"]}
    assert pointers == {"#/tasks/0/idempotency_key", "#/tasks/2/idempotency_key"}
    assert len(await listed(client)) == 3


# -- GET /tasks ----------------------------------------------------------------------------


async def test_a_list_is_the_newest_first_in_pages_linked_by_next(client: Client) -> None:
    ids = [(await submit(client, "hold", number))["id"] for number in range(5)]
    await submit(client, "echo")
    url = "/tasks?name=hold&limit=2&q=ol"
    pages = []
    while url:
        response = await client.get(url)
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "no-cache"
        answer = await response.get_json()
        assert set(answer) == {"tasks", "next", "cursor"}
        assert all(set(record) == RECORD for record in answer["tasks"])
        pages.append([record["id"] for record in answer["tasks"]])
        if answer["next"] is None:
            assert "Link" not in response.headers
            break
        target, parameters = parse_options_header(response.headers["Link"])
        assert parameters == {"rel": "next"}
        url = target.removeprefix("<").removesuffix(">")
        assert url.startswith("/tasks?")
        by_hand = await listed(client, f"?name=hold&limit=2&q=ol&before={answer['next']}")
        assert by_hand == await listed(client, url.removeprefix("/tasks"))
    assert [id for page in pages for id in page] == ids[::-1]
    assert [len(page) for page in pages][:2] == [2, 2]


async def test_page_has_as_many_as_asked_and_500_at_most(client: Client) -> None:
    items = [{"name": "echo"}] * 501
    await client.post("/tasks/batch", json={"tasks": items})
    for query, length in (
        ("", 50), ("?limit=1", 1), ("?limit=500", 500), ("?limit=501", 500), (f"?limit={HUGE}", 500)
    ):  # fmt: skip
        response = await client.get(f"/tasks{query}")
        assert response.status_code == 200, query
        answer = await response.get_json()
        assert len(answer["tasks"]) == length
        assert answer["next"] is not None
    rest = await listed(client, f"?limit=500&before={answer['next']}")
    assert len(rest) == 1


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"), ("limit=-1", "limit"), ("limit=ten", "limit"), ("limit=1.5", "limit"),
        ("limit=%D9%A3", "limit"), ("limit=+1", "limit"), ("state=asleep", "state"),
        ("state=Queued", "state"), ("before=5", "before"), ("before=" + "x" * 36, "before"),
    ],
)  # fmt: skip
async def test_a_bad_value_in_a_query_is_422(client: Client, query: str, name: str) -> None:
    data = await problem(await client.get(f"/tasks?{query}"), 422)
    assert name in data["errors"][0]["pointer"]


async def test_unknown_and_empty_query_names_are_ignored(client: Client) -> None:
    record = await submit(client, "hold")
    for query in ("?colour=red", "?state=&name=&parent_id=&q=&before=", "?x", "?=", "?&&"):
        assert await listed(client, query) == [record["id"]]
    path = f"/tasks/{record['id']}"
    for url in (f"{path}?colour=red", "/tasks/types?x=1", "/tasks/stats?x=1", "/tasks/health?x=1"):
        assert (await client.get(url)).status_code == 200


async def test_filters_choose_from_a_list(world: World) -> None:
    client = world.client
    failed = await submit(client, "fail", "the DISK is full")
    await ended(client, failed["id"])
    done = await submit(client, "echo")
    await ended(client, done["id"])
    keyed = await submit(client, "echo", options={"key": "order-17", "delay": 1000})
    held = await submit(client, "hold")
    id = {"failed": failed["id"], "done": done["id"], "keyed": keyed["id"], "held": held["id"]}
    for query, expected in (
        ("state=failed", ["failed"]),
        ("state=succeeded", ["done"]),
        ("state=scheduled", ["keyed"]),
        ("state=cancelled", []),
        ("name=echo", ["keyed", "done"]),
        ("name=nobody", []),
        ("name=ech", []),
        ("name=echo&state=succeeded", ["done"]),
        ("q=ech", ["keyed", "done"]),
        ("q=order-1", ["keyed"]),
        ("q=DISK%20is", ["failed"]),
        (f"q={held['id'][:20]}", None),
        (f"q={held['id']}", ["held"]),
        (f"q={held['id'][1:]}", []),
        ("q=%25", []),
        ("name=echo&q=order", ["keyed"]),
        (f"before={keyed['id']}", ["done", "failed"]),
        (f"before={keyed['id']}&name=echo", ["done"]),
        (f"before={NOBODY}", []),
    ):
        found = await listed(client, f"?{query}")
        if expected is None:
            assert held["id"] in found, query
        else:
            assert found == [id[each] for each in expected], query


async def test_children_are_listed_by_their_parent(world: World) -> None:
    @world.tasks.task
    async def parent() -> list[str]:
        return [(await world.tasks.submit("echo", number)).id for number in range(3)]

    record = await submit(world.client, "parent")
    children = (await ended(world.client, record["id"]))["result"]
    assert await listed(world.client, f"?parent_id={record['id']}") == children[::-1]
    assert await listed(world.client, f"?parent_id={record['id']}&limit=1") == children[-1:]
    assert await listed(world.client, f"?parent_id={children[0]}") == []
    response = await world.client.get(f"/tasks/{children[0]}")
    assert (await response.get_json())["parent_id"] == record["id"]


async def test_a_page_looks_at_2000_records_and_may_be_short(client: Client) -> None:
    first = await submit(client, "hold", options={"key": "needle"})
    for _ in range(5):
        tasks = [{"name": "echo"}] * 500
        assert (await client.post("/tasks/batch", json={"tasks": tasks})).status_code == 202
    answer = await (await client.get("/tasks?q=needle")).get_json()
    assert answer["tasks"] == []
    assert answer["next"] is not None
    answer = await (await client.get(f"/tasks?q=needle&before={answer['next']}")).get_json()
    assert [record["id"] for record in answer["tasks"]] == [first["id"]]
    assert answer["next"] is None


async def test_a_stream_after_a_lists_cursor_has_no_gap(world: World) -> None:
    client = world.client
    await submit(client, "hold")
    answer = await (await client.get("/tasks")).get_json()
    assert CURSOR.fullmatch(answer["cursor"])
    record = await submit(client, "hold")
    async with Socket(world.app, f"/tasks/events?after={answer['cursor']}") as socket:
        frame = await socket.receive()
        while frame["task_id"] != record["id"]:  # the first one may have started after the list
            assert frame["type"] == "state"
            frame = await socket.receive()
        assert (frame["type"], frame["data"]["state"]) == ("state", "queued")


async def test_a_slash_at_the_end_is_the_same_without_a_redirect(client: Client) -> None:
    response = await client.post("/tasks/", json={"name": "hold"})
    id = check_accepted(response)
    response = await client.get("/tasks/")
    assert response.status_code == 200
    assert [record["id"] for record in (await response.get_json())["tasks"]] == [id]


async def test_large_values_are_left_out_of_lists_and_whole_in_get(client: Client) -> None:
    record = await submit(client, "echo", value := {"text": LARGE})
    assert (record["args"], record["omitted"]) == (None, ["args"])
    done = await ended(client, record["id"])
    assert (done["args"], done["result"], done["omitted"]) == ([value], value, [])
    kwargs = await client.post("/tasks", json={"name": "echo", "kwargs": {"value": LARGE}})
    await ended(client, check_accepted(kwargs))
    [second, first] = (await (await client.get("/tasks")).get_json())["tasks"]
    assert (first["args"], first["kwargs"], first["result"]) == (None, {}, None)
    assert sorted(first["omitted"]) == ["args", "result"]
    assert first["result_size"] == len(json.dumps(value, separators=(",", ":")))
    assert sorted(second["omitted"]) == ["kwargs", "result"]
    response = await client.get(f"/tasks/{record['id']}/result")
    assert await response.get_json() == value
    waited = await client.post(
        "/tasks", json={"name": "echo", "args": [LARGE]}, headers={"Prefer": "wait=60"}
    )
    assert (await waited.get_json())["result"] == LARGE


async def test_values_of_8_kib_are_in_lists(client: Client) -> None:
    text = "x" * (8192 - len('[""]'))
    record = await submit(client, "echo", text)
    assert (record["args"], record["omitted"]) == ([text], [])
    record = await submit(client, "echo", text + "x")
    assert (record["args"], record["omitted"]) == (None, ["args"])


# -- GET /tasks/{id} -----------------------------------------------------------------------


async def test_one_task_has_its_attempts_and_its_lines(client: Client) -> None:
    record = await submit(client, "fail_thrice")
    done = await ended(client, record["id"])
    assert (done["state"], done["attempt"], done["max_attempts"]) == ("failed", 3, 3)
    assert len(done["attempts"]) == 3
    for attempt in done["attempts"]:
        assert set(attempt) == {"started_at", "finished_at", "error", "worker"}
        assert TIME.fullmatch(attempt["started_at"])
        assert TIME.fullmatch(attempt["finished_at"])
        assert attempt["error"]["message"] == "again"

    record = await submit(client, "lines")
    lines = (await ended(client, record["id"]))["logs"]
    assert [line["message"] for line in lines] == ["first", "second"]
    for line in lines:
        assert {"level", "logger", "message", "attempt"} <= set(line)
        assert (line["level"], line["logger"], line["attempt"]) == ("WARNING", "tests.rest", 1)


async def test_a_running_task_shows_the_attempt_that_is_not_over(client: Client) -> None:
    record = await running(client)
    [attempt] = record["attempts"]
    assert TIME.fullmatch(attempt["started_at"])
    assert (attempt["finished_at"], attempt["error"]) == (None, None)
    assert record["worker"]


@pytest.mark.parametrize("id", [NOBODY, "x", "nobody", "%00", "%F0%9F%8D%80", "a" * 3000])
async def test_an_unknown_id_is_404(client: Client, id: str) -> None:
    for method, path in (
        ("GET", ""), ("DELETE", ""), ("GET", "/result"), ("POST", "/cancel"), ("POST", "/retry"),
        ("GET", "/events"),
    ):  # fmt: skip
        response = await client.open(f"/tasks/{id}{path}", method=method)
        await problem(response, 404, "task-not-found")


async def test_the_etag_is_the_cursor_and_matches_304(client: Client) -> None:
    record = await submit(client, "echo")
    done = await ended(client, record["id"])
    url, tag = f"/tasks/{record['id']}", f'"{done["cursor"]}"'
    for given in (tag, f'"x", {tag}', f"W/{tag}", "*"):
        response = await client.get(url, headers={"If-None-Match": given})
        assert response.status_code == 304, given
        assert await response.get_data() == b""
        assert response.headers["ETag"] == tag
        assert response.headers["Cache-Control"] == "no-cache"
    for given in ('"x"', "", '"', f'"{record["cursor"]}"'):
        response = await client.get(url, headers={"If-None-Match": given})
        assert response.status_code == 200, given
        assert response.headers["ETag"] == tag
        assert response.headers["Cache-Control"] == "no-cache"


async def open_waits(world: World, *urls: str, tag: str = "") -> list[asyncio.Task[Response]]:
    """GET requests that wait; returns once they do."""
    headers = {"If-None-Match": f'"{tag}"'} if tag else {}
    waits = [asyncio.create_task(world.client.get(url, headers=headers)) for url in urls]
    for _ in range(3):  # each is a round trip, in which those that were begun before come further
        await world.client.get("/tasks/health")
    return waits


async def test_wait_answers_at_the_end(world: World) -> None:
    record = await running(world.client)
    id = record["id"]
    waits = await open_waits(world, f"/tasks/{id}?wait=60", f"/tasks/{id}/result?wait=60.5")
    assert not any(wait.done() for wait in waits)
    world.gate.set()
    shown, result = await asyncio.gather(*waits)
    assert (await shown.get_json())["state"] == "succeeded"
    assert (result.status_code, await result.get_json()) == (200, "released")


async def test_wait_with_an_etag_answers_at_the_next_change(world: World) -> None:
    record = await running(world.client, "report")
    url = f"/tasks/{record['id']}"
    [wait] = await open_waits(world, f"{url}?wait=60", tag=record["cursor"])
    assert not wait.done()
    world.gate.set()
    response = await wait
    assert response.status_code == 200
    changed = await response.get_json()
    assert changed["progress"] == {"current": 1, "total": 2, "message": "half"}
    assert response.headers["ETag"] == f'"{changed["cursor"]}"'
    assert changed["cursor"] != record["cursor"]

    [wait] = await open_waits(world, f"{url}?wait=60", tag=changed["cursor"])
    await world.client.post(f"{url}/cancel")
    assert (await (await wait).get_json())["cancel_requested"] is True


async def test_a_log_line_is_no_change_to_wait_for(world: World) -> None:
    record = await running(world.client, "note")
    url = f"/tasks/{record['id']}"
    [wait] = await open_waits(world, f"{url}?wait=60", tag=record["cursor"])
    world.gate.set()
    await world.logged.wait()
    await open_waits(world)  # a few round trips, for a wait that would wrongly be over
    await world.client.post(f"{url}/cancel")
    assert (await wait).status_code == 200


async def test_wait_answers_when_its_time_is_over(world: World) -> None:
    record = await running(world.client)
    url = f"/tasks/{record['id']}"
    tag = {"If-None-Match": f'"{record["cursor"]}"'}
    for wait in ("0", "0.01"):
        response = await world.client.get(f"{url}?wait={wait}")
        assert (response.status_code, (await response.get_json())["state"]) == (200, "running")
        assert (await world.client.get(f"{url}?wait={wait}", headers=tag)).status_code == 304
        response = await world.client.get(f"{url}/result?wait={wait}")
        assert check_accepted(response) == record["id"]


async def test_wait_with_an_old_etag_answers_at_once(world: World) -> None:
    record = await running(world.client)
    tag = {"If-None-Match": '"0-0"'}
    response = await world.client.get(f"/tasks/{record['id']}?wait=60", headers=tag)
    assert response.status_code == 200
    assert (await response.get_json())["cursor"] == record["cursor"]


@pytest.mark.parametrize("wait", ["soon", "-1", "nan", "inf", "1e3", "0x10", "%D9%A3", "1%00"])
async def test_a_bad_wait_is_422_and_a_long_one_counts_as_60(client: Client, wait: str) -> None:
    record = await submit(client, "echo")
    await ended(client, record["id"])
    for path in ("", "/result"):
        await problem(await client.get(f"/tasks/{record['id']}{path}?wait={wait}"), 422)
        response = await client.get(f"/tasks/{record['id']}{path}?wait={HUGE}")
        assert response.status_code == 200


# -- GET /tasks/{id}/result ----------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [None, 5, 1.5, "text", [], {"a": [1, {"b": None}]}, LARGE, "\u0000\u2028\U0001f340"]
)
async def test_a_result_is_its_json(client: Client, value: Any) -> None:
    record = await submit(client, "echo", value)
    response = await client.get(f"/tasks/{record['id']}/result?wait=60")
    assert response.status_code == 200
    assert response.content_type == "application/json"
    assert response.headers["Task-State"] == "succeeded"
    assert response.headers["Cache-Control"] == "no-cache"
    assert json.loads(await response.get_data()) == value


@pytest.mark.parametrize(
    ("name", "args", "mimetype", "data"),
    [
        ("picture", [], "image/png", PNG),
        ("raw", ["abc"], "application/octet-stream", b"abc"),
        ("raw", [], "application/octet-stream", b""),
    ],
)
async def test_a_blob_is_its_bytes(
    client: Client, name: str, args: list[Any], mimetype: str, data: bytes
) -> None:
    record = await submit(client, name, *args)
    done = await ended(client, record["id"])
    assert done["result"] is None
    assert (done["result_type"], done["result_size"]) == (mimetype, len(data))
    assert done["omitted"] == []
    response = await client.get(f"/tasks/{record['id']}/result")
    assert (response.status_code, response.mimetype) == (200, mimetype)
    assert response.headers["Task-State"] == "succeeded"
    assert await response.get_data() == data


async def test_the_outputs_of_a_generator_are_its_result(client: Client) -> None:
    record = await submit(client, "count_up", 4)
    response = await client.get(f"/tasks/{record['id']}/result?wait=60")
    assert await response.get_json() == [0, 1, 2, 3]


async def test_an_unfinished_result_is_202_with_the_record(client: Client) -> None:
    held = await running(client)
    later = await submit(client, "echo", options={"delay": 1000})
    for record, state in ((held, "running"), (later, "scheduled")):
        response = await client.get(f"/tasks/{record['id']}/result")
        assert check_accepted(response) == record["id"]
        assert response.headers["Task-State"] == state
        assert (await response.get_json())["state"] == state


@pytest.mark.parametrize(
    ("name", "kind", "state"),
    [("fail", "task-failed", "failed"), ("too_slow", "task-timeout", "failed"),
     ("alone", "task-expired", "failed"), ("hold", "task-cancelled", "cancelled")],
)  # fmt: skip
async def test_without_a_result_it_is_409_by_type(
    client: Client, name: str, kind: str, state: str
) -> None:
    options = {}
    if name == "alone":
        await running(client, "alone")
        options = {"expires": 0.01}
    record = await submit(client, name, options=options)
    if name == "hold":
        await client.post(f"/tasks/{record['id']}/cancel")
    response = await client.get(f"/tasks/{record['id']}/result?wait=60")
    data = await problem(response, 409, kind)
    assert response.headers["Task-State"] == state
    if name == "fail":
        assert "no luck" in data["detail"]


# -- cancel, retry, delete -----------------------------------------------------------------


async def test_cancel_is_202_and_200_once_it_has_ended(client: Client) -> None:
    for record, state in (
        (await submit(client, "echo", options={"delay": 1000}), "cancelled"),
        (await running(client), "running"),
    ):
        response = await client.post(f"/tasks/{record['id']}/cancel")
        assert response.status_code == 202
        answer = await response.get_json()
        assert set(answer) == RECORD
        assert (answer["state"], answer["cancel_requested"]) == (state, True)
        assert (await ended(client, record["id"]))["state"] == "cancelled"
        response = await client.post(f"/tasks/{record['id']}/cancel")
        assert response.status_code == 200
        assert (await response.get_json())["state"] == "cancelled"
    done = await submit(client, "echo")
    await ended(client, done["id"])
    response = await client.post(f"/tasks/{done['id']}/cancel")
    answer = await response.get_json()
    assert (response.status_code, answer["state"]) == (200, "succeeded")
    assert answer["cancel_requested"] is False


async def test_retry_is_a_new_task_with_the_same_arguments_and_options(client: Client) -> None:
    options = {"priority": 5, "timeout": 30, "retries": 1, "key": "k"}
    kwargs = {"point": {"x": 1}, "mode": "good", "tags": [LARGE]}
    old = await submit(client, "picky", kwargs=kwargs, options=options, idempotency_key="i")
    await ended(client, old["id"])
    response = await client.post(f"/tasks/{old['id']}/retry")
    new = await response.get_json()
    assert check_accepted(response) == new["id"] != old["id"]
    assert set(new) == RECORD
    for key in ("name", "priority", "max_attempts", "key", "kwargs", "args", "omitted"):
        assert new[key] == old[key], key
    assert (new["retry_of"], new["attempt"]) == (old["id"], 0)
    assert (await ended(client, new["id"]))["kwargs"] == kwargs


async def test_retry_of_what_has_not_ended_is_409(client: Client) -> None:
    record = await submit(client, "hold")
    await problem(await client.post(f"/tasks/{record['id']}/retry"), 409)
    assert await listed(client) == [record["id"]]


async def test_retry_without_kept_arguments_is_409(world: World) -> None:
    handle = await world.tasks.submit("hold", object())
    other = await submit(world.client, "echo")
    world.gate.set()
    await ended(world.client, handle.id)
    await problem(await world.client.post(f"/tasks/{handle.id}/retry"), 409)
    assert await count(world.client, "retry", {"ids": [handle.id, other["id"]]}) == 1


async def test_delete_forgets_an_ended_task(client: Client) -> None:
    record = await submit(client, "hold")
    await problem(await client.delete(f"/tasks/{record['id']}"), 409)
    await client.post(f"/tasks/{record['id']}/cancel")
    await ended(client, record["id"])
    response = await client.delete(f"/tasks/{record['id']}")
    assert response.status_code == 204
    assert await response.get_data() == b""
    await problem(await client.get(f"/tasks/{record['id']}"), 404, "task-not-found")
    await problem(await client.delete(f"/tasks/{record['id']}"), 404, "task-not-found")
    assert await listed(client) == []


# -- POST /tasks/cancel, POST /tasks/retry -------------------------------------------------


async def later(client: Client, name: str = "echo", **options: Any) -> str:
    record = await submit(client, name, options={"delay": 3600, **options})
    return str(record["id"])


async def count(client: Client, action: str, filter: dict[str, Any]) -> int:
    response = await client.post(f"/tasks/{action}", json=filter)
    assert response.status_code == 202, await response.get_data()
    assert response.headers["Cache-Control"] == "no-cache"
    answer = await response.get_json()
    assert set(answer) == {"count"}
    return int(answer["count"])


async def test_bulk_cancel_by_each_filter_and_all_together(client: Client) -> None:
    ids = [await later(client, key=f"order-{number}") for number in range(4)]
    held = await running(client)
    other = await later(client, "hold")
    assert await count(client, "cancel", {"ids": [ids[0], NOBODY, "x"]}) == 1
    assert await count(client, "cancel", {"q": "order-1"}) == 1
    assert await count(client, "cancel", {"name": "echo", "q": "order-2"}) == 1
    assert await count(client, "cancel", {"name": "hold", "state": "scheduled"}) == 1
    assert await count(client, "cancel", {"ids": [ids[3]], "name": "hold"}) == 0
    assert await count(client, "cancel", {"ids": []}) == 0
    assert await count(client, "cancel", {"state": "scheduled"}) == 1
    assert (await ended(client, other))["state"] == "cancelled"
    assert [(await ended(client, id))["state"] for id in ids] == ["cancelled"] * 4
    response = await client.get(f"/tasks/{held['id']}")
    assert (await response.get_json())["cancel_requested"] is False
    assert await count(client, "cancel", {"name": "hold", "state": "running"}) == 1
    assert (await ended(client, held["id"]))["state"] == "cancelled"


async def test_bulk_retry_makes_new_tasks_of_those_that_ended(client: Client) -> None:
    failed = [(await submit(client, "fail", str(number)))["id"] for number in range(3)]
    for id in failed:
        await ended(client, id)
    unfinished = await later(client, "fail")
    assert await count(client, "retry", {"name": "fail", "state": "failed", "q": "1"}) == 1
    [again] = await listed(client, "?limit=1")
    assert (await ended(client, again))["retry_of"] == failed[1]
    assert await count(client, "retry", {"ids": [failed[0], unfinished, NOBODY]}) == 1
    [again] = await listed(client, "?limit=1")
    assert (await ended(client, again))["retry_of"] == failed[0]
    assert await count(client, "retry", {"name": "hold"}) == 0


async def test_bulk_requests_of_more_than_a_page(client: Client) -> None:
    for _ in range(3):
        tasks = [{"name": "echo", "options": {"delay": 3600}}] * 1000
        await client.post("/tasks/batch", json={"tasks": tasks})
    assert await count(client, "cancel", {"name": "echo"}) == 3000
    assert await listed(client, "?state=scheduled") == []
    assert await count(client, "retry", {"state": "cancelled"}) == 3000


@pytest.mark.parametrize("action", ["cancel", "retry"])
@pytest.mark.parametrize(
    "body",
    [{}, {"q": ""}, {"ids": None}, {"ids": "x"}, {"ids": [1]}, {"state": "asleep"}, {"name": 1},
     {"colour": "red"}, [], None, "all"],
)  # fmt: skip
async def test_an_empty_or_bad_filter_is_422(client: Client, action: str, body: Any) -> None:
    done = await submit(client, "echo")
    await ended(client, done["id"])
    id = await later(client)
    await problem(await client.post(f"/tasks/{action}", json=body), 422)
    assert await listed(client) == [id, done["id"]]
    assert (await (await client.get(f"/tasks/{id}")).get_json())["state"] == "scheduled"


# -- types, stats, health ------------------------------------------------------------------


async def test_types_are_json_schemas_of_the_parameters(client: Client) -> None:
    response = await client.get("/tasks/types")
    assert response.headers["Cache-Control"] == "no-cache"
    answer = await response.get_json()
    assert set(answer) == {"types"}
    types = {each["name"]: each for each in answer["types"]}
    assert {"echo", "add", "picky", "fail"} <= set(types)
    assert "secret" not in types
    for each in types.values():
        assert set(each) == {"name", "executor", "doc", "parameters", "options"}
        assert each["parameters"]["type"] == "object"
    assert types["echo"]["executor"] == "async"
    assert types["picky"]["executor"] == "thread"
    assert types["add"]["doc"] == "Add two numbers.\n\nThe sum is scaled."
    assert types["echo"]["doc"] is None


async def test_the_schema_of_numbers_with_defaults(client: Client) -> None:
    schema = await schema_of(client, "add")
    assert schema["properties"] == {
        "a": {"type": "integer"},
        "b": {"type": "integer", "default": 1},
        "scale": {"type": "number", "default": 1.0},
    }
    assert schema["required"] == ["a"]
    assert schema["additionalProperties"] is False


async def test_the_schema_of_nested_types(client: Client) -> None:
    schema = await schema_of(client, "picky")
    properties = schema["properties"]
    assert set(properties) == {"point", "mode", "tags"}
    assert schema["required"] == ["point", "mode"]
    assert schema.get("additionalProperties") in (None, True, {"type": "integer"})
    assert sorted(properties["mode"]["enum"]) == ["fast", "good"]
    assert properties["tags"]["default"] is None
    assert sorted(each["type"] for each in properties["tags"]["anyOf"]) == ["array", "null"]
    reference = properties["point"]["$ref"]
    point = schema["$defs"][reference.removeprefix("#/$defs/")]
    assert point["type"] == "object"
    assert point["properties"]["x"] == {"type": "integer"}
    assert point["required"] == ["x"]


async def test_the_options_of_a_type(client: Client) -> None:
    types = (await (await client.get("/tasks/types")).get_json())["types"]
    [options] = [each["options"] for each in types if each["name"] == "picky"]
    assert (options["timeout"], options["retries"], options["priority"]) == (50, 3, 7)
    assert (options["concurrency"], options["idempotent"]) == (2, True)


async def schema_of(client: Client, name: str) -> Any:
    types = (await (await client.get("/tasks/types")).get_json())["types"]
    [schema] = [each["parameters"] for each in types if each["name"] == name]
    return schema


STATES = {"scheduled", "queued", "running", "succeeded", "failed", "cancelled"}


async def test_stats_count_what_there_is(world: World) -> None:
    client = world.client
    stats = await (await client.get("/tasks/stats")).get_json()
    assert set(stats) == {
        "states", "names", "executors", "loop", "latency", "streams", "uptime", "epoch",
    }  # fmt: skip
    assert stats["states"] == dict.fromkeys(STATES, 0)
    assert set(stats["executors"]) == {"async", "thread", "process"}
    assert set(stats["loop"]) == {"lag_p50", "lag_p99"}
    assert stats["latency"] == dict.fromkeys(("wait_p50", "wait_p99", "run_p50", "run_p99"))
    assert stats["streams"] == 0

    held = await running(client)
    await ended(client, (await submit(client, "echo"))["id"])
    await later(client)
    async with Socket(world.app, "/tasks/events") as socket:
        await socket.receive()
        response = await client.get("/tasks/stats")
        stats = await response.get_json()
    assert response.headers["Cache-Control"] == "no-cache"
    expected = {"running": 1, "succeeded": 1, "scheduled": 1}
    assert stats["states"] == {state: expected.get(state, 0) for state in STATES}
    assert stats["names"]["hold"]["running"] == 1
    assert stats["names"]["echo"]["succeeded"] == stats["names"]["echo"]["scheduled"] == 1
    for executor in stats["executors"].values():
        assert {"slots", "running", "queued"} <= set(executor)
    assert stats["executors"]["async"]["running"] == 1
    assert stats["executors"]["thread"]["slots"] == 16
    assert set(stats["latency"]) == {"wait_p50", "wait_p99", "run_p50", "run_p99"}
    assert set(stats["loop"]) == {"lag_p50", "lag_p99"}
    assert all(seconds >= 0 for seconds in (stats["latency"] | stats["loop"]).values())
    assert stats["streams"] == 1
    assert stats["uptime"] > 0
    assert held["cursor"].startswith(stats["epoch"] + "-")
    assert world.tasks.stats()["states"] == stats["states"]


async def test_healthy_server_says_200(client: Client) -> None:
    response = await client.get("/tasks/health")
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("path", ["", "/types", "/stats", "/health", "/{id}", "/{id}/result"])
async def test_head_is_as_get_and_options_names_both(client: Client, path: str) -> None:
    record = await submit(client, "echo")
    await ended(client, record["id"])
    url = "/tasks" + path.format(id=record["id"])
    head, get = await client.head(url), await client.get(url)
    assert (head.status_code, head.content_type) == (get.status_code, get.content_type)
    allow = (await client.options(url)).headers["Allow"]
    assert {"GET", "HEAD", "OPTIONS"} <= set(allow.split(", "))


# -- where it is served --------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["/api/v1/jobs", "/jobs/"])
async def test_all_is_under_another_prefix(prefix: str) -> None:
    async with serving(TASKS_URL_PREFIX=prefix) as world:
        client, base = world.client, prefix.rstrip("/")
        response = await client.post(base, json={"name": "hold"})
        id = check_accepted(response, base)
        assert (await client.get(f"{base}/{id}")).status_code == 200
        await client.post(base, json={"name": "hold"})
        response = await client.get(f"{base}/?limit=1")
        assert response.headers["Link"].startswith(f"<{base}")
        await problem(await client.get(f"{base}/a/b/c"), 404)
        response = await client.get("/tasks")
        assert (response.status_code, response.mimetype) == (404, "text/html")
        async with Socket(world.app, f"{base}/{id}/events") as socket:
            assert (await socket.receive())["type"] == "snapshot"


async def test_no_prefix_is_no_http_surface() -> None:
    async with serving(TASKS_URL_PREFIX=None) as world:
        for path in ("/tasks", "/tasks/types", "/", "/None", "/types"):
            response = await world.client.get(path)
            assert (response.status_code, response.mimetype) == (404, "text/html")
        assert not any(
            rule.endpoint.startswith("quart_tasks") for rule in world.app.url_map.iter_rules()
        )
        assert await (await world.tasks.submit("echo", 5)) == 5

        @world.app.post("/own")
        async def own() -> Response:
            return (await world.tasks.submit("echo")).accepted()

        response = await world.client.post("/own")
        assert response.status_code == 202
        assert "Location" not in response.headers


async def test_links_follow_the_root_path(client: Client) -> None:
    response = await client.post("/mount/tasks", json={"name": "hold"}, root_path="/mount")
    check_accepted(response, "/mount/tasks")
    await client.post("/tasks", json={"name": "hold"})
    response = await client.get("/mount/tasks?limit=1", root_path="/mount")
    assert response.headers["Link"].startswith("</mount/tasks?")
    response = await client.get("/mount/tasks/a/b/c", root_path="/mount")
    assert response.content_type == PROBLEM
