"""Whatever comes in: its 4xx as a problem, never a 5xx, nothing in the log, nothing left behind."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import pytest
import websockets.sync.client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quart import Quart
from quart.testing import QuartClient as Client
from werkzeug.exceptions import HTTPException

from quart_tasks import QuartTasks, TaskNotFound
from quart_tasks.web.blueprint import ROUTES, WEBSOCKET, Route

from .waiting import HANG, until_state
from .web import JSON, PROBLEM, Socket, check_problem, client_of, ended, problem

ROOT = Path(__file__).parents[1]
MIB = 1024 * 1024
NOBODY = "00000000-0000-7000-8000-000000000000"
BODIES = ["/tasks", "/tasks/batch", "/tasks/cancel", "/tasks/retry"]  # what takes one

T = TypeVar("T")


class Errors(logging.Handler):
    """What was logged as an error or with a traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or record.levelno >= logging.ERROR:
            self.found.append(self.format(record))


class World:
    """An app that runs for a whole module, in a loop that each example borrows."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.runner = runner
        self.app = Quart(__name__)
        # No record goes by itself while tests count them, however long all of them take.
        self.app.config.update(TASKS_DRAIN_TIMEOUT=0, TASKS_RETENTION=10**6)
        self.tasks = QuartTasks(self.app)
        self.errors = Errors()
        self.ids = {"running": NOBODY, "ended": NOBODY}

        @self.tasks.task
        async def echo(value: Any = None) -> Any:
            return value

        @self.tasks.task
        async def add(a: int, b: int = 1, *, scale: float = 1.0) -> float:
            return scale

        @self.tasks.task(public=False)
        async def hold() -> None:
            await asyncio.Event().wait()

        @self.app.get("/own")
        async def own() -> str:
            return "own"

    def id(self, state: str) -> str:
        """A task that is "running" or "ended": another one where a request has changed that."""
        try:
            if self.tasks.get(self.ids[state]).done() == (state == "ended"):
                return self.ids[state]
        except TaskNotFound:
            pass

        async def begin() -> str:
            handle = await self.tasks.submit("hold" if state == "running" else "echo")
            if state == "ended":
                await handle
            else:
                await until_state(handle, "running")  # its start changes nothing under a test
            return handle.id

        self.ids[state] = self.run(begin())
        return self.ids[state]

    @property
    def client(self) -> Client:
        return client_of(self.app)

    def run(self, part: Awaitable[T]) -> T:
        """Run a part of a test; what it logs as an error is an error."""

        async def bounded() -> T:
            async with asyncio.timeout(HANG):
                return await part

        self.errors.found.clear()
        result = self.runner.run(bounded())
        assert self.errors.found == []
        return result

    def count(self) -> int:
        """How many records there are."""
        states: dict[str, int] = self.tasks.stats()["states"]
        return sum(states.values())


@contextmanager
def running() -> Iterator[World]:
    with asyncio.Runner() as runner:
        world = World(runner)
        test_app = world.app.test_app()
        runner.run(test_app.startup())
        logging.getLogger().addHandler(world.errors)
        try:
            yield world
        finally:
            logging.getLogger().removeHandler(world.errors)
            runner.run(test_app.shutdown())


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running() as world:
        yield world


@pytest.fixture
def quiet_world() -> Iterator[World]:
    """One of the test's own: no task that another test left, delayed say, goes on in it."""
    with running() as world:
        yield world


def refused(
    world: World, path: str, status: int, name: str | None = None, **request: Any
) -> dict[str, Any]:
    """The problem that a request gets; it must leave no record behind."""
    before = world.count()

    async def ask() -> dict[str, Any]:
        return await problem(await world.client.open(path, **request), status, name)

    data = world.run(ask())
    assert world.count() == before
    return data


