"""Ways to run an async function in the background of the same process."""

# mypy: ignore-errors
# What it imports may be missing where types are checked.

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

from quart import Quart

Once = Callable[[], Awaitable[object]]  # submits `empty` and waits for its end


class Rival(NamedTuple):
    """`make` gives the way, and raises ImportError where it is not installed."""

    text: str
    make: Callable[[Quart, AsyncExitStack], Awaitable[Once]]
    like_ours: bool  # in the background, and by its id anyone can ask later how a task did
    notes: str


async def empty() -> None:
    pass


async def quarts_own(app: Quart, stack: AsyncExitStack) -> Once:
    async def once() -> None:
        app.add_background_task(empty)
        (task,) = app.background_tasks
        await task

    return once


async def aiojobs(app: Quart, stack: AsyncExitStack) -> Once:
    from aiojobs import Scheduler

    scheduler = await stack.enter_async_context(Scheduler())

    async def once() -> None:
        job = await scheduler.spawn(empty())
        await job.wait()

    return once


async def taskiq(app: Quart, stack: AsyncExitStack) -> Once:
    broker, task = await taskiqs(stack, await_inplace=False)

    async def once() -> None:
        submitted = await task.kiq()
        # `wait_result` would ask every 0.2 s.
        await broker.wait_all()
        await submitted.get_result()

    return once


async def taskiq_in_place(app: Quart, stack: AsyncExitStack) -> Once:
    _, task = await taskiqs(stack, await_inplace=True)

    async def once() -> None:
        await (await task.kiq()).get_result()

    return once


async def taskiqs(stack: AsyncExitStack, *, await_inplace: bool) -> tuple[Any, Any]:
    """A broker, and an empty task of it."""
    from taskiq import InMemoryBroker

    broker = InMemoryBroker(await_inplace=await_inplace)
    await broker.startup()
    stack.push_async_callback(broker.shutdown)
    return broker, broker.task(empty)


UNTRACKED = "nobody can ask later how a task did"
RIVALS = [
    Rival("aiojobs", aiojobs, False, UNTRACKED),
    Rival("Quart's add_background_task", quarts_own, False, UNTRACKED),
    Rival("taskiq in memory", taskiq, True, "tracks its tasks"),
    Rival(
        "taskiq in memory, in place", taskiq_in_place, False,
        "tracks its tasks, and runs each within the call that submits it: not in the background",
    ),
]  # fmt: skip
