"""A plain `POST /tasks` takes a shortcut past Quart: its answer is the same, and what an app has
put between server and view is never passed by."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from quart import Quart, Request, Response, abort, current_app, g, request, session, signals
from quart.sessions import SecureCookieSessionInterface
from werkzeug.datastructures import Headers

from quart_tasks import QuartTasks

from .web import client_of

Hook = Callable[[Quart, list[str]], None]

BODIES: dict[str, dict[str, Any]] = {
    "plain": {"json": {"name": "echo"}},
    "arguments": {"json": {"name": "echo", "args": ["ä"], "options": {"priority": 3}}},
    "with a key": {"json": {"name": "echo"}, "headers": {"Idempotency-Key": "one"}},
    "its key again": {"json": {"name": "echo"}, "headers": {"Idempotency-Key": "one"}},
    "its key for another": {
        "json": {"name": "echo", "args": [1]},
        "headers": {"Idempotency-Key": "one"},
    },
    "unknown": {"json": {"name": "nobody"}},
    "private": {"json": {"name": "hidden"}},
    "does not fit": {"json": {"name": "echo", "args": [1, 2, 3]}},
    "no JSON": {"data": b"{", "headers": {"Content-Type": "application/json"}},
    "no text": {"data": b"\xff", "headers": {"Content-Type": "application/json"}},
    "too deep": {"data": b"[" * 5000, "headers": {"Content-Type": "application/json"}},
    "another type": {"data": b"{}", "headers": {"Content-Type": "text/plain"}},
    "waits": {"json": {"name": "echo"}, "headers": {"Prefer": "wait=60"}},
    "of a page of ours": {"json": {"name": "echo"}, "headers": {"Origin": "http://localhost"}},
    "of another page": {"json": {"name": "echo"}, "headers": {"Origin": "http://evil.example"}},
}


@dataclass
class Greeting:
    name: str

    def __post_init__(self) -> None:
        self.name = f"{current_app.config['GREETING']} {self.name}"


def app_with(hook: Hook | None = None, ran: list[str] | None = None, **config: Any) -> Quart:
    app = Quart(__name__)
    app.config.update(config)
    if hook is not None:
        hook(app, [] if ran is None else ran)
    if "QUART_TASKS" not in app.extensions:
        declare(QuartTasks(app))
    return app


def declare(tasks: QuartTasks) -> None:
    @tasks.task
    async def echo(value: Any = None) -> Any:
        return value

    @tasks.task(public=False)
    async def hidden() -> None: ...


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the requests that Quart has handled, which a test does not see otherwise."""
    found: list[str] = []
    handle = Quart.handle_request

    async def noting(self: Quart, request: Any) -> Any:
        found.append(request.path)
        return await handle(self, request)

    monkeypatch.setattr(Quart, "handle_request", noting)
    return found


async def answers(app: Quart) -> dict[str, tuple[int, list[tuple[str, str]], str]]:
    """Status, headers and body of each, without what differs from one time to the next."""
    found = {}
    async with app.test_app():
        client = client_of(app)
        for name, body in BODIES.items():
            response = await client.post("/tasks", **body)
            text = await response.get_data(as_text=True)
            headers = sorted((key.lower(), _same(value)) for key, value in response.headers.items())
            found[name] = (response.status_code, headers, _same(text))
    return found


def _same(text: str) -> str:
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", text)
    text = re.sub(r"[0-9a-f]{8}-\d+", "CURSOR", text)
    text = re.sub(r'"(state|started_at|finished_at|worker|attempt|result\w*)":[^,}]+', r"\1", text)
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)


async def test_the_answers_are_those_of_the_whole_way(handled: list[str]) -> None:
    def look(app: Quart, ran: list[str]) -> None:
        app.before_request(lambda: ran.append(request.path))

    ran: list[str] = []
    whole = await answers(app_with(look, ran))
    assert ran == ["/tasks"] * len(BODIES)

    handled.clear()
    short = await answers(app_with())
    taken = ("plain", "arguments", "with a key", "its key again")
    assert handled == ["/tasks"] * (len(BODIES) - len(taken))
    for name in BODIES:
        if short[name][0] < 300:  # a cursor may have a digit more
            for answer in (whole[name], short[name]):
                answer[1][:] = [each for each in answer[1] if each[0] != "content-length"]
        assert short[name] == whole[name], name
    assert [short[name][0] for name in ("plain", "its key for another", "too deep")] == [
        202, 422, 400,
    ]  # fmt: skip