def post(world: World, path: str, status: int, data: bytes, **headers: str) -> dict[str, Any]:
    given = {**JSON, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return refused(world, path, status, method="POST", data=data, headers=given)


# -- 400: no JSON --------------------------------------------------------------------------

ECHO = b'{"name": "echo", "args": [%s]}'

NOT_JSON = {
    "nothing": b"",
    "blank": b" \n",
    "open": b'{"name": "echo"',
    "more": b'{"name": "echo"} {}',
    "single quotes": b"{'name': 'echo'}",
    "a comma too many": b'{"name": "echo",}',
    "a comment": b'{"name": "echo"} // hello',
    "form": b"name=echo",
    "UTF-16": '{"name": "echo"}'.encode("utf-16"),
    "UTF-16 without a mark": '{"name": "echo"}'.encode("utf-16-le"),
    "UTF-32": '{"name": "echo"}'.encode("utf-32"),
    "byte order mark": b"\xef\xbb\xbf" + b'{"name": "echo"}',
    "Latin-1": '{"name": "écho"}'.encode("latin-1"),
    "a lone byte": ECHO % b'"\xff"',
    "overlong UTF-8": ECHO % b'"\xc0\xaf"',
    "surrogate in UTF-8": ECHO % b'"\xed\xa0\x80"',
    "half a surrogate pair": ECHO % b'"\\ud800"',
    "second half first": ECHO % b'"\\udc00\\ud800"',
    "half a pair and more": ECHO % b'"\\ud83c abc"',
    "half a pair in a key": b'{"name": "echo", "kwargs": {"\\ud800": 1}}',
    "control character": ECHO % b'"\x00"',
    "NUL": b"\x00",
    "NaN": ECHO % b"NaN",
    "Infinity": ECHO % b"Infinity",
    "-Infinity": ECHO % b"-Infinity",
    "a leading zero": ECHO % b"01",
    "a bare point": ECHO % b"1.",
    "hexadecimal": ECHO % b"0x10",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "msgpack": b"\x81\xa4name\xa4echo",
}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_a_body_that_is_no_json_is_400(world: World, path: str, body: bytes) -> None:
    assert post(world, path, 400, body)["type"] == "urn:quart-tasks:invalid-json"


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


DEEP: list[Callable[[bytes], bytes]] = [
    lambda value: value,
    lambda value: ECHO % value,
    lambda value: b'{"name": "echo", "kwargs": {"value": %s}}' % value,
    lambda value: b'{"name": "echo", "args": %s}' % value,
    lambda value: b'{"name": "echo", "options": {"key": %s}}' % value,
    lambda value: b'{"nope": %s}' % value,
    lambda value: b'{"tasks": [{"name": "echo", "args": [%s]}]}' % value,
    lambda value: b'{"ids": [%s]}' % value,
    lambda value: b'{"a":' * 990 + value + b"}" * 990,
]


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("depth", [990, 100_000])
def test_json_nested_deeply_is_4xx(world: World, path: str, depth: int) -> None:
    before = world.count()
    for shape in DEEP:
        body = shape(nested(depth))

        async def ask(body: bytes = body) -> None:
            response = await world.client.post(path, data=body, headers=JSON)
            assert response.status_code in (400, 422)
            await problem(response, response.status_code)

        world.run(ask())
    assert world.count() == before


async def test_what_was_accepted_however_deep_can_be_read() -> None:
    """The stack is not as deep at each place where JSON is read or written."""
    app = Quart(__name__)
    app.config["TASKS_DRAIN_TIMEOUT"] = 0
    tasks = QuartTasks(app)

    @tasks.task
    async def echo(value: Any = None) -> Any:
        return value

    @tasks.authorize
    async def everyone(action: str, name: str | None, record: Any) -> None: ...

    accepted = 0
    async with app.test_app():
        client = client_of(app)
        for depth in (1, 10, 50, *range(90, 110), *range(190, 210), 500, *range(960, 1000)):
            headers = {**JSON, "Prefer": "wait=60", "Idempotency-Key": str(depth)}
            body = ECHO % nested(depth)
            response = await client.post("/tasks", data=body, headers=headers)
            if response.status_code != 200:
                await problem(response, response.status_code)
                assert response.status_code in (400, 422)
                continue
            accepted += 1
            record = json.loads(await response.get_data())
            assert record["state"] == "succeeded"
            url = f"/tasks/{record['id']}"
            for method, path, status in (
                ("GET", "", 200), ("GET", "/result", 200), ("POST", "/cancel", 200),
                ("POST", "/retry", 202), ("DELETE", "", 204),
            ):  # fmt: skip
                response = await client.open(url + path, method=method)
                assert response.status_code == status, (depth, method, path)
    assert accepted


# -- 415, 422, 404, 405, 413 ---------------------------------------------------------------


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data",
     "multipart/form-data; boundary=x", "application/xml", "application", "json", "*/*",
     "\xff/\xfe", "application/jsonp", "application/json-seq", ";"],
)  # fmt: skip
def test_another_type_of_body_is_415(world: World, path: str, kind: str) -> None:
    data = refused(
        world, path, 415, method="POST", data=b'{"name": "echo"}', headers={"Content-Type": kind}
    )
    assert data["type"] == "urn:quart-tasks:unsupported-media-type"


@pytest.mark.parametrize("path", BODIES)
def test_no_type_of_body_is_415(world: World, path: str) -> None:
    refused(world, path, 415, method="POST", data=b'{"name": "echo"}')


@pytest.mark.parametrize(
    "kind",
    ["application/json", "APPLICATION/JSON", "application/json; charset=utf-8",
     "application/json;charset=UTF-16", "application/vnd.me+json"],
)  # fmt: skip
def test_json_by_another_name_is_json_in_utf_8(world: World, kind: str) -> None:
    async def ask() -> int:
        response = await world.client.post(
            "/tasks", data=b'{"name": "echo"}', headers={"Content-Type": kind}
        )
        return response.status_code

    assert world.run(ask()) == 202


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    "body",
    [b"null", b"true", b"5", b'"name"', b"[]", b'[{"name": "echo"}]', b"{}", b'{"Name": "echo"}',
     b'{"name": null}', b'{"name": ["echo"]}', b'{"tasks": null}', b'{"tasks": {}}',
     b'{"tasks": "echo"}', b'{"tasks": ["echo"]}', b'{"tasks": [null]}', b'{"tasks": [[]]}',
     b'{"tasks": [{"name": "echo"}], "more": 1}', b'{"tasks": [{"name": "echo"}, {}]}',
     b'{"tasks": [{"name": "echo", "args": [1, 2]}]}', b'{"ids": {}}', b'{"state": []}',
     b'{"colour": "red"}'],
)  # fmt: skip
def test_json_of_another_shape_is_422(world: World, path: str, body: bytes) -> None:
    data = post(world, path, 422, body)
    assert data["type"] == "urn:quart-tasks:invalid-arguments"
    assert data["errors"]


