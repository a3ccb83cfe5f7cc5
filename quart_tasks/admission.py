"""From submissions to accepted tasks: room, keys, and the journal's word before anything is shown.

Until the journal has it, a task is `held`: it is nowhere to be seen and does not run, but counts
as pending and holds its keys, so that a second submission under one of them waits with it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .definition import Definition, Submission
from .exceptions import JournalUnavailable, QueueFull
from .intake import key_of, new_task
from .lanes import Lane
from .ledger import Ledger
from .metrics import Metrics
from .registry import Registry
from .run import Run
from .task import Task


class Admission:
    def __init__(
        self, registry: Registry, ledger: Ledger, lanes: dict[str, Lane], metrics: Metrics,
        enter: Callable[[Task], None], give_back: Callable[[Lane, Definition], None],
    ) -> None:  # fmt: skip
        self._registry = registry
        self._ledger = ledger
        self._lanes = lanes
        self._metrics = metrics
        self._enter = enter  # what becomes of an accepted task
        self._give_back = give_back  # of a slot
        self._max_pending = registry.config.max_pending
        self._keys: dict[tuple[Any, ...], Task] = {}

    def submit(self, submissions: list[Submission]) -> list[Task]:
        """Accept all or, with an error, none. Raises QueueFull, JournalUnavailable."""
        self._make_sure(submissions)
        new: list[Task] = []
        tasks = [self._known(each) or self._reserve(each, new) for each in submissions]
        if self._ledger.journal and any(task.run and task.run.durable for task in new):
            self._hold(new)
        else:
            for task in new:
                self._enter(task)
        return tasks

    def free(self, run: Run) -> None:
        """A task has ended: its key may be used again."""
        if run.key is not None:
            del self._keys[run.key]

    def claim(self, task: Task, run: Run) -> None:
        """A task holds its key."""
        if run.key is not None:
            self._keys[run.key] = task

    def _make_sure(self, submissions: list[Submission]) -> None:
        if self._registry.loading:
            raise JournalUnavailable("The journal is still being read: submit again in a moment.")
        if self._ledger.problem is not None:
            raise JournalUnavailable
        waiting = self._registry.pending
        if waiting + len(submissions) <= self._max_pending:
            return
        number = sum(self._known(each) is None for each in submissions)
        if number > self._max_pending:
            raise QueueFull(
                f"{number:,} tasks at once are more than TASKS_MAX_PENDING allows to wait "
                f"({self._max_pending:,}): submit fewer at a time.",
                self._metrics.seconds_for(number),
            )
        if number and waiting + number > self._max_pending:
            raise QueueFull(
                f"{waiting:,} tasks wait already and TASKS_MAX_PENDING allows "
                f"{self._max_pending:,}: submit again later.",
                self._metrics.seconds_for(number),
            )

    def _known(self, submission: Submission) -> Task | None:
        """The task that a key gave before."""
        if submission.idempotency is not None:
            known = self._registry.submitted(submission.idempotency[0])
            if known is not None:  # twice in one batch
                return known
        key = key_of(submission)
        holder = self._keys.get(key) if key is not None else None
        if holder is not None and self._registry.note_submission(holder, submission.idempotency):
            self._ledger.note_submission(holder)
        return holder

    def _reserve(self, submission: Submission, new: list[Task]) -> Task:
        """A task that counts and holds its keys, and is not there yet."""
        task = new_task(self._registry.new_id(), submission)
        run = task.run
        assert run is not None  # noqa: S101 - it is new
        run.durable = self._ledger.keeps(run.definition)
        self.claim(task, run)
        self._registry.reserve(task)
        new.append(task)
        return task

    def _hold(self, tasks: list[Task]) -> None:
        """Let new tasks wait for the journal: with their start, where a slot is free."""
        for task in tasks:
            run = task.run
            assert run is not None  # noqa: S101 - it is new
            run.held = []
            lane = self._lanes[run.definition.executor]
            run.has_slot = not run.delay and lane.take_at_once(task)
        try:
            self._ledger.accept(tasks, partial(self._accepted, tasks))
        except BaseException:  # what cannot be written down must not keep its slot and its key
            for task in tasks:
                self._refuse(task)
            raise

    def _accepted(self, tasks: list[Task], committed: bool) -> None:
        for task in tasks:
            run = task.run
            assert run is not None  # noqa: S101 - it is held
            waiting, run.held = run.held or [], None
            if committed:
                self._enter(task)
            else:
                self._refuse(task)
            for done in waiting:
                done(committed)

    def _refuse(self, task: Task) -> None:
        """The journal could not take a task: it was never there."""
        run = task.run
        assert run is not None  # noqa: S101 - it is new
        self._registry.release(task)
        self.free(run)
        if run.has_slot:
            self._give_back(self._lanes[run.definition.executor], run.definition)
