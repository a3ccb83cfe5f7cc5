"""The events of several tasks as one stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from ..client import TasksClient
from ..events import TaskEvent
from ..exceptions import QuartTasksError, TaskNotFound

QUEUED_EVENTS = 1000


async def events_of(client: TasksClient, ids: Sequence[str]) -> AsyncGenerator[TaskEvent, None]:
    """The events of certain tasks, each to its end."""
    queue: asyncio.Queue[TaskEvent | QuartTasksError | None] = asyncio.Queue(QUEUED_EVENTS)

    async def follow(id: str) -> None:
        try:
            handle = await client.get(id)
            async with aclosing(handle.events()) as events:
                async for event in events:
                    await queue.put(event)
        except TaskNotFound:
            await queue.put(TaskEvent("deleted", id, "", "", {}))
        except QuartTasksError as error:
            await queue.put(error)
        await queue.put(None)

    following = [asyncio.create_task(follow(id)) for id in ids]
    try:
        left = len(ids)
        while left:
            found = await queue.get()
            if isinstance(found, QuartTasksError):
                raise found
            if found is None:
                left -= 1
            else:
                yield found
    finally:
        await end(*following)


async def end(*tasks: asyncio.Task[object]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