NUMBERS = [
    b"9" * 5000, b"-" + b"9" * 5000, b"1e400", b"-1e400", b"1" + b"0" * 400, b"0." + b"1" * 5000,
    b"1e99999999999999999999", b"18446744073709551616", b"-9223372036854775809", b"1e-400", b"-0",
]  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:12].decode())
def test_extreme_numbers_are_kept_or_refused(world: World, number: bytes) -> None:
    async def ask() -> None:
        for body in (
            ECHO % number,
            b'{"name": "echo", "args": [%s], "idempotency_key": "%s"}' % (number, number[:99]),
            b'{"name": "add", "args": [%s], "options": {"priority": 1}}' % number,
        ):
            response = await world.client.post("/tasks", data=body, headers=JSON)
            if response.status_code != 202:
                assert response.status_code in (400, 422)
                await problem(response, response.status_code)
                continue
            id = json.loads(await response.get_data())["id"]
            response = await world.client.get(f"/tasks/{id}?wait=60")
            assert response.status_code == 200
            assert json.loads(await response.get_data())["state"] == "succeeded"
        for option in ("delay", "eta", "expires", "priority", "timeout", "retries", "key"):
            body = b'{"name": "echo", "options": {"%s": %s}}' % (option.encode(), number)
            response = await world.client.post("/tasks", data=body, headers=JSON)
            assert response.status_code in (202, 400, 422)

    world.run(ask())


@pytest.mark.parametrize(
    "eta",
    ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59.999999Z",
     "1969-12-31T23:59:59Z", "2030-02-30T00:00:00Z", "2030-01-01T24:00:00Z", "2030-01-01",
     "2030-01-01T00:00:60Z", "2030-01-01T00:00:00+99:99", "", "now", "-2030-01-01T00:00:00Z"],
)  # fmt: skip
def test_extreme_times_are_kept_or_refused(world: World, eta: str) -> None:
    async def ask() -> None:
        body = {"name": "echo", "options": {"eta": eta}}
        response = await world.client.post("/tasks", json=body)
        if response.status_code != 202:
            await problem(response, 422)
            return
        url = response.headers["Location"]
        assert (await world.client.get(url)).status_code == 200
        assert (await world.client.post(f"{url}/cancel")).status_code in (200, 202)

    world.run(ask())


@pytest.mark.parametrize(
    "key", ["ä", "a b", "a%20b", "a/b", "a~b", "~1", "#", "", "\U0001f340", '"']
)
def test_a_pointer_leads_to_what_is_wrong(world: World, key: str) -> None:
    """A JSON pointer as a URI fragment: RFC 6901, section 6."""
    body = {"name": "add", "args": [1], "kwargs": {key: "wrong"}}
    data = post(world, "/tasks", 422, json.dumps(body).encode())
    [error] = data["errors"]
    assert error["pointer"].isascii()
    assert resolve(body, error["pointer"]) == "wrong"


def resolve(document: Any, pointer: str) -> Any:
    text = unquote(pointer.removeprefix("#"))
    for part in text.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        document = document[int(name) if isinstance(document, list) else name]
    return document


METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "BREW"]


def path_of(rule: str, id: str) -> str:
    return "/tasks" + rule.replace("<id>", id)


@pytest.mark.parametrize("rule", sorted({route.rule for route in ROUTES}))
def test_another_method_is_405(world: World, rule: str) -> None:
    allowed = {route.method for route in ROUTES if route.rule == rule} - {WEBSOCKET}
    under_id = {route.method for route in ROUTES if route.rule == "/<id>"}
    if "/" not in rule.removeprefix("/"):  # where GET /<id> is a rule as well
        allowed |= under_id if rule else set()
    for method in METHODS:
        if method in allowed:
            continue
        path = path_of(rule, world.id("ended"))

        async def ask(method: str = method, path: str = path) -> None:
            response = await world.client.open(path, method=method)
            await problem(response, 405, "method-not-allowed")
            allow = set(response.headers["Allow"].split(", "))
            assert allow >= {each for each in allowed if each != WEBSOCKET}
            assert method not in allow

        world.run(ask())


@pytest.mark.parametrize(
    "path",
    ["/tasks/x/y", "/tasks/x/events/y", "/tasks/x/result/", "/tasks/types/x", "/tasks/%2e%2e/own",
     "/tasks/a%2Fb", "/tasks/events/x/y", "/tasks/\u00e9/\u00e9", "/tasks/" + "a/" * 500],
)  # fmt: skip
def test_an_unknown_path_is_404(world: World, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):

        async def ask(method: str = method) -> None:
            response = await world.client.open(path, method=method)
            await problem(response, response.status_code)
            assert response.status_code in (404, 405)

        world.run(ask())


@pytest.mark.parametrize(
    "path",
    ["/tasks?limit=x", "/tasks?limit=-1", "/tasks?limit=0", "/tasks?limit=%00", "/tasks?state=x",
     "/tasks?state=%ff", "/tasks?before=x", "/tasks?before=%f0%9f", "/tasks/{id}?wait=x",
     "/tasks/{id}?wait=-1", "/tasks/{id}/result?wait=", "/tasks/{id}/result?wait=%ff"],
)  # fmt: skip
def test_a_bad_value_in_a_query_is_422(world: World, path: str) -> None:
    refused(world, path.format(id=world.id("ended")), 422)


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("length", [str(MIB + 1), "9" * 30, "9" * 5000], ids=len)
def test_a_body_that_says_it_is_too_large_is_413(world: World, path: str, length: str) -> None:
    data = post(world, path, 413, b"{}", Content_Length=length)
    assert f"{MIB:,}" in data["detail"] or str(MIB) in data["detail"]


@pytest.mark.parametrize("path", [*BODIES, "/tasks/x/cancel", "/tasks/x/retry"])
def test_a_body_that_is_too_large_is_413(world: World, path: str) -> None:
    body, headers = b" " * (MIB + 1), {**JSON, "Content-Length": "2"}

    async def ask() -> None:
        response = await world.client.post(path, data=body, headers=headers)
        if path in BODIES or response.status_code == 413:  # the others need not read it
            await problem(response, 413, "body-too-large")
        else:
            await problem(response, 404, "task-not-found")

    world.run(ask())
    if path in BODIES:
        post(world, path, 400, body[:MIB])


