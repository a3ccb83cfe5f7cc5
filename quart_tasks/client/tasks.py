"""TasksClient: the tasks of a server, from another process."""

from __future__ import annotations

import asyncio
import builtins
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Sequence
from contextlib import aclosing, suppress
from datetime import datetime
from itertools import islice
from types import TracebackType
from typing import Any

import msgspec

from ..events import TaskEvent
from ..exceptions import QuartTasksError
from ..record import Record, State
from .errors import TOO_LARGE, Refused
from .handle import TaskHandle
from .messages import (
    decode_detail,
    decode_record,
    decode_records,
    options_of,
    passes,
    submission,
)
from .streams import follow
from .transport import Blocked, OnPause, Transport, part
from .watcher import Watcher

IN_FLIGHT = 100  # tasks that `map` keeps unfinished at once
TOGETHER = 25  # and that it submits in one message, of at most:
MOST_BYTES = 512 * 1024
CANCEL_SECONDS = 5.0  # for what is in flight, when the server may be why `map` ended
PAGE = 500


class Submitter:
    """Submits tasks with the same options."""

    def __init__(self, transport: Transport, watcher: Watcher, options: dict[str, Any]) -> None:
        self._transport, self._watcher, self._options = transport, watcher, options

    def with_options(
        self, *, delay: float | None = None, eta: datetime | None = None,
        expires: float | None = None, priority: int | None = None, timeout: float | None = None,
        retries: int | None = None, key: str | None = None,
    ) -> Submitter:  # fmt: skip
        """The same, to submit with these options, beside those given before.

        `delay` in seconds, or `eta` with its offset; `expires`: seconds after acceptance by which
        it must have started; `priority`: higher first; `timeout` (seconds an attempt may take)
        and `retries` may only lower the definition's; `key`: at most one unfinished task of a
        name has it. Raises InvalidArguments.
        """
        options = options_of(
            self._options, delay=delay, eta=eta, expires=expires, priority=priority,
            timeout=timeout, retries=retries, key=key,
        )  # fmt: skip
        return Submitter(self._transport, self._watcher, options)

    async def submit(self, name: str, /, *args: Any, **kwargs: Any) -> TaskHandle:
        """Run a task. Returns when the server has accepted it, not when it is done.

        It has an idempotency key: however often the request has to be made, there is one task.
        Raises UnknownTask, InvalidArguments, Unreachable, and QueueFull, Draining or
        JournalUnavailable when that did not pass in time.
        """
        body = submission(name, args, kwargs, self._options)
        answer = await self._transport.ask("POST", "", bytes(body))
        return self._handle(decode_record(answer.data))

    async def submit_many(self, name: str, calls: Iterable[Sequence[Any]], /) -> list[TaskHandle]:
        """Run a task for each list of arguments; all are accepted, or none.

        At most 1,000, and as many bytes as TASKS_MAX_BODY_SIZE. Raises as `submit` does.
        """
        bodies = [submission(name, args, {}, self._options) for args in calls]
        return [self._handle(record) for record in await self._post(bodies)]

    async def map(
        self, name: str, items: Iterable[Any] | AsyncIterable[Any], /
    ) -> AsyncGenerator[Any, None]:
        """Run a task for each item, its one argument; the results in the items' order.

        At most 100 tasks are unfinished at once. The first that fails ends the iteration with
        its error; those in flight are cancelled then, and when the iteration is left.
        """
        flight = Flight(self, name)
        try:
            async for chunk in _chunks(items):
                await flight.submit(chunk)
                while flight.is_full:
                    yield await flight.next()
            while flight.handles:
                yield await flight.next()
        finally:
            await flight.end()

    async def _post(self, bodies: list[msgspec.Raw]) -> list[Record]:
        answer = await self._transport.ask("POST", "/batch", msgspec.json.encode({"tasks": bodies}))
        return decode_records(answer.data).tasks

    def _handle(self, record: Record) -> TaskHandle:
        return TaskHandle(self._transport, self._watcher, record)


