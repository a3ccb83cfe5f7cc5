"""Event streams that survive their connection: a WebSocket, else SSE, else polling."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import aiohttp
import msgspec

from ..exceptions import QuartTasksError
from ..record import Detail, Record
from .errors import Unreachable
from .messages import (
    Message,
    decode_detail,
    decode_message,
    error_of,
    is_last,
    output_number,
    passes,
    retry_after,
)
from .transport import Blocked, Lost, Transport, lost

POLL_SECONDS = 10.0

Query = list[tuple[str, str]]
Messages = AsyncGenerator[Message, None]


class _Passing(Exception):
    """The server refuses for now; come back after `seconds`."""

    def __init__(self, error: QuartTasksError, seconds: float) -> None:
        self.error, self.seconds = error, seconds
        super().__init__(str(error))


async def follow_task(
    transport: Transport, path: str, after: str | None = None, output: tuple[int, int] = (-1, -1)
) -> AsyncGenerator[Message, None]:
    """The frames of a task's stream, to its terminal `state`. Raises as `follow` does.

    `output`: attempt and index of the last that the reader has.
    """
    async with aclosing(follow(transport, path, after)) as messages:
        async for message in messages:
            if message.type == "output":
                # Another start of the server sends a task's outputs again, from the first on.
                if (number := output_number(message)) <= output:
                    continue
                output = number
            yield message
            if is_last(message):
                return


async def follow(
    transport: Transport, path: str, after: str | None = None, query: Query | None = None
) -> AsyncGenerator[Message, None]:
    """The frames of a stream to its end, through any number of connections.

    Raises what the server refuses it with, and Unreachable when it has not come back in time.
    """
    patience, cursor = transport.patience(), after
    error: QuartTasksError
    while True:
        way, pause = transport.way, 0.0
        try:
            source = _WAYS[way](transport, path, query or [], cursor)
            async with aclosing(source) as messages:
                async for message in messages:
                    if message.type == "bye":
                        raise Lost("the server is going")
                    patience.renew()
                    cursor = message.cursor or cursor
                    yield message
            return  # the reader had seen the end
        except Blocked:
            if way + 1 == len(_WAYS):
                raise Unreachable(f"{transport.url} lets no stream through.") from None
            transport.way = max(transport.way, way + 1)
            continue
        except Lost as gone:
            error = Unreachable(f"{transport.url} cannot be reached: {gone}.")
        except _Passing as passing:
            error, pause = passing.error, passing.seconds
        await patience.pause(error, pause)


def refusal(data: bytes | msgspec.Raw, status: int = 0, seconds: float = 0.0) -> Exception:
    error = error_of(data, status)
    return _Passing(error, seconds) if passes(error) else error


async def _by_websocket(
    transport: Transport, path: str, query: Query, after: str | None
) -> Messages:
    async with await transport.websocket(path, _with(query, after)) as socket:
        async for each in socket:
            if each.type is not aiohttp.WSMsgType.TEXT:
                break
            message = decode_message(each.data)
            if message.type == "error":
                raise refusal(message.data)
            yield message
        if socket.close_code != aiohttp.WSCloseCode.OK:
            raise Lost("the connection broke")


async def _by_sse(transport: Transport, path: str, query: Query, after: str | None) -> Messages:
    async with await transport.stream(path, _with(query, after)) as response:
        if response.status == 204:
            return
        if response.status != 200:
            seconds = retry_after(response.headers)
            raise refusal(await response.read(), response.status, seconds)
        if response.content_type != "text/event-stream":
            raise Blocked
        buffer = bytearray(await transport.first(_read(response)))
        transport.begun()
        while True:
            while (end := buffer.find(b"\n\n")) >= 0:
                event = bytes(buffer[:end])
                del buffer[: end + 2]
                for line in event.split(b"\n"):
                    if line.startswith(b"data: "):
                        yield decode_message(line[6:])
            buffer += await _read(response)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    try:
        data = await response.content.readany()
    except (aiohttp.ClientError, OSError) as error:
        raise lost(error) from None
    if not data:
        raise Lost("the stream broke off")
    return data


async def _by_polling(transport: Transport, path: str, query: Query, after: str | None) -> Messages:
    """One task's changes, as far as its record tells: no outputs, and not every step."""
    path = path.removesuffix("/events")
    if not path:
        raise Blocked  # no task's
    before: Detail | None = None
    while before is None or not before.ended:
        tag = {} if before is None else {"If-None-Match": f'"{before.cursor}"'}
        answer = await transport.ask(
            "GET", path, query=[("wait", f"{POLL_SECONDS:.0f}")] if tag else [], headers=tag,
            wait=POLL_SECONDS,
        )  # fmt: skip
        if answer.status == 304:
            continue
        detail = decode_detail(answer.data)
        for message in _changes(before, detail):
            yield message
        before = detail


def _changes(before: Detail | None, now: Detail) -> list[Message]:
    record = {name: getattr(now, name) for name in Record.__struct_fields__}

    def message(type: str, data: Any, time: str = "") -> Message:
        raw = msgspec.Raw(msgspec.json.encode(data))
        return Message(type, raw, task_id=now.id, cursor=now.cursor, time=time)

    found = []
    if before is None:
        found.append(message("snapshot", {"tasks": [record], "reason": "start", "more": False}))
    seen = before.logs[-1].time if before is not None and before.logs else ""
    for line in now.logs:
        if line.time > seen:
            data = {"level": line.level, "logger": line.logger, "message": line.message}
            found.append(message("log", {**data, "attempt": line.attempt}, line.time))
    if before is not None or now.ended:
        same = before is not None and before.state == now.state
        if same and now.progress is not None and now.progress != before.progress:  # type: ignore[union-attr]
            data = msgspec.to_builtins(now.progress)
            found.append(message("progress", {**data, "attempt": now.attempt}))
        else:
            found.append(message("state", record, now.finished_at or ""))
    return found


def _with(query: Query, after: str | None) -> Query:
    return query if after is None else [*query, ("after", after)]


_WAYS: list[Callable[[Transport, str, Query, str | None], Messages]] = [
    _by_websocket,
    _by_sse,
    _by_polling,
]
