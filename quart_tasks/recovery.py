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
import sqlite3
from collections import Counter
from datetime import datetime
from functools import partial
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from . import entries
from .catalog import Catalog
from .database import Batch
from .definition import NO_OPTIONS, Definition, Options, prepare_again
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
OUTPUTS_AT_ONCE = 2000

logger = logging.getLogger("quart_tasks")


class Saved(NamedTuple):
    """A task as it was read."""

    id: str
    accepted: Accepted
    current: Current
    result: bytes | None


class Restored(NamedTuple):
    """A task as it is to be; `corrected` if that is not what was read."""

    task: Task
    saved: Saved
    corrected: bool = False


class Recovery:
    """Reads the journal in slices, while the server answers."""

    def __init__(self, journal: Journal, runner: Runner, catalog: Catalog) -> None:
        self._journal = journal
        self._runner = runner
        self._registry = runner.registry
        self._catalog = catalog
        self._ended: list[Task] = []
        self._corrections: list[Change] = []  # that could not be written yet
        self._fates: Counter[str] = Counter()
        self.stopped = False  # between two slices, as a thread that reads cannot be

    async def run(self) -> None:
        """Bring all back, then let those that wait go on."""
        last, slice = await in_thread(partial(self._read, ""))
        while last is not None and not self.stopped:
            restored = [self._decide(each) for each in slice]
            await self._correct([each for each in restored if each.corrected])
            # The next are read while these are put in their places.
            coming = asyncio.ensure_future(in_thread(partial(self._read, last)))
            for number, each in enumerate(restored, 1):
                try:
                    await self._put(each)
                except Exception:  # whatever it is: the others must come back
                    logger.exception("Task %s in the journal is left as it is.", each.saved.id)
                if number % AT_ONCE == 0:
                    await asyncio.sleep(0)
            # These stay, and need not be walked by the cycle collector again and again: its passes
            # over 100,000 tasks held the loop for 0.3 s.
            gc.freeze()
            last, slice = await coming
        if not self.stopped:
            await self._go_on()

    async def _go_on(self) -> None:
        self._journal.start()
        if self._corrections:
            self._journal.write(Entry(self._corrections))
        self._ended.sort(key=lambda task: task.record.finished_at or "")
        for number, task in enumerate(self._ended, 1):
            self._registry.restore_end(task, _age(task))
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        self._runner.resume()
        if self._fates:
            fates = ", ".join(f"{number} {fate}" for fate, number in self._fates.items())
            logger.warning("The journal had unfinished tasks of an earlier start: %s.", fates)

    def _read(self, after: str) -> tuple[str | None, list[Saved]]:
        """In a thread: the tasks that follow an id, and the last id of them, None at the end."""
        database = self._journal.database
        rows = database.rows(after, SLICE)
        found = []
        for id, *row in rows:
            try:
                found.append((id, *entries.read(*row)))
            except (msgspec.DecodeError, ValueError) as error:
                logger.error("Task %s in the journal cannot be read, and is left: %s", id, error)
        # Null is left out of the journal.
        results: dict[str, bytes] = {id: b"null" for id, _, now in found if now.result_type}
        results |= database.results(list(results))
        saved = [Saved(*each, results.get(each[0])) for each in found]
        return (rows[-1][0] if rows else None), saved

    def _decide(self, saved: Saved) -> Restored:
        """What becomes of a task."""
        accepted, current = saved.accepted, saved.current
        if current.state in ENDED:
            return Restored(_task(saved), saved)
        if current.cancel_requested:
            return self._end(saved, None)
        definition = self._catalog.definitions.get(accepted.name)
        again = current.state == "running"
        if again and (definition is None or not goes_on(definition, _task(saved).record)):
            return self._end(saved, INTERRUPTED)  # it may have been half done
        try:
            if definition is None:
                raise UnknownTask(
                    f"No task is named {accepted.name!r} any more: retry this one when it is back."
                )
            task = _unfinished_task(saved, definition)
        except Exception as error:  # noqa: BLE001 - of a type's own hooks, say: it ends one task
            message = str(error)
            if isinstance(error, InvalidArguments):
                message = f"The arguments no longer fit: {error}. Retry the task when they do."
            return self._end(saved, Error(type(error).__name__, message))
        self._fates["run again" if again else "wait on"] += 1
        if again:
            task.record = replace(task.record, state="queued", error=INTERRUPTED, worker=None)
            _interrupt(task, current)
            if task.run is not None:  # the next row is made of it
                task.run.row = _row(task, current)
        return Restored(task, saved)

    def _end(self, saved: Saved, error: Error | None) -> Restored:
        """An unfinished task that ends here: failed, or without an error cancelled."""
        self._fates["cancelled" if error is None else error.type] += 1
        task = _task(saved)
        if saved.current.state == "running":
            _interrupt(task, saved.current)
        task.record = replace(
            task.record, state="cancelled" if error is None else "failed", error=error,
            finished_at=timestamp(), scheduled_for=None,
        )  # fmt: skip
        return Restored(task, saved, corrected=True)

    async def _correct(self, restored: list[Restored]) -> None:
        """Have what ends here committed before it is shown."""
        if not restored:
            return
        batch = Batch()
        for task, saved, _ in restored:
            batch.update(saved.id, entries.encode(_row(task, saved.current)))
        try:
            await in_thread(partial(self._journal.database.write, batch))
        except sqlite3.Error as error:
            logger.error("The ends of %d tasks cannot be written yet: %s", len(restored), error)
            changes = [Change(id, None, row) for id, row in batch.current.items()]
            self._corrections += changes

    async def _put(self, restored: Restored) -> None:
        task, saved, _ = restored
        if task.run is not None:
            self._runner.restore(task)
            return
        _keep_arguments(task, saved.accepted)
        self._registry.restore(task)
        if saved.result is not None:
            outcome = _outcome(saved.result, saved.current)
            if outcome.outputs:
                await self._put_outputs(task, outcome)
            self._registry.restore_result(task, outcome)
        self._ended.append(task)

    async def _put_outputs(self, task: Task, outcome: Outcome) -> None:
        values = msgspec.json.decode(outcome.data or b"[]", type=list[msgspec.Raw])
        for number, value in enumerate(values, 1):
            self._registry.output(task, value)
            if number % OUTPUTS_AT_ONCE == 0:
                await asyncio.sleep(0)


