"""A view in the background answers what it answers in the foreground: two apps with the same
routes, hooks and handlers, one of them with `@tasks.background`, are asked the same."""

from __future__ import annotations

import asyncio
import functools
import io
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quart import (
    Blueprint,
    Quart,
    Response,
    abort,
    after_this_request,
    current_app,
    flash,
    g,
    get_flashed_messages,
    jsonify,
    make_response,
    redirect,
    render_template_string,
    request,
    send_file,
    session,
    url_for,
)
from quart.views import MethodView, View
from werkzeug.exceptions import HTTPException

from quart_tasks import QuartTasks

from .background import Site, multipart, whole_body
from .web import client_of

Decorator = Callable[[Any], Any]
Case = tuple[str, str, dict[str, Any]]

from_hook: ContextVar[str] = ContextVar("from_hook", default="")
PLAIN_TEXT = b"0123456789" * 100


class Teapot(Exception):
    pass


def make_site(in_background: bool) -> Site:
    site = Site()
    site.app.config["MAX_CONTENT_LENGTH"] = 100_000
    site.app.config["PROPAGATE_EXCEPTIONS"] = False
    decorate: Decorator = site.tasks.background if in_background else lambda view: view
    for define in (bodies, facts, responses, errors, hooks, classes, decorators, blueprints):
        define(site.app, site.tasks, decorate)
    return site


