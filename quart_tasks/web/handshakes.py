"""A socket's way to the app: what its handler has not read yet is bounded, a refused handshake
becomes a frame, and a client that does not close is let go.

A refusal before the upgrade reaches a browser as code 1006 without a reason. So the socket is
accepted, gets one `error` frame and is closed with 4000 + status.
"""

from __future__ import annotations

import asyncio

import msgspec

from ..ids import timestamp
from .problems import detail_of, problem
from .scope import ROOM, SEND, App, Message, Receive, Scope, Send

RESPONSE = "websocket.http.response"
CLOSE_SECONDS = 5.0  # for a client to answer a close
AHEAD = 4  # messages


async def connect(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """Give a socket to the app, and let go of it when its client does not."""
    # With this extension Quart says why it refuses, whatever the server can do.
    if RESPONSE not in (scope.get("extensions") or {}):
        scope["extensions"] = {**(scope.get("extensions") or {}), RESPONSE: {}}
    scope[ROOM], scope[SEND] = Room(), send
    deadline = asyncio.timeout(None)
    socket = _Socket(scope, receive, send, deadline)
    try:
        async with deadline:
            # From 0.23 on Quart waits in this for the client's close, which may never come.
            await app(scope, socket.receive, socket.send)
            socket.closes()
            # Hypercorn reads a socket no further while a message waits for the app, and so
            # would never see the client's end.
            while not socket.gone:
                await socket.drop()
    except TimeoutError:
        if not deadline.expired():
            raise
    finally:
        socket.left = True


class _Socket:
    """What goes to the app, bounded, and what comes from it, a refusal made a frame."""

    __slots__ = (
        "_body",
        "_deadline",
        "_receive",
        "_room",
        "_scope",
        "_send",
        "_status",
        "gone",
        "left",
    )

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, deadline: asyncio.Timeout
    ) -> None:
        self._scope, self._receive, self._send, self._deadline = scope, receive, send, deadline
        self._room: Room = scope[ROOM]
        self._status, self._body = 0, b""
        self.gone = False  # the client has closed
        self.left = False  # the deadline is none any more

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
        # A handler of Quart 0.22 may outlive the call of its app by a message.
        if self._deadline.when() is None and not self.left:
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


async def _refuse(send: Send, status: int, body: bytes, scope: Scope) -> None:
    try:
        data = msgspec.json.decode(body)
        assert data["status"] == status  # noqa: S101 - ours
    except (ValueError, TypeError, KeyError, AssertionError):
        data = problem(status, detail=detail_of(status, scope))
    frame = {
        "type": "error", "ref": None, "task_id": None, "cursor": None, "time": timestamp(),
        "data": data,
    }  # fmt: skip
    await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
    text = msgspec.json.encode(frame).decode()
    await send({"type": "websocket.send", "text": text, "bytes": None})
    await send({"type": "websocket.close", "code": 4000 + status, "reason": data["title"]})
