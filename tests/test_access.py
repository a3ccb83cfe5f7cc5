"""Who may do what, tried on every route: the matrix is made from the route table, so that a new
route is in it from its first day."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from quart import Quart, abort, has_request_context, request, websocket
from quart.testing import QuartClient as Client

from quart_tasks import QuartTasks, Record
from quart_tasks.web.blueprint import ROUTES, WEBSOCKET, Route

from .waiting import until_state
from .web import JSON, PROBLEM, Socket, check_problem, client_of

TOKEN = "a-token-of-many-letters"
NOBODY = "00000000-0000-7000-8000-000000000000"
HOST = "localhost"  # what test clients send
SAFE = ("GET", "HEAD", "OPTIONS")

OPEN = {("/tasks/ui", "GET"), ("/tasks/ui/<path:name>", "GET")}  # the dashboard, for all

BODIES: dict[str, Any] = {  # of what takes one; a route without is sent an empty object
    "": {"name": "echo"},
    "/batch": {"tasks": [{"name": "echo"}, {"name": "hold"}]},
    "/cancel": {"state": "running"},
    "/retry": {"state": "succeeded"},
}

Hook = Callable[[str, str | None, Record | None], Awaitable[str | None]]
Headers = dict[str, str]

every_route = pytest.mark.parametrize("route", ROUTES, ids=lambda each: f"{each.method}{each.rule}")


class Answer(NamedTuple):
    """What a request got; a socket that is not refused counts as 101."""

    status: int
    headers: Headers
    problem: dict[str, Any] | None


class World:
    """An app with one task that runs and one that has ended, of nobody."""

    def __init__(self, hook: Hook | None = None, **config: Any) -> None:
        self.app = Quart(__name__)
        self.app.config.update({"TASKS_DRAIN_TIMEOUT": 0, **config})
        self.tasks = QuartTasks(self.app)
        self.running = self.ended = ""

        @self.tasks.task
        async def echo(value: Any = None) -> Any:
            return value

        @self.tasks.task
        async def hold(value: Any = None) -> None:
            await asyncio.Event().wait()

        @self.tasks.task
        async def parent() -> str:
            return (await self.tasks.submit("echo", "child")).id

        if hook is not None:
            self.tasks.authorize(hook)

    async def prepare(self) -> None:
        running, ended = await self.tasks.submit("hold"), await self.tasks.submit("echo", 5)
        self.running, self.ended = running.id, ended.id
        await until_state(running, "running")
        await ended

    @property
    def client(self) -> Client:
        return client_of(self.app)

    def state(self) -> list[tuple[str, str]]:
        """What changes with any task and with any change of one."""
        return [(record.id, record.cursor) for record in self.tasks.list(limit=500)]

    async def send(
        self, route: Route, headers: Headers | None = None, *, id: str = "", body: Any = None,
        prefix: str = "/tasks", method: str = "",
    ) -> Answer:  # fmt: skip
        """A request or handshake as the route wants it."""
        if not id:
            wants_end = route.method == "DELETE" or route.rule == "/<id>/retry"
            id = self.ended if wants_end else self.running
        path = prefix + route.rule.replace("<id>", id)
        if route.method == WEBSOCKET:
            return await self.connect(path, headers or {})
        if body is None:
            body = BODIES.get(route.rule, {})
        return await self.request(path, method or route.method, headers or {}, body)

    async def request(self, path: str, method: str, headers: Headers, body: Any = None) -> Answer:
        connection: Any = self.client.request(path, method=method, headers={**JSON, **headers})
        async with connection:
            if method not in SAFE:
                await connection.send(body if isinstance(body, bytes) else encoded(body))
            await connection.send_complete()
            piece = await connection.receive()
            await connection.disconnect()
        got = {name.title(): value for name, value in connection.headers.items()}
        status = connection.status_code
        if status < 400:
            return Answer(status, got, None)
        assert got["Content-Type"] == PROBLEM
        return Answer(status, got, check_problem(json.loads(piece), status) if piece else None)

    async def connect(self, path: str, headers: Headers) -> Answer:
        async with Socket(self.app, path, headers) as socket:
            socket.send({"type": "cancel", "ref": "probe", "id": NOBODY})  # for a silent one
            frame = await socket.receive()
            if frame["type"] != "error" or frame["ref"] == "probe":
                return Answer(101, {}, None)
            refusal = await socket.refusal(frame)
        return Answer(refusal["status"], {}, refusal)


def encoded(body: Any) -> bytes:
    return json.dumps(body).encode()


@asynccontextmanager
async def serving(hook: Hook | None = None, **config: Any) -> AsyncIterator[World]:
    world = World(hook, **config)
    async with world.app.test_app():
        await world.prepare()
        yield world


async def check_refused(world: World, route: Route, status: int, **request: Any) -> Answer:
    """That a request is refused, and has done nothing."""
    before = world.state()
    answer = await world.send(route, **request)
    assert answer.status == status, answer
    assert world.state() == before
    return answer


async def check_passes(world: World, route: Route, headers: Headers | None = None) -> None:
    answer = await world.send(route, headers)
    assert answer.status < 400, answer


def bearer(token: str, scheme: str = "Bearer") -> Headers:
    return {"Authorization": f"{scheme} {token}"}


# -- the table -----------------------------------------------------------------------------


def rules(app: Quart) -> list[tuple[str, str, str]]:
    """Path, method and endpoint of all that an app routes."""
    return [
        (rule.rule, method, rule.endpoint)
        for rule in app.url_map.iter_rules()
        for method in ([WEBSOCKET] if rule.websocket else rule.methods or ())
    ]


def test_the_route_table_is_what_the_app_routes() -> None:
    app = World().app
    ours = [each for each in rules(app) if each[2].startswith("quart_tasks.")]
    found = {(path.rstrip("/"), method) for path, method, _ in ours if method not in SAFE[1:]}
    assert found - OPEN == {(f"/tasks{route.rule}", route.method) for route in ROUTES}
    under_the_prefix = [each for each in rules(app) if each[0].startswith("/tasks")]
    assert sorted(under_the_prefix) == sorted(ours)
    assert {route.method for route in ROUTES} == {"GET", "POST", "DELETE", WEBSOCKET}


# -- the token -----------------------------------------------------------------------------

NOT_THE_TOKEN: dict[str, Headers] = {
    "nothing": {},
    "another": bearer("another"),
    "empty": {"Authorization": ""},
    "no token": bearer(""),
    "no scheme": {"Authorization": TOKEN},
    "another scheme": bearer(TOKEN, "Basic"),
    "one letter less": bearer(TOKEN[:-1]),
    "one letter more": bearer(TOKEN + "x"),
    "capitals": bearer(TOKEN.upper()),
    "twice": bearer(f"{TOKEN} {TOKEN}"),
    "beyond ASCII": bearer("\xff\u20ac"),
    "another header": {"X-Authorization": f"Bearer {TOKEN}", "Cookie": f"token={TOKEN}"},
}


@every_route
async def test_without_the_token_nothing_passes(route: Route) -> None:
    async with serving(TASKS_TOKEN=TOKEN) as world:
        for headers in NOT_THE_TOKEN.values():
            answer = await check_refused(world, route, 401, headers=headers)
            if route.method != WEBSOCKET:
                assert answer.headers["Www-Authenticate"].lower().startswith("bearer")
            assert answer.problem is not None
            assert TOKEN not in answer.problem["detail"]
        await check_refused(world, route, 401, id=NOBODY)
        if route.method != WEBSOCKET:
            for body in (b"", b"no JSON", b"{}"):
                await check_refused(world, route, 401, body=body)


@every_route
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_with_the_token_everything_passes(route: Route, scheme: str) -> None:
    async with serving(TASKS_TOKEN=TOKEN) as world:
        await check_passes(world, route, bearer(TOKEN, scheme))


@every_route
async def test_without_a_token_to_ask_for_everything_passes(route: Route) -> None:
    async with serving() as world:
        await check_passes(world, route)


@every_route
@pytest.mark.parametrize(
    "prefix", ["/tasks", "//tasks", "///tasks", "tasks", "http://localhost/tasks", "http:/tasks"]
)
async def test_no_spelling_of_a_route_passes_without_the_token(route: Route, prefix: str) -> None:
    async with serving(TASKS_TOKEN=TOKEN) as world:
        for end in ("", "/"):
            before = world.state()
            spelled = Route(route.rule + end, route.method, route.action, route.view, route.asks)
            if route.method == WEBSOCKET:
                answer = await world.send(spelled, prefix=prefix)
                assert answer.status in (400, 401, 404), answer
            for method in () if route.method == WEBSOCKET else (route.method, "HEAD", "OPTIONS"):
                answer = await world.send(spelled, prefix=prefix, method=method)
                assert answer.status in (400, 401, 404, 405), (method, answer)
            assert world.state() == before


# -- the origin ----------------------------------------------------------------------------

FOREIGN = [
    "http://evil.example", "https://evil.example", "null", "", "x", HOST, f"//{HOST}",
    f"http://{HOST}.evil.example", f"http://evil.{HOST}", f"http://{HOST}:81", f"http://x@{HOST}",
    f"http://{HOST}@evil.example", "http://[", "http://", f"http://{HOST}:x", "http://app.example",
    "https://app.example.evil", "https://app.example:444", "https://xapp.example", "file://",
    f"capacitor://{HOST}", f"tauri://{HOST}", f"ftp://{HOST}",
]  # fmt: skip
ALLOWED = ("https://app.example", "http://127.0.0.1:5173")


@every_route
async def test_a_page_of_another_site_changes_nothing_and_opens_no_socket(route: Route) -> None:
    async with serving(TASKS_ALLOWED_ORIGINS=ALLOWED) as world:
        for origin in FOREIGN:
            headers = {"Origin": origin}
            if route.method == "GET":  # a browser keeps the answer from that page
                await check_passes(world, route, headers)
            else:
                await check_refused(world, route, 403, headers=headers)


@every_route
@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (None, HOST), (f"http://{HOST}", HOST), (f"https://{HOST}", HOST),
        (f"http://{HOST}:8000", f"{HOST}:8000"), ("http://[::1]:8000", "[::1]:8000"),
        ("http://shop.example", "shop.example:80"), ("https://shop.example:443", "shop.example"),
        *((allowed, HOST) for allowed in ALLOWED),
    ],
)  # fmt: skip
async def test_the_apps_own_pages_and_allowed_ones_pass(
    route: Route, origin: str | None, host: str
) -> None:
    async with serving(TASKS_ALLOWED_ORIGINS=ALLOWED) as world:
        headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
        await check_passes(world, route, headers)


@every_route
async def test_the_token_does_not_let_another_sites_page_in(route: Route) -> None:
    async with serving(TASKS_TOKEN=TOKEN) as world:
        if route.method != "GET":
            headers = {**bearer(TOKEN), "Origin": "http://evil.example"}
            await check_refused(world, route, 403, headers=headers)
            await check_refused(world, route, 403, headers={**headers, "Origin": "null"})
        await check_passes(world, route, {**bearer(TOKEN), "Origin": f"http://{HOST}"})


# -- the hook ------------------------------------------------------------------------------

BAD_BODIES: list[Any] = [
    b"", b"no JSON", [], {}, {"name": "nobody"}, {"name": "echo", "args": [1, 2, 3]},
    {"tasks": []}, {"tasks": [1]}, {"tasks": [{"name": "nobody"}]}, {"q": ""}, {"ids": []},
]  # fmt: skip


@every_route
@pytest.mark.parametrize("status", [401, 403])
async def test_what_the_hook_aborts_is_refused(route: Route, status: int) -> None:
    async def hook(action: str, name: str | None, record: Record | None) -> None:
        abort(status, "Ask the owner of this shop.")

    async with serving(hook) as world:
        answer = await check_refused(world, route, status)
        assert answer.problem is not None
        assert answer.problem["detail"] == "Ask the owner of this shop."
        await check_refused(world, route, status, id=NOBODY)
        if route.method not in SAFE and route.method != WEBSOCKET:
            for body in BAD_BODIES:  # who may not do it is not told what is wrong with it
                await check_refused(world, route, status, body=body)


@every_route
async def test_the_hook_counts_and_the_token_does_not(route: Route) -> None:
    async def hook(action: str, name: str | None, record: Record | None) -> None: ...

    async with serving(hook, TASKS_TOKEN=TOKEN) as world:
        if route.method != "GET":
            await check_refused(world, route, 403, headers={"Origin": "http://evil.example"})
        await check_passes(world, route, bearer("another"))


class Asked:
    """A hook that notes what it is asked, and refuses the actions that it is told to."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str | None, Record | None]] = []
        self.refused: set[str] = set()

    async def __call__(self, action: str, name: str | None, record: Record | None) -> None:
        connection = request if has_request_context() else websocket
        assert connection.headers["X-Who"] == "me"
        self.calls.append((action, name, record))
        if action in self.refused:
            abort(403)

    def take(self) -> list[tuple[str, str | None, str | None]]:
        """Action, name and the record's id of each call since the last look."""
        calls, self.calls = self.calls, []
        return [
            (action, name, None if record is None else record.id) for action, name, record in calls
        ]


