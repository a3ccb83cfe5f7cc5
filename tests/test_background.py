"""`@tasks.background`: what is accepted and what is refused, what the first handling of a request
sees and what the second, and what is kept of it. That the answer is the view's own is in
`test_background_twins.py`, what becomes of the task in `test_background_tasks.py`."""

from __future__ import annotations

import asyncio
import functools
import gc
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from quart import (
    Blueprint,
    Quart,
    Response,
    abort,
    current_app,
    flash,
    g,
    has_request_context,
    request,
    session,
    websocket,
)
from quart.signals import (
    appcontext_popped,
    appcontext_pushed,
    got_request_exception,
    request_finished,
    request_started,
    request_tearing_down,
)
from quart.testing.app import LifespanError
from quart.views import MethodView
from werkzeug.exceptions import RequestEntityTooLarge

from quart_tasks import InvalidDefinition, QuartTasks, UnknownTask, current_task

from .background import Site, multipart, which
from .web import JSON, Socket, client_of, problem

# -- what is answered at once ------------------------------------------------------------------


async def test_accepted_at_once() -> None:
    site = Site()

    @site.app.post("/slow/<int:number>")
    @site.tasks.background
    async def slow(number: int) -> Any:
        """Its document."""
        await site.gate.wait()
        return {"number": number}, 201

    async with site:
        response = await site.client.post("/slow/3?a=1")
        record = await response.get_json()
        assert response.status_code == 202
        assert response.headers["Location"] == f"/tasks/{record['id']}"
        assert int(response.headers["Retry-After"]) > 0
        assert response.headers["Cache-Control"] == "no-cache"
        assert (record["name"], record["executor"]) == ("slow", "async")
        assert (record["args"], record["kwargs"]) == ([], {"method": "POST", "path": "/slow/3"})
        waiting = await site.result(record["id"])
        assert waiting.status_code == 202
        assert waiting.headers["Task-State"] in ("queued", "running")
        site.gate.set()
        ran = await site.finish(response, record)
    assert ran.record["state"] == "succeeded"
    assert (ran.status, ran.json) == (201, {"number": 3})
    assert ran.record["result"] is None
    assert ran.record["result_type"] == "application/json"
    assert ran.record["result_size"] == len(ran.data)


async def test_result_is_the_same_each_time() -> None:
    site = Site()

    @site.app.get("/teapot")
    @site.tasks.background
    async def teapot() -> Any:
        return "short and stout", 418, {"X-Pot": "1"}

    async with site:
        ran = await site.run("GET", "/teapot")
        again = await site.client.get(f"/tasks/{ran.first['id']}/result?wait=1")
        head = await site.client.head(f"/tasks/{ran.first['id']}/result")
    assert (again.status_code, await again.get_data()) == (ran.status, ran.data)
    assert (ran.status, ran.data) == (418, b"short and stout")
    assert again.headers == ran.headers
    assert head.status_code == 418
    assert head.headers["X-Pot"] == "1"


async def test_headers_that_hooks_add_are_there_once() -> None:
    site = Site()

    @site.app.after_request
    async def cors(response: Response) -> Response:
        response.headers.add("Access-Control-Allow-Origin", "*")
        return response

    @site.app.get("/shared")
    @site.tasks.background(prefer=True)
    async def shared() -> str:
        return "shared"

    async with site:
        ran = await site.run("GET", "/shared", headers={"Prefer": "respond-async"})
        waited = await site.client.get("/shared", headers={"Prefer": "wait=60"})
    assert ran.headers.getlist("Access-Control-Allow-Origin") == ["*"]
    assert waited.headers.getlist("Access-Control-Allow-Origin") == ["*"]


async def test_headers_of_the_view_are_not_overwritten() -> None:
    site = Site()

    @site.app.after_request
    async def mark(response: Response) -> Response:
        response.headers["X-Path"] = request.path
        return response

    @site.app.get("/marked")
    @site.tasks.background
    async def marked() -> str:
        return "marked"

    async with site:
        ran = await site.run("GET", "/marked")
        record = await site.client.get(f"/tasks/{ran.first['id']}")
    assert ran.headers["X-Path"] == "/marked"
    assert record.headers["X-Path"].startswith("/tasks/")


