"""An old Flask app beside the new routes: what a Quart app does not route goes to it."""

from __future__ import annotations

import re
from collections.abc import Awaitable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import flask
import msgspec
import quart
from quart import Quart
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import Map, MapAdapter, WebsocketMismatch
from werkzeug.sansio.utils import get_host
from werkzeug.security import safe_join

from .environ import Scope
from .exceptions import QuartTasksError
from .wsgi import Gateway, Receive, Send

NAME = "FLASK_FALLBACK"


class _Asked(msgspec.Struct):
    """As much of a request as routing looks at; a `quart.Request` takes 30 µs to make."""

    method: str
    scheme: str
    host: str
    root_path: str
    path: str
    query_string: bytes = b""


class FlaskFallback:
    """Gives a Flask app all that a Quart app does not route: `FlaskFallback(app, flask_app)`,
    so that a migration goes route by route.

    A path that the Quart app knows but not with this method goes to the Flask app too, if that
    routes it; and so does a file that the Quart app's static folder does not have. WebSockets
    and everything under TASKS_URL_PREFIX are the Quart app's. Neither app's hooks and error
    handlers run for the other's requests; `url_for` in each knows the endpoints of both.

    Bodies and responses are streamed. Flask's views run in at most `threads` threads; requests
    beyond that wait for one. Its own MAX_CONTENT_LENGTH holds, the Quart app's and
    TASKS_MAX_BODY_SIZE do not.

    Raises QuartTasksError if a2wsgi is missing, which the extra `migrate` installs, or if the
    app has a fallback already.
    """

    def __init__(self, app: Quart, flask_app: flask.Flask, *, threads: int = 32) -> None:
        if NAME in app.extensions:
            raise QuartTasksError("This app has a FlaskFallback already: one takes all the rest.")
        if threads < 1:
            raise ValueError(f"FlaskFallback: threads is {threads}, it must be 1 or more.")
        self.app, self.flask_app = app, flask_app
        self._threads = threads
        self._gateway: Gateway | None = self._new_gateway()
        self._next: Any = app.asgi_app
        app.extensions[NAME] = self
        app.asgi_app = self  # type: ignore[method-assign, assignment]
        app.after_serving(self._close)
        app.url_build_error_handlers.append(self._flask_url)
        flask_app.url_build_error_handlers.append(self._quart_url)

    def _new_gateway(self) -> Gateway:
        try:
            return Gateway(self.flask_app, self._threads)
        except ImportError as error:
            raise QuartTasksError(
                f"FlaskFallback needs {error.name}: pip install 'quart-tasks-server[migrate]'"
            ) from error

    async def _close(self) -> None:
        if self._gateway is not None:
            await self._gateway.close()
            self._gateway = None  # an app may be started again

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or not self._is_flasks(scope):
            result: Awaitable[None] = self._next(scope, receive, send)
            return result
        if self._gateway is None:
            self._gateway = self._new_gateway()
        return self._gateway(scope, receive, send)

    # -- routing ---------------------------------------------------------------------------

    def _is_flasks(self, scope: Scope) -> bool:
        path = _routed(scope)
        if path is None or self._is_ours(path):
            return False
        headers = dict(scope["headers"])
        scheme = scope.get("scheme", "http")
        host = get_host(scheme, headers.get(b"host", b"").decode("latin-1"))
        asked = _Asked(scope["method"], scheme, host, scope.get("root_path", ""), path)
        try:
            adapter = self.app.create_url_adapter(asked)  # type: ignore[arg-type]
            assert adapter is not None  # noqa: S101 - there is one for a request
            endpoint, values = adapter.match()
        except (NotFound, WebsocketMismatch):
            return True
        except MethodNotAllowed:
            return self._flask_routes(asked)
        except HTTPException:  # a redirect to a path that the Quart app has
            return False
        return self._is_missing_file(endpoint, values)

    def _is_ours(self, path: str) -> bool:
        """Whether it is under TASKS_URL_PREFIX, also spelled as in `//tasks`."""
        blueprint = self.app.blueprints.get("quart_tasks")
        if blueprint is None:
            return False
        prefix = f"{blueprint.url_prefix}/"
        return f"{re.sub('//+', '/', path)}/".startswith(prefix)

    def _flask_routes(self, asked: _Asked) -> bool:
        try:
            _bound(self.flask_app.url_map, asked).match(asked.path, asked.method)
        except NotFound:
            return False  # the Quart app's 405, then
        except HTTPException:
            pass
        return True

    def _is_missing_file(self, endpoint: str, values: Any) -> bool:
        name, _, last = endpoint.rpartition(".")
        owner = self.app.blueprints.get(name) if name else self.app
        if last != "static" or owner is None or owner.static_folder is None:
            return False
        path = safe_join(str(owner.static_folder), values.get("filename", ""))
        return path is None or not Path(path).is_file()

    # -- url_for ---------------------------------------------------------------------------

    def _flask_url(self, error: Exception, endpoint: str, values: dict[str, Any]) -> str:
        request: Any = quart.request or quart.websocket
        return _build(self.flask_app.url_map, request, error, endpoint, values)

    def _quart_url(self, error: Exception, endpoint: str, values: dict[str, Any]) -> str:
        return _build(self.app.url_map, flask.request, error, endpoint, values)


def _routed(scope: Scope) -> str | None:
    """The path as Quart routes it; None for what it cannot route at all."""
    path: str = scope["path"]
    if not path.startswith("/"):
        try:
            path = urlsplit(path).path  # `GET http://host/path`
        except ValueError:
            return None
    root: str = scope.get("root_path", "").rstrip("/")
    if not f"{path}/".startswith(f"{root}/"):
        return None
    return path.removeprefix(root) or None


def _bound(map: Map, request: Any) -> MapAdapter:
    return map.bind(request.host, request.root_path, url_scheme=request.scheme)


def _build(map: Map, request: Any, error: Exception, endpoint: str, values: dict[str, Any]) -> str:
    """The URL of the other app's endpoint. Raises BuildError, or `error` outside of a request."""
    if not request:
        raise error
    values = dict(values)
    anchor, external, method, scheme = (
        values.pop(name, None) for name in ("_anchor", "_external", "_method", "_scheme")
    )
    url = _bound(map, request).build(
        endpoint, values, method=method, force_external=bool(external), url_scheme=scheme
    )
    return url if anchor is None else f"{url}#{quote(anchor, safe='%!#$&()*+,/:;=?@')}"
