"""Readers of events. Each has a bounded queue, so that a slow one delays and costs nobody."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from .events import Event, EventLog
from .turns import Turns

# What a reader may be behind before it reads from the replay buffer, and takes from there at
# once: it holds on to that for as long as it does not read.
MAX_QUEUED = 256  # events
MAX_BYTES = 512 * 1024
WAKE_AT_ONCE = 50  # readers woken in one turn of the loop: each then encodes and writes


NONE: frozenset[str] = frozenset()  # a set of its own takes 216 bytes of each idle reader


class Closed(Exception):
    """The server is going: the reader should say so and come back later."""


class Subscription:
    """What one reader wants, and what waits for it.

    Live events are queued. When more than MAX_QUEUED wait, the queue is dropped and the
    reader goes on from the replay buffer at its own pace; when even that no longer has what
    it missed, it is `lost` and takes a snapshot. Of progress only the latest of each task
    waits.
    """

    __slots__ = (
        "_bytes", "_closed", "_log", "_queue", "all", "behind", "ids", "lost", "names", "owner",
        "position", "progress", "waiter", "waking",
    )  # fmt: skip

    def __init__(self, log: EventLog, owner: str | None) -> None:
        self.all = False
        self.ids: set[str] | frozenset[str] = NONE
        self.names: set[str] | frozenset[str] = NONE
        self.owner = owner
        self.position = log.last  # the sequence number up to which all has been handed over
        self.lost: str | None = None  # why a snapshot is due: start, epoch or lagged
        self.waking = False
        self._log = log
        self._queue: list[Event] = []
        self._bytes = 0
        self.progress: dict[str, Event] = {}
        self.behind = False
        self._closed = False
        self.waiter: asyncio.Future[None] | None = None

    def begin(self, after: str | None) -> None:
        """Go on after a cursor; without one, with a snapshot."""
        position = None if after is None else self._log.position(after)
        if position is None:
            self.rejoin(self._log.last)
            self.position = 0
            self.lost = "start" if after is None else "epoch"
        else:
            self.rejoin(position)
        self.wake()

    def wants(self, event: Event) -> bool:
        if self.owner is not None and event.owner != self.owner:
            return False
        return self.all or event.task_id in self.ids or event.name in self.names

    def put(self, event: Event) -> None:
        if event.type == "progress":
            id = event.task_id or ""
            self.progress.pop(id, None)  # so that the order is that of the numbers
            self.progress[id] = event
        elif self.behind or self.lost is not None:
            if event.last:
                self.progress.pop(event.task_id or "", None)
        else:
            self._queue.append(event)
            self._bytes += event.size
            if len(self._queue) > MAX_QUEUED or self._bytes > MAX_BYTES:
                self.position = self._queue[0].seq - 1
                self._forget()
                self.behind = True

    async def next(self) -> list[Event] | None:
        """The next events in order, at least one. None when it is lost: then take a snapshot
        and `rejoin`. Raises Closed when the server is going."""
        while True:
            if self.behind and self.position < self._log.dropped:
                self.lost = "lagged"
            if self.lost is not None and not self._closed:
                return None
            if self.behind and self.lost is None:
                if batch := self._catch_up():
                    return batch
                await asyncio.sleep(0)  # a long buffer without a match must not hold the loop
                continue
            if (self._queue or self.progress) and self.lost is None:
                return self._take(self._log.last)
            if self._closed:
                raise Closed
            self.waiter = asyncio.get_running_loop().create_future()
            try:
                await self.waiter
            finally:
                self.waiter = None

    def rejoin(self, position: int) -> None:
        """Go on after `position`, with all before it forgotten."""
        self._forget()
        self.progress = {id: event for id, event in self.progress.items() if event.seq > position}
        self.position = position
        self.lost = None
        self.behind = position < self._log.last

    def close(self) -> None:
        self._closed = True
        self.wake()

    def wake(self) -> None:
        self.waking = False
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def _catch_up(self) -> list[Event]:
        events = self._log.since(self.position, 4 * MAX_QUEUED, MAX_BYTES)
        self._queue = [event for event in events if self.wants(event)]
        self.behind = bool(events) and events[-1].seq < self._log.newest
        return self._take(events[-1].seq if self.behind else self._log.last)

    def _forget(self) -> None:
        self._queue, self._bytes = [], 0

    def _take(self, position: int) -> list[Event]:
        """What waits up to `position`, in order."""
        batch = self._queue
        self._forget()
        if self.progress:
            ready = [event for event in self.progress.values() if event.seq <= position]
            for event in ready:
                del self.progress[event.task_id or ""]
            batch = sorted(batch + ready, key=lambda event: event.seq)
        self.position = position
        return batch


class Subscriptions:
    """Hands each event to the readers that want it, and wakes them in slices: a thousand
    woken in one turn would hold the loop for as long as a thousand writes take."""

    def __init__(self, log: EventLog) -> None:
        self.turns = Turns()
        self._log = log
        self._members: set[Subscription] = set()
        self._all: set[Subscription] = set()
        self._by_id: dict[str, set[Subscription]] = {}
        self._by_name: dict[str, set[Subscription]] = {}
        self._wake_queue: deque[Subscription] = deque()
        self.closed = False  # the server is going
        self.when_empty: Callable[[], None] | None = None  # called once it is gone

    def __len__(self) -> int:
        return len(self._members)

    def open(self, owner: str | None = None) -> Subscription:
        """A reader, of nothing yet, from now on."""
        subscription = Subscription(self._log, owner)
        self._members.add(subscription)
        if self.closed:
            subscription.close()
        return subscription

    def add(
        self,
        subscription: Subscription,
        *,
        all: bool = False,
        ids: Iterable[str] = (),
        names: Iterable[str] = (),
    ) -> None:
        if all:
            subscription.all = True
            self._all.add(subscription)
        for id in ids:
            self._by_id.setdefault(id, set()).add(subscription)
            subscription.ids = _with(subscription.ids, id)
        for name in names:
            self._by_name.setdefault(name, set()).add(subscription)
            subscription.names = _with(subscription.names, name)

    def remove(
        self,
        subscription: Subscription,
        *,
        all: bool = False,
        ids: Iterable[str] = (),
        names: Iterable[str] = (),
    ) -> None:
        if all:
            subscription.all = False
            self._all.discard(subscription)
        for index, wanted, keys in (
            (self._by_id, subscription.ids, ids),
            (self._by_name, subscription.names, names),
        ):
            for key in list(keys):
                if isinstance(wanted, set):
                    wanted.discard(key)
                readers = index.get(key, set())
                readers.discard(subscription)
                if not readers:
                    index.pop(key, None)

    def close(self, subscription: Subscription) -> None:
        """Forget a reader."""
        self.remove(subscription, all=True, ids=subscription.ids, names=subscription.names)
        self._members.discard(subscription)
        if self.closed and not self._members and self.when_empty is not None:
            self.when_empty()

    def close_all(self) -> None:
        """Tell every reader, and those that still come, that the server is going."""
        self.closed = True
        for subscription in list(self._members):
            subscription.close()

    def publish(self, event: Event) -> None:
        if not self._members:
            return
        reported = event.type == "progress"
        for readers in self._readers(event):
            for subscription in readers:
                # One that reads on from the replay buffer will find it there.
                if subscription.behind and not (reported or subscription.progress):
                    continue
                if subscription.owner is None or subscription.owner == event.owner:
                    subscription.put(event)
                    # One that is busy sending looks for itself before it waits.
                    if subscription.waiter is not None and not subscription.waking:
                        subscription.waking = True
                        self._wake_queue.append(subscription)
                        if len(self._wake_queue) == 1:
                            asyncio.get_running_loop().call_soon(self._wake_slice)

    def _readers(self, event: Event) -> list[set[Subscription]]:
        by_id = self._by_id.get(event.task_id or "")
        by_name = self._by_name.get(event.name or "")
        groups = [group for group in (self._all, by_id, by_name) if group]
        # A reader may be in more than one group; an event comes to it once.
        return groups if len(groups) < 2 else [set().union(*groups)]

    def _wake_slice(self) -> None:
        queue = self._wake_queue
        for _ in range(min(len(queue), WAKE_AT_ONCE)):
            queue.popleft().wake()
        if queue:
            asyncio.get_running_loop().call_soon(self._wake_slice)


def _with(wanted: set[str] | frozenset[str], key: str) -> set[str]:
    if not isinstance(wanted, set):
        return {key}
    wanted.add(key)
    return wanted