async def test_no_cookie_is_kept_and_no_change_of_the_session() -> None:
    site = Site()

    @site.app.get("/login")
    async def login() -> str:
        session["user"] = "me"
        return ""

    @site.app.get("/whoami")
    async def whoami() -> dict[str, Any]:
        return dict(session)

    @site.app.post("/change")
    @site.tasks.background
    async def change() -> Any:
        session["user"] = "changed"
        await flash("changed")
        return {"user": session["user"]}, 200, {"Set-Cookie": "own=1", "X-Kept": "1"}

    async with site:
        await site.client.get("/login")
        ran = await site.run("POST", "/change")
        after = await (await site.client.get("/whoami")).get_json()
    assert ran.json == {"user": "changed"}
    assert ran.headers["X-Kept"] == "1"
    assert "Set-Cookie" not in ran.headers
    assert "Set-Cookie" not in ran.accepted.headers
    assert after == {"user": "me"}


async def test_head_is_accepted_and_options_is_answered() -> None:
    site = Site()
    methods: list[str] = []

    @site.app.get("/page")
    @site.tasks.background
    async def page() -> str:
        methods.append(request.method)
        return "a page"

    async with site:
        ran = await site.run("HEAD", "/page")
        assert methods == ["HEAD"]
        assert ran.record["kwargs"] == {"method": "HEAD", "path": "/page"}
        options = await site.client.options("/page")
        assert options.status_code == 200
        assert set(options.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
        assert (await site.client.post("/page")).status_code == 405
        assert len(site.tasks.list()) == 1


async def test_without_the_http_surface_there_is_no_location() -> None:
    site = Site(TASKS_URL_PREFIX=None)

    @site.app.get("/page")
    @site.tasks.background
    async def page() -> str:
        return "a page"

    async with site:
        response = await site.client.get("/page")
        assert response.status_code == 202
        assert "Location" not in response.headers
        handle = site.tasks.get((await response.get_json())["id"])
        await site.tasks.join()
        assert handle.state == "succeeded"


async def test_body_that_comes_in_pieces() -> None:
    site = Site()

    @site.app.post("/echo")
    @site.tasks.background
    async def echo() -> Any:
        return await request.get_data(), 200, {"X-Length": str(request.content_length)}

    async with site:
        connection: Any = site.client.request("/echo", method="POST")
        async with connection:
            for piece in (b"one ", b"", b"two ", b"three"):
                await connection.send(piece)
            await connection.send_complete()
        response = await connection.as_response()
        assert response.status_code == 202
        ran = await site.finish(response, await response.get_json())
    assert ran.data == b"one two three"
    assert ran.headers["X-Length"] == "None"


@pytest.mark.parametrize("seconds", [60, 30, None])
async def test_body_that_is_too_large(seconds: int | None) -> None:
    site = Site(MAX_CONTENT_LENGTH=10, BODY_TIMEOUT=seconds)
    met = []

    @site.app.before_request
    async def read() -> None:
        try:
            met.append(await request.get_data())
        except RequestEntityTooLarge:
            met.append("too large")
            raise

    @site.app.post("/echo")
    @site.tasks.background
    async def echo() -> Any:
        return await request.get_data()

    async with site:
        assert (await site.client.post("/echo", data=b"x" * 11)).status_code == 413
        connection: Any = site.client.request("/echo", method="POST")
        async with connection:  # one that does not come to its end
            for piece in (b"12345", b"678901", b"234"):
                await connection.send(piece)
            await connection.receive()
            assert connection.status_code == 413
            await connection.disconnect()
        assert met == ["too large"] * 2
        connection = site.client.request("/echo", method="POST")
        async with connection:
            for _ in range(3):
                await connection.send(b"four")
            await connection.send_complete()
        response = await connection.as_response()
        assert response.status_code == 413
        assert site.tasks.list() == []
        assert (await site.run("POST", "/echo", data=b"x" * 10)).data == b"x" * 10


async def test_body_that_does_not_come_in_time() -> None:
    site = Site(BODY_TIMEOUT=0.01)

    @site.app.post("/echo")
    @site.tasks.background
    async def echo() -> Any:
        return await request.get_data()

    async with site:
        connection: Any = site.client.request("/echo", method="POST")
        async with connection:
            await connection.send(b"half")
        response = await connection.as_response()
        assert response.status_code == 408
        assert site.tasks.list() == []


async def test_larger_than_a_task_may_be() -> None:
    """TASKS_MAX_BODY_SIZE is for JSON that is sent to /tasks, and not for the app's own routes."""
    site = Site(TASKS_MAX_BODY_SIZE=100)

    @site.app.post("/size")
    @site.tasks.background
    async def size() -> str:
        return str(len(await request.get_data()))

    async with site:
        assert (await site.run("POST", "/size", data=b"x" * 3_000_000)).text == "3000000"


# -- secrets -----------------------------------------------------------------------------------


async def test_headers_and_body_are_in_no_record() -> None:
    site = Site()

    @site.app.post("/login/<name>")
    @site.tasks.background
    async def login(name: str) -> str:
        await site.gate.wait()
        return "in"

    secret = "hidden-word"
    async with site:
        record = await site.start(
            "POST", f"/login/me?token={secret}", form={"password": secret},
            headers={"Authorization": f"Bearer {secret}", "Cookie": f"session={secret}"},
        )  # fmt: skip
        paths = [f"/tasks/{record['id']}", "/tasks", "/tasks/stats", f"/tasks?q={secret}"]
        shown = [await (await site.client.get(path)).get_data(as_text=True) for path in paths]
        async with Socket(site.app, f"/tasks/{record['id']}/events") as events:
            shown.append(await events.receive_text())
            site.gate.set()
            frame = ""
            while '"succeeded"' not in frame:
                frame = await events.receive_text()
                shown.append(frame)
        shown += [await (await site.client.get(path)).get_data(as_text=True) for path in paths]
        shown.append(json.dumps(record))
    assert not [each for each in shown if secret in each]
    assert json.loads(shown[-2])["tasks"] == []  # nor can it be searched for


# -- refused -----------------------------------------------------------------------------------


async def test_hooks_refuse_at_once() -> None:
    site = Site()
    blueprint = Blueprint("guarded", __name__, url_prefix="/guarded")
    calls: list[str] = []

    @site.app.before_request
    async def authenticate() -> None:
        mine = request.path.startswith("/guarded")
        if mine and request.headers.get("Authorization") != "Bearer me":
            abort(401)

    @blueprint.before_request
    def check() -> Any:
        if request.args.get("token") == "none":
            return {"why": "no token"}, 403
        return None

    @blueprint.post("/slow")
    @site.tasks.background
    async def slow() -> str:
        calls.append("ran")
        return ""

    site.app.register_blueprint(blueprint)
    async with site:
        assert (await site.client.post("/guarded/slow", data=b"x")).status_code == 401
        me = {"Authorization": "Bearer me"}
        refused = await site.client.post("/guarded/slow?token=none", headers=me)
        assert refused.status_code == 403
        assert await refused.get_json() == {"why": "no token"}
        assert site.tasks.list() == []
        assert calls == []
        ran = await site.run("POST", "/guarded/slow", headers=me)
        assert ran.record["state"] == "succeeded"
        assert calls == ["ran"]


async def test_decorator_above_refuses_at_once() -> None:
    site = Site()

    def user_only(view: Any) -> Any:
        @functools.wraps(view)
        async def checked(*args: Any, **kwargs: Any) -> Any:
            if "X-User" not in request.headers:
                abort(401)
            return await view(*args, **kwargs)

        return checked

    @site.app.post("/mine")
    @user_only
    @site.tasks.background
    async def mine() -> Any:
        return await request.get_data()

    async with site:
        assert (await site.client.post("/mine", data=b"x")).status_code == 401
        assert site.tasks.list() == []
        assert (await site.run("POST", "/mine", data=b"x", headers={"X-User": "me"})).data == b"x"


async def test_authorize_hook_is_asked_and_owns() -> None:
    site = Site()
    asked: list[Any] = []

    @site.tasks.authorize
    async def authorize(action: str, name: str | None, record: Any) -> str | None:
        asked.append((action, name, record and record.name))
        user = request.headers.get("X-User")
        if user is None:
            abort(401)
        return None if user == "root" else user

    @site.app.get("/mine")
    @site.tasks.background(name="my own")
    async def mine() -> str:
        return "mine"

    async with site:
        assert (await site.client.get("/mine")).status_code == 401
        assert site.tasks.list() == []
        record = await site.start("GET", "/mine", headers={"X-User": "me"})
        assert asked == [("submit", "my own", None)] * 2
        assert record["owner"] == "me"
        await site.tasks.join()
        path = f"/tasks/{record['id']}/result"
        for user, status in (("me", 200), ("root", 200), ("you", 404)):
            answer = await site.client.get(path, headers={"X-User": user})
            assert answer.status_code == status
        assert asked[-1] == ("result", "my own", "my own")
        assert (await site.client.get(path)).status_code == 401


async def test_full_queue_refuses_with_429() -> None:
    site = Site(TASKS_MAX_PENDING=1)

    @site.app.get("/slow")
    @site.tasks.background(concurrency=1)
    async def slow() -> str:
        await site.gate.wait()
        return "done"

    async with site:
        ids = [(await site.start("GET", "/slow"))["id"]]
        await site.until_running()
        ids.append((await site.start("GET", "/slow"))["id"])
        full = await site.client.get("/slow")
        await problem(full, 429, "queue-full")
        assert int(full.headers["Retry-After"]) > 0
        assert len(site.tasks.list()) == 2
        site.gate.set()
        assert [(await site.ended(id))["state"] for id in ids] == ["succeeded"] * 2


async def test_stopping_server_refuses_with_503() -> None:
    site = Site(TASKS_DRAIN_TIMEOUT=60)

    @site.app.get("/slow")
    @site.tasks.background
    async def slow() -> str:
        await site.gate.wait()
        return "done"

    async with site:
        await site.start("GET", "/slow")
        draining = asyncio.create_task(site.tasks.drain(site.app))
        await site.tasks.close_streams(site.app)
        refused = await site.client.get("/slow")
        await problem(refused, 503, "draining")
        assert int(refused.headers["Retry-After"]) > 0
        site.gate.set()
        await draining


async def test_before_the_start_it_is_503() -> None:
    site = Site()

    @site.app.get("/page")
    @site.tasks.background
    async def page() -> str:
        return ""

    refused = await problem(await site.client.get("/page"), 503, "not-started")
    assert "test_app" in refused["detail"]


# -- not for clients to submit -----------------------------------------------------------------


async def test_not_to_be_had_by_name() -> None:
    site = Site()

    @site.app.get("/page")
    @site.tasks.background
    async def page() -> str:
        return ""

    async with site:
        types = await (await site.client.get("/tasks/types")).get_json()
        assert types == {"types": []}
        body = {"name": "page", "args": ["x"]}
        await problem(await site.client.post("/tasks", json=body), 404, "unknown-task")
        batch = await site.client.post("/tasks/batch", json={"tasks": [body]})
        await problem(batch, 422)
        async with Socket(site.app, "/tasks/socket") as socket:
            answer = await socket.ask({"type": "submit", "ref": 1, "tasks": [body]})
            assert answer["type"] == "error"
        with pytest.raises(UnknownTask, match="background view"):
            await site.tasks.submit("page", b"x")
        with pytest.raises(UnknownTask, match="background view"):
            await site.tasks.submit_many("page", [[b"x"]])
        assert site.tasks.list() == []


# -- what cannot be a background view ----------------------------------------------------------


async def streams() -> AsyncIterator[str]:
    yield "x"


def streams_in_thread() -> Iterator[str]:
    yield "x"


@pytest.mark.parametrize("view", [streams, streams_in_thread])
def test_generators_are_refused_at_decoration(view: Any) -> None:
    with pytest.raises(InvalidDefinition, match="stream"):
        QuartTasks().background(view)
    with pytest.raises(InvalidDefinition, match="stream"):
        QuartTasks().background(prefer=True)(view)


def plain() -> str:
    return ""


async def coroutine() -> str:
    return ""


@pytest.mark.parametrize(
    ("view", "options", "says"),
    [
        (plain, {"executor": "process"}, "process"),
        (coroutine, {"executor": "process"}, "process"),
        (coroutine, {"executor": "thread"}, "async def"),
        (plain, {"executor": "async"}, "thread"),
        (plain, {"executor": "else"}, "executor"),
        (plain, {"timeout": 0}, "plain"),
        (plain, {"concurrency": 0}, "concurrency"),
        (plain, {"retries": -1}, "plain"),
        (plain, {"name": "x" * 256}, "name"),
        (1, {}, "function"),
    ],
)
def test_bad_options_are_refused_at_decoration(
    view: Any, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidDefinition, match=says):
        QuartTasks().background(**options)(view)


def test_unknown_options_are_refused() -> None:
    for name in ("public", "delay", "view"):
        with pytest.raises(TypeError):
            QuartTasks().background(**{name: True})(plain)  # type: ignore[call-overload]


async def test_partials_and_callable_objects_are_views_too() -> None:
    class Page:
        def __call__(self) -> str:  # an async one Quart takes for a sync one
            return "of an object"

    async def on_loop(text: str) -> str:
        return text

    def in_thread(text: str) -> str:
        return text

    site = Site()
    views: dict[str, Any] = {
        "on the loop": functools.partial(on_loop, "on the loop"),
        "in a thread": functools.partial(in_thread, "in a thread"),
        "of an object": Page(),
    }
    for number, (name, view) in enumerate(views.items()):
        site.app.add_url_rule(f"/{number}", name, site.tasks.background(name=name)(view))
    async with site:
        ran = [await site.run("GET", f"/{number}") for number in range(len(views))]
    assert [each.text for each in ran] == list(views)


def test_name_that_is_taken_is_refused() -> None:
    tasks = QuartTasks()
    tasks.background(plain)
    with pytest.raises(ValueError, match="plain"):
        tasks.background(name="plain")(coroutine)
    with pytest.raises(ValueError, match="plain"):
        tasks.task(name="plain")(coroutine)
    tasks.task(name="other")(coroutine)
    with pytest.raises(ValueError, match="other"):
        tasks.background(name="other")(plain)
    with pytest.raises(ValueError, match="plain"):
        tasks.task(plain)  # it is a view by that name


async def test_class_views_of_one_name() -> None:
    site = Site()

    class First(MethodView):
        decorators = [site.tasks.background]  # noqa: RUF012

        async def get(self) -> str:
            return "first"

    class Second(MethodView):
        decorators = [site.tasks.background(timeout=5)]  # noqa: RUF012

        async def get(self) -> str:
            return "second"

    site.app.add_url_rule("/first", "first", First.as_view("same"))
    site.app.add_url_rule("/again", "again", First.as_view("same"))
    async with site:
        assert (await site.run("GET", "/first")).text == "first"
        assert (await site.run("GET", "/again")).text == "first"
    site.app.add_url_rule("/second", "second", Second.as_view("same"))
    with pytest.raises((InvalidDefinition, LifespanError), match="same"):
        async with site:
            pass


@pytest.mark.parametrize("kind", ["list", "generator", "stream", "sync generator"])
async def test_streamed_responses_are_refused_in_the_task(kind: str) -> None:
    site = Site()
    closed: list[str] = []

    async def pieces() -> AsyncIterator[bytes]:
        try:
            yield b"one"
            yield b"two"
        finally:
            closed.append(kind)

    def sync_pieces() -> Iterator[bytes]:
        try:
            yield b"one"
            yield b"two"
        finally:
            closed.append(kind)

    @site.app.get("/stream")
    @site.tasks.background(retries=3)
    async def stream() -> Any:
        if kind == "generator":
            return pieces()
        if kind == "sync generator":
            return sync_pieces()
        return Response([b"one", b"two"] if kind == "list" else pieces())

    async with site:
        ran = await site.run("GET", "/stream")
        if kind == "list" and ran.record["state"] == "succeeded":  # which is no stream
            assert ran.data == b"onetwo"
            return
        assert ran.record["state"] == "failed"
        assert ran.record["attempt"] == 1
        assert ran.record["error"]["type"] == "InvalidResult"
        assert "stream" in ran.record["error"]["message"]
        await problem(await site.result(ran.first["id"]), 409, "task-failed")
        while kind != "list" and not closed:  # a thread that has made a piece may still hold it
            gc.collect()
            await site.client.get("/tasks/stats")
    assert closed == ([] if kind == "list" else [kind])


async def test_websocket_is_refused_at_the_first_call(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()

    @site.app.websocket("/socket")
    @site.tasks.background
    async def socket() -> None:
        await websocket.accept()

    async with site:
        try:
            async with site.client.websocket("/socket") as connection:
                await connection.receive()
        except Exception:  # noqa: BLE001 - of the client, of one kind or another
            pass
        assert site.tasks.list() == []
    assert "WebSocket" in caplog.text
    assert "socket" in caplog.text


# -- the first handling and the second ---------------------------------------------------------


async def test_hooks_run_twice_and_the_view_once() -> None:
    site = Site()
    calls: list[tuple[str, str]] = []

    def note(what: str) -> None:
        calls.append((what, which()))

    @site.app.url_value_preprocessor
    def preprocess(endpoint: str | None, values: Any) -> None:
        note("preprocessor")

    @site.app.before_request
    async def before() -> None:
        note("before")

    @site.app.before_request
    def before_sync() -> None:
        note("before sync")

    @site.app.after_request
    async def after(response: Response) -> Response:
        note("after")
        return response

    @site.app.teardown_request
    async def teardown(error: BaseException | None) -> None:
        note("teardown")

    @site.app.get("/page")
    @site.tasks.background
    async def page() -> str:
        note("view")
        return ""

    async with site:
        await site.start("GET", "/page")
        await site.tasks.join()
        first = [what for what, when in calls if when == "first"]
        second = [what for what, when in calls if when == "second"]
    around = ["preprocessor", "before", "before sync", "after", "teardown"]
    assert first == around
    assert second == [*around[:3], "view", *around[3:]]


async def test_hooks_of_the_first_handling_find_the_whole_body() -> None:
    site = Site()
    seen: list[Any] = []

    @site.app.before_request
    async def read() -> None:
        match request.path:
            case "/form":
                form, files = await request.form, await request.files
                seen.append((which(), form.to_dict(), {k: v.read() for k, v in files.items()}))
            case "/pieces":
                seen.append((which(), b"".join([piece async for piece in request.body])))
            case "/data":
                seen.append((which(), await request.get_data(cache=False)))
            case "/json":
                seen.append((which(), await request.get_json()))

    async def view() -> Any:
        if request.path == "/form":
            return {"form": (await request.form).to_dict(), "files": list(await request.files)}
        return request.path

    for path in ("form", "pieces", "data", "json"):
        in_background = site.tasks.background(name=path)(view)
        site.app.add_url_rule(f"/{path}", path, in_background, methods=["POST"])

    parts = multipart(("a", None, b"1"), ("f", "name", b"content"))
    async with site:
        ran = await site.run("POST", "/form", **parts)
        assert seen == [(each, {"a": "1"}, {"f": b"content"}) for each in ("first", "second")]
        assert ran.json == {"form": {"a": "1"}, "files": ["f"]}
        cases: list[tuple[str, dict[str, Any], tuple[Any, ...]]] = [
            ("/form", {"form": {"b": "2"}}, ({"b": "2"}, {})),
            ("/pieces", {"data": b"some"}, (b"some",)),
            ("/data", {"data": b"some"}, (b"some",)),
            ("/json", {"json": [1]}, ([1],)),
        ]
        for path, given, found in cases:
            seen.clear()
            ran = await site.run("POST", path, **given)
            assert ran.status == 200
            assert seen == [(each, *found) for each in ("first", "second")]


async def test_g_is_not_shared() -> None:
    site = Site()
    seen: dict[str, list[Any]] = {}

    @site.app.before_request
    async def before() -> None:
        seen[which()] = ["value" in g]
        g.value = which()

    @site.app.teardown_appcontext
    async def after(error: BaseException | None) -> None:
        if "value" in g:
            seen[g.value].append("teardown")

    async def view() -> str:
        seen[g.value].append("view")
        return str(g.value)

    def sync_view() -> str:
        seen[g.value].append("view")
        return str(g.value)

    site.app.add_url_rule("/view", view_func=site.tasks.background(view))
    site.app.add_url_rule("/sync-view", view_func=site.tasks.background(sync_view))
    async with site:
        for path in ("/view", "/sync-view"):
            seen.clear()
            await site.start("GET", path)
            await site.tasks.join()
            assert seen == {"first": [False, "teardown"], "second": [False, "view", "teardown"]}


async def test_context_of_the_second_handling() -> None:
    site = Site()
    apps: list[Any] = []

    @site.app.get("/context")
    @site.tasks.background
    async def context() -> dict[str, Any]:
        task = current_task()
        assert task is not None
        assert has_request_context()
        apps.append(current_app._get_current_object())
        return {"id": task.id, "name": task.name, "attempt": task.attempt, "in": task.executor}

    @site.app.get("/context-sync")
    @site.tasks.background
    def context_sync() -> dict[str, Any]:
        task = current_task()
        assert task is not None
        apps.append(current_app._get_current_object())
        return {"id": task.id, "name": task.name, "attempt": task.attempt, "in": task.executor}

    async with site:
        for path, name, executor in [
            ("/context", "context", "async"), ("/context-sync", "context_sync", "thread"),
        ]:  # fmt: skip
            ran = await site.run("GET", path)
            id = ran.first["id"]
            assert ran.json == {"id": id, "name": name, "attempt": 1, "in": executor}
    assert apps == [site.app] * 2


async def test_teardown_runs_for_the_task_and_is_told_of_its_error() -> None:
    site = Site()
    seen: list[Any] = []

    @site.app.teardown_request
    async def teardown(error: BaseException | None) -> None:
        if current_task() is not None:
            seen.append(error)

    for name, sync in (("fails", False), ("fails_in_thread", True)):

        async def view() -> str:
            raise ValueError("as asked")

        def sync_view() -> str:
            raise ValueError("as asked")

        given = site.tasks.background(name=name)(sync_view if sync else view)
        site.app.add_url_rule(f"/{name}", name, given)
    async with site:
        for path in ("/fails", "/fails_in_thread"):
            seen.clear()
            ran = await site.run("GET", path)
            assert ran.record["state"] == "failed"
            assert [str(each) for each in seen] == ["as asked"]


async def test_error_of_a_teardown_fails_the_task() -> None:
    site = Site()

    @site.app.teardown_request
    async def teardown(error: BaseException | None) -> None:
        if current_task() is not None:
            raise LookupError("cannot let go")

    @site.app.get("/page")
    @site.tasks.background
    async def page() -> str:
        return "page"

    @site.app.get("/page-sync")
    @site.tasks.background
    def page_sync() -> str:
        return "page"

    async with site:
        for path in ("/page", "/page-sync"):
            ran = await site.run("GET", path)
            assert ran.record["state"] == "failed"


@pytest.fixture
def listening() -> Iterator[ExitStack]:
    """To signals, which are global, until the test's end."""
    with ExitStack() as stack:
        yield stack


async def test_signals_of_the_second_handling(listening: ExitStack) -> None:
    site = Site()
    heard: list[tuple[str, str]] = []

    @site.app.get("/page")
    @site.tasks.background
    async def page() -> str:
        return "page"

    @site.app.get("/broken")
    @site.tasks.background
    async def broken() -> str:
        raise ValueError("as asked")

    def listen(name: str) -> Any:
        async def hear(app: Quart, **about: Any) -> None:
            if request and not request.path.startswith("/tasks"):
                heard.append((name, which()))

        return hear

    signals = {
        "started": request_started, "finished": request_finished,
        "tearing_down": request_tearing_down, "exception": got_request_exception,
    }  # fmt: skip
    async with site:
        for name, signal in signals.items():
            listening.enter_context(signal.connected_to(listen(name), site.app))
        await site.start("GET", "/page")
        await site.tasks.join()
        heard.sort(key=itemgetter(1))  # the second may begin before the first has ended
        assert heard == [
            (name, when)
            for when in ("first", "second")
            for name in ("started", "finished", "tearing_down")
        ]
        heard.clear()
        await site.start("GET", "/broken")
        await site.tasks.join()
    heard.sort(key=itemgetter(1))
    assert heard[3:] == [
        ("started", "second"), ("exception", "second"), ("tearing_down", "second"),
    ]  # fmt: skip


async def test_app_contexts_are_popped(listening: ExitStack) -> None:
    site = Site()
    counts = Counter[str]()

    async def pushed(app: Quart, **about: Any) -> None:
        counts["pushed"] += 1

    async def popped(app: Quart, **about: Any) -> None:
        counts["popped"] += 1

    @site.app.get("/<what>")
    @site.tasks.background
    def page(what: str) -> str:
        if what == "broken":
            raise KeyboardInterrupt
        return what

    async with site:
        listening.enter_context(appcontext_pushed.connected_to(pushed, site.app))
        listening.enter_context(appcontext_popped.connected_to(popped, site.app))
        for path in ("/page", "/broken"):
            await site.start("GET", path)
            await site.tasks.join()
        assert counts["pushed"] == counts["popped"] >= 4  # two handlings of two requests


# -- called from elsewhere ---------------------------------------------------------------------


async def test_view_that_calls_another_runs_it_at_once() -> None:
    site = Site()

    @site.app.get("/inner/<word>")
    @site.tasks.background
    async def inner(word: str) -> Any:
        return {"inner": word, "task": current_task() is not None}

    @site.app.get("/outer")
    @site.tasks.background
    async def outer() -> Any:
        return await inner("called")

    @site.app.get("/plain")
    async def plain() -> Any:
        return await inner("from a plain view")

    async with site:
        ran = await site.run("GET", "/outer")
        assert ran.json == {"inner": "called", "task": True}
        assert len(site.tasks.list()) == 1
        ran = await site.run("GET", "/plain")
        assert ran.json == {"inner": "from a plain view", "task": True}
        assert len(site.tasks.list()) == 2


async def test_called_without_a_request_it_is_the_view() -> None:
    site = Site()

    @site.tasks.background
    async def double(value: int) -> int:
        return 2 * value

    @site.tasks.background
    def double_sync(value: int) -> int:
        return 2 * value

    async with site, site.app.app_context():
        assert await double(2) == 4
        assert await double_sync(3) == 6  # type: ignore[misc]
        assert site.tasks.list() == []


def test_decorated_view_keeps_its_name() -> None:
    tasks = QuartTasks()

    @tasks.background
    async def page() -> str:
        """A page."""
        return ""

    assert (page.__name__, page.__doc__, page.__module__) == ("page", "A page.", __name__)


# -- apps --------------------------------------------------------------------------------------


async def test_factory_that_is_called_twice() -> None:
    tasks = QuartTasks()

    def create_app(name: str) -> Quart:
        app = Quart(name)
        tasks.init_app(app)

        @app.get("/name")
        @tasks.background
        async def name_of_app() -> str:
            return f"{name} {current_app.name}"

        @app.get("/name-sync")
        @tasks.background
        def name_in_thread() -> str:
            return f"{name} {current_app.name}"

        return app

    apps = [create_app("one"), create_app("two")]
    async with apps[0].test_app(), apps[1].test_app():
        for app in apps:
            client = client_of(app)
            for path in ("/name", "/name-sync"):
                response = await client.get(path)
                assert response.status_code == 202
                result = f"{response.headers['Location']}/result?wait=60"
                answer = await client.get(result)
                assert await answer.get_data(as_text=True) == f"{app.name} {app.name}"
                other = client_of(next(each for each in apps if each is not app))
                assert (await other.get(result)).status_code == 404


async def test_blueprint_that_is_shared_by_two_apps() -> None:
    tasks = QuartTasks()
    blueprint = Blueprint("shared", __name__)

    @blueprint.get("/name")
    @tasks.background
    async def shared_name() -> str:
        return current_app.name

    apps = [Quart("one"), Quart("two")]
    for app in apps:
        tasks.init_app(app)
        app.register_blueprint(blueprint, url_prefix=f"/{app.name}")
    async with apps[0].test_app(), apps[1].test_app():
        for app in apps:
            client = client_of(app)
            response = await client.get(f"/{app.name}/name")
            answer = await client.get(f"{response.headers['Location']}/result?wait=60")
            assert await answer.get_data(as_text=True) == app.name


async def test_two_apps_with_an_extension_each() -> None:
    sites = [Site(Quart("one")), Site(Quart("two"))]
    for site in sites:

        @site.app.get("/name")
        @site.tasks.background
        async def name() -> str:
            return current_app.name

    async with sites[0], sites[1]:
        for site in sites:
            assert (await site.run("GET", "/name")).text == site.app.name


async def test_app_that_is_started_again() -> None:
    site = Site()

    @site.app.get("/page")
    @site.tasks.background
    def page() -> str:
        return "page"

    for _ in range(2):
        async with site:
            assert (await site.run("GET", "/page")).text == "page"


async def test_views_from_before_init_app() -> None:
    tasks = QuartTasks()
    app = Quart(__name__)

    @app.before_request
    async def consumes() -> None:
        assert b"".join([piece async for piece in request.body]) == b"body"

    @app.post("/page")
    @tasks.background
    async def page() -> str:
        return "page"

    tasks.init_app(app)
    async with app.test_app():
        response = await client_of(app).post("/page", data=b"body")
        assert response.status_code == 202
        await tasks.join()
        assert tasks.list()[0].state == "succeeded"


# -- idempotency -------------------------------------------------------------------------------


async def test_idempotency_key_gives_the_same_task() -> None:
    site = Site()

    @site.tasks.task
    async def echo(value: Any = None) -> Any:
        return value

    @site.app.route("/pay/<int:amount>", methods=["POST", "PUT"])
    @site.tasks.background
    async def pay(amount: int) -> Any:
        return await request.get_data()

    key = {"Idempotency-Key": "one"}
    async with site:
        record = await site.start("POST", "/pay/5?a=1", data=b"x", headers=key)
        again = await site.start("POST", "/pay/5?a=1", data=b"x", headers={**key, "X-Other": "1"})
        assert again["id"] == record["id"]
        await site.tasks.join()
        again = await site.start("POST", "/pay/5?a=1", data=b"x", headers=key)
        assert (again["id"], again["state"]) == (record["id"], "succeeded")
        for method, path, data in [
            ("POST", "/pay/5?a=1", b"y"), ("POST", "/pay/5", b"x"), ("POST", "/pay/6?a=1", b"x"),
            ("PUT", "/pay/5?a=1", b"x"), ("POST", "/tasks", b'{"name": "echo"}'),
        ]:  # fmt: skip
            answer = await site.client.open(path, method=method, data=data, headers={**key, **JSON})
            await problem(answer, 422, "invalid-arguments")
        assert len(site.tasks.list()) == 1
        assert (await site.start("POST", "/pay/5?a=1", data=b"x"))["id"] != record["id"]
        for bad in ("", "x" * 256):
            answer = await site.client.post("/pay/5", headers={"Idempotency-Key": bad})
            await problem(answer, 422)


async def test_one_key_at_the_same_moment(tmp_path: Path) -> None:
    site = Site(TASKS_JOURNAL=tmp_path / "tasks.db")
    paid: list[str] = []

    @site.app.post("/pay")
    @site.tasks.background
    async def pay() -> str:
        paid.append(which())
        return "paid"

    async with site:
        key = {"Idempotency-Key": "one"}
        asked = (site.start("POST", "/pay", data=b"5", headers=key) for _ in range(20))
        assert len({record["id"] for record in await asyncio.gather(*asked)}) == 1
        await site.tasks.join()
        assert paid == ["second"]


async def test_idempotency_key_of_an_owner() -> None:
    site = Site()

    @site.tasks.authorize
    async def authorize(action: str, name: str | None, record: Any) -> str | None:
        return request.headers.get("X-User")

    @site.app.post("/pay")
    @site.tasks.background
    async def pay() -> str:
        return ""

    key = {"Idempotency-Key": "k"}
    async with site:
        ids = [
            (await site.start("POST", "/pay", headers={**key, "X-User": user}))["id"]
            for user in ("me", "you", "me")
        ]
    assert ids[0] == ids[2] != ids[1]
