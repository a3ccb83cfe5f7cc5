"""The client with blocking calls, for scripts and Flask views.

    with TasksClient("http://127.0.0.1:8000") as client:
        print(client.submit("primes", 1000).result())

One object may be used from any number of threads, and made before a server forks its workers. The
asynchronous client does the work, on an event loop in a thread of its own, so that both go on in
the same way when a connection breaks.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Coroutine, Generator, Iterable, Sequence
from concurrent.futures import CancelledError
from datetime import datetime
from itertools import islice
from types import TracebackType
from typing import Any, TypeVar

from ..events import TaskEvent
from ..record import Progress, Record, State
from . import handle as asynchronous
from . import tasks
from .errors import Refused, Unreachable
from .messages import options_of
from .transport import OnPause

__all__ = ["Refused", "TaskEvent", "TaskHandle", "TasksClient", "Unreachable"]

T = TypeVar("T")

CLOSE_SECONDS = 2.0


class _Worker:
    """An event loop in a thread, and the client that lives there."""

    def __init__(self, client: tasks.TasksClient) -> None:
        self.client = client
        self.pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._live, name="quart-tasks-client", daemon=True)
        self._ending: asyncio.Task[None] | None = None
        # Nothing is given to the loop when it is about to end: it would be waited for for ever.
        self._lock, self._closed = threading.RLock(), False
        self._thread.start()

    def _live(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        with self._lock:
            if self._closed:
                coroutine.close()
                raise Unreachable("The client is closed.")
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise Unreachable("The client is closed.") from None
        except BaseException:
            future.cancel()  # Ctrl-C ends the wait, and with it what was waited for
            raise

    def close(self) -> None:
        if self.pid != os.getpid():
            return  # a fork has the loop, but not its thread
        with self._lock:
            if not self._closed:
                self._closed = True
                self._loop.call_soon_threadsafe(self._begin_to_end)
        # The garbage collector may call this in any thread.
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_SECONDS)

    def _begin_to_end(self) -> None:
        self._ending = self._loop.create_task(self._end())

    async def _end(self) -> None:
        await self.client.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._loop.call_soon(self._loop.stop)


class _Connected:
    """What a client, and each of its views with options, have in common: the worker."""

    def __init__(self, url: str, arguments: dict[str, Any]) -> None:
        self.url, self._arguments = url, arguments
        tasks.TasksClient(url, **arguments)  # raises ValueError here rather than later
        self._lock = threading.Lock()
        self._worker: _Worker | None = None

    def worker(self) -> _Worker:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise RuntimeError(
                "The blocking client would block this event loop: use quart_tasks.client there."
            )
        with self._lock:
            if self._worker is None or self._worker.pid != os.getpid():
                self._worker = _Worker(tasks.TasksClient(self.url, **self._arguments))
                self._close = weakref.finalize(self, self._worker.close)  # at the exit too
            return self._worker

    def close(self) -> None:
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            self._close()


class TaskHandle:
    """A task on a server; `result()` waits for what the function returned.

    `record`, and what is taken from it, is as of the last answer.
    """

    __slots__ = ("_connected", "_handle", "_worker")

    def __init__(
        self, connected: _Connected, worker: _Worker, handle: asynchronous.TaskHandle
    ) -> None:
        self._connected = connected  # which closes the worker when nobody has it
        self._worker, self._handle = worker, handle

    def __repr__(self) -> str:
        return repr(self._handle)

    @property
    def id(self) -> str:
        return self._handle.id

    @property
    def record(self) -> Record:
        """The task as it was last heard of; `refresh()` asks."""
        return self._handle.record

    @property
    def state(self) -> State:
        return self._handle.state

    @property
    def progress(self) -> Progress | None:
        return self._handle.progress

    def done(self) -> bool:
        """Whether it is known to have ended, in whatever way."""
        return self._handle.done()

    def result(self, timeout: float | None = None) -> Any:
        """What the function returned: plain JSON values, or a `Blob`. Blocks.

        Raises TaskFailed (or one of its kinds), TaskCancelled, TaskNotFound, Unreachable, or the
        built-in TimeoutError when only the wait, of `timeout` seconds, ended.
        """
        return self._worker.run(self._handle.result(timeout))

    def wait(self, timeout: float | None = None) -> Any:
        """`result()` under the name that it has for threads elsewhere."""
        return self.result(timeout)

    def cancel(self) -> None:
        """Ask it to end; returns once that is requested."""
        self._worker.run(self._handle.cancel())

    def retry(self) -> TaskHandle:
        """Submit an ended task's arguments anew. Raises Conflict."""
        return TaskHandle(self._connected, self._worker, self._worker.run(self._handle.retry()))

    def refresh(self) -> Record:
        """Ask for the record, the whole of it. Raises TaskNotFound."""
        return self._worker.run(self._handle.refresh())

    def events(self, after: str | None = None) -> Generator[TaskEvent, None, None]:
        """What happens to the task, to its terminal `state`; `after` a cursor, to go on."""
        return _iterate(self._connected, self._worker, self._handle.events(after))

    def accepted(self) -> asynchronous.Accepted:
        """The answer of a route that has submitted this task, for Flask to return: 202 with
        `Location` (on the task's server), `Retry-After` and the record."""
        return self._handle.accepted()


