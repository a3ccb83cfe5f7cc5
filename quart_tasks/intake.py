"""From a checked submission to a task that is about to be accepted."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from .definition import NO_OPTIONS, Options, Submission
from .encoding import EMPTY_LIST, EMPTY_OBJECT
from .ids import timestamp
from .record import Record
from .run import Run
from .task import Task

_EPOCH = datetime.fromtimestamp(0, UTC)


def key_of(submission: Submission) -> tuple[Any, ...] | None:
    """What at most one unfinished task has, if the submission has a `key`: an owner's own."""
    if submission.options.key is None:
        return None
    return submission.owner, submission.definition.name, submission.options.key


def new_task(id: str, submission: Submission) -> Task:
    definition, options = submission.definition, submission.options
    delay, scheduled_for = waiting_time(options) if options is not NO_OPTIONS else (0.0, None)
    run = new_run(submission, delay)
    record = Record(
        id=id, name=definition.name, executor=definition.executor,
        state="scheduled" if delay else "queued", max_attempts=run.retry.retries + 1,
        priority=definition.priority if options.priority is None else options.priority,
        key=options.key, parent_id=submission.parent_id, retry_of=submission.retry_of,
        owner=submission.owner, created_at=timestamp(), scheduled_for=scheduled_for,
    )  # fmt: skip
    task = Task(record, run, submission=submission.idempotency, replayable=submission.replayable)
    if submission.json_args is not EMPTY_LIST:
        task.keep("args", submission.json_args)
    if submission.json_kwargs is not EMPTY_OBJECT:
        task.keep("kwargs", submission.json_kwargs)
    if submission.kept is not None:
        task.kept = submission.kept
        task.size += len(submission.kept)
    if options is not NO_OPTIONS or submission.retry is not None:
        task.options = (options, submission.retry)
    return task


def new_run(submission: Submission, delay: float = 0.0) -> Run:
    definition, options = submission.definition, submission.options
    retry = submission.retry or definition.retry
    if options.retries is not None:
        retry = dataclasses.replace(retry, retries=options.retries)
    timeout = definition.timeout if options.timeout is None else options.timeout
    return Run(
        definition, submission.args, submission.kwargs, retry, timeout, options.expires,
        key_of(submission), delay,
    )  # fmt: skip


def waiting_time(options: Options) -> tuple[float, str | None]:
    """How many seconds a task has to wait, and until when."""
    if options.eta is not None:
        ns = (options.eta - _EPOCH) // timedelta(microseconds=1) * 1000
        delay = (ns - time.time_ns()) / 1e9
        return (delay, timestamp(ns)) if delay > 0 else (0.0, None)
    delay = options.delay or 0.0
    return delay, time_in(delay) if delay else None


def time_in(seconds: float) -> str:
    """The time `seconds` from now, as records show it."""
    return timestamp(time.time_ns() + int(seconds * 1e9))