async def test_a_path_under_a_root_and_with_a_slash() -> None:
    app = app_with(TASKS_URL_PREFIX="/jobs/x")
    async with app.test_app():
        client = client_of(app)
        for path in ("/jobs/x", "/jobs/x/", "//jobs/x"):
            response = await client.post(path, json={"name": "echo"})
            id = (await response.get_json())["id"]
            assert response.headers["Location"] == f"/jobs/x/{id}"
        for root, place in (("/app", "/app/jobs/x/"), ("/", "/jobs/x/")):
            path = f"{root.rstrip('/')}/jobs/x"
            response = await client.post(path, json={"name": "echo"}, root_path=root)
            assert response.headers["Location"].startswith(place)


# Nothing of the app's is passed by


def before(app: Quart, ran: list[str]) -> None:
    @app.before_request
    async def hook() -> None:
        ran.append("yes")


def after(app: Quart, ran: list[str]) -> None:
    @app.after_request
    async def hook(response: Response) -> Response:
        ran.append("yes")
        return response


def teardown(app: Quart, ran: list[str]) -> None:
    @app.teardown_request
    async def hook(error: BaseException | None) -> None:
        ran.append("yes")


def teardown_of_the_context(app: Quart, ran: list[str]) -> None:
    @app.teardown_appcontext
    async def hook(error: BaseException | None) -> None:
        if hasattr(g, "in_a_request"):
            ran.append("yes")

    @app.url_value_preprocessor
    def note(endpoint: str | None, values: dict[str, Any] | None) -> None:
        g.in_a_request = True


def middleware_before_us(app: Quart, ran: list[str]) -> None:
    inner = app.asgi_app

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            ran.append("yes")
        await inner(scope, receive, send)

    app.asgi_app = middleware  # type: ignore[method-assign]


def sessions_of_its_own(app: Quart, ran: list[str]) -> None:
    class Sessions(SecureCookieSessionInterface):
        async def open_session(self, app: Any, request: Any) -> Any:
            ran.append("yes")
            return await super().open_session(app, request)

    app.session_interface = Sessions()


def an_authorize_hook(app: Quart, ran: list[str]) -> None:
    tasks = QuartTasks(app)
    declare(tasks)

    @tasks.authorize
    async def authorize(action: str, name: str | None, record: Any) -> None:
        ran.append("yes")


def a_route_of_its_own(app: Quart, ran: list[str]) -> None:
    @app.post("/tasks")
    async def tasks() -> tuple[str, int]:
        ran.append("yes")
        return "", 202


def a_guard_around_the_view(app: Quart, ran: list[str]) -> None:
    declare(QuartTasks(app))
    view: Any = app.view_functions["quart_tasks.rest_create"]

    async def guarded() -> Any:
        ran.append("yes")
        return await view()

    app.view_functions["quart_tasks.rest_create"] = guarded


def a_method_of_its_own(app: Quart, ran: list[str]) -> None:
    make = app.make_response

    async def make_response(result: Any) -> Any:
        ran.append("yes")
        return await make(result)

    app.make_response = make_response  # type: ignore[method-assign]


def requests_of_its_own(app: Quart, ran: list[str]) -> None:
    class Mine(Request):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            ran.append("yes")

    app.request_class = Mine


HOOKS = [
    before, after, teardown, teardown_of_the_context, middleware_before_us, sessions_of_its_own,
    an_authorize_hook, a_route_of_its_own, a_guard_around_the_view, a_method_of_its_own,
    requests_of_its_own,
]  # fmt: skip


@pytest.mark.parametrize("hook", HOOKS, ids=lambda each: each.__name__)
async def test_what_an_app_has_between_runs(hook: Hook) -> None:
    ran: list[str] = []
    app = app_with(hook, ran)
    async with app.test_app():
        response = await client_of(app).post("/tasks", json={"name": "echo"})
        assert response.status_code == 202
        assert ran == ["yes"]


