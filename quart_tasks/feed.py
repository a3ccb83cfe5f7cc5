"""A stream of events as a reader gets it: snapshot where one is due, then what happens.

WebSocket, SSE and `TaskHandle.events()` send what these generators yield: events, in
batches, in the order of their cursors. Who has sent a batch clears it: while it waits for the
next, neither it nor anything below it holds on to as much as a snapshot's 256 KiB.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncGenerator, Callable, Iterator
from heapq import merge
from itertools import chain, islice

from .events import Event, in_frames
from .record import Record
from .registry import Registry
from .subscriptions import NONE, Closed, Subscription
from .task import Filter, Task

SLICE = 100  # events sent at once


def follow(
    registry: Registry,
    after: str | None = None,
    *,
    owner: str | None = None,
    ids: frozenset[str] = NONE,
    names: frozenset[str] = NONE,
) -> AsyncGenerator[list[Event], None]:
    """Tasks with these ids or names, or without either all, until the server goes."""

    def begin() -> Subscription:
        subscription = registry.subscriptions.open(owner)
        registry.subscriptions.add(subscription, all=not (ids or names), ids=ids, names=names)
        subscription.begin(after)
        return subscription

    return events_of(registry, begin)


async def events_of(
    registry: Registry, begin: Callable[[], Subscription]
) -> AsyncGenerator[list[Event], None]:
    """What a subscription gets, with a snapshot where one is due; at last `bye`. It begins with
    the first step, and is closed with the generator."""
    subscription = begin()
    del begin  # what it was made of would stay for as long as the stream
    try:
        while True:
            batch = await subscription.next()
            if batch is not None:
                yield batch
            else:
                for batch in snapshot(registry, subscription):
                    yield batch
            del batch  # the next may be long in coming
    except Closed:
        yield [bye(registry)]
    finally:
        registry.subscriptions.close(subscription)


def snapshot(registry: Registry, subscription: Subscription) -> Iterator[list[Event]]:
    """The unfinished tasks, those that ended since the reader's position, and those that it
    asked for by id.

    The last frame has the cursor of this moment. Those before it have that of where the
    reader was, so that one who is cut off in between gets it all again.
    """
    log = registry.log
    now = log.last
    position, reason = subscription.position, subscription.lost
    since = now if reason == "start" else position
    subscription.rejoin(now)
    filter = Filter(owner=subscription.owner)
    if not subscription.all:
        ids, names = frozenset(subscription.ids), frozenset(subscription.names)
        filter = Filter(owner=subscription.owner, ids=ids, names=names)

    groups = in_frames(iter(registry.snapshot(filter, since)))
    group = next(groups)
    for following in groups:
        data = {"tasks": group, "reason": reason, "more": True}
        yield [log.moment("snapshot", data, position)]
        group = following
    yield [log.moment("snapshot", {"tasks": group, "reason": reason, "more": False}, now)]


async def follow_task(
    registry: Registry, task: Task, after: str | None = None
) -> AsyncGenerator[list[Event], None]:
    """One task: a snapshot, its outputs and log lines so far, then what happens, to its
    terminal state. Yields nothing to a reader that has seen that already."""
    if after is not None and has_seen_the_end(registry, task, after):
        return
    subscription = registry.subscriptions.open()
    registry.subscriptions.add(subscription, ids=[task.record.id])
    subscription.begin(after)
    try:
        while True:
            try:
                batch = await subscription.next()
            except Closed:
                yield [bye(registry)]
                return
            if batch is None:
                since, reason = subscription.position, subscription.lost
                subscription.rejoin(registry.log.last)
                events = opening(registry, task, since, reason)
            else:
                events = iter(batch)
            del batch  # of which `events` lets go at its end
            while part := list(islice(events, SLICE)):
                ends = [number for number, event in enumerate(part, 1) if event.last]
                if ends:  # a slow reader may have a `deleted` waiting behind it
                    del part[ends[0] :]
                yield part
                del part
                if ends:
                    return
    finally:
        registry.subscriptions.close(subscription)


def has_seen_the_end(registry: Registry, task: Task, after: str) -> bool:
    """Whether a reader with this cursor knows that the task has ended."""
    position = registry.log.position(after)
    return position is not None and task.record.ended and position >= sequence(task.record)


def opening(
    registry: Registry, task: Task, since: int = 0, reason: str | None = "start"
) -> Iterator[Event]:
    """The start of one task's stream, as of now: a snapshot, its outputs and log lines since the
    reader's position, and its terminal state if it has ended. The snapshot's cursor is just
    before what follows it.

    Outputs may be many: they are taken from the task one after the other, as the reader reads.
    """
    outputs, record = task.outputs or [], task.record
    first = bisect_right(outputs, since, key=_seq)
    following = [event for event in task.logs or () if event.seq > since]
    if record.ended:
        following.append(
            Event(
                sequence(record), "state", record.id, record.cursor, record.finished_at or "",
                record, last=True,
            )
        )  # fmt: skip
    seqs = [event.seq for event in (*outputs[first : first + 1], *following[:1])]
    seq = min(seqs) - 1 if seqs else registry.log.last
    data = {"tasks": [record], "reason": reason, "more": False}
    snapshot = registry.log.moment("snapshot", data, seq)
    yielded = islice(outputs, first, len(outputs))  # a new attempt has a new list
    return chain([snapshot], merge(yielded, following, key=_seq))


def bye(registry: Registry) -> Event:
    return registry.log.moment("bye", {"reason": "The server is shutting down."})


def sequence(record: Record) -> int:
    """The number in a record's cursor."""
    return int(record.cursor.rpartition("-")[2])


def _seq(event: Event) -> int:
    return event.seq