def bodies(app: Quart, tasks: QuartTasks, background: Decorator) -> None:
    @app.route("/bytes", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    @background
    async def the_bytes() -> bytes:
        return await whole_body()

    @app.post("/pieces")
    @background
    async def pieces() -> bytes:
        return b"".join([piece async for piece in request.body])

    @app.post("/json")
    @background
    async def the_json() -> Response:
        return jsonify(await request.get_json(), await request.get_json(silent=True))

    @app.post("/form")
    @background
    async def the_form() -> dict[str, Any]:
        form, files = await request.form, await request.files
        return {
            "form": [[name, form.getlist(name)] for name in form],
            "files": [
                [name, each.filename, each.content_type, each.read().decode()]
                for name in files
                for each in files.getlist(name)
            ],
            "values": sorted((await request.values).items()),
        }

    @app.post("/save")
    @background
    async def save() -> str:
        kept = io.BytesIO()
        for each in (await request.files).getlist("file"):
            kept.write(each.stream.read(3))
        return kept.getvalue().decode()


def facts(app: Quart, tasks: QuartTasks, background: Decorator) -> None:
    def about() -> dict[str, Any]:
        return {
            "method": request.method, "path": request.path, "full_path": request.full_path,
            "url": request.url, "base_url": request.base_url, "root_url": request.root_url,
            "query": request.query_string.decode(), "args": list(request.args.items(multi=True)),
            "host": request.host, "scheme": request.scheme, "secure": request.is_secure,
            "remote_addr": request.remote_addr, "client": request.scope.get("client"),
            "root_path": request.root_path, "script_root": request.script_root,
            "http_version": request.http_version, "endpoint": request.endpoint,
            "rule": str(request.url_rule), "view_args": str(request.view_args),
            "headers": request.headers.to_wsgi_list(), "cookies": request.cookies,
            "authorization": repr(request.authorization), "agent": str(request.user_agent),
            "length": request.content_length, "mimetype": request.mimetype,
            "languages": str(request.accept_languages), "range": str(request.range),
            "app": current_app.name, "name": current_app._get_current_object().import_name,
            "blueprint": request.blueprint, "is_json": request.is_json,
        }  # fmt: skip

    @app.route("/about", methods=["GET", "POST", "OPTIONS"], provide_automatic_options=False)
    @background
    async def on_loop() -> dict[str, Any]:
        return about()

    @app.route("/about-sync/", methods=["GET", "POST"])
    @background
    def in_thread() -> dict[str, Any]:
        return about()

    @app.get("/typed/<int:number>/<float:part>/<uuid:id>/<any(a, b):letter>/<path:rest>")
    @background
    async def typed(**values: Any) -> dict[str, str]:
        return {name: repr(value) for name, value in values.items()}

    @app.get("/text/<name>")
    @background
    def named(name: str) -> str:
        return f"{name} {request.path} {url_for('named', name=name)}"

    @app.get("/defaults/", defaults={"page": 1})
    @app.get("/defaults/<int:page>")
    @background
    async def defaults(page: int) -> str:
        return str(page)

    @app.get("/urls")
    @background
    async def urls() -> list[str]:
        return [
            url_for("urls"), url_for("urls", _external=True), url_for("typed_on", number=1, q="ä"),
            url_for("static", filename="a.css"), url_for("inner.leaf", lang="en"),
        ]  # fmt: skip

    @app.get("/typed-on/<int:number>")
    @background
    def typed_on(number: int) -> str:
        return url_for("urls", _external=True, _scheme="https", _anchor=str(number))


def responses(app: Quart, tasks: QuartTasks, background: Decorator) -> None:
    @app.get("/tuple")
    @background
    async def of_tuple() -> Any:
        return {"a": 1}, 201, {"X-Own": "1", "Content-Type": "application/vnd.own+json"}

    @app.get("/headers")
    @background
    def of_headers() -> Any:
        return "text", [("X-Twice", "1"), ("X-Twice", "2"), ("Link", "</a>; rel=next")]

    @app.get("/list")
    @background
    async def of_list() -> Any:
        return [1, "ä", None]

    @app.get("/object")
    @background
    async def of_object() -> Response:
        response = await make_response(b"\x00\xff", 299)
        response.content_type = "application/x-own; v=1"
        response.set_etag("tag")
        response.last_modified = datetime(2026, 1, 2, tzinfo=UTC)
        response.content_encoding = "own"
        response.cache_control.max_age = 5
        return response  # type: ignore[return-value]

    @app.route("/nothing", methods=["GET", "DELETE"])
    @background
    async def nothing() -> Any:
        return "", 204

    @app.get("/status/<int:status>")
    @background
    def of_status(status: int) -> Any:
        return f"as {status}", status

    @app.get("/away")
    @background
    async def away() -> Any:
        return redirect(url_for("urls"), 303)

    @app.get("/file")
    @background
    async def file() -> Any:
        return await send_file(io.BytesIO(PLAIN_TEXT), mimetype="text/plain", conditional=True)

    @app.get("/module")
    @background
    async def module() -> Any:
        response = await send_file(__file__, as_attachment=True, attachment_filename="this ä.py")
        response.expires = datetime(2026, 1, 2, tzinfo=UTC)  # Quart's goes by the present second
        return response

    @app.get("/page")
    @background
    async def page() -> str:
        return await render_template_string("<b>{{ request.path }} {{ g.user }} {{ x }}</b>", x="&")

    @app.get("/untyped")
    @background
    async def untyped() -> Response:
        response = Response(b"bytes")
        del response.headers["Content-Type"]
        return response

    @app.get("/late")
    @background
    def late() -> str:
        @after_this_request
        def add(response: Any) -> Any:
            response.headers["X-Late"] = request.path
            return response

        return "late"

    @app.get("/conditional")
    @background
    async def conditional() -> Any:
        response: Any = await make_response("same")
        response.set_etag("same")
        return await response.make_conditional(request)


def errors(app: Quart, tasks: QuartTasks, background: Decorator) -> None:
    @app.get("/abort/<int:status>")
    @background
    async def aborts(status: int) -> Any:
        abort(status)

    @app.get("/abort-sync/<int:status>")
    @background
    def aborts_in_thread(status: int) -> Any:
        abort(status, "a description")

    @app.get("/abort-response")
    @background
    async def aborts_with_response() -> Any:
        abort(Response("as it is", 409, {"X-Why": "so"}))

    @app.get("/tea")
    @background
    async def tea() -> Any:
        raise Teapot("no coffee")

    @app.get("/tea-sync")
    @background
    def tea_in_thread() -> Any:
        raise Teapot("no coffee")

    @app.get("/bad-key")
    @background
    async def bad_key() -> Any:
        return (await request.form)["not there"]

    @app.get("/broken")
    @background
    async def broken() -> Any:
        return str(1 / 0)

    @app.get("/broken-sync")
    @background
    def broken_in_thread() -> Any:
        return str(1 / 0)

    @app.errorhandler(Teapot)
    async def make_tea(error: Teapot) -> Any:
        return {"tea": str(error), "user": g.user}, 418, {"X-Tea": "1"}

    @app.errorhandler(403)
    def refused(error: HTTPException) -> Any:
        return f"refused: {error.description} at {request.path}", 403

    @app.errorhandler(500)
    async def failed(error: Any) -> Any:
        return f"{type(error.original_exception).__name__} at {request.path}", 500


def hooks(app: Quart, tasks: QuartTasks, background: Decorator) -> None:
    @app.before_request
    async def user() -> None:
        g.user = request.headers.get("X-User", "nobody")
        g.calls = [*getattr(g, "calls", ()), "async"]
        from_hook.set(g.user)

    @app.before_request
    def more() -> None:
        g.calls = [*g.calls, "sync"]

    @app.before_request
    async def reads() -> None:
        if request.path == "/form":
            g.seen = [sorted((await request.form).items()), sorted(await request.files)]
        elif request.path == "/signed":
            g.seen = b"".join([piece async for piece in request.body]).decode()

    @app.after_request
    async def mark(response: Response) -> Response:
        response.headers["X-User"] = g.user
        return response

    @app.after_request
    def count(response: Response) -> Response:
        response.headers["X-Calls"] = " ".join(g.calls)
        return response

    @app.get("/g")
    @background
    async def in_g() -> dict[str, Any]:
        return {"user": g.user, "calls": g.calls, "var": from_hook.get()}

    @app.get("/g-sync")
    @background
    def in_g_sync() -> dict[str, Any]:
        return {"user": g.user, "calls": g.calls, "var": from_hook.get()}

    @app.post("/signed")
    @background
    async def signed() -> str:
        return str(g.seen)

    @app.get("/login")
    async def login() -> str:
        session["user"] = "me"
        await flash("welcome")
        return "in"

    @app.get("/session")
    @background
    async def in_session() -> dict[str, Any]:
        session["more"] = 1
        return {"user": session.get("user"), "new": session.new}

    @app.get("/session-sync")
    @background
    def in_session_sync() -> str:
        return str(session.pop("user", None))

    @app.get("/flashed")
    @background
    async def flashed() -> list[Any]:
        return list(get_flashed_messages(with_categories=True))

    @app.context_processor
    async def values() -> dict[str, Any]:
        return {"x": "of the app"}


def classes(app: Quart, tasks: QuartTasks, background: Decorator) -> None:
    class Items(MethodView):
        decorators = [background]  # noqa: RUF012 - as Quart's documents have it

        def __init__(self, kind: str) -> None:
            self.kind = kind

        async def get(self, id: int) -> str:
            return f"{self.kind} {id} {request.method}"

        async def post(self, id: int) -> Any:
            return await request.get_json(), 201

    class Once(View):
        decorators = [background]  # noqa: RUF012
        methods = ["PUT"]  # noqa: RUF012
        init_every_request = False

        async def dispatch_request(self, **values: Any) -> str:
            return f"{request.method} {request.endpoint}"

    class Methods(MethodView):
        async def get(self) -> str:
            return "in the foreground"

        @background
        async def post(self) -> Any:
            return await request.form

        @background
        def put(self) -> str:
            return f"{type(self).__name__} {g.user}"

    class Direct(View):
        methods = ["POST"]  # noqa: RUF012

        @background
        async def dispatch_request(self, name: str) -> str:
            return f"{name} {(await whole_body()).decode()}"

    app.add_url_rule("/items/<int:id>", view_func=Items.as_view("items", "item"))
    app.add_url_rule("/once", view_func=Once.as_view("once"))
    app.add_url_rule("/methods", view_func=Methods.as_view("methods"))
    app.add_url_rule("/direct/<name>", view_func=Direct.as_view("direct"))


def decorators(app: Quart, tasks: QuartTasks, background: Decorator) -> None:
    def shouts(view: Callable[..., Awaitable[str]]) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(view)
        async def shouting(*args: Any, **kwargs: Any) -> Any:
            answer = await view(*args, **kwargs)
            return answer.upper() if isinstance(answer, str) else answer

        return shouting

    def user_only(view: Any) -> Any:
        @functools.wraps(view)
        async def checked(*args: Any, **kwargs: Any) -> Any:
            if g.user == "nobody":
                abort(401)
            return await current_app.ensure_async(view)(*args, **kwargs)

        return checked

    def sync_twice(view: Any) -> Any:
        @functools.wraps(view)
        def twice(*args: Any, **kwargs: Any) -> str:
            return str(view(*args, **kwargs)) * 2

        return twice

    def unnamed(view: Any) -> Any:
        async def hides(*args: Any, **kwargs: Any) -> Any:
            return await view(*args, **kwargs)

        hides.__name__ = f"hidden_{view.__name__}"
        return hides

    @app.get("/below/<word>")
    @background
    @shouts
    @user_only
    async def below(word: str) -> str:
        return word

    @app.get("/above/<word>")
    @user_only
    @background
    async def above(word: str) -> str:
        return word

    @app.get("/around/<word>")
    @user_only
    @background
    @sync_twice
    def around(word: str) -> str:
        return word

    @app.post("/hidden")
    @unnamed
    @background
    async def hidden() -> bytes:
        return await whole_body()


def blueprints(app: Quart, tasks: QuartTasks, background: Decorator) -> None:
    outer = Blueprint("outer", __name__, url_prefix="/outer")
    inner = Blueprint("inner", __name__, url_prefix="/<lang>")
    lone = Blueprint("inner", __name__, url_prefix="/lone/<lang>")

    def add(blueprint: Blueprint) -> None:
        @blueprint.url_value_preprocessor
        def pull(endpoint: str | None, values: dict[str, Any] | None) -> None:
            g.lang = (values or {}).pop("lang", None)

        @blueprint.url_defaults
        def put(endpoint: str, values: dict[str, Any]) -> None:
            if "lang" in g:
                values.setdefault("lang", g.lang)

        @blueprint.before_request
        async def before() -> None:
            g.calls = [*g.calls, request.blueprint]

        @blueprint.after_request
        async def after(response: Response) -> Response:
            response.headers["X-Blueprint"] = str(request.blueprint)
            return response

        @blueprint.errorhandler(404)
        async def missing(error: Any) -> Any:
            return f"nothing here, {g.lang}", 404

        @blueprint.get("/leaf")
        @background
        async def leaf() -> dict[str, Any]:
            return {
                "lang": g.lang, "calls": g.calls, "blueprints": request.blueprints,
                "endpoint": request.endpoint, "url": url_for(".leaf"),
            }  # fmt: skip

        @blueprint.get("/missing")
        @background
        def not_there() -> Any:
            abort(404)

    add(inner)
    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    add(lone)
    app.register_blueprint(lone)


LATIN = b"A" + "ä".encode("latin1")
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ME = {"headers": {"X-User": "me"}}

CASES: list[Case] = [
    ("GET", "/bytes", {}),
    ("POST", "/bytes", {}),
    ("PUT", "/bytes", {"data": b"\x00\xff" * 10}),
    ("PATCH", "/bytes", {"data": LATIN}),
    ("DELETE", "/bytes", {"data": b"gone"}),
    ("POST", "/bytes", {"data": b"x" * 100_000}),
    ("POST", "/pieces", {"data": b"y" * 70_000}),
    ("POST", "/pieces", {}),
    ("POST", "/json", {"json": {"a": [1, None, "ä"]}}),
    ("POST", "/json", {"data": b"{broken", "headers": JSON}),
    ("POST", "/json", {"data": b"null", "headers": JSON}),
    ("POST", "/json", {"data": b"{}"}),
    ("POST", "/form?a=q", {"form": {"a": "1", "b": ["2", "3"], "ä": "ö&="}}),
    ("POST", "/form", {"data": b"a=1&a=2&b", "headers": FORM}),
    ("POST", "/form", {}),
    ("POST", "/form", multipart(("a", None, b"1"), ("f", "x.txt", b"one"), ("f", "y", b"two"))),
    ("POST", "/form", multipart(("f", "", b""), ("g", "empty", b""))),
    ("POST", "/form", multipart(("f", "big", b"z" * 90_000))),
    ("POST", "/save", multipart(("file", "a", b"abcdef"), ("file", "b", b"ghijkl"))),
    ("GET", "/about?a=1&a=2&b=%C3%A4&c", {"headers": {"X-Own": "1", "Cookie": "k=v; l=w"}}),
    ("POST", "/about", {"json": {}, "headers": {"Authorization": "Basic YTpi", "Range": "a=1-"}}),
    ("OPTIONS", "/about", {}),
    ("GET", "/about-sync/?q=%ff", {"headers": {"Accept-Language": "de, en;q=0.5"}}),
    ("POST", "/about-sync/", {"data": b"x", "headers": {"User-Agent": "none\xe4"}}),
    ("GET", "/about", {"scope_base": {"client": ("192.0.2.1", 5), "server": ("192.0.2.2", 80)}}),
    ("GET", "/about", {"scope_base": {"client": ("2001:db8::1", None)}}),
    ("GET", "/about", {"scope_base": {"scheme": "https"}, "headers": {"Host": "example.org"}}),
    ("GET", "/about", {"scope_base": {"http_version": "2"}}),
    ("GET", "/typed/7/1.5/12345678-1234-5678-1234-567812345678/b/x/y.z", {}),
    ("GET", "/text/ä ö", {}),
    ("GET", "/text/100%25", {}),
    ("GET", "/text/日本", {}),
    ("GET", "/defaults/", {}),
    ("GET", "/defaults/2", {}),
    ("GET", "/urls", {}),
    ("GET", "/urls", {"headers": {"Host": "example.org:81"}}),
    ("GET", "/typed-on/3", {}),
    ("GET", "/tuple", {}),
    ("GET", "/headers", {}),
    ("GET", "/list", {}),
    ("GET", "/object", {}),
    ("GET", "/nothing", {}),
    ("DELETE", "/nothing", {}),
    ("GET", "/status/200", {}),
    ("GET", "/status/299", {}),
    ("GET", "/status/404", {}),
    ("GET", "/status/503", {}),
    ("GET", "/away", {}),
    ("GET", "/file", {}),
    ("GET", "/file", {"headers": {"Range": "bytes=5-14"}}),
    ("GET", "/module", {}),
    ("GET", "/page", {}),
    ("GET", "/untyped", {}),
    ("GET", "/late", {}),
    ("GET", "/conditional", {}),
    ("GET", "/conditional", {"headers": {"If-None-Match": '"same"'}}),
    ("GET", "/abort/400", {}),
    ("GET", "/abort/401", {}),
    ("GET", "/abort/403", {}),
    ("GET", "/abort/500", {}),
    ("GET", "/abort-sync/404", {}),
    ("GET", "/abort-sync/403", {}),
    ("GET", "/abort-sync/503", {}),
    ("GET", "/abort-response", {}),
    ("GET", "/tea", {}),
    ("GET", "/tea-sync", {}),
    ("GET", "/bad-key", {}),
    ("GET", "/broken", {}),
    ("GET", "/broken-sync", {}),
    ("GET", "/g", ME),
    ("GET", "/g-sync", ME),
    ("POST", "/signed", {"data": b"payload"}),
    ("GET", "/session", {}),
    ("GET", "/session-sync", {}),
    ("GET", "/flashed", {}),
    ("GET", "/items/3", {}),
    ("POST", "/items/3", {"json": [1]}),
    ("PUT", "/once", {}),
    ("POST", "/methods", {"form": {"a": "1"}}),
    ("PUT", "/methods", ME),
    ("POST", "/direct/one", {"data": b"two"}),
    ("GET", "/below/word", ME),
    ("GET", "/below/word", {}),
    ("GET", "/above/word", ME),
    ("GET", "/around/word", ME),
    ("POST", "/hidden", {"data": b"hidden"}),
    ("GET", "/outer/de/leaf", {}),
    ("GET", "/outer/de/missing", {}),
    ("GET", "/lone/fr/leaf", {}),
    ("GET", "/lone/fr/missing", {}),
]


def test_the_views_are_those_of_the_table() -> None:
    """No view is left out."""
    site = make_site(True)
    adapter = site.app.url_map.bind("localhost")
    asked = {adapter.match(path.partition("?")[0], method)[0] for method, path, _ in CASES}
    views = {name for name in site.app.view_functions if "quart_tasks" not in name}
    assert views - asked == {"static", "login"}


@pytest.mark.parametrize(("method", "path", "given"), CASES)
async def test_background_view_answers_as_the_plain_one(
    method: str, path: str, given: dict[str, Any]
) -> None:
    plain, background = make_site(False), make_site(True)
    async with plain, background:
        await plain.client.get("/login")
        for cookie in plain.client.cookie_jar or ():  # the same: it has the second of the login
            background.client.cookie_jar.set_cookie(cookie)  # type: ignore[union-attr]
        expected = await plain.client.open(path, method=method, **given)
        data = await expected.get_data()
        ran = await background.run(method, path, **given)
    assert ran.record["state"] == "succeeded", ran.record["error"]
    assert (ran.status, ran.data) == (expected.status_code, data)
    assert_same_headers(ran.headers, expected.headers)


def assert_same_headers(ours: Any, expected: Any) -> None:
    """But for cookies, which are not kept."""
    left_out = {"set-cookie", "task-state"}
    lists = [
        sorted((name.lower(), value) for name, value in each if name.lower() not in left_out)
        for each in (ours, expected)
    ]
    assert lists[0] == lists[1]
    assert "Set-Cookie" not in ours


async def test_mounted_app_answers_as_the_plain_one() -> None:
    plain, background = make_site(False), make_site(True)
    async with plain, background:
        for path in ("/about", "/urls"):
            client = client_of(plain.app)
            expected = await client.get(f"/mount{path}", root_path="/mount")
            data = await expected.get_data()
            client = client_of(background.app)
            accepted = await client.get(f"/mount{path}", root_path="/mount")
            assert accepted.status_code == 202
            location = accepted.headers["Location"]
            assert location.startswith("/mount/tasks/")
            await background.tasks.join()
            answer = await client.get(f"{location}/result", root_path="/mount")
            assert await answer.get_data() == data


# -- whatever a server may give ----------------------------------------------------------------


async def ask(app: Quart, scope: dict[str, Any], body: list[bytes]) -> tuple[int, Any, bytes]:
    """Status, headers and body that an app sends as ASGI messages."""
    given = [{"type": "http.request", "body": each, "more_body": True} for each in body]
    given.append({"type": "http.request", "body": b"", "more_body": False})
    sent: list[Any] = []
    answered = asyncio.Event()

    async def receive() -> Any:
        if given:
            return given.pop(0)
        await answered.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            answered.set()

    await app(scope, receive, send)  # type: ignore[arg-type]
    pieces = b"".join(each.get("body", b"") for each in sent[1:])
    return sent[0]["status"], sorted(sent[0]["headers"]), pieces


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20).map(
    lambda text: text.strip().encode("latin1")
)
names = st.sampled_from([b"x-own", b"cookie", b"accept", b"content-type", b"range", b"prefer"])
requests = st.fixed_dictionaries(
    {
        "type": st.just("http"),
        "asgi": st.just({"version": "3.0"}),
        "http_version": st.sampled_from(["1.0", "1.1", "2", "3"]),
        "method": st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS"]),
        "scheme": st.sampled_from(["http", "https"]),
        "path": texts.map(lambda text: f"/any/{text}"),
        "raw_path": st.binary(max_size=10),
        "query_string": st.text(st.characters(max_codepoint=127), max_size=20).map(str.encode),
        "root_path": st.just(""),
        "headers": st.lists(st.tuples(names, values), max_size=5).map(
            lambda headers: [(b"host", b"localhost"), *headers]
        ),
        "client": st.sampled_from([None, ("192.0.2.1", 1), ["::1", 0], ("192.0.2.1", None)]),
        "server": st.sampled_from([None, ("localhost", 80), ("/a/socket", None)]),
        "extensions": st.just({}),
    }
)