def test_the_largest_body_is_read(world: World) -> None:
    async def ask() -> None:
        body = ECHO % b'""'
        response = await world.client.post("/tasks", data=body.ljust(MIB), headers=JSON)
        assert response.status_code == 202

    world.run(ask())


@pytest.mark.parametrize("path", BODIES)
def test_a_body_that_breaks_off_is_not_taken_for_a_whole_one(quiet_world: World, path: str) -> None:
    """Though what has come of it may be JSON (RFC 9112, section 8)."""
    world = quiet_world
    world.id("ended")
    world.id("running")
    bodies = {
        "/tasks": {"name": "echo"}, "/tasks/batch": {"tasks": [{"name": "echo"}]},
        "/tasks/cancel": {"state": "running"}, "/tasks/retry": {"state": "succeeded"},
    }  # fmt: skip

    async def leave() -> None:
        connection: Any = world.client.request(path, method="POST", headers=JSON)
        async with connection:
            await connection.send(encoded(bodies[path]))
            await connection.disconnect()

    before = [(record.id, record.cursor) for record in world.tasks.list(limit=500)]
    world.run(leave())
    assert [(record.id, record.cursor) for record in world.tasks.list(limit=500)] == before


# -- what is not ours ----------------------------------------------------------------------


async def test_the_apps_own_errors_stay_as_they_are() -> None:
    app = Quart(__name__)
    QuartTasks(app)

    @app.get("/own")
    async def own() -> str:
        return "own"

    @app.post("/broken")
    async def broken() -> str:
        raise KeyError("own")

    stock, client = Quart(__name__), client_of(app)
    stock.get("/own")(own)
    stock.post("/broken")(broken)
    async with app.test_app():
        for method, path in (
            ("GET", "/nope"), ("POST", "/own"), ("GET", "/tasksx"), ("GET", "/task"), ("GET", "/"),
            ("POST", "/broken"), ("GET", "/own/tasks"),
        ):  # fmt: skip
            ours = await client.open(path, method=method)
            theirs = await client_of(stock).open(path, method=method)
            assert ours.status_code == theirs.status_code >= 400
            assert ours.content_type == theirs.content_type == "text/html; charset=utf-8"
            assert await ours.get_data() == await theirs.get_data()


@pytest.mark.parametrize("kind", [404, 405, HTTPException, Exception])
async def test_the_apps_own_error_handlers_end_at_the_prefix(kind: Any) -> None:
    app = Quart(__name__)
    QuartTasks(app)

    @app.errorhandler(kind)
    async def mine(error: Exception) -> tuple[str, int]:
        return "mine", getattr(error, "code", 500)

    client = client_of(app)
    async with app.test_app():
        if kind != 405:
            response = await client.get("/nope")
            assert (response.status_code, await response.get_data()) == (404, b"mine")
        await problem(await client.get("/tasks/a/b/c"), 404)
        await problem(await client.put("/tasks"), 405)
        await problem(await client.get(f"/tasks/{NOBODY}"), 404, "task-not-found")
        await problem(await client.post("/tasks", data=b"", headers=JSON), 400)


# -- frames --------------------------------------------------------------------------------