@asynccontextmanager
async def asking() -> AsyncIterator[tuple[World, Asked]]:
    asked = Asked()

    async def hook(action: str, name: str | None, record: Record | None) -> None:
        await asked(action, name, record)

    async with serving(hook) as world:
        yield world, asked


ME = {"X-Who": "me"}


@every_route
async def test_the_hook_is_asked_about_action_name_and_record(route: Route) -> None:
    async with asking() as (world, asked):
        before = {record.id: record for record in world.tasks.list()}
        await world.send(route, ME)
        calls = asked.calls
        if route.rule == "/socket":
            assert asked.take() == [("socket", None, None), ("cancel", None, None)]
        elif "<id>" in route.rule:
            [(action, name, record)] = calls
            assert action == route.action
            assert record is not None
            assert record == before[record.id]
            assert name == record.name
        elif route.action == "submit":
            submitted = BODIES[route.rule].get("tasks", [BODIES[route.rule]])
            assert asked.take() == [("submit", each["name"], None) for each in submitted]
        else:
            assert asked.take() == [(route.action, None, None)]


@every_route
async def test_the_hook_is_asked_about_an_id_that_is_not_there(route: Route) -> None:
    async with asking() as (world, asked):
        if "<id>" in route.rule:
            await check_refused(world, route, 404, headers=ME, id=NOBODY)
            assert asked.take() == [(route.action, None, None)]


