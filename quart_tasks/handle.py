"""What `submit` gives back."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Generator
from contextlib import aclosing
from typing import Any, Generic, TypeVar

import msgspec
from quart import Response

from .encoding import NULL, Blob, decode
from .events import TaskEvent
from .exceptions import Interrupted, TaskCancelled, failure
from .feed import follow_task
from .record import Progress, Record, State
from .service import Service
from .task import Task
from .web.answers import accepted

R = TypeVar("R")


class TaskHandle(Generic[R]):
    """One task. Await it, or its `result()`, for what the function returns.

    Cancelling or timing out a wait never touches the task. Use it on the event loop of the
    app; `wait()` is for threads.
    """

    __slots__ = ("__weakref__", "_service", "_task", "exception")

    def __init__(self, service: Service, task: Task) -> None:
        self._service = service
        self._task = task
        self.exception: BaseException | None = None  # the original, where it was raised here
        if task.run is not None:
            task.run.handle = weakref.ref(self)

    @classmethod
    def of(cls, service: Service, task: Task) -> TaskHandle[Any]:
        """A task's handle: the one there is, if somebody holds it."""
        if task.run is not None and task.run.handle is not None:
            handle: TaskHandle[Any] | None = task.run.handle()
            if handle is not None:
                return handle
        return cls(service, task)

    def __repr__(self) -> str:
        return f"<TaskHandle {self._task.record.name} {self.id} {self.state}>"

    @property
    def id(self) -> str:
        return self._task.record.id

    @property
    def record(self) -> Record:
        """The task as it is now, with `args`, `kwargs` and `result` as plain values."""
        return self._task.record.plain()

    @property
    def state(self) -> State:
        return self._task.record.state

    @property
    def progress(self) -> Progress | None:
        return self._task.record.progress

    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._task.record.ended

    def __await__(self) -> Generator[Any, None, R]:
        return self.result().__await__()

    async def result(self, timeout: float | None = None) -> R:
        """What the function returned, decoded into its return annotation.

        Raises TaskFailed (or one of its kinds, with the original as `__cause__` where there
        is one), TaskCancelled, or the built-in TimeoutError when only the wait, of `timeout`
        seconds, ended.
        """
        if self._task.run is not None:
            await self._service.ended(self._task, timeout)
            if self._task.run is not None:
                raise Interrupted("The server stops; the journal has the task go on later.")
        return self._value()

    def wait(self, timeout: float | None = None) -> R:
        """`result()` for threads: blocks. Raises RuntimeError on the event loop."""
        loop = self._service.loop
        if self._service.on_loop():
            raise RuntimeError("handle.wait() would block the event loop: `await handle` there.")
        return asyncio.run_coroutine_threadsafe(self.result(timeout), loop).result()

    def _value(self) -> R:
        task = self._task
        record = task.record
        if record.state == "succeeded":
            if record.result is NULL:
                return None  # type: ignore[return-value]
            return result_of(self._service, task)  # type: ignore[no-any-return]
        if record.state == "cancelled":
            raise TaskCancelled(f"Task {record.name} ({record.id}) was cancelled.")
        error = record.error
        assert error is not None  # noqa: S101 - a failed task has one
        raise failure(error.type, error.message, error.traceback) from self.exception

    async def cancel(self) -> None:
        """Ask it to end; returns once that is requested."""
        await self._service.cancel(self._task)

    async def retry(self) -> TaskHandle[R]:
        """Submit an ended task's arguments anew. Raises Conflict."""
        task = self._service.retry(self._task)
        await self._service.accepted(task)
        return TaskHandle.of(self._service, task)

    async def refresh(self) -> Record:
        """The record, read again: here always the newest, for a client's handle a request.

        Raises TaskNotFound when it is no longer kept.
        """
        self._task = self._service.registry.get(self.id)
        return self.record

    async def events(self, after: str | None = None) -> AsyncIterator[TaskEvent]:
        """What happens to the task, to its terminal `state`; `after` a cursor, to go on."""
        feed = follow_task(self._service.registry, self._task, after)
        async with aclosing(feed) as batches:
            async for batch in batches:
                for event in batch:
                    yield msgspec.json.decode(event.text, type=TaskEvent)

    def accepted(self) -> Response:
        """The answer of a route that has submitted this task: 202 with `Location`,
        `Retry-After` and the record."""
        return accepted(self._service, self._task)


def result_of(service: Service, task: Task) -> Any:
    """A succeeded task's result as the function's return annotation has it."""
    record = task.record
    blob = record.result_type != "application/json" or task.blob is not None
    data = task.blob if task.blob is not None else bytes(task.value("result"))
    mimetype = record.result_type if blob else None
    definition = service.catalog.definitions.get(record.name)
    if task.head is not None:
        return decode(data) if mimetype == "application/json" else Blob(data, str(mimetype))
    if definition is None:
        return Blob(data, mimetype) if mimetype else decode(data)
    return definition.parameters.result(data, mimetype)
