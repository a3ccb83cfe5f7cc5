"""Celery's view of a task, for status routes that came from Celery and the pages that poll them."""

from __future__ import annotations

import builtins
import math
import os
import time
from datetime import datetime
from typing import Any

from quart import current_app

from .exceptions import JournalUnavailable, TaskCancelled, TaskFailed, TaskNotFound
from .handle import TaskHandle
from .record import Error, Record

HOLDS = 0.1  # seconds
NAME = "QUART_TASKS"  # the extension, which this module does not import


class AsyncResult:
    """A task as Celery's `AsyncResult` shows it: `AsyncResult(task_id)`, or of a handle.

    `state` is one of Celery's: PENDING (also for an id that nobody knows), PROGRESS once the task
    has called `progress()`, RETRY, SUCCESS, FAILURE, REVOKED; and with `track_started=True`, as
    with Celery's setting of that name, STARTED. What it says holds for a tenth of a second, so
    that the state and the info of one answer belong together; then it is looked up anew.

    Needs the app's context, which every request and every task has.
    """

    def __init__(self, task: str | TaskHandle[Any], *, track_started: bool = False) -> None:
        self.id = str(task.id) if isinstance(task, TaskHandle) else str(task)
        self._known = task if isinstance(task, TaskHandle) else None
        self._track_started = track_started
        self._seen: Record | None = None
        self._seen_at = -math.inf

    def __repr__(self) -> str:
        return f"<AsyncResult {self.id}>"

    def __str__(self) -> str:
        return self.id

    @property
    def task_id(self) -> str:
        return self.id

    @property
    def state(self) -> str:
        record = self._record
        return "PENDING" if record is None else state_of(record, self._track_started)

    @property
    def status(self) -> str:
        return self.state

    @property
    def result(self) -> Any:
        """What belongs to the state: the function's result as JSON has it, `progress()` as
        `{"current", "total", "status"}` (without what was not given), the exception of a failure,
        or None. An exception is the original where there is one, else one of the same class
        name and message."""
        record = self._record
        if record is None:
            return None
        state = state_of(record, self._track_started)
        if state == "PROGRESS":
            return meta_of(record)
        if state == "STARTED":
            return {"pid": os.getpid(), "hostname": record.worker}
        if state == "REVOKED":
            return TaskCancelled("revoked")
        if record.error is not None:
            handle = self._handle
            original = None if handle is None else handle.exception
            return original or exception_of(record.error)
        return record.result

    @property
    def info(self) -> Any:
        return self.result

    @property
    def traceback(self) -> str | None:
        record = self._record
        return None if record is None or record.error is None else record.error.traceback

    @property
    def date_done(self) -> datetime | None:
        record = self._record
        if record is None or record.finished_at is None:
            return None
        return datetime.fromisoformat(record.finished_at)

    def ready(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.state in ("SUCCESS", "FAILURE", "REVOKED")

    def successful(self) -> bool:
        return self.state == "SUCCESS"

    def failed(self) -> bool:
        return self.state == "FAILURE"

    async def get(self, timeout: float | None = None, propagate: bool = True) -> Any:
        """Wait, `timeout` seconds at most, for the result.

        Raises what the function raised (with `propagate=False` that is returned), TaskCancelled,
        TimeoutError, or TaskNotFound, as an unknown task will never end.
        """
        handle = self._handle
        if handle is None:
            raise TaskNotFound
        try:
            await handle.result(timeout)
        except (TaskFailed, TaskCancelled):
            if not handle.done():  # the server stops
                raise
        self._seen_at = -math.inf
        result = self.result
        if propagate and isinstance(result, BaseException):
            raise result
        return result

    async def revoke(self, terminate: bool = False) -> None:
        """Keep it from starting, and with `terminate=True` end it when it runs already."""
        handle = self._handle
        if handle is not None and (terminate or handle.state != "running"):
            await handle.cancel()
            self._seen_at = -math.inf

    @property
    def _handle(self) -> TaskHandle[Any] | None:
        if self._known is not None:
            return self._known
        try:
            handle: TaskHandle[Any] = current_app.extensions[NAME].get(self.id)
        except (TaskNotFound, JournalUnavailable):  # or not known yet
            return None
        return handle

    @property
    def _record(self) -> Record | None:
        now = time.monotonic()
        if now - self._seen_at > HOLDS:
            handle = self._handle
            self._seen = None if handle is None else handle.record
            self._seen_at = now
        return self._seen


def state_of(record: Record, track_started: bool) -> str:
    """A record's state in Celery's words."""
    if record.state == "succeeded":
        return "SUCCESS"
    if record.state == "failed":
        return "FAILURE"
    if record.state == "cancelled":
        return "REVOKED"
    if record.state == "running":
        if record.progress is not None:
            return "PROGRESS"
        if track_started:
            return "STARTED"
        return "PENDING" if record.attempt == 1 else "RETRY"
    return "PENDING" if record.attempt == 0 else "RETRY"


def meta_of(record: Record) -> dict[str, Any]:
    """A report of progress as the well-known `update_state(meta=…)` has it."""
    report = record.progress
    if report is None:
        return {}
    meta = {"current": report.current, "total": report.total, "status": report.message}
    return {name: value for name, value in meta.items() if value is not None}


def exception_of(error: Error) -> Exception:
    """An exception whose class name and text are those of a record's error."""
    unknown: type[Exception] = type(error.type, (Exception,), {})
    kind = getattr(builtins, error.type, unknown)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        kind = unknown
    try:
        exception: Exception = kind(error.message)
    except TypeError:  # one that takes other arguments, such as UnicodeDecodeError
        exception = unknown(error.message)
    return exception