async def test_each_refused_item_refuses_its_batch() -> None:
    async def hook(action: str, name: str | None, record: Record | None) -> None:
        if name == "hold":
            abort(403)

    [route] = [each for each in ROUTES if each.rule == "/batch"]
    async with serving(hook) as world:
        await check_refused(world, route, 403)
        answer = await world.send(route, body={"tasks": [{"name": "echo"}] * 2})
        assert answer.status == 202


async def test_each_message_of_a_socket_is_asked_about() -> None:
    async with asking() as (world, asked), Socket(world.app, "/tasks/socket", ME) as socket:
        echo = {"name": "echo"}
        for command, calls in (
            ({"type": "subscribe", "all": True}, [("events", None, None)]),
            ({"type": "unsubscribe", "all": True}, [("events", None, None)]),
            ({"type": "submit", "tasks": [echo, {"name": "hold"}]},
             [("submit", "echo", None), ("submit", "hold", None)]),
            ({"type": "submit", "tasks": []}, [("submit", None, None)]),
            ({"type": "cancel", "id": world.running}, [("cancel", "hold", world.running)]),
            ({"type": "cancel", "id": NOBODY}, [("cancel", None, None)]),
        ):  # fmt: skip
            asked.take()
            await socket.ask({"ref": 1, **command})
            assert asked.take() == calls, command


