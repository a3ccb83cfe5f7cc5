"""A Flask app beside a Quart app: which of them answers, and what they know of each other."""

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
import quart
from flask import Flask
from quart import Quart
from quart.datastructures import FileStorage
from quart.typing import TestClientProtocol as Client
from werkzeug.exceptions import HTTPException

from quart_tasks import FlaskFallback, QuartTasks, QuartTasksError, wsgi

from .waiting import HANG

SECRET = "the same in both"


def make_flask_app() -> Flask:
    app = Flask("old", static_folder=None)
    app.secret_key = SECRET

    @app.route("/old")
    @app.route("/old/<path:rest>")
    def old(rest: str = "") -> dict[str, Any]:
        return {"rest": rest, "args": flask.request.args.to_dict(flat=False)}

    @app.route("/any", methods=["GET", "PUT", "PROPFIND", "TRACE"])
    def any_method() -> str:
        return flask.request.method

    @app.post("/shared")
    def post_shared() -> str:
        return "flask"

    @app.route("/both")
    def flask_both() -> str:
        return "flask"

    @app.route("/environ", methods=["GET", "POST"])
    def environ() -> dict[str, Any]:
        return {
            key: value for key, value in flask.request.environ.items() if isinstance(value, str)
        }

    @app.route("/slash/")
    def slash() -> str:
        return "slash"

    @app.route("/cookies")
    def cookies() -> flask.Response:
        response = flask.make_response("set")
        response.set_cookie("one", "1")
        response.set_cookie("two", "2", httponly=True, path="/x")
        return response

    @app.route("/session/<value>")
    def set_session(value: str) -> str:
        flask.session["value"] = value
        return "set"

    @app.route("/session")
    def get_session() -> str:
        return str(flask.session.get("value"))

    @app.route("/links")
    def links() -> list[str]:
        return [
            flask.url_for("old", rest="a b"),
            flask.url_for("new", number=3, q="x"),
            flask.url_for("new", number=3, _anchor="top", _external=True),
            flask.url_for("new", number=3, _external=True, _scheme="https"),
        ]

    @app.route("/nowhere")
    def nowhere() -> str:
        return flask.url_for("neither")

    @app.route("/boom")
    def boom() -> str:
        raise ValueError("boom")

    @app.route("/exit")
    def leave() -> str:
        raise SystemExit(3)

    @app.route("/redirect")
    def redirect() -> Any:
        return flask.redirect("/old?x=1", 307)

    @app.errorhandler(404)
    def not_found(error: HTTPException) -> tuple[str, int]:
        return "the flask page", 404

    @app.route("/upload", methods=["POST"])
    def upload() -> dict[str, Any]:
        return {
            "form": flask.request.form.to_dict(),
            "files": {name: len(file.read()) for name, file in flask.request.files.items()},
        }

    @app.post("/lines")
    def lines() -> list[str]:
        stream: Any = flask.request.stream
        return [stream.readline(3).decode(), *(line.decode() for line in stream)]

    @app.post("/length")
    def length() -> str:
        return str(len(flask.request.get_data()))

    @app.before_request
    def before() -> None:
        flask.g.steps = ["flask"]

    @app.after_request
    def after(response: flask.Response) -> flask.Response:
        response.headers["X-Flask"] = ",".join(flask.g.steps)
        return response

    return app


def make_quart_app() -> Quart:
    app = Quart("new", static_folder=None)
    app.secret_key = SECRET

    @app.route("/new/<int:number>")
    async def new(number: int) -> str:
        return f"quart {number}"

    @app.route("/shared")
    async def get_shared() -> str:
        return "quart"

    @app.route("/both")
    async def quart_both() -> str:
        return "quart"

    @app.route("/quart-session")
    async def session() -> str:
        return str(quart.session.get("value"))

    @app.route("/quart-session/<value>")
    async def set_quart_session(value: str) -> str:
        quart.session["value"] = value
        return "set"

    @app.route("/trailing/")
    async def trailing() -> str:
        return "trailing"

    @app.route("/quart-links")
    async def quart_links() -> list[str]:
        return [quart.url_for("new", number=1), quart.url_for("old", rest="a b", q="x")]

    @app.websocket("/both-ways")
    async def socket() -> None:
        await quart.websocket.send("quart")

    @app.before_request
    async def before() -> None:
        quart.g.steps = ["quart"]

    @app.after_request
    async def after(response: quart.Response) -> quart.Response:
        response.headers["X-Quart"] = ",".join(quart.g.steps)
        return response

    return app


