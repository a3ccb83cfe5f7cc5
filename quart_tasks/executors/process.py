"""Attempts in worker processes, which can be killed one by one.

Each slot is a `ProcessPoolExecutor` of one worker that holds one attempt: a dead worker
breaks its whole pool and all that waits in it, so nothing else is in it. What is said on the
way (progress, outputs, log lines) comes through a pipe beside the pool, and the pool's reply
says how much of that was before it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from contextvars import Context
from multiprocessing import forkserver
from typing import Any, ClassVar, Literal, TypeVar

import msgspec

from ..execution import Outcome, failed
from ..record import Error, Progress
from . import process_worker
from .base import Attempt, Reports

T = TypeVar("T")

PRELOAD_MODULE = "quart_tasks.executors.preload"
PRELOAD_VARIABLE = "QUART_TASKS_PRELOAD"

_preload_lock = threading.Lock()


class ProcessExecutor:
    """Runs plain functions in processes, started when first needed. To stop one is to kill
    its worker and all that it has spawned."""

    name = "process"
    stops: ClassVar[Literal["cancel", "ask", "kill"]] = "kill"

    def __init__(
        self, reports: Reports, slots: int, limit: int, nice: int, modules: list[str]
    ) -> None:
        self.slots = slots
        self._loop = asyncio.get_running_loop()
        self._idle = [
            _Slot(f"process-{number}", reports, limit, nice, modules)
            for number in range(slots, 0, -1)
        ]
        self._slots = list(self._idle)
        self._running: dict[Attempt, tuple[_Slot, asyncio.Task[None]]] = {}

    def start(self, attempt: Attempt) -> None:
        slot = self._idle.pop()
        # In an empty context: the worker's reader lives in it for as long as the worker.
        run = self._loop.create_task(self._run(slot, attempt), context=Context())
        self._running[attempt] = slot, run

    def stop(self, attempt: Attempt) -> None:
        if (running := self._running.get(attempt)) is not None:
            running[0].kill()

    async def _run(self, slot: _Slot, attempt: Attempt) -> None:
        await slot.run(attempt, self._release)

    def _release(self, attempt: Attempt) -> None:
        """The slot is free, as the next attempt may begin in the very report of the end."""
        self._idle.append(self._running.pop(attempt)[0])

    async def close(self) -> None:
        tasks = [task for _, task in self._running.values()]
        pools = [pool for slot in self._slots if (pool := slot.close(True)) is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

        def join() -> None:
            for pool in pools:
                pool.shutdown(wait=True)

        # Their threads are about to end. At the interpreter's own end CPython writes to the
        # pipe of each that is left, which may be closed by then (concurrent/futures/process.py,
        # `_python_exit`).
        with suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                await in_thread(join)

    def health(self) -> str | None:
        if multiprocessing.current_process().daemon:
            return DAEMONIC
        return None


DAEMONIC = (
    "This server runs the app in a daemonic process, which may not start others: process tasks "
    "cannot run. Use `quart-tasks serve`, `hypercorn --workers 0` or `quart run`."
)


class _Slot:
    """One worker, or none yet."""

    def __init__(
        self, name: str, reports: Reports, limit: int, nice: int, modules: list[str]
    ) -> None:
        self.name = name
        self._reports = reports
        self._limit = limit
        self._nice = nice
        self._modules = modules
        self._loop = asyncio.get_running_loop()
        self._worker: _Worker | None = None
        self._closed = False

    async def run(self, attempt: Attempt, release: Callable[[Attempt], None]) -> None:
        try:
            outcome: Outcome | str = await self._outcome(attempt)
        except BaseException as error:  # noqa: BLE001 - the attempt ends, whatever happens here
            outcome = failed(error)
        if isinstance(outcome, str):
            self.close()
        release(attempt)
        if isinstance(outcome, str):
            self._reports.lost(attempt, outcome)
        else:
            self._reports.ended(attempt, outcome)

    async def _outcome(self, attempt: Attempt) -> Outcome | str:
        """How the attempt ended, or why it was lost."""
        if multiprocessing.current_process().daemon:
            return failed(RuntimeError(DAEMONIC))
        definition = attempt.definition
        module, qualname = definition.reference
        job: process_worker.Job = (
            module, qualname, attempt.task_id, definition.name, attempt.number,
            bytes(attempt.json_args), bytes(attempt.json_kwargs), self._limit,
            attempt.retry_on,
        )  # fmt: skip
        while True:
            try:
                worker = await self._ready_worker()
            except (BrokenProcessPool, OSError, EOFError) as problem:
                return (
                    f"The worker process could not start: {problem} If a script starts this app, "
                    f"it must do so under `if __name__ == '__main__':`, because workers import it."
                )
            if attempt.stopped:
                return failed(asyncio.CancelledError("stopped before it began"))
            worker.attempt = attempt
            worker.jobs += 1
            self._reports.started(attempt, self.name)
            try:
                reply = await self._loop.run_in_executor(worker.pool, process_worker.run, job)
                break
            except BrokenProcessPool:
                if attempt.stopped or worker.begun.value == worker.jobs:
                    return (
                        "The process that ran the task died: it was killed, ran out of memory, "
                        "or crashed in native code."
                    )
            # It had died idle, and was not found dead yet: another takes the job.
            worker.kill()
        try:
            await worker.received(reply[0])
        except EOFError:
            return "The process that ran the task lost its connection to the server."
        worker.attempt = None
        _, data, mimetype, outputs, error, retryable = reply
        return Outcome(data, mimetype, outputs, error and Error(*error), retryable)

    async def _ready_worker(self) -> _Worker:
        worker = self._worker
        if worker is None or not worker.alive():
            self.close()
            worker = _Worker(self._reports)
            # Not on the loop: the first start waits until the fork server has its imports.
            await in_thread(lambda: worker.start(self._nice, self._modules))
            if self._closed:
                worker.close()
                raise EOFError("the app has stopped.")
            worker.listen()
            self._worker = worker
        return worker

    def kill(self) -> None:
        if self._worker is not None:
            self._worker.kill()

    def close(self, for_good: bool = False) -> ProcessPoolExecutor | None:
        """Let go of the worker; its pool, which has yet to end."""
        self._closed = for_good
        worker, self._worker = self._worker, None
        if worker is None:
            return None
        worker.close()
        return worker.pool


class _Worker:
    """A pool of one process, and the parent's side of its pipes."""

    def __init__(self, reports: Reports) -> None:
        self.pool: ProcessPoolExecutor
        self.pid = 0
        self.jobs = 0
        self.begun: Any = None  # shared with the child: the number of the last job it began
        self.attempt: Attempt | None = None
        self._reports = reports
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._hung_up = False
        self._count = 0  # messages of this attempt
        self._expected: tuple[int, asyncio.Future[None]] | None = None
        # The child's ends are given to it when it starts. While the parent lives it holds
        # the other end of the lifeline, and never writes to it.
        self._pipe, self._child_pipe = multiprocessing.Pipe(duplex=False)
        self._child_lifeline, self._lifeline = multiprocessing.Pipe(duplex=False)

    def start(self, nice: int, modules: list[str]) -> None:
        """Start the process and wait for it. Raises BrokenProcessPool."""
        context = _context(modules)
        self.begun = context.RawValue("Q", 0)
        try:
            self.pool = ProcessPoolExecutor(
                1, context, process_worker.start,
                (
                    self._child_pipe, self._child_lifeline, self.begun, nice,
                    logging.getLogger().level,
                ),
            )  # fmt: skip
            self.pid = self.pool.submit(process_worker.ready).result()
        finally:
            self._child_pipe.close()
            self._child_lifeline.close()

    def listen(self) -> None:
        os.set_blocking(self._pipe.fileno(), False)
        self._loop.add_reader(self._pipe.fileno(), self._read)

    def alive(self) -> bool:
        """Whether the process is there: one that died idle must not cost a task."""
        self._read()
        with suppress(PermissionError):  # there, and with rights of its own
            try:
                os.kill(self.pid, 0)
            except ProcessLookupError:  # something that it started may hold its pipe open
                return False
        return not self._hung_up

    def kill(self) -> None:
        self._hung_up = True  # its end of the pipe may close only after the next attempt began
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        if self.pid:
            self.kill()
        with suppress(OSError):
            self._loop.remove_reader(self._pipe.fileno())
        self._pipe.close()
        self._lifeline.close()
        self.pool.shutdown(wait=False, cancel_futures=True)

    async def received(self, count: int) -> None:
        """Wait until `count` messages of this attempt have been read."""
        if self._count < count:
            if self._hung_up:
                raise EOFError("The worker's pipe has ended.")
            self._expected = count, self._loop.create_future()
            await self._expected[1]
        self._count = 0

    def _read(self) -> None:
        try:
            data = os.read(self._pipe.fileno(), 65536)
        except (BlockingIOError, OSError):
            return
        if not data:
            self._hang_up()
            return
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= 4:
            end = at + 4 + int.from_bytes(buffer[at : at + 4], "big")
            if len(buffer) < end:
                break
            self._count += 1
            try:
                self._deliver(*msgspec.msgpack.decode(buffer[at + 4 : end]))
            except (msgspec.DecodeError, TypeError):  # the task wrote to a pipe not its own
                self._hang_up()
                return
            at = end
        del buffer[:at]
        if self._expected is not None and self._count >= self._expected[0]:
            self._expected[1].set_result(None)
            self._expected = None

    def _hang_up(self) -> None:
        """Nothing more can be read from this worker."""
        self._hung_up = True
        self._loop.remove_reader(self._pipe.fileno())
        if self._expected is not None:
            self._expected[1].set_exception(EOFError("The worker's pipe has ended."))
            self._expected = None

    def _deliver(self, kind: str, *values: Any) -> None:
        attempt = self.attempt
        if attempt is None:
            return
        if kind == "progress":
            self._reports.progress(attempt, Progress(*values))
        elif kind == "output":
            self._reports.output(attempt, *values)
        else:
            self._reports.log(attempt, *values)
            _log_here(*values)