async def test_a_refused_message_is_an_error_with_its_ref_and_the_socket_stays() -> None:
    async with asking() as (world, asked), Socket(world.app, "/tasks/socket", ME) as socket:
        before = world.state()
        commands: list[tuple[str, dict[str, Any]]] = [
            ("submit", {"type": "submit", "tasks": [{"name": "echo"}]}),
            ("submit", {"type": "submit", "tasks": []}),
            ("cancel", {"type": "cancel", "id": world.running}),
            ("cancel", {"type": "cancel", "id": NOBODY}),
            ("events", {"type": "subscribe", "all": True}),
            ("events", {"type": "subscribe", "ids": [world.running]}),
            ("events", {"type": "unsubscribe", "all": True}),
        ]
        for number, (action, command) in enumerate(commands):
            asked.refused = {action}
            answer = await socket.ask({"ref": number, **command})
            assert (answer["type"], answer["ref"]) == ("error", number)
            check_problem(answer["data"], 403)
        assert world.state() == before
        asked.refused = {"socket"}  # only the handshake
        for number, (_, command) in enumerate(commands):
            if command.get("id") != NOBODY and not command.get("all"):
                socket.send({"ref": number, **command})
                while (await socket.receive()).get("ref") != number:
                    pass
        assert world.tasks.get(world.running).record.cancel_requested