NO_COMMANDS: list[tuple[Any, int]] = [
    (b"", 400), ("", 400), (" ", 400), (b"\x00", 400), (b"\xff\xfe", 400), ("hello", 400),
    ("{", 400), ("\ud800", 400),
    ('{"type": "cancel", "id": NaN}', 400), ('{"ref": "\\ud800"}', 400),
    ("[" * 100_000, 400), ("\ufeff{}", 400), ("null", 422),
    ("5", 422), ('"subscribe"', 422), ("[]", 422), ("{}", 422), ('{"type": null}', 422),
    ('{"type": 5}', 422), ('{"type": "nope"}', 422), ('{"type": "cancel"}', 422),
    ('{"type": "cancel", "id": 5}', 422), ('{"type": "cancel", "id": "x"}', 404),
    ('{"type": "subscribe"}', 422), ('{"type": "subscribe", "ids": 5}', 422),
    ('{"type": "subscribe", "ids": [5]}', 422), ('{"type": "subscribe", "all": "yes"}', 422),
    ('{"type": "subscribe", "all": true, "after": 5}', 422), ('{"type": "unsubscribe"}', 422),
    ('{"type": "submit"}', 422), ('{"type": "submit", "tasks": 5}', 422),
    ('{"type": "submit", "tasks": [5]}', 422), ('{"type": "submit", "tasks": [{}]}', 422),
    ('{"type": "submit", "tasks": [{"name": "nope"}]}', 422), (b'{"type": "nope"}', 422),
    ('{"type": "submit", "tasks": [{"name": "add"}, {"name": "echo"}]}', 422),
    (json.dumps({"type": "submit", "tasks": [{"name": "echo"}] * 1001}), 422),
    ("x" * (MIB + 1), 413), (b" " * (MIB + 1), 413), ("é" * (MIB // 2 + 1), 413),
]  # fmt: skip


@pytest.mark.parametrize(("frame", "status"), NO_COMMANDS, ids=lambda each: repr(each)[:30])
def test_a_frame_that_is_no_command_gets_an_error_and_the_socket_stays(
    world: World, frame: Any, status: int
) -> None:
    before = world.count()

    async def talk() -> None:
        async with Socket(world.app, "/tasks/socket") as socket:
            answer = await socket.ask(frame)
            assert answer["type"] == "error"
            check_problem(answer["data"], status)
            await check_alive(socket)

    world.run(talk())
    assert world.count() == before


async def check_alive(socket: Socket) -> None:
    """That a command socket still answers; answers to what came before may come first."""
    socket.send({"type": "cancel", "ref": "the last", "id": NOBODY})
    frame = await socket.receive()
    while frame.get("ref") != "the last":
        frame = await socket.receive()
    assert frame["type"] == "error"
    check_problem(frame["data"], 404, "task-not-found")


@pytest.mark.parametrize(
    "ref", [None, 5, "", {"a": [1]}, "\U0001f340", 10**25, nested(50).decode()]
)
def test_an_error_repeats_the_ref(world: World, ref: Any) -> None:
    async def talk() -> None:
        async with Socket(world.app, "/tasks/socket") as socket:
            for command in ({"type": "nope", "ref": ref}, {"type": "cancel", "ref": ref}):
                answer = await socket.ask(command)
                assert answer["ref"] == ref

    world.run(talk())


def test_a_ref_nested_deeply_is_an_error_and_no_end(world: World) -> None:
    async def talk() -> None:
        async with Socket(world.app, "/tasks/socket") as socket:
            for depth in (100, 500, *range(940, 1000), 9_999, 100_000):
                socket.send(b'{"type": "nope", "ref": %s}' % nested(depth))
                assert '"type":"error"' in await socket.receive_text()  # json would nest as deeply
            await check_alive(socket)

    world.run(talk())


@pytest.mark.parametrize("route", [each for each in ROUTES if each.method == WEBSOCKET],
                         ids=lambda route: route.rule)  # fmt: skip
def test_empty_frames_are_harmless_everywhere(world: World, route: Route) -> None:
    path = path_of(route.rule, world.id("running"))

    async def talk() -> None:
        async with Socket(world.app, path) as socket:
            for frame in (b"", "", b"", b"\x00"):
                socket.send(frame)
            first = await socket.receive()
            assert first["type"] in ("error", "snapshot")

    world.run(talk())


@pytest.mark.parametrize(
    ("path", "status"),
    [("/tasks", 405), ("/tasks/", 405), ("/tasks/types", 405), ("/tasks/a/b/c", 404),
     (f"/tasks/{NOBODY}/events", 404), (f"/tasks/{NOBODY}", 405), ("/tasks/%ff/events", 404)],
)  # fmt: skip
def test_a_socket_where_there_is_none_is_refused_with_a_frame(
    world: World, path: str, status: int
) -> None:
    async def talk() -> None:
        async with Socket(world.app, path) as socket:
            refusal = await socket.refusal()
            # Routers differ about a path that is there for another protocol.
            assert refusal["status"] in {status, 404 if status == 405 else status, 400}

    world.run(talk())


# -- anything at all -----------------------------------------------------------------------
# The same few examples in each run; many and, but for CI, new ones with `-m long`.

FEW = pytest.param(60, id="few")
MANY = pytest.param(3000, id="many", marks=[pytest.mark.long, pytest.mark.timeout(900)])
sizes = pytest.mark.parametrize("examples", [FEW, MANY])


def search(examples: int) -> settings:
    return settings(
        max_examples=examples, derandomize=examples < 1000 or "CI" in os.environ, database=None,
        deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip


texts = st.text(st.characters(), max_size=20)  # lone surrogates too
printable = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | texts
    | st.sampled_from([2**63, 2**64, -(2**63) - 1, 1e308, "echo", "add", NOBODY])
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(["echo", "add", "hold", "nobody"]) | values
times = st.datetimes().map(lambda time: time.isoformat() + "Z")
# Not so short that a task of no seconds may miss them, or a delayed one while a test looks at it.
spans = scalars.filter(lambda value: not (isinstance(value, int | float) and 0 < value < 600))
options = st.fixed_dictionaries(
    {},
    optional={
        "delay": scalars, "eta": times | scalars, "expires": spans, "priority": scalars,
        "timeout": spans, "retries": scalars, "key": texts | values, "x": values,
    },
)  # fmt: skip
submissions = st.fixed_dictionaries(
    {"name": names},
    optional={
        "args": st.lists(values, max_size=3) | values,
        "kwargs": st.dictionaries(st.sampled_from(["a", "b", "scale", "value"]) | texts, values)
        | values,
        "options": options | values, "idempotency_key": texts | values,
    },
)  # fmt: skip
filters = st.fixed_dictionaries(
    {},
    optional={
        "ids": st.lists(texts) | values, "state": st.just("succeeded") | values, "name": names,
        "q": texts | values,
    },
)  # fmt: skip
commands = st.fixed_dictionaries(
    {"type": st.sampled_from(["subscribe", "unsubscribe", "submit", "cancel"]) | values},
    optional={
        "ref": values, "id": texts | values, "ids": st.lists(texts) | values,
        "names": st.lists(names) | values, "all": st.booleans() | values, "after": texts | values,
        "tasks": st.lists(submissions | values, max_size=4) | values,
    },
)  # fmt: skip


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()  # NaN, Infinity and lone surrogates among it


batches = st.fixed_dictionaries({"tasks": st.lists(submissions | values, max_size=4) | values})
documents = (values | submissions | batches | filters).map(encoded)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """JSON with something in its place or cut off."""
    data = draw(documents)
    start = draw(st.integers(0, len(data)))
    end = draw(st.integers(start, len(data)))
    return data[:start] + draw(st.binary(max_size=8)) + data[end:]


bodies = documents | damaged() | st.binary(max_size=200)

# h11, and so Hypercorn, lets no others through.
visible = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
header_text = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=30)
numbers = st.integers(-5, 10**20).map(str) | st.sampled_from(["", "nan", "1e5", "0.5"])
query_values = (
    numbers | st.text(visible, max_size=20) | texts.map(lambda text: quote(text, errors="replace"))
)
query_names = ["state", "name", "parent_id", "q", "limit", "before", "after", "id"]
pairs = st.tuples(st.sampled_from(query_names) | st.text(visible, max_size=5), query_values)
queries = st.lists(pairs, max_size=4).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs).encode()
) | st.text(visible, max_size=30).map(str.encode)  # fmt: skip