def catch_all(in_background: bool) -> Site:
    site = Site(PROPAGATE_EXCEPTIONS=False)
    decorate: Decorator = site.tasks.background if in_background else lambda view: view

    @site.app.route("/any/", defaults={"rest": ""}, methods=METHODS)
    @site.app.route("/any/<path:rest>", methods=METHODS)
    @decorate
    async def anything(rest: str) -> Any:
        data = await whole_body()
        scope = request.scope
        about = [
            rest, request.method, request.path, request.query_string, request.args,
            request.headers.to_wsgi_list(), request.cookies, request.scheme, request.http_version,
            request.remote_addr, scope["raw_path"], tuple(scope["client"] or ()),
            tuple(scope["server"] or ()), data,
        ]  # fmt: skip
        return Response(repr(about), 200 + len(data) % 3, {"X-Rest": str(len(rest))})

    @site.app.errorhandler(500)
    async def broken(error: Any) -> Any:
        return repr(error.original_exception), 500

    return site


METHODS = ["GET", "POST", "PUT", "DELETE", "OPTIONS"]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(requests, st.lists(st.binary(max_size=50), max_size=3)), max_size=20))
def test_whatever_is_asked_is_answered_as_by_the_plain_one(
    asked: list[tuple[dict[str, Any], list[bytes]]],
) -> None:
    async def run() -> None:
        plain, background = catch_all(False), catch_all(True)
        async with plain, background:
            for scope, body in asked:
                expected = await ask(plain.app, dict(scope), body)
                status, headers, data = await ask(background.app, dict(scope), body)
                if status != 202:  # it did not come to the view
                    assert (status, data) == (expected[0], expected[2])
                    continue
                path = dict(headers)[b"location"].decode() + "/result"
                about = {"method": "GET", "path": path, "query_string": b"wait=60"}
                status, headers, data = await ask(background.app, {**scope, **about}, [])
                headers.remove((b"task-state", b"succeeded"))
                assert (status, headers, data) == expected

    asyncio.run(run())