@pytest.fixture
def flask_app() -> Flask:
    return make_flask_app()


@pytest.fixture
async def app(flask_app: Flask) -> AsyncIterator[Quart]:
    app = make_quart_app()
    tasks = QuartTasks(app)

    @tasks.task
    async def double(number: int) -> int:
        return 2 * number

    app.extensions["double"] = double
    FlaskFallback(app, flask_app)
    async with app.test_app():
        yield app


@pytest.fixture
def client(app: Quart) -> Client:
    return app.test_client()


# -- who answers ---------------------------------------------------------------------------


async def test_what_quart_routes_is_quarts(client: Client) -> None:
    response = await client.get("/new/7")
    assert await response.get_data(as_text=True) == "quart 7"
    assert response.headers["X-Quart"] == "quart"
    assert "X-Flask" not in response.headers


async def test_the_rest_is_flasks_with_its_hooks_alone(client: Client) -> None:
    response = await client.get("/old/a/b?x=1&x=2&y=")
    assert await response.get_json() == {"rest": "a/b", "args": {"x": ["1", "2"], "y": [""]}}
    assert response.headers["X-Flask"] == "flask"
    assert "X-Quart" not in response.headers


async def test_a_converter_that_does_not_fit_leaves_the_path_to_flask(
    client: Client,
) -> None:
    response = await client.get("/new/seven")
    assert response.status_code == 404
    assert await response.get_data(as_text=True) == "the flask page"


async def test_both_have_it_and_quart_answers(client: Client) -> None:
    response = await client.get("/both")
    assert await response.get_data(as_text=True) == "quart"


async def test_a_method_that_is_not_migrated_is_flasks(client: Client) -> None:
    assert await (await client.get("/shared")).get_data(as_text=True) == "quart"
    assert await (await client.post("/shared")).get_data(as_text=True) == "flask"


async def test_a_method_that_neither_has_is_405(client: Client) -> None:
    only_quart = await client.delete("/new/7")
    assert only_quart.status_code == 405
    assert only_quart.headers["X-Quart"] == "quart"
    known_to_both = await client.delete("/shared")
    assert known_to_both.status_code == 405
    assert known_to_both.headers["X-Flask"] == "flask"


async def test_options_of_a_path_that_quart_has_are_quarts(client: Client) -> None:
    response = await client.options("/shared")
    assert response.headers["X-Quart"] == "quart"
    response = await client.options("/old")
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    assert response.headers["X-Flask"] == "flask"


@pytest.mark.parametrize("method", ["GET", "PUT", "PROPFIND", "TRACE"])
async def test_unusual_methods_reach_flask(client: Client, method: str) -> None:
    response = await client.open("/any", method=method)
    assert await response.get_data(as_text=True) == method


async def test_head_has_headers_and_no_body(app: Quart) -> None:
    status, headers, body = await served(app, "/old", method="HEAD")()
    assert (status, body) == (200, b"")
    assert int(dict(headers)[b"content-length"]) > 0


@pytest.mark.parametrize(
    "path",
    ["/tasks/nothing/at/all", "/tasks/", "//tasks/x/y", "/tasks//x//y", "/tasks/types/x"],
)
async def test_what_is_under_the_prefix_is_never_flasks(
    app: Quart, flask_app: Flask, path: str
) -> None:
    @flask_app.before_request
    def not_here() -> None:
        raise AssertionError(flask.request.path)

    for method in ("GET", "POST", "DELETE"):
        response = await app.test_client().open(path, method=method)
        assert response.status_code in (200, 400, 404, 405, 415), path
        assert "X-Flask" not in response.headers


async def test_a_prefix_ends_at_a_slash(client: Client) -> None:
    response = await client.get("/tasks-of-old")
    assert await response.get_data(as_text=True) == "the flask page"