headers = st.fixed_dictionaries(
    {},
    optional={
        "Content-Type": st.just("application/json") | header_text,
        "Idempotency-Key": header_text,
        "If-None-Match": header_text,
        "Prefer": st.sampled_from(["wait=0", "wait=", "respond-async", 'wait="']) | header_text,
        "Last-Event-ID": header_text,
        "Accept": header_text,
    },
)  # fmt: skip
ids = st.sampled_from(["running", "ended", NOBODY]) | st.text(visible, min_size=1, max_size=40)
http_routes = st.sampled_from([route for route in ROUTES if route.method != WEBSOCKET])
socket_routes = st.sampled_from([route for route in ROUTES if route.method == WEBSOCKET])
answers = http_routes.filter(lambda route: not route.view.__module__.endswith(".streams"))


def concrete(world: World, route: Route, id: str) -> str:
    if id in ("running", "ended"):
        id = world.id(id)
    return path_of(route.rule, id.replace("?", "%3F"))


def request_of(world: World, route: Route, id: str, body: bytes, query: bytes, given: Any) -> None:
    """Send it; what answers must not be a 5xx, and a refusal must leave no record."""
    path = concrete(world, route, id)

    async def ask() -> None:
        connection: Any = world.client.request(
            path, method=route.method, headers=given, scope_base={"query_string": query}
        )
        async with connection:
            await connection.send(body)
            await connection.send_complete()
            piece = await connection.receive()
            await connection.disconnect()
        if connection.status_code >= 400:
            assert connection.status_code < 500
            assert connection.headers["Content-Type"] == PROBLEM
            check_problem(json.loads(piece), connection.status_code)
            assert world.count() == before

    before = world.count()
    world.run(ask())


@sizes
def test_any_body_to_any_route(world: World, examples: int) -> None:
    @search(examples)
    @given(http_routes, ids, bodies)
    def holds(route: Route, id: str, body: bytes) -> None:
        request_of(world, route, id, body, b"", JSON)

    holds()


@sizes
def test_any_query_and_headers_to_any_route(world: World, examples: int) -> None:
    @search(examples)
    @given(http_routes, ids, queries, headers, documents)
    def holds(route: Route, id: str, query: bytes, given: dict[str, str], body: bytes) -> None:
        request_of(world, route, id, body, query, given)

    holds()


@sizes
def test_any_submission_that_is_accepted_ends_and_can_be_read(
    quiet_world: World, examples: int
) -> None:
    """Only refusals may be strange."""
    world = quiet_world  # where no key leads to what another test has cancelled, or let expire

    async def ask(body: bytes, key: dict[str, str]) -> None:
        response = await world.client.post("/tasks", data=body, headers={**JSON, **key})
        if response.status_code == 202:
            url = response.headers["Location"]
            assert (await world.client.get(url)).status_code == 200
            assert (await world.client.get(f"{url}/result")).status_code in (200, 202)
            async with Socket(world.app, f"{url}/events") as socket:
                assert (await socket.receive())["type"] == "snapshot"
            assert (await world.client.post(f"{url}/cancel")).status_code in (200, 202)
            await ended(world.client, url.removeprefix("/tasks/"))
            assert (await world.client.delete(url)).status_code == 204  # its keys are free again
        assert (await world.client.get("/tasks?limit=1")).status_code == 200

    @search(examples)
    @given(
        submissions.map(encoded),
        st.fixed_dictionaries({}, optional={"Idempotency-Key": st.text(printable, max_size=20)}),
    )
    def holds(body: bytes, key: dict[str, str]) -> None:
        world.run(ask(body, key))

    holds()


frames = st.lists(
    commands.map(encoded).map(bytes.decode) | texts | st.binary(max_size=50) | damaged()
    | values.map(encoded),
    min_size=1, max_size=6,
)  # fmt: skip


@sizes
def test_any_frames_to_any_socket(world: World, examples: int) -> None:
    async def talk(route: Route, path: str, query: bytes, sent: list[Any]) -> None:
        async with Socket(world.app, path, query=query) as socket:
            for frame in sent:
                socket.send(frame)
            if route.rule == "/socket":
                await check_alive(socket)
            else:
                assert (await socket.receive())["type"] in ("snapshot", "state")

    @search(examples)
    @given(socket_routes, st.sampled_from([b"", b"after=x", b"id=%ff", b"x"]), frames)
    def holds(route: Route, query: bytes, sent: list[Any]) -> None:
        world.run(talk(route, concrete(world, route, "running"), query, sent))

    holds()


@sizes
def test_a_refused_command_leaves_no_record(world: World, examples: int) -> None:
    async def talk(frame: bytes, before: int) -> None:
        async with Socket(world.app, "/tasks/socket") as socket:
            socket.send(frame)
            answer = await socket.receive()
            if answer["type"] == "error":
                check_problem(answer["data"], answer["data"]["status"])
                assert answer["data"]["status"] < 500
                assert world.count() == before

    @search(examples)
    @given(commands.map(encoded) | damaged())
    def holds(frame: bytes) -> None:
        world.run(talk(frame, world.count()))

    holds()


# -- a real server -------------------------------------------------------------------------


