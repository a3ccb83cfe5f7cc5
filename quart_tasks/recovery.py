"""What becomes of the tasks that an earlier start has left in the journal.

Those that waited wait on. Those that ran are run again if they are `idempotent`, with `attempt`
raised, at most three times beyond their retries, as a task that kills its server must not
do so for ever; else they end as Interrupted. What no longer fits the code ends with an error that
says so, and can be retried once it fits again.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import Counter

import msgspec
from msgspec.structs import replace

from . import entries
from .catalog import Catalog
from .database import Row
from .definition import NO_OPTIONS, Definition, Options, Submission
from .encoding import decode
from .endings import INTERRUPTED, goes_on
from .entries import Accepted, Current
from .exceptions import InvalidArguments, UnknownTask
from .execution import Outcome
from .executors.worker import in_thread
from .ids import timestamp
from .intake import new_run
from .journal import SLICE, Change, Entry, Journal
from .record import ENDED, Error, PastAttempt, Record
from .registry import KEPT_ATTEMPTS
from .retry import RetryPolicy
from .runner import Runner
from .task import Task

AT_ONCE = 200  # tasks restored in one turn of the loop

logger = logging.getLogger("quart_tasks")


class Recovery:
    """Reads the journal in slices, while the server answers."""

    def __init__(self, journal: Journal, runner: Runner, catalog: Catalog) -> None:
        self._journal = journal
        self._runner = runner
        self._registry = runner.registry
        self._catalog = catalog
        self._ended: list[Task] = []
        self._corrections: list[Change] = []
        self._fates: Counter[str] = Counter()
        self.stopped = False  # between two slices, as a thread that reads cannot be

    async def run(self) -> None:
        """Bring all back, then let those that wait go on."""
        database, after = self._journal.database, ""
        while rows := await in_thread(lambda: database.rows(after, SLICE)):  # noqa: B023
            after = rows[-1][0]
            ids = [id for id, _, _ in rows]
            results = await in_thread(lambda: database.results(ids))  # noqa: B023
            for number, row in enumerate(rows, 1):
                self._restore(row, results.get(row[0]))
                if number % AT_ONCE == 0:
                    await asyncio.sleep(0)
            # These stay, and need not be walked by the cycle collector again and again: its passes
            # over 100,000 tasks held the loop for 0.3 s.
            gc.freeze()
            if self.stopped:
                return
        self._journal.start()
        if self._corrections:
            self._journal.write(Entry(self._corrections))
        self._ended.sort(key=lambda task: task.record.finished_at or "")
        for number, task in enumerate(self._ended, 1):
            self._registry.restore_end(task, entries.seconds_since(task.record.finished_at or ""))
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        self._runner.resume()
        if self._fates:
            fates = ", ".join(f"{number} {fate}" for fate, number in self._fates.items())
            logger.warning("The journal had unfinished tasks of an earlier start: %s.", fates)

    def _restore(self, row: Row, result: bytes | None) -> None:
        try:
            accepted, current = entries.read(row[1], row[2])
        except (msgspec.DecodeError, ValueError) as error:
            logger.error("Task %s in the journal cannot be read, and is left: %s", row[0], error)
            return
        if current.state in ENDED:
            self._put(_task(row[0], accepted, current), accepted, result, current)
            return
        definition = self._catalog.definitions.get(accepted.name)
        try:
            if definition is None:
                raise UnknownTask(
                    f"No task is named {accepted.name!r} any more: retry this one when it is back."
                )
            task = _unfinished_task(row[0], accepted, current, definition)
        except Exception as error:  # noqa: BLE001 - of a type's own hooks, say: it ends one task
            message = str(error)
            if isinstance(error, InvalidArguments):
                message = f"The arguments no longer fit: {error}. Retry the task when they do."
            self._end(row[0], accepted, current, Error(type(error).__name__, message))
            return
        if current.state != "running":
            self._fates["wait on"] += 1
        elif current.cancel_requested:
            self._end(row[0], accepted, current, None)
            return
        elif goes_on(definition, task.record):
            self._fates["run again"] += 1
            task.record = replace(task.record, state="queued", error=INTERRUPTED, worker=None)
            _interrupt(task, current)
        else:
            self._end(row[0], accepted, current, INTERRUPTED)
            return
        self._runner.restore(task)

    def _end(self, id: str, accepted: Accepted, current: Current, error: Error | None) -> None:
        """An unfinished task that ends here: failed, or without an error cancelled."""
        self._fates["cancelled" if error is None else error.type] += 1
        task = _task(id, accepted, current)
        if current.state == "running":
            _interrupt(task, current)
        task.record = replace(
            task.record, state="cancelled" if error is None else "failed", error=error,
            finished_at=timestamp(), scheduled_for=None,
        )  # fmt: skip
        self._corrections.append(Change(id, None, entries.current(task, task.record)))
        self._put(task, accepted, None, current)

    def _put(self, task: Task, accepted: Accepted, result: bytes | None, current: Current) -> None:
        _keep_arguments(task, accepted)
        self._registry.restore(task)
        if result is not None:
            self._registry.restore_result(task, _outcome(result, current))
        self._ended.append(task)


def _record(id: str, accepted: Accepted, current: Current) -> Record:
    return Record(
        id=id, name=accepted.name, executor=accepted.executor, state=current.state,
        error=current.error, attempt=current.attempt, max_attempts=accepted.max_attempts,
        priority=accepted.priority, key=accepted.key, parent_id=accepted.parent_id,
        retry_of=accepted.retry_of, owner=accepted.owner,
        cancel_requested=current.cancel_requested, worker=current.worker,
        created_at=accepted.created_at, scheduled_for=current.scheduled_for,
        started_at=current.started_at, finished_at=current.finished_at,
    )  # fmt: skip


def _task(id: str, accepted: Accepted, current: Current) -> Task:
    task = Task(_record(id, accepted, current), submission=current.submission)
    task.options = _options(accepted)
    task.attempts, task.past = current.attempts or None, current.past
    return task


def _unfinished_task(id: str, accepted: Accepted, current: Current, definition: Definition) -> Task:
    """Raises InvalidArguments."""
    args, kwargs = definition.parameters.check(decode(accepted.args), decode(accepted.kwargs))
    options, retry = _options(accepted) or (NO_OPTIONS, None)
    task = _task(id, accepted, current)
    _keep_arguments(task, accepted)
    options, retry = task.options or (NO_OPTIONS, None)
    task.run = new_run(
        Submission(definition, args, kwargs, options=options, retry=retry, owner=accepted.owner)
    )
    if task.record.executor != definition.executor:
        task.record = replace(task.record, executor=definition.executor)
    run = task.run
    run.durable, run.delay = True, 0.0
    if current.scheduled_for is not None:
        run.delay = max(0.001, -entries.seconds_since(current.scheduled_for))
    if run.expires is not None:
        run.expires = max(0.0, run.expires - entries.seconds_since(accepted.created_at))
    return task


def _interrupt(task: Task, current: Current) -> None:
    """Note the attempt that the server's end has cut off."""
    past = PastAttempt(current.started_at, None, INTERRUPTED, current.worker)
    task.attempts = [*(task.attempts or ()), past][-KEPT_ATTEMPTS:]
    task.past += 1


def _keep_arguments(task: Task, accepted: Accepted) -> None:
    task.keep("args", msgspec.Raw(accepted.args))
    task.keep("kwargs", msgspec.Raw(accepted.kwargs))


def _options(accepted: Accepted) -> tuple[Options, RetryPolicy | None] | None:
    retry = None if accepted.retry is None else accepted.retry.policy()
    if accepted.options is None and retry is None:
        return None
    return accepted.options or NO_OPTIONS, retry


def _outcome(result: bytes, current: Current) -> Outcome:
    return Outcome(result, current.result_type if current.blob else None, outputs=current.outputs)
