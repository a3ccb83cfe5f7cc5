"""The web surface as a client sees it, with no server between: requests, streams, sockets."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from quart import Quart, Response
from quart.testing import QuartClient as Client

PROBLEM = "application/problem+json"
JSON = {"Content-Type": "application/json"}

Record = dict[str, Any]


def client_of(app: Quart) -> Client:
    return app.test_client()  # type: ignore[return-value]  # the protocol it is typed as says less


async def problem(response: Response, status: int, name: str | None = None) -> dict[str, Any]:
    """The problem (RFC 9457) that a response must be."""
    assert response.status_code == status, (response.status_code, await response.get_data())
    assert response.content_type == PROBLEM
    return check_problem(json.loads(await response.get_data()), status, name)


def check_problem(data: Any, status: int, name: str | None = None) -> dict[str, Any]:
    kind = data["type"].removeprefix("urn:quart-tasks:")
    assert kind
    assert kind != data["type"]
    assert name in (None, kind)
    assert data["status"] == status
    assert data["title"]
    assert data["detail"]
    for error in data["errors"] if status == 422 else ():
        assert error["pointer"].startswith("#")
        assert error["detail"]
    return data  # type: ignore[no-any-return]


async def submit(client: Client, name: str, *args: Any, **body: Any) -> Record:
    """The record of a task that was accepted."""
    response = await client.post("/tasks", json={"name": name, "args": args, **body})
    assert response.status_code == 202, await response.get_data()
    return await response.get_json()  # type: ignore[no-any-return]


async def ended(client: Client, id: str) -> Record:
    """A task's record once it has ended, however many times 60 s that takes: a process that is
    nice to others may be long in starting beside them."""
    while True:
        response = await client.get(f"/tasks/{id}?wait=60")
        record: Record = await response.get_json()
        assert response.status_code == 200, record
        if record["finished_at"]:
            return record


class Closed(Exception):
    """The app closed the socket. `code` is what it gave as its reason."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Socket:
    """A WebSocket to an app. Quart's own test client does not tell how one was closed.

    `async with Socket(app, "/tasks/socket", {"Origin": "http://localhost"}) as socket:`
    """

    def __init__(
        self, app: Quart, path: str, headers: dict[str, str] | None = None, query: bytes = b""
    ) -> None:
        path, _, text = path.partition("?")
        given = {"Host": "localhost", **(headers or {})}
        self._app: Any = app
        self._scope: Any = {
            "type": "websocket", "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1", "scheme": "ws", "path": path, "raw_path": path.encode(),
            "query_string": query or text.encode(), "root_path": "", "subprotocols": [],
            "headers": [(key.lower().encode(), value.encode()) for key, value in given.items()],
            "client": ("127.0.0.1", 1), "server": ("localhost", 80), "extensions": {},
        }  # fmt: skip
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def __aenter__(self) -> Socket:
        self._to_app.put_nowait({"type": "websocket.connect"})
        self._running = asyncio.create_task(self._run())
        accepted = await self._from_app.get()
        if accepted["type"] == "ended":
            await self._running
        assert accepted["type"] == "websocket.accept"
        return self

    async def __aexit__(self, *exception: Any) -> None:
        """Go away, as a client may at any time; what the app raised is raised here."""
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await self._running

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self._to_app.get, self._from_app.put)
        finally:
            self._from_app.put_nowait({"type": "ended"})

    def send(self, data: Any) -> None:
        """Send text or bytes as they are, and anything else as JSON."""
        if isinstance(data, bytes):
            # Servers may leave out the other key (ASGI, "Receive - receive event").
            self._to_app.put_nowait({"type": "websocket.receive", "bytes": data})
        else:
            text = data if isinstance(data, str) else json.dumps(data)
            self._to_app.put_nowait({"type": "websocket.receive", "text": text})

    async def receive_text(self) -> str:
        """The next frame as it came. Raises Closed."""
        message = await self._from_app.get()
        if message["type"] == "ended":
            await self._running
        if message["type"] == "websocket.close":
            raise Closed(message["code"])
        assert message["type"] == "websocket.send", message
        return str(message["text"])

    async def receive(self) -> dict[str, Any]:
        """The next frame. Raises Closed."""
        return json.loads(await self.receive_text())  # type: ignore[no-any-return]

    async def ask(self, command: Any) -> dict[str, Any]:
        """Send a command; the next frame, which must be its answer."""
        self.send(command)
        frame = await self.receive()
        assert set(frame) == {"type", "ref", "data"}
        return frame

    async def refusal(self, frame: dict[str, Any] | None = None) -> dict[str, Any]:
        """The problem of a socket that is refused: one `error` frame, closed with 4000 + status.

        `frame` is that frame, if it has been received by now.
        """
        frame = frame or await self.receive()
        assert frame["type"] == "error"
        with pytest.raises(Closed) as closed:
            await self.receive()
        status = frame["data"]["status"]
        assert closed.value.code == 4000 + status
        return check_problem(frame["data"], status)
