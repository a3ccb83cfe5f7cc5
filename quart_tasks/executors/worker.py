"""A worker process as its parent sees it: a pool of one, and the socket beside it.

The pool starts the process, sees its death and ends it. It is given one call for the whole life of
the worker, and the jobs go through the socket: a call of the pool for each of them took 250 µs of
the parent's processor time and 74 of the worker's, through three threads that share the GIL with
the loop; this way it is 60 and 24.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import multiprocessing
import os
import pickle
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from contextvars import Context as Variables
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, TypeVar
from weakref import WeakSet

from . import process_worker
from .base import Attempt, Reports
from .exit_codes import in_words
from .fork_server import Context, start_method
from .inbox import Inbox
from .lifeline import kill_at_its_end

T = TypeVar("T")

START_SECONDS = 60.0  # for a worker to come up, with all its imports
LAST_WORDS_SECONDS = 10.0  # for the news of a worker's death, and for its exit code, to arrive


class CannotStart(Exception):
    """A worker process did not come up; the message says why, and `details` at length."""

    def __init__(self, message: str, details: str | None = None) -> None:
        super().__init__(message)
        self.details = details or message


class Worker:
    """A pool of one process, and the parent's side of its socket. `replied` is called with each
    reply, on the loop."""

    def __init__(
        self, reports: Reports, replied: Callable[[Worker, Attempt, process_worker.Reply], None],
        limit: int,
    ) -> None:  # fmt: skip
        self.pool: ProcessPoolExecutor | None = None
        self.pid = 0  # and that of its process group; known once it is up
        self.parent = os.getpid()
        self.jobs = 0
        self.begun: Any = None  # shared with the child: the number of the last job it began
        self._context: Context | None = None
        self._killed = False
        self._life: asyncio.Future[None] | None = None  # the pool's one call
        self._end: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        # The child's ends are given to it when it starts. While the parent lives it holds
        # the other end of the lifeline, and never writes to it.
        self._socket, childs = socket.socketpair()
        self._child_pipe = Connection(childs.detach())
        self._child_lifeline, self._lifeline = multiprocessing.Pipe(duplex=False)
        self._inbox = Inbox(reports, self._socket, partial(replied, self), limit)
        _workers.add(self)

    def start(self, nice: int, modules: list[str]) -> None:
        """Start the process and wait for it; blocks. Raises CannotStart."""
        try:
            context: Any = Context(start_method(modules, START_SECONDS))
            self._context = context
            self.begun = context.RawValue("Q", 0)
            self.pool = ProcessPoolExecutor(
                1, context, process_worker.start,
                (
                    self._child_pipe, self._child_lifeline, self.begun, nice,
                    logging.getLogger().level,
                ),
            )  # fmt: skip
            ready = self.pool.submit(process_worker.ready, modules)
            kill_at_its_end(self._child_lifeline, context.process.pid)
            self.pid = self._wait_for(ready)
            kill_at_its_end(self._child_lifeline, -self.pid)  # with what its tasks start
        except BaseException as error:
            self.kill()
            self._collect()  # here, as the loop may be gone by now
            if isinstance(error, EOFError):
                raise CannotStart(
                    "The fork server has ended before it started one; what it said is on stderr."
                ) from None
            if isinstance(error, OSError):  # no memory; a fork server that has just died
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

    async def serve(self) -> None:
        """Let it take jobs, for the rest of its life. Raises CannotStart."""
        await self._inbox.open()
        try:
            self._life = self._loop.run_in_executor(self.pool, process_worker.serve)
        except BrokenProcessPool:
            raise CannotStart("It ended as soon as it had come up.") from None
        self._life.add_done_callback(self._over)

    @property
    def attempt(self) -> Attempt | None:
        """The one that the worker runs."""
        return self._inbox.attempt

    def run(self, attempt: Attempt, job: process_worker.Job) -> None:
        """Begin an attempt. Raises what pickling the job does."""
        data = pickle.dumps(job)
        self.jobs += 1
        self._inbox.send(attempt, self.jobs, data)

    # -- its end ---------------------------------------------------------------------------

    def _over(self, life: asyncio.Future[None]) -> None:
        if not life.cancelled():
            life.exception()  # so that asyncio does not log it as never retrieved
        # The socket's own end may not come: something that the task has started may hold it
        # open. What the worker said last is read in the turn of the loop between the two calls.
        self._loop.call_soon(self._loop.call_soon, self._inbox.close)

    async def silence(self) -> Attempt | None:
        """Wait until it can no longer be heard; the attempt that it was to run."""
        await self._inbox.silence.wait()
        return self._inbox.attempt

    async def died(self) -> bool:
        """Whether the process has died, now that it can no longer be heard."""
        if self._life is None:
            return False
        await asyncio.wait([self._life], timeout=LAST_WORDS_SECONDS)
        if self._life.cancelled() or not self._life.done():
            return False
        return isinstance(self._life.exception(), BrokenProcessPool)

    def kill(self) -> None:
        """Kill the process and all of its process group."""
        self._killed = True
        if self._end is not None and self._end.done():  # its number may be another's by now
            return
        if self.pid:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        if self._context is not None:  # it is still coming up, or a task has left the group
            with suppress(AttributeError):  # there is no process yet
                self._context.process.kill()

    def abandon(self) -> None:
        """Let go of it, without a look at its end."""
        self.kill()
        self._inbox.close()
        self._lifeline.close()

    def close(self) -> asyncio.Task[None]:
        """Let go of it; the task ends once it is gone."""
        if self._end is None:
            self.abandon()
            self._end = self._loop.create_task(in_thread(self._collect), context=Variables())
        return self._end

    def _collect(self) -> None:
        if self.pool is not None:
            self.pool.shutdown(wait=True, cancel_futures=True)

    async def last_words(self) -> str:
        """How it died, once it was let go of: "was killed by SIGKILL …"."""
        if self._end is not None:  # before that two threads would fetch the exit code
            await asyncio.wait([self._end], timeout=LAST_WORDS_SECONDS)
        process = self._context.process if self._context is not None else None
        return in_words(None if process is None else process.exitcode)


_workers: WeakSet[Worker] = WeakSet()


def _kill_all() -> None:
    for worker in list(_workers):
        if worker.parent == os.getpid():  # and this is no fork of that process
            worker.kill()


# At its end the interpreter waits for what each pool does (`_python_exit` in
# concurrent/futures/process.py), and a worker that nobody has closed would never end. What is
# registered last is called first; `atexit` comes too late.
getattr(threading, "_register_atexit", atexit.register)(_kill_all)


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
