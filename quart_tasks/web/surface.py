"""A thin ASGI wrapper of the app, for what a blueprint cannot do under its prefix.

Routing errors belong to no blueprint: here they become problems. Bodies are bounded and read
before the app is asked, sockets go through `handshakes`, and the plainest of all requests takes a
`shortcut`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ..deadlines import Deadlines
from .handshakes import connect
from .problems import CONTENT_TYPE, detail_of, problem
from .scope import AS_IS, BODY, App, Headers, Message, Receive, Scope, Send
from .shortcut import Shortcut

KEPT_HEADERS = {b"allow", b"retry-after", b"www-authenticate"}


class Surface:
    def __init__(
        self, app: App, prefix: str, max_body: Callable[[], int], shortcut: Shortcut
    ) -> None:
        self._app = app
        self._shortcut = shortcut
        self._prefix = prefix
        self._max_body = max_body
        self._deadlines = Deadlines()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # No coroutine of its own: it would be kept for as long as a socket is open.
        if scope["type"] not in ("http", "websocket"):
            return self._app(scope, receive, send)
        path = _routed(scope)
        if path is None:
            return _refuse_path(scope, send)
        if path != self._prefix and not path.startswith(self._prefix + "/"):
            return self._app(scope, receive, send)
        if scope["type"] == "websocket":
            return connect(self._app, scope, receive, send)
        return self._http(scope, receive, send, path)

    async def _http(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        limit = self._max_body()
        for name, value in scope["headers"]:
            # As a float: int() refuses 4,300 digits and more.
            if name == b"content-length" and value.isdigit() and float(value) > limit:
                await _send_problem(send, _too_large(limit))
                return
        try:
            with self._deadlines.of_this_task():
                body = await _read(receive, limit)
        except _Gone:
            return
        except TimeoutError:
            await _send_problem(send, problem(408, detail="The body did not come in time."))
            return
        if body is None:
            await _send_problem(send, _too_large(limit))
            return
        if scope["method"] == "POST" and path.rstrip("/") == self._prefix:
            answer = await self._shortcut.submit(scope, path, body)
            if answer is not None:
                await _send(send, *answer)
                return
        # A view takes it from here: the way through Quart, with its timers, takes 30 µs.
        scope[BODY] = body
        whole: Message | None = {"type": "http.request", "body": body, "more_body": False}
        failing: dict[str, Any] | None = None  # the problem that replaces the app's response

        async def replayed_receive() -> Message:
            nonlocal whole
            message, whole = whole, None
            return message or await receive()

        async def problem_send(message: Message) -> None:
            nonlocal failing
            error = message["type"] == "http.response.start" and message["status"] >= 400
            if error and AS_IS not in scope:
                headers = [(name.lower(), value) for name, value in message["headers"]]
                kinds = [value for name, value in headers if name == b"content-type"]
                if not kinds or not kinds[0].startswith(CONTENT_TYPE.encode()):
                    failing = problem(message["status"], detail=detail_of(message["status"], scope))
                    kept = [header for header in headers if header[0] in KEPT_HEADERS]
                    await _send_problem(send, failing, kept, head=scope["method"] == "HEAD")
                    return
            if failing is None:
                await send(message)

        await self._app(scope, replayed_receive, problem_send)


async def _refuse_path(scope: Scope, send: Send) -> None:
    if scope["type"] == "http":
        await _send_problem(send, problem(400, detail="The request has no usable path."))
    else:
        await send({"type": "websocket.close", "code": 1000, "reason": ""})


def _routed(scope: Scope) -> str | None:
    """The path as Quart will route it, whatever its spelling (`//tasks`, `http://host/tasks`,
    `tasks`); None for those that Quart raises for: none at all, and what is no URL."""
    path: str = scope["path"]
    if not path:
        return None
    if path[0] != "/":
        try:
            path = urlsplit(path).path
        except ValueError:
            return None
    path = path.removeprefix(scope.get("root_path", ""))
    if path[:1] == "/" and "//" not in path:
        return path
    return re.sub("//+", "/", f"/{path}")


async def _read(receive: Receive, limit: int) -> bytes | None:
    """The whole body; None if it is longer than `limit`. Raises _Gone if it breaks off: half a
    body may be valid JSON too."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        body += message.get("body", b"")
        if len(body) > limit:
            return None
        if not message.get("more_body", False):
            return bytes(body)


class _Gone(Exception):
    """The client went away."""


def _too_large(limit: int) -> dict[str, Any]:
    detail = f"The body has more than {limit:,} bytes: TASKS_MAX_BODY_SIZE."
    return problem(413, "body-too-large", detail)


async def _send_problem(
    send: Send,
    problem: dict[str, Any],
    headers: Headers | None = None,
    head: bool = False,
) -> None:
    body = msgspec.json.encode(problem)
    all_headers = [
        (b"content-type", CONTENT_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-cache"),
        *(headers or ()),
    ]
    await _send(send, problem["status"], all_headers, b"" if head else body)


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