async def test_without_the_http_surface_flask_has_the_prefix_too(flask_app: Flask) -> None:
    app = make_quart_app()
    app.config["TASKS_URL_PREFIX"] = None
    QuartTasks(app)
    FlaskFallback(app, flask_app)
    flask_app.add_url_rule("/tasks/<rest>", view_func=lambda rest: rest)
    response = await app.test_client().get("/tasks/abc")
    assert await response.get_data(as_text=True) == "abc"


@pytest.mark.parametrize("first", ["tasks", "fallback"])
async def test_the_order_of_the_extensions_does_not_matter(flask_app: Flask, first: str) -> None:
    app = make_quart_app()
    if first == "tasks":
        QuartTasks(app)
    FlaskFallback(app, flask_app)
    if first != "tasks":
        QuartTasks(app)
    async with app.test_app() as started:
        client = started.test_client()
        assert (await client.get("/tasks/types")).status_code == 200
        missing = await client.get("/tasks/a/b/c")
        assert missing.content_type == "application/problem+json"
        assert (await client.get("/old")).headers["X-Flask"] == "flask"
        large = await client.post("/length", data=b"x" * (3 * 1024 * 1024))
        assert await large.get_data(as_text=True) == str(3 * 1024 * 1024)


async def test_each_app_redirects_its_own(client: Client) -> None:
    response = await client.get("/redirect")
    assert (response.status_code, response.headers["Location"]) == (307, "/old?x=1")
    response = await client.get("/slash?x=1")
    assert response.status_code == 308
    assert response.headers["Location"].endswith("/slash/?x=1")
    assert response.headers["X-Flask"] == "flask"
    response = await client.get("/trailing")
    assert response.status_code == 308
    assert response.headers["X-Quart"] == "quart"


async def test_a_websocket_that_quart_does_not_know_is_refused(
    app: Quart, flask_app: Flask
) -> None:
    @flask_app.before_request
    def not_here() -> None:
        raise AssertionError(flask.request.path)

    with pytest.raises(quart.testing.connections.WebsocketResponseError) as refused:
        async with app.test_client().websocket("/old") as socket:
            await socket.receive()
    assert refused.value.response.status_code == 404


async def test_a_path_may_be_a_websocket_of_quart_and_a_page_of_flask(
    app: Quart, flask_app: Flask
) -> None:
    flask_app.add_url_rule("/both-ways", view_func=lambda: "flask page")
    client = app.test_client()
    assert await (await client.get("/both-ways")).get_data(as_text=True) == "flask page"
    async with client.websocket("/both-ways") as socket:
        assert await socket.receive() == "quart"


async def test_static_files_of_both(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "both.txt").write_text(name)
        (tmp_path / name / f"{name}.txt").write_text(name)
    (tmp_path / "secret.txt").write_text("secret")
    folder = str(tmp_path / "new")
    app = Quart("new", static_folder=folder, static_url_path="/static")
    part = quart.Blueprint(
        "part", "part", static_folder=folder, static_url_path="/static", url_prefix="/part"
    )
    app.register_blueprint(part)
    flask_app = Flask("old", static_folder=str(tmp_path / "old"), static_url_path="/static")
    flask_app.add_url_rule("/part/static/<name>", view_func=lambda name: f"flask {name}")
    FlaskFallback(app, flask_app)
    client = app.test_client()

    async def get(path: str) -> tuple[int, str]:
        response = await client.get(path)
        return response.status_code, await response.get_data(as_text=True)

    assert await get("/static/new.txt") == (200, "new")
    assert await get("/static/old.txt") == (200, "old")
    assert await get("/static/both.txt") == (200, "new")
    assert await get("/part/static/new.txt") == (200, "new")
    assert await get("/part/static/old.txt") == (200, "flask old.txt")
    for path in ("/static/nothing.txt", "/static/../secret.txt", "/static/%2e%2e/secret.txt"):
        status, text = await get(path)
        assert (status, "secret" in text) == (404, False)