class Server:
    """`quart-tasks serve` in a process of its own."""

    def __init__(self, log: Path) -> None:
        self.log = log
        command = [sys.executable, "-m", "quart_tasks", "serve", "tests.bad_input_app:app"]
        with log.open("a") as errors:
            self.process = subprocess.Popen(
                [*command, "--port", "0"], cwd=ROOT, stdout=subprocess.PIPE, stderr=errors,
                env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
            )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found is not None, (line, log.read_text())
        self.port = int(found[1])

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=HANG)

    def exchange(self, *data: bytes) -> tuple[int, str, bytes]:
        """Send these bytes; status, content type and body of the answer."""
        with self.connect() as client:
            try:
                for each in data:
                    client.sendall(each)
            except OSError:
                pass  # it may have answered and closed before it has read all
            response = http.client.HTTPResponse(client)
            response.begin()
            return response.status, response.getheader("Content-Type", ""), response.read()

    def get(self, path: str) -> Any:
        status, _, body = self.exchange(request(f"GET {path} HTTP/1.1"))
        assert status == 200
        return json.loads(body)

    def count(self) -> int:
        return sum(self.get("/tasks/stats")["states"].values())

    def websocket(self, path: str) -> websockets.sync.client.ClientConnection:
        url = f"ws://127.0.0.1:{self.port}{path}"
        # Without pings, for which it draws on `random`: hypothesis must have that to itself.
        return websockets.sync.client.connect(
            url, open_timeout=HANG, max_size=None, ping_interval=None
        )

    def errors(self) -> str:
        text = self.log.read_text()
        return text if "Traceback" in text or "ERROR" in text else ""


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [line, "Host: localhost", *headers, "Connection: close", "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server") / "log")
    try:
        yield server
    finally:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.stdout is not None
        server.process.stdout.close()
        assert server.process.wait(HANG) == 0


@pytest.fixture
def server(started: Server) -> Iterator[Server]:
    """The server, with nothing in its log that this test has caused."""
    started.log.open("w").close()
    yield started
    assert started.count() >= 0  # an answer: what came before it has been logged by now
    assert started.errors() == ""


@pytest.mark.parametrize(
    "target",
    ["?x", "?", "?x=1&y", "??", "?%", "http://[/tasks", "http://[", "http://[::1/tasks",
     "http://\x7f/tasks"],
)  # fmt: skip
def test_a_request_line_without_a_path_is_400(server: Server, target: str) -> None:
    status, kind, body = server.exchange(request(f"GET {target} HTTP/1.1"))
    assert status == 400
    if body:  # h11 has none for what is no HTTP at all
        assert kind == PROBLEM
        check_problem(json.loads(body), 400)


@pytest.mark.parametrize(
    "query",
    ["%", "%zz", "%ff%fe", "&&==&", "=", "a=%00", "q=%", "q=%f0%9f", "?", "a[]=1",
     "q=" + "x" * 9000, ";", "q=%ed%a0%80", "{}", "q=\\", "q='\"<>"],
)  # fmt: skip
def test_a_broken_query_is_read_as_far_as_it_goes(server: Server, query: str) -> None:
    for path in ("/tasks", f"/tasks/{NOBODY}", "/tasks/types"):
        status, kind, body = server.exchange(request(f"GET {path}?{query} HTTP/1.1"))
        if path.endswith(NOBODY):
            assert (status, kind) == (404, PROBLEM)
            check_problem(json.loads(body), 404)
        else:
            assert (status, kind) == (200, "application/json")


@pytest.mark.parametrize(
    "target",
    ["http://localhost/tasks/a/b/c", "https://other/tasks/a/b/c", "//tasks/a/b/c",
     "/tasks/a/b/c", "/%74asks/a/b/c", "tasks/a/b/c", "http:/tasks/a/b/c", "///tasks/a/b/c"],
)  # fmt: skip
def test_each_spelling_of_the_prefix_gives_problems(server: Server, target: str) -> None:
    status, kind, body = server.exchange(request(f"GET {target} HTTP/1.1"))
    assert (status, kind) in ((404, PROBLEM), (400, PROBLEM)), body
    check_problem(json.loads(body), status)


SPELLINGS = ["/tasks", "/tasks/", "//tasks", "http://localhost/tasks", "tasks", "/%74asks"]


@pytest.mark.parametrize("target", SPELLINGS)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_body_too_large_is_413(server: Server, target: str, chunked: bool) -> None:
    before = server.count()
    body = (ECHO % b"1").ljust(MIB + 1)
    line, kind = f"POST {target} HTTP/1.1", "Content-Type: application/json"
    if chunked:
        half = MIB // 2
        chunks = [body[:half], body[half:MIB], body[MIB:]]
        data = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks] + [b"0\r\n\r\n"]
        head = request(line, kind, "Transfer-Encoding: chunked")
    else:
        data, head = [body], request(line, kind, f"Content-Length: {len(body)}")
    status, kind, answer = server.exchange(head, *data)
    if target.startswith(("//", "http", "tasks")) and status in (400, 404):
        assert kind == PROBLEM  # an unusual spelling may as well be refused
    else:
        assert (status, kind) == (413, PROBLEM)
        check_problem(json.loads(answer), 413)
    assert server.count() == before


def test_a_chunked_body_without_an_end_is_413_before_its_end(server: Server) -> None:
    head = request(
        "POST /tasks HTTP/1.1", "Content-Type: application/json", "Transfer-Encoding: chunked"
    )
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    status, kind, _ = server.exchange(head, chunk * 17)
    assert (status, kind) == (413, PROBLEM)


def test_a_body_that_breaks_off_on_a_real_connection_leaves_nothing(server: Server) -> None:
    before = server.count()
    body = b'{"name": "echo"}'
    for length, sent in (
        ("Content-Length: 99", body),
        ("Transfer-Encoding: chunked", b"10\r\n" + body),
    ):
        head = request("POST /tasks HTTP/1.1", "Content-Type: application/json", length)
        with server.connect() as client:
            client.sendall(head + sent)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):  # to the end
                pass
    assert server.count() == before


