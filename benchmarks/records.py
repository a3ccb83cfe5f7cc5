"""Many ended records, ours or in a dict of dicts, for `cost`: `python -m benchmarks.records WHOSE
HOW_MANY` answers what each of OPERATIONS takes there (see `asking`)."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from time import process_time
from typing import Any
from uuid import uuid4

import msgspec

from quart_tasks import TaskHandle

from .asking import answer_async
from .tracked import create_app, nothing, tasks

OPERATIONS = {
    "submit": "submit of a task that waits",
    "get": "get of a task by its id",
    "list": "list of the newest 50",
    "cancel": "cancel of one that waits",
    "evict": "an empty task to its end, and the oldest record goes",
}
PAGE = 50
TOGETHER = 1_000


class Kept:
    """The ids of the records that are kept, the oldest at `_oldest`. Always the same list: a new
    one would be walked by each young pass of the cycle collector, which the tasks would pay."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._oldest = 0

    def fill(self, ids: Iterable[str]) -> None:
        self._ids += ids

    def some(self, number: int) -> Sequence[str]:
        return random.choices(self._ids, k=number)

    def replace_oldest(self, id: str) -> str:
        """Put an id in the place of the oldest, which is given back."""
        at = self._oldest
        oldest, self._ids[at] = self._ids[at], id
        self._oldest = (at + 1) % len(self._ids)
        return oldest


class Ours:
    """The app keeps `most` ended records: whatever ends makes it forget the oldest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept = Kept()
        self._waiting: list[TaskHandle[None]] = []

    @asynccontextmanager
    async def filled(self) -> AsyncIterator[None]:
        # Some more, as the oldest are dropped many at once.
        app = create_app(TASKS_MAX_FINISHED=self._most + 128, TASKS_RETENTION=86_400)
        async with app.test_app():
            for start in range(0, self._most, TOGETHER):
                count = min(TOGETHER, self._most - start)
                handles = await tasks.submit_many(nothing, [()] * count)
                await tasks.join()
                self._kept.fill(handle.id for handle in handles)
            yield

    def ended(self, handles: Sequence[TaskHandle[None]]) -> None:
        for handle in handles:
            self._kept.replace_oldest(handle.id)

    async def submit(self, times: int) -> None:
        waits = nothing.with_options(delay=3600)
        self._waiting = [await waits.submit() for _ in range(times)]

    async def get(self, times: int) -> None:
        for id in self._kept.some(times):
            tasks.get(id)

    async def list(self, times: int) -> None:
        for _ in range(times):
            tasks.list(limit=PAGE)

    async def cancel(self, times: int) -> Sequence[TaskHandle[None]]:
        for handle in self._waiting:
            await handle.cancel()
        return self._waiting

    async def evict(self, times: int) -> Sequence[TaskHandle[None]]:
        handles = []
        for _ in range(times):
            handles.append(handle := await nothing.submit())
            await handle
        return handles


class Dicts:
    """The same in a dict of dicts, as simply as it can be."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._records: dict[str, dict[str, Any]] = {}
        self._kept = Kept()
        self._waiting: list[str] = []
        self._template: dict[str, Any] = {}

    @asynccontextmanager
    async def filled(self) -> AsyncIterator[None]:
        async with create_app().test_app():
            await (handle := await nothing.submit())
            self._template = msgspec.json.decode(msgspec.json.encode(handle.record))
        self._kept.fill(self._add() for _ in range(self._most))
        yield

    def ended(self, _: object) -> None:
        """Each has taken the place of the oldest when it ended."""

    async def submit(self, times: int) -> None:
        self._waiting = [self._add() for _ in range(times)]

    async def get(self, times: int) -> None:
        for id in self._kept.some(times):
            self._records[id]

    async def list(self, times: int) -> None:
        for _ in range(times):
            [dict(record) for record in islice(reversed(self._records.values()), PAGE)]

    async def cancel(self, times: int) -> None:
        for id in self._waiting:
            self._end(id, "cancelled")

    async def evict(self, times: int) -> None:
        for _ in range(times):
            self._end(self._add(), "succeeded")

    def _add(self) -> str:
        id = str(uuid4())
        self._records[id] = {**self._template, "id": id, "state": "queued"}
        return id

    def _end(self, id: str, state: str) -> None:
        self._records[id]["state"] = state
        del self._records[self._kept.replace_oldest(id)]


async def main(whose: str, most: int) -> None:
    side: Any = Ours(most) if whose == "ours" else Dicts(most)

    async def measure(operation: str, times: int) -> float:
        start = process_time()
        ended = await getattr(side, operation)(times)
        taken = process_time() - start
        if ended is not None:
            side.ended(ended)
        return taken / times * 1e6

    async with side.filled():
        await answer_async(measure)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