async def test_errors_are_flasks(app: Quart, flask_app: Flask) -> None:
    @flask_app.errorhandler(ValueError)
    def handle(error: ValueError) -> tuple[str, int]:
        return f"handled {error}", 409

    @flask_app.route("/key-error")
    def key_error() -> str:
        raise KeyError("x")

    client = app.test_client()
    response = await client.get("/boom")
    assert (response.status_code, await response.get_data(as_text=True)) == (409, "handled boom")
    response = await client.get("/key-error")
    assert response.status_code == 500
    assert "Internal Server Error" in await response.get_data(as_text=True)
    assert response.headers["X-Flask"] == "flask"


async def test_sys_exit_in_a_view_is_an_error_of_its_request_alone(
    client: Client,
) -> None:
    with pytest.raises(RuntimeError, match="SystemExit"):
        await client.get("/exit")
    assert (await client.get("/old")).status_code == 200


# -- what arrives --------------------------------------------------------------------------


async def test_flask_sees_the_environment_of_the_request(app: Quart) -> None:
    client = app.test_client()
    response = await client.get(
        "/environ?a=%20b",
        headers={"X-Real-Ip": "1.2.3.4", "X_Real_Ip": "6.6.6.6", "Host": "example.org:8080"},
        scope_base={"client": ("10.0.0.9", 4711), "server": ("here", 8080), "scheme": "https"},
    )
    environ = await response.get_json()
    assert environ["REMOTE_ADDR"] == "10.0.0.9"
    assert environ["REMOTE_PORT"] == "4711"
    assert environ["SERVER_NAME"] == "here"
    assert environ["SERVER_PORT"] == "8080"
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["QUERY_STRING"] == "a=%20b"
    assert environ["HTTP_HOST"] == "example.org:8080"
    assert environ["HTTP_X_REAL_IP"] == "1.2.3.4"
    assert environ["SCRIPT_NAME"] == ""
    assert environ["PATH_INFO"] == "/environ"


@pytest.mark.parametrize(
    ("path", "rest"),
    [
        ("/old/gr%C3%BC%C3%9Fe/%E2%82%AC", "grüße/€"),
        ("/old/grüße", "grüße"),
        ("/old/a%20b%2Bc", "a b+c"),
        ("/old/a%2525", "a%25"),
        ("/old/%F0%9F%90%8D", "🐍"),
    ],
)
async def test_paths_beyond_ascii(client: Client, path: str, rest: str) -> None:
    response = await client.get(path)
    assert (await response.get_json())["rest"] == rest


def served(
    app: Quart, path: str, receive: Callable[[], Any] | None = None, **scope: Any
) -> Callable[[], Any]:
    """A request as a server hands it over, for what the test client cannot say."""

    async def ask() -> tuple[int | None, list[tuple[bytes, bytes]], bytes]:
        sent: list[Any] = []
        messages = [{"type": "http.request", "body": b"", "more_body": False}]
        answered = asyncio.Event()

        async def wait() -> Any:
            if messages:
                return messages.pop()
            await answered.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if not message.get("more_body", True):
                answered.set()

        whole = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
            "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
            "root_path": "", "headers": [(b"host", b"x")], "client": None, "server": None,
            "extensions": {},
        }  # fmt: skip
        await app.asgi_app({**whole, **scope}, receive or wait, send)  # type: ignore[arg-type, typeddict-item]
        if not sent:
            return None, [], b""
        body = b"".join(each.get("body", b"") for each in sent[1:])
        return sent[0]["status"], sent[0]["headers"], body

    return ask


async def test_bytes_that_are_not_utf_8_reach_the_environment(app: Quart) -> None:
    ask = served(app, "/environ/�", raw_path=b"/environ/%FF", query_string=b"a=\xff\xc3\xa4&b=%41")
    status, _, _ = await ask()
    assert status == 404  # and no 500
    ask = served(app, "/environ", query_string=b"a=\xff\xc3\xa4&b=%41+c")
    _, _, body = await ask()
    assert flask.json.loads(body)["QUERY_STRING"] == "a=%FF%C3%A4&b=%41+c"