class Flight:
    """The unfinished tasks of one `map`, in order. They go over the watcher's socket, which tells
    their ends as well: no request for each of them."""

    def __init__(self, submitter: Submitter, name: str) -> None:
        self.handles: deque[TaskHandle] = deque()
        self._submitter, self._name = submitter, name
        self._watcher = submitter._watcher
        self._watches: deque[Any] = deque()
        self._watcher.add_name(name)

    @property
    def is_full(self) -> bool:
        return len(self.handles) > IN_FLIGHT - TOGETHER

    async def submit(self, items: list[Any]) -> None:
        submitter = self._submitter
        bodies = [submission(self._name, [item], {}, submitter._options) for item in items]
        size, first = 0, 0
        for number, body in enumerate(bodies):
            if number > first and size + len(bytes(body)) > MOST_BYTES:
                await self._submit(bodies[first:number])
                size, first = 0, number
            size += len(bytes(body))
        await self._submit(bodies[first:])

    async def _submit(self, bodies: list[msgspec.Raw]) -> None:
        post = self._submitter._post
        try:
            records = await self._over_socket(bodies)
        except Blocked:
            self._add(await post(bodies), covered=False)
        except Refused as error:
            if error.status != TOO_LARGE:
                raise
            for body in bodies:  # which may fit one by one
                self._add(await post([body]), covered=False)
        else:
            self._add(records, covered=True)
            self._watcher.settle()

    async def _over_socket(self, bodies: list[msgspec.Raw]) -> list[Record]:
        patience = self._submitter._transport.patience()
        while True:
            try:
                return await self._watcher.submit(bodies)
            except QuartTasksError as error:
                if not passes(error):
                    raise
                await patience.pause(error, getattr(error, "retry_after", 0.0))

    def _add(self, records: list[Record], covered: bool) -> None:
        for record in records:
            handle = self._submitter._handle(record)
            watch = self._watcher.add(handle, covered=covered)
            self._watches.append(watch)
            self.handles.append(handle)

    async def next(self) -> Any:
        """The first one's result."""
        value = await self.handles[0].result()
        self._watcher.remove(self.handles.popleft(), self._watches.popleft())
        return value

    async def end(self) -> None:
        """Cancel what is still in flight."""
        for handle, watch in zip(self.handles, self._watches, strict=True):
            self._watcher.remove(handle, watch)
        self._watcher.remove_name(self._name)
        cancels = [handle.cancel() for handle in self.handles if not handle.done()]
        with suppress(TimeoutError):
            async with asyncio.timeout(CANCEL_SECONDS):
                await asyncio.gather(*cancels, return_exceptions=True)
        self.handles.clear()


class TasksClient(Submitter):
    """The tasks of the server at `url`, its root: `async with TasksClient(url) as client:`.

    `prefix`: its TASKS_URL_PREFIX; `token`: its TASKS_TOKEN; `timeout`: seconds that one answer
    may take; `patience`: seconds for which to try again while the server cannot be reached, is
    full or restarts, in requests, waits and streams alike, before that is an error. Of a request,
    `connect_timeout` seconds may go into its connection; `on_pause` is called with an exception
    that says why, each time before something is tried again.

    Belongs to the event loop that it is first used on. Raises ValueError for what is no URL.
    """

    def __init__(
        self, url: str, *, prefix: str = "/tasks", token: str | None = None,
        timeout: float = 30.0, patience: float = 60.0, connect_timeout: float | None = None,
        on_pause: OnPause | None = None,
    ) -> None:  # fmt: skip
        transport = Transport(url, prefix, token, timeout, patience, connect_timeout, on_pause)
        super().__init__(transport, Watcher(transport), {})

    def __repr__(self) -> str:
        return f"<TasksClient {self._transport.url}>"

    async def __aenter__(self) -> TasksClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        await self.close()

    async def close(self) -> None:
        """Close its connections; who still waits gets Unreachable."""
        await self._watcher.close()
        await self._transport.close()

    async def get(self, id: str) -> TaskHandle:
        """Raises TaskNotFound."""
        answer = await self._transport.ask("GET", f"/{part(id)}")
        return self._handle(decode_detail(answer.data))

    async def list(
        self, *, state: State | None = None, name: str | None = None,
        parent_id: str | None = None, q: str | None = None, limit: int = 50,
        before: str | None = None,
    ) -> list[Record]:  # fmt: skip
        """At most `limit` records, the newest first; the filters are those of `GET /tasks`."""
        given = {"state": state, "name": name, "parent_id": parent_id, "q": q}
        query = {key: value for key, value in given.items() if value is not None}
        found: list[Record] = []
        while len(found) < limit:
            page = {**query, "limit": str(min(limit - len(found), PAGE))}
            if before is not None:
                page["before"] = before
            records = decode_records((await self._transport.ask("GET", "", query=page)).data)
            found += records.tasks
            before = records.next
            if before is None:
                break
        return found

    async def cancel(self, id: str) -> None:
        """Ask a task to end; returns once that is requested. Raises TaskNotFound."""
        await self._transport.ask("POST", f"/{part(id)}/cancel")

    async def types(self) -> builtins.list[dict[str, Any]]:
        """The server's definitions: `name`, `executor`, `doc`, `parameters`, `options`."""
        answer = await self._transport.ask("GET", "/types")
        types: builtins.list[dict[str, Any]] = msgspec.json.decode(answer.data)["types"]
        return types

    async def stats(self) -> dict[str, Any]:
        """What `GET /tasks/stats` answers."""
        answer = await self._transport.ask("GET", "/stats")
        stats: dict[str, Any] = msgspec.json.decode(answer.data)
        return stats

    async def events(
        self, *, ids: Iterable[str] = (), names: Iterable[str] = (), after: str | None = None
    ) -> AsyncGenerator[TaskEvent, None]:
        """What happens to all tasks, or to those with these ids or names, without an end; `after`
        a cursor, to go on. A broken connection is made again, without a gap."""
        query = [*(("id", id) for id in ids), *(("name", name) for name in names)]
        async with aclosing(follow(self._transport, "/events", after, query)) as messages:
            async for message in messages:
                yield message.event()


async def _chunks(items: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[list[Any]]:
    if isinstance(items, AsyncIterable):
        async for item in items:  # each may be long in coming
            yield [item]
    else:
        iterator = iter(items)
        while chunk := list(islice(iterator, TOGETHER)):
            yield chunk
