"""The event streams: one feed, sent as WebSocket frames or as Server-Sent Events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

import quart.wrappers.base
from quart import Response, request, websocket

from ..events import Event
from ..feed import follow, follow_task, has_seen_the_end
from ..service import Service
from ..subscriptions import NONE
from ..task import Task
from ..turns import Turns
from .answers import empty
from .handshakes import Room
from .scope import ROOM, SEND, Send

HEARTBEAT = 15.0  # seconds of silence after which SSE sends a comment, so that proxies wait on
RETRY = 1000  # milliseconds after which an EventSource comes back


class _NeverRaised(Exception):
    pass


# What Quart raises from 0.23 on when the client is gone; before, it cancels the handler.
ClientDisconnectedError: type[Exception] = getattr(
    quart.wrappers.base, "ClientDisconnectedError", _NeverRaised
)

Feed = AsyncGenerator[list[Event], None]


# -- WebSocket -----------------------------------------------------------------------------


async def send_feed(feed: Feed, turns: Turns) -> None:
    """Send a feed to this WebSocket and close it: 1000 at the end, 1012 after `bye`."""
    await websocket.accept()
    send = sender()
    room().forget()  # what the client sends is dropped
    code = 1000
    with suppress(ClientDisconnectedError):
        async with aclosing(feed) as batches:
            async for batch in batches:
                for event in batch:
                    await turns.take()
                    await send({"type": "websocket.send", "bytes": None, "text": event.text})
                if event.type == "bye":
                    code = 1012
                batch.clear()
                del event
        await websocket.close(code)


def sender() -> Send:
    """The way to this WebSocket's client. Quart's own gives the loop a turn before each frame: on
    a busy server a reader then falls behind that one core could serve."""
    scope: dict[str, Any] = websocket.scope  # type: ignore[assignment]
    send: Send = scope[SEND]
    return send


def room() -> Room:
    scope: dict[str, Any] = websocket.scope  # type: ignore[assignment]
    found: Room = scope[ROOM]
    return found


async def receive() -> Any:
    """The next message of this WebSocket, with room made for another."""
    message = await websocket.receive()
    room().read()
    return message


# -- Server-Sent Events --------------------------------------------------------------------


def sse(service: Service, feed: Feed) -> Response:
    """A feed as `text/event-stream` (WHATWG HTML, section 9.2)."""
    headers = {
        "Cache-Control": "no-cache, no-transform",
        "X-Accel-Buffering": "no",
    }
    if request.method == "HEAD":
        return Response(b"", 200, headers=headers, content_type="text/event-stream")
    lines = _lines(feed, service.registry.subscriptions.turns)
    response = Response(lines, 200, headers=headers, content_type="text/event-stream")
    response.timeout = None  # or Quart cuts it after RESPONSE_TIMEOUT
    return response


async def _lines(feed: Feed, turns: Turns) -> AsyncGenerator[bytes, None]:
    yield b"retry: %d\n\n" % RETRY
    async with aclosing(feed) as batches:
        step = asyncio.ensure_future(anext(batches))
        try:
            while True:
                await asyncio.wait([step], timeout=HEARTBEAT)
                if not step.done():
                    yield b": still here\n\n"
                    continue
                try:
                    batch = step.result()
                except StopAsyncIteration:
                    return
                await turns.take()
                yield b"".join(map(_message, batch))
                batch.clear()
                yield b""  # Quart too holds on to the last that it got
                step = asyncio.ensure_future(anext(batches))
        finally:
            step.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await step


def _message(event: Event) -> bytes:
    return f"event: {event.type}\nid: {event.cursor}\ndata: {event.text}\n\n".encode()


# -- what is streamed ----------------------------------------------------------------------


def after() -> str | None:
    """Where to go on: EventSource repeats the first URL, so its header is the newer one."""
    connection = request or websocket
    return connection.headers.get("Last-Event-ID") or connection.args.get("after")


def feed_of_all(service: Service, owner: str | None) -> Feed:
    connection = request or websocket
    return follow(
        service.registry,
        after(),
        owner=owner,
        ids=frozenset(connection.args.getlist("id")) or NONE,
        names=frozenset(connection.args.getlist("name")) or NONE,
    )


async def all_sse(service: Service, owner: str | None) -> Response:
    await service.loaded()
    return sse(service, feed_of_all(service, owner))


async def all_websocket(service: Service, owner: str | None) -> None:
    await service.loaded()
    await send_feed(feed_of_all(service, owner), service.registry.subscriptions.turns)


async def stats_sse(service: Service, owner: str | None) -> Response:
    return sse(service, service.figures.watch())


async def task_sse(service: Service, task: Task) -> Response:
    cursor = after()
    if cursor is not None and has_seen_the_end(service.registry, task, cursor):
        return empty(204)  # which stops an EventSource
    return sse(service, follow_task(service.registry, task, cursor))


async def task_websocket(service: Service, task: Task) -> None:
    turns = service.registry.subscriptions.turns
    await send_feed(follow_task(service.registry, task, after()), turns)
