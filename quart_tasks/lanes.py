"""The queue in front of an executor's slots."""

from __future__ import annotations

import heapq
from itertools import count

from .executors.base import Attempt, Executor
from .task import Task

_Entry = tuple[int, int, Task]
_number = count(1).__next__


class Lane:
    """Tasks of one executor that wait for a slot: higher priority first, then first come.

    A task whose definition is at its own limit is parked beside the queue, so that it holds
    up nobody, and comes back when one of its kind ends.
    """

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.taken = 0
        self.abandoned = 0  # attempts given up on, which still run in a slot that was given back
        self.stuck: list[Attempt] = []  # given up on too, while there were too many of them
        self.waiting = 0
        self._heap: list[_Entry] = []
        self._parked: dict[str, list[_Entry]] = {}
        self._running: dict[str, int] = {}

    def push(self, task: Task) -> None:
        assert task.run is not None  # noqa: S101 - only unfinished tasks wait
        ticket = task.run.ticket = _number()
        heapq.heappush(self._heap, (-task.record.priority, ticket, task))
        self.waiting += 1

    def take_at_once(self, task: Task) -> bool:
        """Whether a new task need not wait; then a slot is taken for it."""
        run = task.run
        if (
            self.waiting
            or self.taken >= self.executor.slots
            or (run is not None and run.definition.concurrency is not None)
        ):
            return False
        self.taken += 1
        return True

    def drop(self, task: Task) -> None:
        """Take a waiting task out of the queue: its entry stays behind and is passed over."""
        assert task.run is not None  # noqa: S101 - only unfinished tasks wait
        task.run.ticket = 0
        self.waiting -= 1
        name, limit = task.run.definition.name, task.run.definition.concurrency
        if limit is not None and self._running.get(name, 0) < limit:
            self._unpark(name)  # it may have held the place of the next
        entries = len(self._heap) + sum(map(len, self._parked.values()))
        if entries > 2 * self.waiting + 1000:
            for heap in (self._heap, *self._parked.values()):
                heap[:] = [entry for entry in heap if _waits(entry)]
                heapq.heapify(heap)

    def take(self) -> Task | None:
        """The next task, with a slot taken for it; None if there is no slot, or no task."""
        while self.taken < self.executor.slots and self._heap:
            entry = heapq.heappop(self._heap)
            if not _waits(entry):
                continue
            task = entry[2]
            run = task.run
            assert run is not None  # noqa: S101 - it waits
            definition = run.definition
            if definition.concurrency is not None:
                if self._running.get(definition.name, 0) >= definition.concurrency:
                    heapq.heappush(self._parked.setdefault(definition.name, []), entry)
                    continue
                self._running[definition.name] = self._running.get(definition.name, 0) + 1
            run.ticket = 0
            self.waiting -= 1
            self.taken += 1
            return task
        return None

    def give_back(self, name: str, limited: bool) -> None:
        """A slot is free again, and if it is `limited`, a place of the definition `name`."""
        self.taken -= 1
        if limited:
            self._running[name] -= 1
            self._unpark(name)

    def _unpark(self, name: str) -> None:
        """Let the next task of a definition wait for a slot again."""
        parked = self._parked.get(name)
        while parked:
            entry = heapq.heappop(parked)
            if _waits(entry):
                heapq.heappush(self._heap, entry)
                break
        if not parked:
            self._parked.pop(name, None)


def _waits(entry: _Entry) -> bool:
    run = entry[2].run
    return run is not None and run.ticket == entry[1]
