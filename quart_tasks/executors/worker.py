"""A worker process as its parent sees it: a pool of one, and the pipes beside it."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any, TypeVar

from . import process_worker
from .base import Attempt, Reports
from .fork_server import Context, start_method
from .inbox import Inbox

T = TypeVar("T")

START_SECONDS = 60.0  # for a worker to come up, with all its imports
LAST_WORDS_SECONDS = 1.0  # for a dead worker's exit code to arrive

CRASHES = {"SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE"}


class CannotStart(Exception):
    """A worker process did not come up; the message says why, and `details` at length."""

    def __init__(self, message: str, details: str | None = None) -> None:
        super().__init__(message)
        self.details = details or message


class Worker:
    """A pool of one process, and the parent's side of its pipes."""

    def __init__(self, reports: Reports) -> None:
        self.pool: ProcessPoolExecutor | None = None
        self.pid = 0  # and that of its process group; known once it is up
        self.jobs = 0
        self.begun: Any = None  # shared with the child: the number of the last job it began
        self._context: Context | None = None
        self._killed = False
        self._end: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        # The child's ends are given to it when it starts. While the parent lives it holds
        # the other end of the lifeline, and never writes to it.
        pipe, self._child_pipe = multiprocessing.Pipe(duplex=False)
        self._inbox = Inbox(pipe, reports)
        self._child_lifeline, self._lifeline = multiprocessing.Pipe(duplex=False)

    def start(self, nice: int, modules: list[str]) -> None:
        """Start the process and wait for it; blocks. Raises CannotStart."""
        try:
            context: Any = Context(start_method(modules))
            self._context = context
            self.begun = context.RawValue("Q", 0)
            self.pool = ProcessPoolExecutor(
                1, context, process_worker.start,
                (
                    self._child_pipe, self._child_lifeline, self.begun, nice,
                    logging.getLogger().level,
                ),
            )  # fmt: skip
            self.pid = self._wait_for(self.pool.submit(process_worker.ready, modules))
        except BaseException as error:
            self.kill()
            self._collect()  # here, as the loop may be gone by now
            if isinstance(
                error, (OSError, EOFError)
            ):  # no memory; a fork server that has just died
                raise CannotStart(f"No process could be started ({error}).") from None
            raise
        finally:
            self._child_pipe.close()
            self._child_lifeline.close()

    def _wait_for(self, ready: Future[tuple[int, process_worker.Description | None]]) -> int:
        """The process id of the worker, once it is up. Raises CannotStart."""
        if self._killed:  # before there was a process to kill
            self.kill()
        try:
            pid, problem = ready.result(START_SECONDS)
        except TimeoutError:
            raise CannotStart(
                f"It had not come up after {START_SECONDS:g} s: what it imports takes too long."
            ) from None
        except (BrokenProcessPool, OSError, EOFError) as error:
            raise CannotStart(
                f"It ended before it had come up ({error}); what it said is on stderr. A script "
                f"that starts this app must do so under `if __name__ == '__main__':`, because "
                f"workers import it."
            ) from None
        if problem is not None:
            kind, message, traceback = problem
            raise CannotStart(f"It cannot import the app's tasks ({kind}: {message}).", traceback)
        return pid

    def listen(self) -> None:
        """Begin to read what the worker says; on the loop."""
        self._inbox.open()

    @property
    def attempt(self) -> Attempt | None:
        """The one that the worker runs."""
        return self._inbox.attempt

    def alive(self) -> bool:
        """Whether the process is there: one that died idle must not cost a task."""
        with suppress(PermissionError):  # there, and with rights of its own
            try:
                os.kill(self.pid, 0)
            except ProcessLookupError:  # something that it started may hold its pipe open
                return False
        return not self._killed and self._inbox.connected()

    def kill(self) -> None:
        """Kill the process and all of its process group."""
        self._killed = True  # its pipe may close only after the next attempt began
        if self.pid:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        elif self._context is not None:
            with suppress(AttributeError, ProcessLookupError):  # it is still coming up, or not yet
                self._context.process.kill()

    def close(self) -> asyncio.Task[None]:
        """Let go of it; the task ends once it is gone."""
        self.kill()
        self._inbox.close()
        self._lifeline.close()
        self._end = self._loop.create_task(in_thread(self._collect), context=contextvars.Context())
        return self._end

    def _collect(self) -> None:
        if self.pool is not None:
            self.pool.shutdown(wait=True, cancel_futures=True)

    async def run(self, attempt: Attempt, job: process_worker.Job) -> process_worker.Reply:
        """Run an attempt to its end. Raises BrokenProcessPool when the process has died,
        EOFError when it can no longer be heard."""
        self._inbox.attempt = attempt
        self.jobs += 1
        reply = await self._loop.run_in_executor(self.pool, process_worker.run, job)
        await self._inbox.received(reply[0])
        self._inbox.attempt = None
        return reply

    async def last_words(self) -> str:
        """How it died, once it was let go of: "was killed by SIGKILL …"."""
        if self._end is not None:  # before that two threads would fetch the exit code
            await asyncio.wait([self._end], timeout=LAST_WORDS_SECONDS)
        process = self._context.process if self._context is not None else None
        code = None if process is None else process.exitcode
        # 255 is also what multiprocessing says when another thread, which starts a process and
        # looks at all others by the way, has fetched the code at the same moment.
        if code is None or code == 255:
            return "died, it is not known of what."
        if code >= 0:
            return f"ended itself with exit code {code}, as `os._exit({code})` does."
        with suppress(ValueError):
            name = signal.Signals(-code).name
            if name == "SIGKILL":
                return "was killed by SIGKILL, as the system does when memory has run out."
            if name in CRASHES:
                return f"died of {name}: it crashed in native code, which stderr may tell more of."
            return f"was killed by {name}."
        return f"was killed by signal {-code}."


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