async def test_a_hook_that_comes_late_runs_too() -> None:
    ran: list[str] = []
    app = app_with()
    async with app.test_app():
        client = client_of(app)
        assert (await client.post("/tasks", json={"name": "echo"})).status_code == 202
        app.before_request_funcs[None].append(lambda: abort(403))
        assert (await client.post("/tasks", json={"name": "echo"})).status_code == 403
    assert ran == []


async def test_who_listens_to_signals_hears_it() -> None:
    heard: list[str] = []
    app = app_with()

    async def listen(sender: Quart, **more: Any) -> None:
        heard.append(request.path)

    async with app.test_app():
        with signals.request_started.connected_to(listen, app):
            await client_of(app).post("/tasks", json={"name": "echo"})
    assert heard == ["/tasks"]


async def test_who_listens_to_another_app_changes_nothing(handled: list[str]) -> None:
    heard: list[str] = []
    app, other = app_with(), Quart("other")

    async def listen(sender: Quart, **more: Any) -> None:
        heard.append(request.path)

    async with app.test_app():
        with signals.request_finished.connected_to(listen, other):
            await client_of(app).post("/tasks", json={"name": "echo"})
    assert heard == handled == []


async def test_an_argument_may_want_the_apps_context() -> None:
    app = app_with(GREETING="hello")

    extension: QuartTasks = app.extensions["QUART_TASKS"]

    @extension.task
    async def greet(greeting: Greeting) -> str:
        return greeting.name

    async with app.test_app():
        response = await client_of(app).post(
            "/tasks", json={"name": "greet", "args": [{"name": "Ada"}]}
        )
        assert response.status_code == 202
        id = (await response.get_json())["id"]
        assert await extension.get(id) == "hello Ada"


async def test_of_a_header_that_comes_twice_the_first_counts() -> None:
    app = app_with(TASKS_TOKEN="secret")
    headers = Headers([("Authorization", "Bearer other"), ("Authorization", "Bearer secret")])
    async with app.test_app():
        response = await client_of(app).post("/tasks", json={"name": "echo"}, headers=headers)
        assert response.status_code == 401


async def test_a_session_is_kept_alive() -> None:
    app = app_with(SECRET_KEY="of a test")

    @app.get("/login")
    async def login() -> str:
        session["name"], session.permanent = "Ada", True
        return ""

    async with app.test_app():
        client = client_of(app)
        await client.get("/login")
        response = await client.post("/tasks", json={"name": "echo"})
        assert response.headers.getlist("Set-Cookie")


async def test_an_app_of_another_class_keeps_its_ways() -> None:
    ran: list[str] = []

    class Mine(Quart):
        async def full_dispatch_request(self, *context: Any) -> Any:
            ran.append("yes")
            return await super().full_dispatch_request(*context)

    app = Mine(__name__)
    declare(QuartTasks(app))
    async with app.test_app():
        response = await client_of(app).post("/tasks", json={"name": "echo"})
        assert (response.status_code, ran) == (202, ["yes"])


@pytest.mark.parametrize(
    ("given", "status"),
    [(None, 401), ("Bearer other", 401), ("Bearer secret", 202), ("bearer  secret", 202)],
)
async def test_token_is_asked_for(given: str | None, status: int) -> None:
    app = app_with(TASKS_TOKEN="secret")
    headers = {} if given is None else {"Authorization": given}
    async with app.test_app():
        response = await client_of(app).post("/tasks", json={"name": "echo"}, headers=headers)
        assert response.status_code == status


@pytest.mark.parametrize("host", ["tasks.example", "other.example"])
async def test_an_app_with_a_name_is_asked_by_it(host: str) -> None:
    app = app_with(SERVER_NAME="tasks.example")
    app.url_map.host_matching = True
    async with app.test_app():
        client = client_of(app)
        for more in ({}, {"Cookie": "goes=the whole way"}):
            headers = {"Host": host, **more}
            response = await client.post("/tasks", json={"name": "echo"}, headers=headers)
            assert response.status_code == 404  # its routes have no host