def test_the_hook_must_be_async() -> None:
    tasks = QuartTasks()
    with pytest.raises(TypeError):
        tasks.authorize(lambda action, name, record: None)  # type: ignore[arg-type, return-value]


# -- owners --------------------------------------------------------------------------------


async def who(action: str, name: str | None, record: Record | None) -> str | None:
    """Everyone owns what they submit; root sees all."""
    connection = request if has_request_context() else websocket
    caller = connection.headers.get("X-Who")
    if caller is None:
        abort(401)
    return None if caller == "root" else caller


ALICE, BOB, ROOT = ({"X-Who": name} for name in ("alice", "bob", "root"))


class Household(World):
    """Its running and ended task are Alice's."""

    async def prepare(self) -> None:
        self.running = await self.submit(ALICE, "hold")
        self.ended = await self.submit(ALICE, "echo", args=[5])
        tag: Headers = {}
        for id, state in ((self.running, "running"), (self.ended, "succeeded")):
            record = await self.get(f"/tasks/{id}", ALICE)
            while record["state"] != state:
                tag = {"If-None-Match": f'"{record["cursor"]}"'}
                record = await self.get(f"/tasks/{id}?wait=60", {**ALICE, **tag})

    async def get(self, path: str, headers: Headers) -> Any:
        response = await self.client.get(path, headers=headers)
        assert response.status_code == 200
        return await response.get_json()

    async def post(self, path: str, headers: Headers, body: Any) -> Any:
        response = await self.client.post(path, headers=headers, json=body)
        assert response.status_code == 202, await response.get_data()
        return await response.get_json()

    async def submit(self, headers: Headers, name: str, **body: Any) -> str:
        return str((await self.post("/tasks", headers, {"name": name, **body}))["id"])

    async def listed(self, headers: Headers, query: str = "") -> list[str]:
        answer = await self.get(f"/tasks{query}", headers)
        return [record["id"] for record in answer["tasks"]]


@pytest.fixture
async def house() -> AsyncIterator[Household]:
    house = Household(who)
    async with house.app.test_app():
        await house.prepare()
        yield house


@every_route
async def test_anothers_task_is_not_there(house: Household, route: Route) -> None:
    if "<id>" in route.rule:
        answer = await check_refused(house, route, 404, headers=BOB)
        nobody = await check_refused(house, route, 404, headers=BOB, id=NOBODY)
        assert answer.problem == nobody.problem
    await check_passes(house, route, ALICE)


@every_route
async def test_a_caller_without_an_owner_sees_all(house: Household, route: Route) -> None:
    await check_passes(house, route, ROOT)


