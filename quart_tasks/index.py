"""Ids in the order of their making, for pages of a list."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Container, Iterator

CHUNK = 1024


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
        place = bisect_left(self._first, id)
        if place == len(self._first) or self._first[place] != id:
            place -= 1
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
