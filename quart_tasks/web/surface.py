"""A thin ASGI wrapper of the app, for what a blueprint cannot do under its prefix.

Routing errors belong to no blueprint, and a refused WebSocket handshake reaches a browser as
code 1006 without a reason. Here the first become problems, and the second an accepted socket
that gets one `error` frame and is closed with 4000 + status. A body, and what a socket's
handler has not yet read, are bounded.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ..deadlines import Deadlines
from ..ids import timestamp
from .problems import CONTENT_TYPE, problem

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SEND = "quart_tasks.send"  # in a socket's scope: the way to the client without Quart's
ROOM = "quart_tasks.room"  # in a socket's scope: its Room
BODY = "quart_tasks.body"  # in a request's scope: its body
AS_IS = "quart_tasks.as_is"  # in a request's scope: the headers of a stored response
RESPONSE = "websocket.http.response"
CLOSE_SECONDS = 5.0  # for a client to answer a close
AHEAD = 4  # messages
KEPT_HEADERS = {b"allow", b"retry-after", b"www-authenticate"}


class Surface:
    def __init__(self, app: App, prefix: str, max_body: Callable[[], int]) -> None:
        self._app = app
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
        handle = self._http if scope["type"] == "http" else self._websocket
        return handle(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
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
                    failing = problem(message["status"], detail=_detail(message["status"], scope))
                    kept = [header for header in headers if header[0] in KEPT_HEADERS]
                    await _send_problem(send, failing, kept, head=scope["method"] == "HEAD")
                    return
            if failing is None:
                await send(message)

        await self._app(scope, replayed_receive, problem_send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        # With this extension Quart says why it refuses, whatever the server can do.
        if RESPONSE not in (scope.get("extensions") or {}):
            scope["extensions"] = {**(scope.get("extensions") or {}), RESPONSE: {}}
        scope[ROOM], scope[SEND] = Room(), send
        deadline = asyncio.timeout(None)
        try:
            async with deadline:
                socket = _Socket(scope, receive, send, deadline)
                # From 0.23 on Quart waits in this for the client's close, which may never come.
                await self._app(scope, socket.receive, socket.send)
                socket.closes()
                # Hypercorn reads a socket no further while a message waits for the app, and so
                # would never see the client's end.
                while not socket.gone:
                    await socket.drop()
        except TimeoutError:
            if not deadline.expired():
                raise


class _Socket:
    """What goes to the app, bounded, and what comes from it, a refusal made a frame."""

    __slots__ = ("_body", "_deadline", "_receive", "_room", "_scope", "_send", "_status", "gone")

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, deadline: asyncio.Timeout
    ) -> None:
        self._scope, self._receive, self._send, self._deadline = scope, receive, send, deadline
        self._room: Room = scope[ROOM]
        self._status, self._body = 0, b""
        self.gone = False  # the client has closed

    async def receive(self) -> Message:
        while True:
            message = await self._receive()
            if message["type"] != "websocket.receive":
                self.gone = message["type"] == "websocket.disconnect"
                return message
            await self._room.wait()
            if self._room.wanted:
                # A server may leave one out, where Quart looks it up.
                return {"text": None, "bytes": None, **message}

    def closes(self) -> None:
        """The client has been told to close; it gets some time for that."""
        if self._deadline.when() is None:
            self._deadline.reschedule(asyncio.get_running_loop().time() + CLOSE_SECONDS)

    async def drop(self) -> None:
        self.gone = (await self._receive())["type"] == "websocket.disconnect"

    async def send(self, message: Message) -> None:
        if message["type"] == "websocket.http.response.start":
            self._status = message["status"]
        elif message["type"] == "websocket.http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                self._room.forget()
                self.closes()
                await _refuse(self._send, self._status, self._body, self._scope)
        else:
            if message["type"] == "websocket.close":
                self._room.forget()
                self.closes()
            await self._send(message)


async def _refuse_path(scope: Scope, send: Send) -> None:
    if scope["type"] == "http":
        await _send_problem(send, problem(400, detail="The request has no usable path."))
    else:
        await send({"type": "websocket.close", "code": 1000, "reason": ""})


class Room:
    """How many messages of a socket may wait for its handler, which says when it has read one, or
    that it wants none any more."""

    __slots__ = ("_semaphore", "wanted")

    def __init__(self) -> None:
        self._semaphore = asyncio.Semaphore(AHEAD)
        self.wanted = True  # else they are dropped, and the client's close is still seen

    async def wait(self) -> None:
        if self.wanted:
            await self._semaphore.acquire()

    def read(self) -> None:
        self._semaphore.release()

    def forget(self) -> None:
        self.wanted = False
        self._semaphore.release()


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


async def _refuse(send: Send, status: int, body: bytes, scope: Scope) -> None:
    try:
        data = msgspec.json.decode(body)
        assert data["status"] == status  # noqa: S101 - ours
    except (ValueError, TypeError, KeyError, AssertionError):
        data = problem(status, detail=_detail(status, scope))
    frame = {
        "type": "error", "ref": None, "task_id": None, "cursor": None, "time": timestamp(),
        "data": data,
    }  # fmt: skip
    await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
    text = msgspec.json.encode(frame).decode()
    await send({"type": "websocket.send", "text": text, "bytes": None})
    await send({"type": "websocket.close", "code": 4000 + status, "reason": data["title"]})


async def _send_problem(
    send: Send,
    problem: dict[str, Any],
    headers: list[tuple[bytes, bytes]] | None = None,
    head: bool = False,
) -> None:
    body = msgspec.json.encode(problem)
    await send(
        {
            "type": "http.response.start",
            "status": problem["status"],
            "headers": [
                (b"content-type", CONTENT_TYPE.encode()),
                (b"content-length", str(len(body)).encode()),
                (b"cache-control", b"no-cache"),
                *(headers or ()),
            ],
        }
    )
    await send({"type": "http.response.body", "body": b"" if head else body, "more_body": False})


def _detail(status: int, scope: Scope) -> str | None:
    if status == 404:
        return f"There is nothing at {scope['path']!r}."
    if status == 405:
        return f"{scope.get('method', 'This')} is not for {scope['path']!r}."
    return None