class Submitter:
    """Submits tasks with the same options."""

    def __init__(self, connected: _Connected, options: dict[str, Any]) -> None:
        self._connected, self._options = connected, options

    def with_options(
        self, *, delay: float | None = None, eta: datetime | None = None,
        expires: float | None = None, priority: int | None = None, timeout: float | None = None,
        retries: int | None = None, key: str | None = None,
    ) -> Submitter:  # fmt: skip
        """The same, to submit with these options, beside those given before; they are those of
        the asynchronous client. Raises InvalidArguments."""
        options = options_of(
            self._options, delay=delay, eta=eta, expires=expires, priority=priority,
            timeout=timeout, retries=retries, key=key,
        )  # fmt: skip
        return Submitter(self._connected, options)

    def submit(self, name: str, /, *args: Any, **kwargs: Any) -> TaskHandle:
        """Run a task. Returns when the server has accepted it, not when it is done.

        However often the request has to be made, there is one task. Raises UnknownTask,
        InvalidArguments, Unreachable, and QueueFull, Draining or JournalUnavailable when that did
        not pass in time.
        """
        worker = self._connected.worker()
        handle = worker.run(self._submitter(worker).submit(name, *args, **kwargs))
        return TaskHandle(self._connected, worker, handle)

    def submit_many(self, name: str, calls: Iterable[Sequence[Any]], /) -> list[TaskHandle]:
        """Run a task for each list of arguments, at most 1,000; all are accepted, or none."""
        worker = self._connected.worker()
        calls = list(calls)
        handles = worker.run(self._submitter(worker).submit_many(name, calls))
        return [TaskHandle(self._connected, worker, each) for each in handles]

    def map(self, name: str, items: Iterable[Any], /) -> Generator[Any, None, None]:
        """Run a task for each item, its one argument; the results in the items' order.

        At most 100 tasks are unfinished at once. The first that fails ends the iteration with
        its error; those in flight are cancelled then, and when the iteration is left. `items` is
        iterated in the thread of the caller.
        """
        worker = self._connected.worker()
        flight = worker.run(_begin(self._submitter(worker), name))
        iterator = iter(items)
        try:
            while chunk := list(islice(iterator, tasks.TOGETHER)):
                worker.run(flight.submit(chunk))
                while flight.is_full:
                    yield worker.run(flight.next())
            while flight.handles:
                yield worker.run(flight.next())
        finally:
            worker.run(flight.end())

    def _submitter(self, worker: _Worker) -> tasks.Submitter:
        return worker.client.with_options(**self._options)


class TasksClient(Submitter):
    """The tasks of the server at `url`, its root, with blocking calls.

    The arguments are those of `quart_tasks.client.TasksClient`; `on_pause` is called in a thread
    of the client's. Made once for a program, it needs no `with`: it is closed at the exit. On a
    running event loop its calls raise RuntimeError.
    """

    def __init__(
        self, url: str, *, prefix: str = "/tasks", token: str | None = None,
        timeout: float = 30.0, patience: float = 60.0, connect_timeout: float | None = None,
        on_pause: OnPause | None = None,
    ) -> None:  # fmt: skip
        arguments = {
            "prefix": prefix, "token": token, "timeout": timeout, "patience": patience,
            "connect_timeout": connect_timeout, "on_pause": on_pause,
        }  # fmt: skip
        super().__init__(_Connected(url, arguments), {})

    def __repr__(self) -> str:
        return f"<TasksClient {self._connected.url}>"

    def __enter__(self) -> TasksClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def close(self) -> None:
        """Close its connections; who still waits gets Unreachable."""
        self._connected.close()

    def get(self, id: str) -> TaskHandle:
        """Raises TaskNotFound."""
        worker = self._connected.worker()
        return TaskHandle(self._connected, worker, worker.run(worker.client.get(id)))

    def list(
        self, *, state: State | None = None, name: str | None = None,
        parent_id: str | None = None, q: str | None = None, limit: int = 50,
        before: str | None = None,
    ) -> list[Record]:  # fmt: skip
        """At most `limit` records, the newest first; the filters are those of `GET /tasks`."""
        worker = self._connected.worker()
        return worker.run(
            worker.client.list(
                state=state, name=name, parent_id=parent_id, q=q, limit=limit, before=before
            )
        )

    def cancel(self, id: str) -> None:
        """Ask a task to end; returns once that is requested. Raises TaskNotFound."""
        worker = self._connected.worker()
        worker.run(worker.client.cancel(id))

    def types(self) -> Any:
        """The server's definitions: a list of dicts with `name`, `executor`, `doc`,
        `parameters`, `options`."""
        worker = self._connected.worker()
        return worker.run(worker.client.types())

    def stats(self) -> dict[str, Any]:
        """What `GET /tasks/stats` answers."""
        worker = self._connected.worker()
        return worker.run(worker.client.stats())

    def events(
        self, *, ids: Iterable[str] = (), names: Iterable[str] = (), after: str | None = None
    ) -> Generator[TaskEvent, None, None]:
        """What happens to all tasks, or to those with these ids or names, without an end."""
        worker = self._connected.worker()
        events = worker.client.events(ids=ids, names=names, after=after)
        return _iterate(self._connected, worker, events)


async def _begin(submitter: tasks.Submitter, name: str) -> tasks.Flight:
    return tasks.Flight(submitter, name)


def _iterate(
    connected: _Connected, worker: _Worker, events: AsyncGenerator[TaskEvent, None]
) -> Generator[TaskEvent, None, None]:
    async def step() -> TaskEvent | None:
        return await anext(events, None)

    try:
        while (event := worker.run(step())) is not None:
            yield event
    finally:
        worker.run(events.aclose())
