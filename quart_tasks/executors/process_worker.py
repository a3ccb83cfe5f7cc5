"""The child's side of the process executor. Only plain data goes back to the parent."""

from __future__ import annotations

import faulthandler
import importlib
import logging
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from ..context import TaskContext, enter, send_to_task
from ..definition import Definition
from ..encoding import decode
from ..execution import Outcome, failed, run_sync
from ..record import Progress
from .lifeline import die_with_server

# What is run: module, name, task id, name, attempt, args and kwargs as JSON, result limit,
# exception classes worth a retry.
Job = tuple[str, str, str, str, int, bytes, bytes, int, tuple[type[BaseException], ...]]
Description = tuple[str, str, str | None]  # of an error: type, message, traceback
# What comes back: data, media type, outputs, error, retryable, and whether this worker may be given
# another job.
Reply = tuple[bytes | None, str | None, bool, Description | None, bool, bool]

_begun: Any  # shared with the parent: how many jobs have begun
_channel: PipeChannel
_pid: int  # the worker's own
_encode = msgspec.msgpack.Encoder().encode


class PipeChannel:
    """The child's end of the socket: jobs in; progress, outputs, log lines and replies out, in
    order, as length-prefixed MessagePack. Each says which job it is of: a thread that a task has
    left behind may go on for it when the next one runs."""

    def __init__(self, pipe: Connection) -> None:
        self.lock = threading.Lock()
        self._pipe = pipe
        self._writing = threading.Lock()

    def progress(self, job: int, progress: Progress) -> None:
        self._send(("progress", job, progress.current, progress.total, progress.message))

    def output(self, job: int, value: bytes) -> None:
        self._send(("output", job, value))

    def log(self, job: int, level: str, logger: str, message: str) -> None:
        self._send(("log", job, level, logger, message))

    def later(self, job: int, delay: float, callback: Callable[[], None]) -> None:
        timer = threading.Timer(delay, callback)
        timer.daemon = True
        timer.start()

    def jobs(self) -> Iterator[bytes]:
        """Each that comes, until the parent has closed its end."""
        # Through a buffer: one system call a job, where recv_bytes takes two.
        with suppress(OSError), open(self._pipe.fileno(), "rb", closefd=False) as jobs:
            while length := jobs.read(4):
                yield jobs.read(int.from_bytes(length, "big"))

    def reply(self, job: int, reply: Reply) -> None:
        self._send(("reply", job, *reply))

    def _send(self, message: tuple[Any, ...]) -> None:
        if os.getpid() != _pid:  # two that write would tear each other's messages apart
            return
        data = _encode(message)
        with self._writing:
            self._pipe.send_bytes(data)


def start(pipe: Connection, lifeline: Connection, begun: Any, nice: int, log_level: int) -> None:
    """Set a new worker up."""
    global _begun, _channel, _pid
    _begun, _pid = begun, os.getpid()
    os.setpgid(0, 0)  # so that a kill takes what the task has spawned with it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server to handle
    die_with_server(lifeline)
    os.nice(nice)
    with suppress(Exception):  # stderr may be closed, or no file
        faulthandler.enable()  # a crash in native code shows where the task was
    _channel = PipeChannel(pipe)
    logging.getLogger().setLevel(log_level)
    setattr(logging.Logger, "callHandlers", _hand_over)  # noqa: B010 - of this child alone


_call_handlers = logging.Logger.callHandlers


def _hand_over(logger: logging.Logger, record: logging.LogRecord) -> None:
    """A task's log lines go to the parent, whose handlers write them, once."""
    if os.getpid() != _pid or not send_to_task(record):
        _call_handlers(logger, record)


def ready(modules: list[str]) -> tuple[int, Description | None]:
    """The worker's process id once it is there, and why one of the modules cannot be imported."""
    try:
        for module in modules:
            importlib.import_module(module)
    except BaseException as error:  # noqa: BLE001 - a module may even call sys.exit()
        return os.getpid(), _described(failed(error))
    return os.getpid(), None


def serve() -> None:
    """Run one attempt after another."""
    for job in _channel.jobs():
        reply = run(job)
        try:
            _channel.reply(_begun.value, reply)
        except MemoryError as error:  # for the reply
            _channel.reply(_begun.value, _reply(failed(error), fit=False))


def run(data: bytes) -> Reply:
    """Run one attempt, given as a pickled Job."""
    _begun.value += 1
    context = None
    fit = False  # nothing of a task's own has failed: an earlier one has broken something, say
    try:
        job: Job = pickle.loads(data)
        module, qualname, task_id, name, attempt, args, kwargs, limit, retry_on = job
        context = TaskContext(task_id, name, attempt, "process", _channel, _begun.value)
        definition = _find(module, qualname)
        checked = definition.parameters.check(decode(args), decode(kwargs))
        enter(context)
        outcome = run_sync(definition, *checked, context, limit, retry_on)
        if os.getpid() != _pid:  # the task has forked, and this is not the worker
            os._exit(0)
        # What it holds, and a limit that the task has set, would meet the next task too.
        fit = not isinstance(outcome.exception, MemoryError)
    except BaseException as problem:  # noqa: BLE001 - the module does not import, say
        outcome = failed(problem)
    finally:
        if context is not None:
            context.finish()
        enter(None)
    return _reply(outcome, fit)


def _reply(outcome: Outcome, fit: bool) -> Reply:
    error = _described(outcome)
    return outcome.data, outcome.mimetype, outcome.outputs, error, outcome.retryable, fit


def _described(outcome: Outcome) -> Description | None:
    error = outcome.error
    return None if error is None else (error.type, error.message, error.traceback)


# Kept: to make that of a plain function anew takes 22 µs, and 200 where eight workers share two
# cores and none finds its own in their caches.
@cache
def _find(module: str, qualname: str) -> Definition:
    """The definition: under the function's name is what decorated it, or the function itself."""
    found = getattr(importlib.import_module(module), qualname)
    definition = getattr(found, "definition", None)
    if isinstance(definition, Definition):
        return definition
    return Definition(found, executor="process")