async def test_what_the_hook_returns_owns_the_new_task(house: Household) -> None:
    for headers, owner in ((ALICE, "alice"), (BOB, "bob"), (ROOT, None)):
        record = await house.post("/tasks", headers, {"name": "echo"})
        assert record["owner"] == owner
        batch = await house.post("/tasks/batch", headers, {"tasks": [{"name": "echo"}] * 2})
        assert [record["owner"] for record in batch["tasks"]] == [owner] * 2
        async with Socket(house.app, "/tasks/socket", headers) as socket:
            command = {"type": "submit", "ref": 1, "tasks": [{"name": "echo"}]}
            [record] = (await socket.ask(command))["data"]["tasks"]
            assert record["owner"] == owner
    retried = await house.post(f"/tasks/{house.ended}/retry", ALICE, None)
    assert retried["owner"] == "alice"


async def test_a_child_belongs_to_its_parents_owner(house: Household) -> None:
    parent = await house.submit(ALICE, "parent")
    record = await house.get(f"/tasks/{parent}?wait=60", ALICE)
    child = await house.get(f"/tasks/{record['result']}", ALICE)
    assert (child["owner"], child["parent_id"]) == ("alice", parent)
    assert (await house.client.get(f"/tasks/{child['id']}", headers=BOB)).status_code == 404
    assert await house.listed(BOB, f"?parent_id={parent}") == []


async def test_a_list_has_only_the_owners(house: Household) -> None:
    first = await house.submit(BOB, "hold")
    late = await house.submit(ALICE, "hold")
    alices = [late, house.ended, house.running]
    assert await house.listed(ALICE) == alices
    assert await house.listed(BOB) == [first]
    assert await house.listed(ROOT) == [late, first, house.ended, house.running]
    for query in (
        f"?q={house.running}", f"?q={house.running[:8]}", "?name=echo", "?state=succeeded",
        f"?before={late}", "?q=hold", f"?parent_id={house.running}",
    ):  # fmt: skip
        assert set(await house.listed(BOB, query)) <= {first}, query
    answer = await house.get("/tasks?limit=1", BOB)
    assert [record["id"] for record in answer["tasks"]] == [first]


async def test_bulk_requests_touch_only_the_owners(house: Household) -> None:
    mine = await house.submit(BOB, "hold")
    before = [each for each in house.state() if each[0] != mine]
    for action in ("cancel", "retry"):
        for filter in (
            {"ids": [house.running, house.ended]}, {"name": "echo"}, {"state": "succeeded"},
            {"q": house.running},
        ):  # fmt: skip
            assert await house.post(f"/tasks/{action}", BOB, filter) == {"count": 0}
    everyones = {"ids": [house.running, mine]}
    assert await house.post("/tasks/cancel", BOB, everyones) == {"count": 1}
    await house.get(f"/tasks/{mine}?wait=60", BOB)  # or root's request would find it unfinished
    assert [each for each in house.state() if each[0] != mine] == before
    assert await house.post("/tasks/cancel", ROOT, {"name": "hold"}) == {"count": 1}


async def test_keys_are_each_owners_own(house: Household) -> None:
    """Or a caller could find out, and get, what another has submitted."""
    body = {"name": "hold", "args": ["secret"], "options": {"key": "k"}, "idempotency_key": "i"}
    alices = await house.post("/tasks", ALICE, body)
    same = await house.post("/tasks", BOB, body)
    assert (same["owner"], same["id"] != alices["id"]) == ("bob", True)
    for part in ({"options": {"key": "l"}}, {"idempotency_key": "j"}):
        alices = await house.post("/tasks", ALICE, {"name": "hold", "args": ["secret"], **part})
        other = await house.post("/tasks", BOB, {"name": "hold", "args": [2], **part})
        assert (other["owner"], other["args"]) == ("bob", [2])
        again = await house.post("/tasks", ALICE, {"name": "hold", "args": ["secret"], **part})
        assert again["id"] == alices["id"]


STREAMS = {
    "all": "",
    "by id": "id={alice}&id={bob}",
    "by name": "name=hold",
    "after": "after={cursor}",
    "after, by id": "id={alice}&id={bob}&after={cursor}",
    "another epoch": "after=x-1",
    "by name, another epoch": "name=hold&name=echo&after=x-1",
}