@pytest.mark.parametrize(
    ("line", "status"),
    [("BREW /tasks HTTP/1.1", 405), ("TRACE /tasks HTTP/1.1", 405), ("PUT /tasks HTTP/1.0", 405),
     ("GET /tasks/%ff HTTP/1.1", 404), ("GET /tasks/%00 HTTP/1.1", 404),
     ("GET /tasks/%0d%0aX:%20y HTTP/1.1", 404), ("GET /tasks/..%2f HTTP/1.1", 404),
     (f"GET /tasks/{'a' * 9000} HTTP/1.1", 404)],
)  # fmt: skip
def test_refusals_through_a_real_server(server: Server, line: str, status: int) -> None:
    got, kind, body = server.exchange(request(line))
    assert (got, kind) == (status, PROBLEM)
    check_problem(json.loads(body), status)


def test_headers_in_no_encoding_are_read(server: Server) -> None:
    head = (
        b"POST /tasks HTTP/1.1\r\nHost: \xff\r\nContent-Type: application/json\r\n"
        b"Idempotency-Key: \xff\xfe\r\nPrefer: \xff\r\nIf-None-Match: \xff\r\nCookie: \xff=\xff\r\n"
        b"Accept: \xff\r\nAuthorization: \xff \xff\r\nContent-Length: 16\r\n"
        b"Connection: close\r\n\r\n"
    )
    status, _, body = server.exchange(head, b'{"name": "echo"}')
    assert status in (202, 400), body


def test_the_apps_own_answers_stay_as_they_are_on_a_server(server: Server) -> None:
    assert server.exchange(request("GET /own HTTP/1.1"))[2] == b"own"
    assert server.exchange(request("GET http://localhost/own HTTP/1.1"))[2] == b"own"
    status, kind, _ = server.exchange(request("GET /nope HTTP/1.1"))
    assert (status, kind) == (404, "text/html; charset=utf-8")
    with server.websocket("/own") as socket:
        assert socket.recv(HANG) == "own"
    with pytest.raises(websockets.exceptions.InvalidStatus) as refusal:
        server.websocket("/nope")
    assert refusal.value.response.status_code == 404


@pytest.mark.parametrize("path", ["/tasks/socket", "//tasks/socket", "/%74asks/socket"])
def test_an_empty_binary_frame_on_a_real_socket(server: Server, path: str) -> None:
    with server.websocket(path) as socket:
        for frame in (b"", "", b"", "no JSON"):
            socket.send(frame)
            answer = json.loads(socket.recv(HANG))
            assert answer["type"] == "error"
            check_problem(answer["data"], answer["data"]["status"])
            if answer["data"]["status"] == 404:
                break  # this spelling of the path is refused


def upgrade(target: str) -> bytes:
    return "\r\n".join([
        f"GET {target} HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "", "",
    ]).encode()  # fmt: skip


FRAME = b"\x81\x82\x00\x00\x00\x00{}"  # text, masked with zeros


@pytest.mark.parametrize(
    "target",
    ["?x", "tasks/socket", "http://localhost/tasks/socket", "http://[/tasks/socket",
     "//tasks/socket", "/tasks//socket", "/tasks/%ff/events", "/tasks/socket?%ff&&=="],
)  # fmt: skip
def test_an_upgrade_with_a_strange_target_breaks_nothing(server: Server, target: str) -> None:
    with server.connect() as client:
        client.sendall(upgrade(target))
        with client.makefile("rb") as answer:
            status = int(answer.readline().split()[1])
            assert status == 101 or 400 <= status < 500
            if status == 101:
                with suppress(OSError):  # a refusal may have closed it by now
                    client.sendall(FRAME)
                    client.shutdown(socket.SHUT_WR)
                answer.read()  # whatever there is, to the end


def test_frames_that_are_no_utf_8_or_too_large_end_only_their_socket(server: Server) -> None:
    with server.websocket("/tasks/socket") as kept:
        with server.websocket("/tasks/socket") as socket:
            socket.send(b"\xff\xfe", text=True)
            with pytest.raises(websockets.exceptions.ConnectionClosed):
                socket.recv(HANG)
        with server.websocket("/tasks/socket") as socket:
            socket.send(" " * (MIB + 1))
            with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
                socket.recv(HANG)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009
        kept.send("{}")
        assert json.loads(kept.recv(HANG))["type"] == "error"


@sizes
def test_any_frames_over_a_real_socket(server: Server, examples: int) -> None:
    with server.websocket("/tasks/socket") as socket:

        @search(examples)
        @given(frames)
        def holds(sent: list[Any]) -> None:
            for frame in sent:
                if isinstance(frame, str):
                    frame = frame.encode("utf-8", "replace").decode()
                socket.send(frame)
            socket.send(json.dumps({"type": "unsubscribe", "ref": "quiet", "all": True}))
            socket.send(json.dumps({"type": "cancel", "ref": "the last", "id": NOBODY}))
            while (answer := json.loads(socket.recv(HANG))).get("ref") != "the last":
                pass
            check_problem(answer["data"], 404)

        holds()


@sizes
def test_any_bytes_over_a_real_connection(server: Server, examples: int) -> None:
    @search(examples)
    @given(answers, bodies, queries)
    def holds(route: Route, body: bytes, query: bytes) -> None:
        target = f"{path_of(route.rule, NOBODY)}?{query.decode()}"
        head = request(
            f"{route.method} {target} HTTP/1.1", "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        )  # fmt: skip
        status, kind, answer = server.exchange(head + body)
        assert status < 500
        if status >= 400:
            assert kind == PROBLEM
            check_problem(json.loads(answer), status)

    holds()