def _task(saved: Saved) -> Task:
    """As it was, without what only an unfinished one needs."""
    task = Task(
        _record(saved.id, saved.accepted, saved.current), submission=saved.current.submission
    )
    task.options = _options(saved.accepted)
    task.attempts, task.past = saved.current.attempts or None, saved.current.past
    return task


def _row(task: Task, current: Current) -> Current:
    record = task.record
    return replace(
        current, state=record.state, cancel_requested=record.cancel_requested,
        finished_at=record.finished_at, scheduled_for=None, error=record.error,
        attempts=task.attempts or [], past=task.past,
    )  # fmt: skip


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


def _unfinished_task(saved: Saved, definition: Definition) -> Task:
    """Raises InvalidArguments."""
    accepted, current = saved.accepted, saved.current
    task = _task(saved)
    _keep_arguments(task, accepted)
    options, retry = task.options or (NO_OPTIONS, None)
    task.run = new_run(
        prepare_again(
            definition, accepted.args, accepted.kwargs, accepted.kept, options=options,
            retry=retry, owner=accepted.owner,
        )
    )  # fmt: skip
    if task.record.executor != definition.executor:
        task.record = replace(task.record, executor=definition.executor)
    run = task.run
    run.row = current
    run.durable, run.delay = True, 0.0
    if current.scheduled_for is not None:
        run.delay = max(0.001, -entries.seconds_since(current.scheduled_for))
    if current.attempt:
        run.expires = None  # it had started in time
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
    if accepted.kept is not None:
        task.kept = accepted.kept
        task.size += len(accepted.kept)


def _options(accepted: Accepted) -> tuple[Options, RetryPolicy | None] | None:
    retry = None if accepted.retry is None else accepted.retry.policy()
    options = accepted.options
    if options is None and retry is None:
        return None
    if options is not None and accepted.eta is not None:
        options = replace(options, eta=datetime.fromisoformat(accepted.eta))
    return options or NO_OPTIONS, retry


def _outcome(result: bytes, current: Current) -> Outcome:
    mimetype = current.result_type if current.blob else None
    return Outcome(result, mimetype, outputs=current.outputs, head=current.head)


def _age(task: Task) -> float:
    """Seconds since a task's end."""
    finished_at = task.record.finished_at
    return entries.seconds_since(finished_at) if finished_at else 0.0
