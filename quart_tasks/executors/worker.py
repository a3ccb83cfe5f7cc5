"""A worker process as its parent sees it: a pool of one, and the pipes beside it."""

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
from contextlib import suppress
from multiprocessing import forkserver
from typing import Any, TypeVar

import msgspec

from ..record import Progress
from . import process_worker
from .base import Attempt, Reports

T = TypeVar("T")

PRELOAD_MODULE = "quart_tasks.executors.preload"
PRELOAD_VARIABLE = "QUART_TASKS_PRELOAD"

_preload_lock = threading.Lock()


class Worker:
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