async def test_a_root_path_is_the_script_name(app: Quart) -> None:
    status, _, body = await served(app, "/app/environ", root_path="/app")()
    environ = flask.json.loads(body)
    assert (status, environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (200, "/app", "/environ")
    # One that only begins alike is none.
    assert (await served(app, "/application/environ", root_path="/app")())[0] == 404


async def test_a_url_for_a_path_is_routed_as_its_path(app: Quart) -> None:
    status, _, body = await served(app, "http://x/old/a")()
    assert (status, flask.json.loads(body)["rest"]) == (200, "a")


async def test_cookies_in_parts_are_joined(app: Quart) -> None:
    headers = [(b"cookie", b"a=1"), (b"cookie", b"b=2")]
    _, _, body = await served(app, "/environ", headers=headers, http_version="2")()
    assert flask.json.loads(body)["HTTP_COOKIE"] == "a=1; b=2"


async def test_headers_of_the_connection_stay_with_the_server(app: Quart, flask_app: Flask) -> None:
    @flask_app.route("/hops")
    def hops() -> flask.Response:
        return flask.Response("x", headers={"Connection": "keep-alive", "X-Kept": "1"})

    _, headers, _ = await served(app, "/hops")()
    names = [name for name, _ in headers]
    assert b"x-kept" in names
    assert b"connection" not in names


async def test_several_cookies_are_set(client: Client) -> None:
    response = await client.get("/cookies")
    assert sorted(response.headers.getlist("Set-Cookie")) == [
        "one=1; Path=/",
        "two=2; HttpOnly; Path=/x",
    ]


async def test_forms_and_files_reach_flask(client: Client) -> None:
    file = FileStorage(io.BytesIO(b"x" * 100_000), filename="a.bin")
    response = await client.post("/upload", form={"a": "ä"}, files={"file": file})
    assert await response.get_json() == {"form": {"a": "ä"}, "files": {"file": 100_000}}


@pytest.mark.parametrize("sized", [True, False])
async def test_a_body_in_parts_with_and_without_its_length(app: Quart, sized: bool) -> None:
    headers = {"Content-Length": "11"} if sized else {"Transfer-Encoding": "chunked"}
    async with app.test_client().request("/lines", method="POST", headers=headers) as request:
        for part in (b"ab", b"cd\ne", b"", b"fg\nhi"):
            await request.send(part)
        await request.send_complete()
        answer = flask.json.loads(await request.receive())
    assert answer == ["abc", "d\n", "efg\n", "hi"]


async def test_the_limits_of_quart_are_not_flasks(app: Quart, flask_app: Flask) -> None:
    app.config["MAX_CONTENT_LENGTH"] = 10
    body = b"x" * (2 * 1024 * 1024)  # more than TASKS_MAX_BODY_SIZE as well
    response = await app.test_client().post("/length", data=body)
    assert await response.get_data(as_text=True) == str(len(body))
    flask_app.config["MAX_CONTENT_LENGTH"] = 10
    headers = {"Content-Length": str(len(body))}
    response = await app.test_client().post("/length", data=body, headers=headers)
    assert response.status_code == 413
    assert response.headers["X-Flask"] == "flask"


async def test_an_upload_that_breaks_off_is_not_taken_for_whole(
    app: Quart, flask_app: Flask
) -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[int | None] = loop.create_future()

    @flask_app.post("/broken")
    def broken() -> str:
        loop.call_soon_threadsafe(begun.set)
        try:
            flask.request.get_data()
        except HTTPException as error:
            loop.call_soon_threadsafe(outcome.set_result, error.code)
        return ""

    async with app.test_client().request("/broken", method="POST") as request:
        await request.send(b"half a bod")
        await begun.wait()
        await request.disconnect()
        assert await asyncio.wait_for(outcome, HANG) == 400


async def test_a_client_that_sends_no_more_of_its_body_gets_408(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wsgi, "READ_SECONDS", 0.01)
    async with app.test_client().request("/length", method="POST") as request:
        await request.send(b"half a bod")
        await request.receive()
        assert request.status_code == 408


async def test_a_client_that_goes_while_it_waits_for_a_thread_is_not_served(
    flask_app: Flask,
) -> None:
    app = make_quart_app()
    FlaskFallback(app, flask_app, threads=1)
    loop, begun, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    served_names = []

    @flask_app.route("/named/<name>")
    def named(name: str) -> str:
        served_names.append(name)
        loop.call_soon_threadsafe(begun.set)
        assert go_on.wait(HANG)
        return name

    client = app.test_client()
    first = asyncio.create_task(client.get("/named/first"))
    await begun.wait()
    left = asyncio.Event()
    messages = [{"type": "http.disconnect"}, {"type": "http.request"}]

    async def receive() -> Any:
        if len(messages) == 1:
            left.set()
        return messages.pop()

    gone = asyncio.create_task(served(app, "/named/gone", receive=receive)())
    await left.wait()
    last = asyncio.create_task(client.get("/named/last"))
    go_on.set()
    assert [(await each).status_code for each in (first, last)] == [200, 200]
    assert (await gone)[0] is None
    assert served_names == ["first", "last"]


# -- what leaves ---------------------------------------------------------------------------


async def test_a_part_arrives_before_the_next_is_made(app: Quart, flask_app: Flask) -> None:
    go_on = threading.Event()

    @flask_app.route("/stream")
    def stream() -> flask.Response:
        def parts() -> Iterator[str]:
            yield "first"
            assert go_on.wait(HANG)
            yield "second"

        return flask.Response(flask.stream_with_context(parts()))

    async with app.test_client().request("/stream") as request:
        await request.send_complete()
        assert await request.receive() == b"first"
        go_on.set()
        assert await request.receive() == b"second"


class Endless:
    """A view at `/endless` that makes parts as long as anybody takes them."""

    def __init__(self, flask_app: Flask) -> None:
        self.begun, self.closed = asyncio.Event(), asyncio.Event()
        self._loop = asyncio.get_running_loop()
        flask_app.add_url_rule("/endless", "endless", lambda: flask.Response(self._parts()))

    def _parts(self) -> Iterator[str]:
        try:
            while True:
                yield "x" * 1000
                self._loop.call_soon_threadsafe(self.begun.set)
        finally:
            self._loop.call_soon_threadsafe(self.closed.set)


async def test_a_client_that_goes_closes_the_generator(app: Quart, flask_app: Flask) -> None:
    endless = Endless(flask_app)
    async with app.test_client().request("/endless") as request:
        await request.send_complete()
        await request.receive()
        await request.disconnect()
        await asyncio.wait_for(endless.closed.wait(), HANG)


async def test_a_request_that_is_cancelled_ends_its_generator_and_frees_its_thread(
    flask_app: Flask,
) -> None:
    app = make_quart_app()
    FlaskFallback(app, flask_app, threads=1)
    async with app.test_app():
        endless = Endless(flask_app)
        request = asyncio.create_task(served(app, "/endless")())
        await endless.begun.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        await asyncio.wait_for(endless.closed.wait(), HANG)
        assert (await app.test_client().get("/old")).status_code == 200


async def test_what_a_generator_raises_before_its_first_part_is_no_200(
    app: Quart, flask_app: Flask
) -> None:
    @flask_app.route("/late")
    def late() -> flask.Response:
        def parts() -> Iterator[str]:
            raise LookupError("too late")
            yield ""

        return flask.Response(parts())

    with pytest.raises(LookupError):
        await served(app, "/late")()


async def test_a_server_that_takes_no_answer_frees_the_thread(app: Quart, flask_app: Flask) -> None:
    """Hypercorn raises for a header that is none."""
    endless = Endless(flask_app)

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        raise TypeError("a bad header")

    scope: Any = {
        "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": "/endless", "query_string": b"", "headers": [],
    }  # fmt: skip
    with pytest.raises(TypeError, match="a bad header"):
        await app.asgi_app(scope, receive, send)
    await asyncio.wait_for(endless.closed.wait(), HANG)


# -- what they know of each other ----------------------------------------------------------


async def test_the_session_is_one_where_the_key_is_the_same(client: Client) -> None:
    await client.get("/session/from-flask")
    assert await (await client.get("/quart-session")).get_data(as_text=True) == "from-flask"
    await client.get("/quart-session/from-quart")
    assert await (await client.get("/session")).get_data(as_text=True) == "from-quart"


async def test_url_for_knows_the_endpoints_of_both(client: Client) -> None:
    assert await (await client.get("/links")).get_json() == [
        "/old/a%20b",
        "/new/3?q=x",
        "http://localhost/new/3#top",
        "https://localhost/new/3",
    ]
    assert await (await client.get("/quart-links")).get_json() == ["/new/1", "/old/a%20b?q=x"]
    assert (await client.get("/nowhere")).status_code == 500


async def test_url_for_keeps_the_root_path(app: Quart) -> None:
    _, _, body = await served(app, "/app/links", root_path="/app")()
    assert flask.json.loads(body)[:2] == ["/app/old/a%20b", "/app/new/3?q=x"]
    _, _, body = await served(app, "/app/quart-links", root_path="/app")()
    assert flask.json.loads(body) == ["/app/new/1", "/app/old/a%20b?q=x"]


async def test_a_flask_view_submits_a_task_and_waits(app: Quart, flask_app: Flask) -> None:
    tasks: QuartTasks = app.extensions["QUART_TASKS"]

    @flask_app.route("/double/<int:number>")
    def double(number: int) -> str:
        return str(tasks.submit_sync("double", number).wait(HANG))

    response = await app.test_client().get("/double/21")
    assert await response.get_data(as_text=True) == "42"


async def test_middleware_around_the_flask_app_is_kept(app: Quart, flask_app: Flask) -> None:
    inner: Any = flask_app.wsgi_app

    def middleware(environ: Any, start_response: Any) -> Any:
        environ["HTTP_X_ADDED"] = "by a middleware"
        return inner(environ, start_response)

    flask_app.wsgi_app = middleware  # type: ignore[method-assign]
    environ = await (await app.test_client().get("/environ")).get_json()
    assert environ["HTTP_X_ADDED"] == "by a middleware"


async def test_a_plain_wsgi_app_may_write(app: Quart, flask_app: Flask) -> None:
    def plain(environ: Any, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"written, ")
        return [b"", b"returned"]

    flask_app.wsgi_app = plain  # type: ignore[method-assign, assignment]
    response = await app.test_client().get("/whatever")
    assert await response.get_data(as_text=True) == "written, returned"


async def test_views_run_at_once_up_to_the_number_of_threads(flask_app: Flask) -> None:
    app = make_quart_app()
    FlaskFallback(app, flask_app, threads=3)
    together = threading.Barrier(3)
    running: list[int] = [0, 0]
    lock = threading.Lock()

    @flask_app.route("/together")
    def meet() -> str:
        with lock:
            running[0] += 1
            running[1] = max(running)
        together.wait(HANG)
        with lock:
            running[0] -= 1
        return "met"

    client = app.test_client()
    responses = await asyncio.gather(*(client.get("/together") for _ in range(9)))
    assert [each.status_code for each in responses] == [200] * 9
    assert running == [0, 3]


async def test_the_app_may_be_started_again(flask_app: Flask) -> None:
    app = make_quart_app()
    FlaskFallback(app, flask_app)
    for _ in range(2):
        async with app.test_app() as started:
            assert (await started.test_client().get("/old")).status_code == 200


async def test_threads_end_with_the_app(flask_app: Flask) -> None:
    app = make_quart_app()
    FlaskFallback(app, flask_app)
    threads: list[threading.Thread] = []
    flask_app.add_url_rule(
        "/thread", view_func=lambda: str(threads.append(threading.current_thread()))
    )
    async with app.test_app() as started:
        await started.test_client().get("/thread")
        assert threads[0].daemon
    await asyncio.to_thread(threads[0].join, HANG)
    assert not threads[0].is_alive()


def test_second_fallback_of_an_app_is_refused(flask_app: Flask) -> None:
    app = make_quart_app()
    FlaskFallback(app, flask_app)
    with pytest.raises(QuartTasksError, match="already"):
        FlaskFallback(app, make_flask_app())


def test_no_threads_are_too_few(flask_app: Flask) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        FlaskFallback(make_quart_app(), flask_app, threads=0)


def test_without_a2wsgi_it_says_what_to_install(
    flask_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "a2wsgi", None)
    app = make_quart_app()
    with pytest.raises(QuartTasksError, match=r"pip install 'quart-tasks-server\[migrate\]'"):
        FlaskFallback(app, flask_app)
    assert "FLASK_FALLBACK" not in app.extensions