@pytest.mark.parametrize("query", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("kind", ["socket", "sse"])
async def test_a_stream_shows_only_the_owners(house: Household, kind: str, query: str) -> None:
    cursor = (await house.get("/tasks", BOB))["cursor"]
    epoch = cursor.partition("-")[0]
    mine = await house.submit(BOB, "hold", options={"delay": 1000})
    secret = await house.submit(ALICE, "hold", options={"delay": 1000})
    filled = query.format(alice=secret, bob=mine, cursor=f"{epoch}-0")
    follow = follow_socket if kind == "socket" else follow_sse
    frames = []
    async with follow(house, f"/tasks/events?{filled}", BOB) as stream:
        frames.append(await anext(stream))
        for id, headers in ((secret, ALICE), (mine, BOB)):
            await house.post(f"/tasks/{id}/cancel", headers, None)
        async for frame in stream:
            frames.append(frame)
            if frame["type"] == "state" and frame["data"]["state"] == "cancelled":
                break
    seen = {frame["task_id"] for frame in frames}
    for frame in frames:
        if frame["type"] == "snapshot":
            seen |= {record["id"] for record in frame["data"]["tasks"]}
    assert seen - {None} == {mine}
    assert secret not in json.dumps(frames)


@asynccontextmanager
async def follow_socket(
    house: Household, path: str, headers: Headers
) -> AsyncIterator[AsyncIterator[Any]]:
    async def frames() -> AsyncIterator[Any]:
        while True:
            yield await socket.receive()

    async with Socket(house.app, path, headers) as socket:
        yield frames()


@asynccontextmanager
async def follow_sse(
    house: Household, path: str, headers: Headers
) -> AsyncIterator[AsyncIterator[Any]]:
    async def frames() -> AsyncIterator[Any]:
        text = b""
        while True:
            text += await connection.receive()
            *messages, text = text.split(b"\n\n")
            for message in messages:
                for line in message.splitlines():
                    if line.startswith(b"data: "):
                        yield json.loads(line.removeprefix(b"data: "))

    connection: Any = house.client.request(path, headers=headers)
    async with connection:
        await connection.send_complete()
        yield frames()
        await connection.disconnect()


@pytest.mark.parametrize(
    "subscription",
    [{"all": True}, {"names": ["hold", "echo"]}, {"ids": ["alice", "bob"]},
     {"all": True, "after": "x"}, {"ids": ["alice", "bob"], "after": "x-1"}],
)  # fmt: skip
async def test_a_socket_tells_only_the_owners(house: Household, subscription: Any) -> None:
    mine = await house.submit(BOB, "hold", options={"delay": 1000})
    ids = {"alice": house.running, "bob": mine}
    if "ids" in subscription:
        subscription = {**subscription, "ids": [ids[each] for each in subscription["ids"]]}
    async with Socket(house.app, "/tasks/socket", BOB) as socket:
        answer = await socket.ask({"type": "subscribe", "ref": 1, **subscription})
        assert answer["type"] == "ack"
        before = house.state()
        answer = {}
        socket.send({"type": "cancel", "ref": 2, "id": house.running})
        while answer.get("ref") != 2:
            answer = await socket.receive()
            assert house.running not in json.dumps(answer)
        assert answer["type"] == "error"
        check_problem(answer["data"], 404, "task-not-found")
        assert house.state() == before
        await house.post(f"/tasks/{house.running}/cancel", ALICE, None)
        await house.submit(ALICE, "echo", args=["secret"])
        await house.post(f"/tasks/{mine}/cancel", BOB, None)
        while answer.get("task_id") != mine:
            answer = await socket.receive()
            assert house.running not in json.dumps(answer)
            assert "alice" not in json.dumps(answer)


async def test_a_stream_of_anothers_task_tells_nothing_of_it(house: Household) -> None:
    async with Socket(house.app, f"/tasks/events?id={house.running}", BOB) as socket:
        frame = await socket.receive()
        assert frame["type"] == "snapshot"
        assert (frame["data"]["tasks"], frame["task_id"]) == ([], None)
