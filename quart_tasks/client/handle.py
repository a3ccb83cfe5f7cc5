"""What `submit` gives back: a task on a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, suppress
from typing import Any

import msgspec

from ..encoding import Blob
from ..events import TaskEvent
from ..exceptions import TaskCancelled, failure
from ..record import Detail, Progress, Record, State
from .messages import (
    Message,
    decode_detail,
    decode_progress,
    decode_record,
    decode_records,
    is_newer,
)
from .streams import follow_task
from .tap import Behind, Tap
from .transport import Blocked, Transport, part
from .watcher import Watcher

Accepted = tuple[str, int, dict[str, str]]  # body, status, headers


class TaskHandle:
    """A task on a server. Await it, or its `result()`, for what the function returned.

    Cancelling or timing out a wait never touches the task. `record`, and what is taken from it, is
    as of the last answer, or as of now while something waits for the task or reads its events.
    """

    __slots__ = ("_loop", "_record", "_transport", "_watcher")

    def __init__(self, transport: Transport, watcher: Watcher, record: Record) -> None:
        self._transport, self._watcher = transport, watcher
        self._record = record
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return f"<TaskHandle {self._record.name} {self.id} {self.state}>"

    @property
    def id(self) -> str:
        return self._record.id

    @property
    def record(self) -> Record:
        """The task as it was last heard of; `refresh()` asks."""
        return self._record

    @property
    def state(self) -> State:
        return self._record.state

    @property
    def progress(self) -> Progress | None:
        return self._record.progress

    def done(self) -> bool:
        """Whether it is known to have ended, in whatever way."""
        return self._record.ended

    def __await__(self) -> Generator[Any, None, Any]:
        return self.result().__await__()

    async def result(self, timeout: float | None = None) -> Any:
        """What the function returned: plain JSON values, or a `Blob`.

        Raises TaskFailed (or one of its kinds), TaskCancelled, TaskNotFound when the server has
        no record of it any more, Unreachable when there is no server, or the built-in
        TimeoutError when only the wait, of `timeout` seconds, ended.
        """
        async with asyncio.timeout(timeout):
            await self._watcher.ended(self)
            return await self._value()

    def wait(self, timeout: float | None = None) -> Any:
        """`result()` for other threads than the client's: blocks.

        Raises RuntimeError on the client's event loop.
        """
        try:
            running: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            raise RuntimeError("handle.wait() would block the event loop: `await handle` there.")
        return asyncio.run_coroutine_threadsafe(self.result(timeout), self._loop).result()

    async def _value(self) -> Any:
        record = self._record
        if record.state == "cancelled":
            raise TaskCancelled(f"Task {record.name} ({record.id}) was cancelled.")
        if record.state == "failed":
            if record.error is None:
                raise failure("TaskFailed", "The server does not say why.")
            raise failure(record.error.type, record.error.message, record.error.traceback)
        if record.result is not None or _is_none(record):
            return record.result
        return await self._fetch()

    async def _fetch(self) -> Any:
        """A result that its record does not have: a large one, a blob, or a background view's
        response."""
        answer = await self._transport.ask("GET", f"/{part(self.id)}/result")
        mimetype = self._record.result_type or "application/octet-stream"
        # A server marks bytes that a task gave, so that they are no page of its site.
        marked = answer.headers.get("Content-Security-Policy", "").endswith("; sandbox")
        if mimetype == "application/json" and not marked:
            return msgspec.json.decode(answer.data)
        return Blob(answer.data, mimetype)

    async def cancel(self) -> None:
        """Ask it to end; returns once that is requested."""
        answer = await self._transport.ask("POST", f"/{part(self.id)}/cancel")
        self.take(decode_record(answer.data))

    async def retry(self) -> TaskHandle:
        """Submit an ended task's arguments anew. Raises Conflict.

        The one request that is not made again when its answer was lost: it would make two tasks.
        """
        answer = await self._transport.ask("POST", f"/{part(self.id)}/retry", again=False)
        return TaskHandle(self._transport, self._watcher, decode_record(answer.data))

    async def refresh(self) -> Record:
        """Ask for the record: the whole of it, nothing omitted, as a `Detail` with its
        `attempts` and `logs`. Raises TaskNotFound."""
        answer = await self._transport.ask("GET", f"/{part(self.id)}")
        self.take(decode_detail(answer.data))
        return self._record

    async def events(self, after: str | None = None) -> AsyncGenerator[TaskEvent, None]:
        """What happens to the task, to its terminal `state`; `after` a cursor, to go on.

        Goes on by itself, without a gap, when the connection breaks or the server restarts.
        Where a proxy lets neither a WebSocket nor Server-Sent Events through, it polls, and there
        are no `output` events.
        """
        async with aclosing(self._messages(after)) as messages:
            async for message in messages:
                yield message.event()

    async def _messages(self, after: str | None) -> AsyncGenerator[Message, None]:
        tap = Tap()
        tap.position = after
        if after is None and self._transport.way == 0:
            with suppress(Blocked, Behind):  # then a stream of its own goes on where that ended
                async with aclosing(self._watcher.messages(self, tap)) as messages:
                    async for message in messages:
                        yield message
                return
        path = f"/{part(self.id)}/events"
        stream = follow_task(self._transport, path, tap.position, tap.output)
        async with aclosing(stream) as messages:
            async for message in messages:
                if message.type == "state":
                    self.take(decode_record(message.data))
                elif message.type == "snapshot":
                    for record in decode_records(message.data).tasks:
                        self.take(record)
                elif message.type == "progress":
                    data = decode_progress(message.data)
                    self.take_progress(Progress(data.current, data.total, data.message))
                yield message

    def accepted(self) -> Accepted:
        """The answer of a route that has submitted this task, for Quart and Flask to return: 202
        with `Location` (on the task's server), `Retry-After` and the record."""
        headers = {
            "Content-Type": "application/json",
            "Cache-Control": "no-cache",
            "Location": str(self._transport.address(f"/{part(self.id)}")),
            "Retry-After": "1",
        }
        return msgspec.json.encode(self._record).decode(), 202, headers

    # -- for the watcher -------------------------------------------------------------------

    def take(self, record: Record) -> None:
        """Know a record, if it is no older than what is known."""
        known = self._record
        if known.ended and not record.ended:
            return
        if record.cursor == known.cursor or is_newer(record.cursor, known.cursor):
            self._record = record

    def take_progress(self, progress: Progress) -> None:
        if not self._record.ended:
            self._record = msgspec.structs.replace(self._record, progress=progress)


def _is_none(record: Record) -> bool:
    """Whether the result is None, and not one that the record shows as None. Of a blob of JSON
    only the short record tells: it names it as omitted."""
    is_json = record.result_type == "application/json" and "result" not in record.omitted
    return is_json and not isinstance(record, Detail)
