"""The parts of one app and one start, put together: what the extension, the web surface and
handles work with."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any

from quart import Quart

from . import shutdown
from .catalog import Catalog
from .config import Config
from .context import capture_logs, current_task
from .database import Database
from .definition import NO_OPTIONS, Definition, Options, Submission, prepare, prepare_again
from .exceptions import (
    Conflict,
    InvalidArguments,
    JournalUnavailable,
    QuartTasksError,
    TaskNotFound,
    UnknownTask,
)
from .executors.event_loop import LoopExecutor
from .executors.process import DAEMONIC, ProcessExecutor
from .executors.thread import ThreadExecutor
from .executors.worker import in_thread
from .figures import Figures
from .journal import Journal
from .ledger import Ledger
from .recovery import Recovery
from .registry import Registry
from .retry import RetryPolicy
from .runner import Runner
from .shutdown import Shutdown
from .task import Task

if TYPE_CHECKING:
    import aiohttp

logger = logging.getLogger("quart_tasks")

READ_SECONDS = 0.1  # that the start waits for the journal to be read
TICK = 0.1  # seconds between two looks at the loop's lag and at what is too old


class Service:
    """One app's tasks from one start to the next stop."""

    def __init__(self, app: Quart, config: Config, catalog: Catalog) -> None:
        self.app = app
        self.config = config
        self.catalog = catalog
        self.loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self.registry = Registry(config)
        self.journal = None if config.journal is None else Journal(config.journal)
        self.runner = Runner(self.registry, _Timers(self.loop), Ledger(self.journal))
        self.shutdown = Shutdown(self.runner, self.registry.subscriptions, config.drain_timeout)
        self._http: aiohttp.ClientSession | None = None
        self._tick: asyncio.TimerHandle | None = None
        self.figures = Figures(config, catalog, self.registry, self.runner)
        self._recovery: Recovery | None = None
        self._reading: asyncio.Task[None] | None = None

    # -- start and stop --------------------------------------------------------------------

    async def open(self) -> None:
        """Start; what the journal has is read afterwards. Raises JournalRefused."""
        if self.journal is not None:
            await _opened(self.journal.database)
        config, limit = self.config, self.config.max_result_size
        modules = {each.reference[0] for each in self._process_definitions()}
        for executor in (
            LoopExecutor(self.app, self.runner, config.async_concurrency, limit),
            ThreadExecutor(self.app, self.runner, config.threads, limit),
            ProcessExecutor(
                self.runner, config.processes, limit, config.process_nice, sorted(modules)
            ),
        ):
            self.runner.add_executor(executor)
        capture_logs()
        self._schedule_tick(self.loop.time())
        self._say_what_cannot_be()
        if self.journal is not None:
            self.runner.begun = False
            self.registry.loading, self.registry.dropped = True, []
            self._recovery = Recovery(self.journal, self.runner, self.catalog)
            self._reading = self.loop.create_task(self._recovery.run())
            self._reading.add_done_callback(_log_failure)
            # A short one is read before the app starts, so that its hooks and tests may submit.
            await asyncio.wait([self._reading], timeout=READ_SECONDS)

    def _process_definitions(self) -> list[Definition]:
        return [each for each in self.catalog.definitions.values() if each.executor == "process"]

    def _say_what_cannot_be(self) -> None:
        if multiprocessing.current_process().daemon and self._process_definitions():
            logger.warning(DAEMONIC)
        if multiprocessing.parent_process() is not None:
            logger.warning(
                "This server runs the app in a child process. With several of them each has "
                "tasks of its own, and a client may ask one about a task of another: use one "
                "worker, or `quart-tasks serve`."
            )

    async def close(self) -> None:
        """End all tasks, and let go of everything."""
        await self.shutdown.run()
        closing = (lane.executor.close(shutdown.CLOSE) for lane in self.runner.lanes.values())
        await asyncio.gather(*closing)
        await self._close_journal()
        if self._http is not None:
            await self._http.close()
        if self._tick is not None:
            self._tick.cancel()

    async def _close_journal(self) -> None:
        if self.journal is None:
            return
        if self._recovery is not None and self._reading is not None:
            self._recovery.stopped = True
            await asyncio.wait([self._reading])
        self._forget_dropped()
        if not await self.journal.close(shutdown.WRITE):
            logger.error("Not all could be written to the journal: %s.", self.journal.problem)

    def _forget_dropped(self) -> None:
        if self.registry.dropped:
            ids, self.registry.dropped = self.registry.dropped, []
            self.runner.ledger.forget(ids)

    def _schedule_tick(self, due: float) -> None:
        lag = max(0.0, self.loop.time() - due)
        if not self.registry.loading:
            self.registry.evict()
            self._forget_dropped()
        self.figures.tick(lag)
        due = self.loop.time() + TICK
        self._tick = self.loop.call_at(due, self._schedule_tick, due)

    @property
    def http(self) -> aiohttp.ClientSession:
        """One session for all tasks, with as many connections as tasks on the loop."""
        if self._http is None or self._http.closed:
            import aiohttp  # not at the top: it takes longer to import than the rest

            connector = aiohttp.TCPConnector(limit=self.config.async_concurrency)
            # No cookies: one task's would go along with the requests of another, and of its owner.
            jar = aiohttp.DummyCookieJar()
            self._http = aiohttp.ClientSession(connector=connector, cookie_jar=jar)
        return self._http

    def on_loop(self) -> bool:
        return threading.get_ident() == self._thread

    # -- tasks -----------------------------------------------------------------------------

    def prepare(
        self, definition: Definition, args: Any, kwargs: dict[str, Any],
        options: Options = NO_OPTIONS, retry: RetryPolicy | None = None,
    ) -> Submission:  # fmt: skip
        """A submission from Python: of the running task, if there is one, its child."""
        context = current_task()
        if context is None:
            submission = prepare(definition, args, kwargs, options=options, retry=retry)
        else:
            submission = self.prepare_child(definition, args, kwargs, options, retry, context.id)
        if not submission.replayable and self.runner.ledger.keeps(definition):
            raise InvalidArguments(
                f"The arguments of {definition.name!r} go into the journal as JSON, and these "
                f"cannot: pass plain data, or define it with `durable=False`."
            )
        return submission

    def prepare_child(
        self, definition: Definition, args: Any, kwargs: dict[str, Any], options: Options,
        retry: RetryPolicy | None, parent_id: str,
    ) -> Submission:  # fmt: skip
        try:
            owner = self.registry.get(parent_id).record.owner
        except TaskNotFound:  # of another app
            return prepare(definition, args, kwargs, options=options, retry=retry)
        return prepare(
            definition, args, kwargs, options=options, retry=retry, parent_id=parent_id,
            owner=owner,
        )  # fmt: skip

    async def submit(self, submissions: list[Submission]) -> list[Task]:
        """Accept all or, with an error, none; returns once the journal has them. Raises Draining,
        QueueFull, JournalUnavailable."""
        tasks = self.runner.submit_many(submissions)
        if self.journal is not None:
            for task in tasks:
                await self.accepted(task)
            if any(each.options.key is not None for each in submissions):
                await self.committed()  # an idempotency key may have been noted with the holder's
        return tasks

    async def accepted(self, task: Task) -> None:
        """Wait until the journal has a task. Raises JournalUnavailable."""
        if task.run is not None and task.run.held is not None:
            await self._told(task.run.held.append)

    async def _told(self, ask: Callable[[Callable[[bool], None]], None]) -> None:
        """Wait to be told that something is committed. Raises JournalUnavailable."""
        future: asyncio.Future[bool] = self.loop.create_future()
        ask(lambda committed: None if future.done() else future.set_result(committed))
        if not await future:
            raise JournalUnavailable

    async def cancel(self, task: Task) -> None:
        """Ask a task to end; returns once that is committed. Raises JournalUnavailable."""
        self.make_sure()
        self.runner.cancel(task)
        await self.committed()

    async def loaded(self) -> None:
        """Wait until all that the journal has is here."""
        if self.registry.loading and self._reading is not None:
            await asyncio.wait([self._reading])

    async def committed(self) -> None:
        """Wait until all that was asked for is committed. Raises JournalUnavailable."""
        if self.journal is not None:
            await self._told(self.runner.ledger.committed)

    async def forget(self, task: Task) -> None:
        """Drop an ended task's record. Raises Conflict, JournalUnavailable."""
        id = task.record.id
        if self.journal is not None and task.run is None:
            self.make_sure()
            await self._told(lambda done: self.runner.ledger.forget([id], done))
        if self.registry.find(id) is task:  # nobody else has dropped it meanwhile
            self.runner.forget(task)

    def make_sure(self) -> None:
        """Raises JournalUnavailable while the journal cannot be written."""
        if self.runner.ledger.problem is not None:
            raise JournalUnavailable

    def retry(self, task: Task, owner: str | None = None) -> Task:
        """Submit an ended task's arguments and options anew; `accepted` tells when that is
        done. Raises Conflict, and what a submission does."""
        record = task.record
        if task.run is not None:
            raise Conflict(f"The task is {record.state}: it can be retried once it has ended.")
        if not task.replayable:
            raise Conflict("The task's arguments were not JSON and are not kept: submit it anew.")
        try:
            definition = self.catalog.get(record.name)
            options, retry = task.options or (NO_OPTIONS, None)
            submission = prepare_again(
                definition, task.value("args"), task.value("kwargs"), task.kept,
                options=options, retry=retry, retry_of=record.id, parent_id=record.parent_id,
                owner=record.owner if owner is None else owner,
            )  # fmt: skip
        except (UnknownTask, InvalidArguments) as error:
            raise Conflict(f"The task cannot be retried: {error}") from None
        return self.runner.submit(submission)

    async def ended(self, task: Task, timeout: float | None = None) -> None:
        """Wait for a task's end. Raises TimeoutError; that never touches the task."""
        run = task.run
        if run is None:
            return
        future: asyncio.Future[None] = self.loop.create_future()
        run.waiters.append(future)
        try:
            if timeout is None:
                await future
            else:
                async with asyncio.timeout(timeout):
                    await future
        finally:
            if task.run is not None:
                run.waiters.remove(future)

    async def join(self, timeout: float | None = None) -> None:
        """Wait until no task is unfinished. Raises TimeoutError, which names those that are."""
        try:
            async with asyncio.timeout(timeout):
                with suppress(JournalUnavailable):
                    await self.committed()  # also what nobody waits for any more is a task then
                while self.registry.unfinished_count:
                    idle = asyncio.Event()
                    self.runner.endings.when_idle.append(idle.set)
                    await idle.wait()
        except TimeoutError:
            left = Counter(
                f"{task.record.name} {task.record.state}" for task in self.registry.unfinished()
            )
            names = ", ".join(f"{number} of {what}" for what, number in left.items())
            raise TimeoutError(f"Not all tasks have ended: {names}.") from None


class _Timers:
    """The loop's timers, without the context of the task that happens to set one."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._context = Context()  # the loop enters it for one callback at a time

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any
    ) -> asyncio.TimerHandle:
        return self._loop.call_later(delay, callback, *args, context=self._context)


async def _opened(database: Database) -> None:
    """Open it, or when cancelled have it closed."""
    opening = asyncio.ensure_future(in_thread(database.open))
    try:
        await asyncio.shield(opening)
    except asyncio.CancelledError:
        database.given_up = True
        await asyncio.wait([opening])
        if opening.exception() is None:
            database.close()
        raise


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("The journal could not be read; nothing is accepted.", exc_info=error)


def in_child() -> None:
    """Raises QuartTasksError in a process task, which has no app and no server."""
    context = current_task()
    if context is not None and context.executor == "process":
        raise QuartTasksError(
            "A process task cannot submit or look up tasks: it runs in a process without the "
            "app. Return what is to be done, and submit it from an async or thread task."
        )