def _log_here(level: str, name: str, message: str) -> None:
    """Show a child's log line in this process's log too."""
    logger = logging.getLogger(name)
    number = logging.getLevelNamesMapping().get(level, logging.INFO)
    if logger.isEnabledFor(number):
        logger.handle(logger.makeRecord(name, number, "", 0, message, (), None))


def _context(modules: list[str]) -> Any:
    """The way processes are started: from a fork server that has imported `modules`. Never a
    fork of this process, whose threads may hold locks."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    with _preload_lock:
        # Has no effect when a fork server runs already: workers then import for themselves.
        forkserver.set_forkserver_preload([PRELOAD_MODULE])
        wanted = [name for name in modules if name != "__main__"]
        os.environ[PRELOAD_VARIABLE] = json.dumps({"path": sys.path, "modules": wanted})
        try:
            forkserver.ensure_running()
        finally:
            del os.environ[PRELOAD_VARIABLE]
    return multiprocessing.get_context("forkserver")


async def in_thread(function: Callable[[], T]) -> T:
    """Call a function in a daemon thread of its own."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def deliver(set_it: Callable[[Any], None], value: Any) -> None:
        if not future.done():
            set_it(value)

    def call() -> None:
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            post = future.set_exception, error
        else:
            post = future.set_result, result  # type: ignore[assignment]
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(deliver, *post)

    threading.Thread(target=call, name="quart-tasks-start", daemon=True).start()
    return await future
