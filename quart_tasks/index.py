"""Which tasks there are: in the order of their making, by name and state, by parent."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Container, Iterable, Iterator

from .record import STATES, UNFINISHED, Record, State
from .task import Filter

SCAN = 2000  # records that one page looks at, at most
CHUNK = 1024


class TaskIndex:
    """The ids of all tasks, for counts, and for short lists without a walk."""

    def __init__(self) -> None:
        self._order = IdIndex()
        self._sets: dict[str, dict[State, set[str]]] = {}  # by name and state
        self._children: dict[str, set[str]] = {}

    def add(self, record: Record) -> None:
        id = record.id
        self._order.add(id)
        if (sets := self._sets.get(record.name)) is None:
            sets = self._sets[record.name] = {each: set() for each in STATES}
        sets[record.state].add(id)
        if record.parent_id is not None:
            self._children.setdefault(record.parent_id, set()).add(id)

    def move(self, record: Record, before: State) -> None:
        """A task came from `before` to its record's state."""
        sets = self._sets[record.name]
        sets[before].discard(record.id)
        sets[record.state].add(record.id)

    def forget(self, record: Record, alive: Container[str]) -> None:
        """Drop a task, which is in `alive` no more."""
        id = record.id
        self._order.forget(id, alive)
        self._sets[record.name][record.state].discard(id)
        if record.parent_id is not None and (siblings := self._children.get(record.parent_id)):
            siblings.discard(id)
            if not siblings:
                del self._children[record.parent_id]

    def unfinished(self) -> Iterator[str]:
        return (id for sets in self._sets.values() for state in UNFINISHED for id in sets[state])

    def counts(self) -> dict[str, dict[State, int]]:
        """How many tasks of each name are in each state."""
        return {
            name: {state: len(ids) for state, ids in sets.items()}
            for name, sets in self._sets.items()
        }

    def candidates(self, filter: Filter, before: str | None) -> Iterable[str]:
        """The narrowest known superset of what matches, the newest first."""
        if filter.ids is not None and not filter.names:
            ids: Iterable[str] = filter.ids
            size = len(filter.ids)
        elif filter.parent_id is not None:
            children = self._children.get(filter.parent_id, set())
            ids, size = children, len(children)
        else:
            if filter.state is filter.name is None:
                return self._order.before(before)
            states = STATES if filter.state is None else (filter.state,)
            if filter.name is not None:
                names = [filter.name] if filter.name in self._sets else []
            else:
                names = list(self._sets)
            sets = [self._sets[name][state] for name in names for state in states]
            size = sum(map(len, sets))
            if size > SCAN:  # so many that a walk from the newest soon meets a page of them
                return self._order.before(before)
            ids = (id for group in sets for id in group)
        if before is not None:
            ids = (id for id in ids if id < before)
        if size > SCAN:
            return heapq.nlargest(SCAN + 1, ids)
        return sorted(ids, reverse=True)


class IdIndex:
    """Strictly increasing ids, walked from any place backwards at the cost of the walk.

    A list of chunks: adding appends to the last; forgetting only counts, and a chunk is
    rebuilt when half of it is gone, so no step costs more than one chunk. A plain dict keeps
    the order too, but cannot be entered in the middle.
    """

    def __init__(self) -> None:
        self._chunks: list[list[str]] = []
        self._first: list[str] = []  # a lower bound of each chunk
        self._gone: list[int] = []

    def add(self, id: str) -> None:
        """Cheap if `id` is greater than all before it, as it nearly always is."""
        if self._chunks and id < self._chunks[-1][-1]:  # it waited for the journal
            place = max(0, bisect_left(self._first, id) - 1)
            self._first[place] = min(id, self._first[place])
            insort(self._chunks[place], id)
            return
        if not self._chunks or len(self._chunks[-1]) >= CHUNK:
            self._chunks.append([])
            self._first.append(id)
            self._gone.append(0)
        self._chunks[-1].append(id)

    def forget(self, id: str, alive: Container[str]) -> None:
        """Count `id`, which is in `alive` no more, as gone."""
        place = bisect_right(self._first, id) - 1
        self._gone[place] += 1
        chunk = self._chunks[place]
        if self._gone[place] * 2 > len(chunk):
            chunk[:] = [kept for kept in chunk if kept in alive]
            self._gone[place] = 0
            if not chunk:
                del self._chunks[place], self._first[place], self._gone[place]

    def before(self, id: str | None) -> Iterator[str]:
        """The ids below `id` (default: all), the greatest first, gone ones among them. The
        index must not change during the walk."""
        place = len(self._chunks) if id is None else bisect_left(self._first, id)
        for number in range(place - 1, -1, -1):
            chunk = self._chunks[number]
            end = len(chunk) if id is None else bisect_left(chunk, id)
            for at in range(end - 1, -1, -1):
                yield chunk[at]
