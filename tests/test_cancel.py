"""Cancel in every state and executor, and what it does to a task's children."""

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from quart_tasks import (
    QuartTasks,
    RetryPolicy,
    TaskCancelled,
    TaskFailed,
    TaskNotFound,
    current_task,
    progress,
    track,
)

from .sample_tasks import make_app
from .sample_tasks import tasks as samples
from .waiting import Gate, all_events, until, until_progress, until_state

FAR = 3600.0  # seconds; longer than any test


@pytest.fixture(params=["async", "thread", "process"])
def executor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# -- before the start ----------------------------------------------------------------------


async def test_queued_task_is_cancelled_at_once(executor: str, gate: Gate) -> None:
    app = make_app(TASKS_ASYNC_CONCURRENCY=1, TASKS_THREADS=1, TASKS_PROCESSES=1)
    async with app.test_app():
        running = await samples.submit(f"hold-{executor}", gate.path)
        await until_progress(running, 1)
        queued = await samples.submit(f"echo-{executor}", "never")
        await queued.cancel()
        record = queued.record
        assert (record.state, record.cancel_requested) == ("cancelled", True)
        assert (record.started_at, record.attempt) == (None, 0)
        assert record.finished_at is not None
        with pytest.raises(TaskCancelled):
            await queued
        assert samples.stats()["executors"][executor]["queued"] == 0
        gate.open()
        assert await running == "held"


async def test_scheduled_task_is_cancelled_at_once() -> None:
    tasks = QuartTasks()

    @tasks.task
    async def work() -> None: ...

    async with make_app(tasks).test_app():
        handle = await work.with_options(delay=FAR).submit()
        await tasks.cancel(handle.id)
        assert (handle.state, handle.record.scheduled_for) == ("cancelled", None)


async def test_task_that_waits_for_its_retry_is_cancelled_at_once() -> None:
    tasks = QuartTasks()

    @tasks.task(retries=RetryPolicy(1, delay=FAR, max_delay=FAR, jitter=False))
    async def work() -> None:
        raise ValueError("no luck")

    async with make_app(tasks).test_app():
        handle = await work.submit()
        await until_state(handle, "scheduled")
        await handle.cancel()
        with pytest.raises(TaskCancelled):
            await handle
        assert handle.record.attempt == 1


# -- while it runs -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hold-async", "hold-process"])
async def test_running_task_is_stopped(name: str, gate: Gate) -> None:
    executor = name.partition("-")[2]
    app = make_app(TASKS_ASYNC_CONCURRENCY=1, TASKS_PROCESSES=1)
    async with app.test_app():
        handle = await samples.submit(name, gate.path)
        await until_progress(handle, 1)
        await handle.cancel()
        with pytest.raises(TaskCancelled):
            await handle
        record = handle.record
        assert (record.state, record.cancel_requested, record.error) == ("cancelled", True, None)
        assert await (await samples.submit(f"echo-{executor}", "next")) == "next"


async def test_cancel_is_a_flag_until_the_task_has_ended(gate: Gate) -> None:
    async with make_app().test_app():
        handle = await samples.submit("hold-thread", gate.path)
        await until_progress(handle, 1)
        await handle.cancel()
        assert (handle.state, handle.record.cancel_requested) == ("running", True)
        watching = asyncio.create_task(all_events(handle))
        gate.open()
        assert await handle == "held"
        assert handle.record.cancel_requested
        assert (await watching)[-1].data["state"] == "succeeded"


async def test_coroutine_gets_cancelled_error_and_may_clean_up() -> None:
    tasks, seen = QuartTasks(), list[str]()

    @tasks.task
    async def work() -> None:
        try:
            progress(1)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            seen.append("cleaned")

    async with make_app(tasks).test_app():
        handle = await work.submit()
        await until_progress(handle, 1)
        await handle.cancel()
        with pytest.raises(TaskCancelled):
            await handle
        assert seen == ["cancelled", "cleaned"]


@pytest.mark.parametrize("state", ["succeeded", "cancelled"])
async def test_coroutine_decides_whether_a_cancelled_task_succeeds(state: str) -> None:
    tasks = QuartTasks()

    @tasks.task(retries=RetryPolicy(3, delay=0))
    async def work() -> str:
        try:
            progress(1)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if state == "cancelled":
                raise ValueError("while cleaning up") from None
        return "all the same"

    async with make_app(tasks).test_app():
        handle = await work.submit()
        await until_progress(handle, 1)
        await handle.cancel()
        if state == "succeeded":
            assert await handle == "all the same"
        else:
            with pytest.raises(TaskCancelled):
                await handle
        assert (handle.state, handle.record.attempt) == (state, 1)
        assert handle.record.cancel_requested


async def test_thread_sees_the_request_and_progress_raises() -> None:
    tasks, free, seen = QuartTasks(), threading.Event(), list[Any]()

    @tasks.task
    def work(how: str) -> str:
        context = current_task()
        assert context is not None
        seen.append(context.cancel_requested)
        progress(1)
        free.wait()
        seen.append(context.cancel_requested)
        if how == "progress":
            progress(2)
        elif how == "track":
            list(track("ab"))
        elif how == "raise":
            raise ValueError("gave up")
        return "all the same"

    async with make_app(tasks).test_app():
        for how, state in (
            ("progress", "cancelled"),
            ("track", "cancelled"),
            ("raise", "cancelled"),
            ("return", "succeeded"),
        ):
            free.clear()
            handle = await work.submit(how)
            await until_progress(handle, 1)
            await handle.cancel()
            assert handle.state == "running"
            free.set()
            await until_state(handle, "cancelled", "succeeded")
            assert handle.state == state
    assert seen == [False, True] * 4


async def test_what_progress_raises_in_a_thread_is_cancelled_error() -> None:
    tasks, free, raised = QuartTasks(), threading.Event(), list[type]()

    @tasks.task
    def work() -> None:
        progress(1)
        free.wait()
        try:
            progress(2)
        except BaseException as error:
            raised.append(type(error))
            raise

    async with make_app(tasks).test_app():
        handle = await work.submit()
        await until_progress(handle, 1)
        await handle.cancel()
        free.set()
        with pytest.raises(TaskCancelled):
            await handle
    assert raised == [asyncio.CancelledError]


async def test_process_is_killed_with_all_that_it_has_spawned(gate: Gate, tmp_path: Path) -> None:
    footprint = tmp_path / "finally"
    async with make_app().test_app():
        handle = await samples.submit("spawns", gate.path, str(footprint))
        event = await until(
            handle,
            lambda event: event.type == "progress" and event.data["message"] == "spawned",
        )
        child = os.pidfd_open(int(event.data["current"]))  # readable once it has ended
        gone = asyncio.Event()
        asyncio.get_running_loop().add_reader(child, gone.set)
        assert not gone.is_set()
        await handle.cancel()
        with pytest.raises(TaskCancelled):
            await handle
        await gone.wait()
        asyncio.get_running_loop().remove_reader(child)
        os.close(child)
        assert not footprint.exists()


async def test_cancelled_task_is_not_retried(executor: str, gate: Gate) -> None:
    async with make_app().test_app():
        handle = await samples.submit(f"hold_then_fail-{executor}", gate.path)
        await until_progress(handle, 1)
        await handle.cancel()
        gate.open()
        with pytest.raises(TaskCancelled):
            await handle
        assert (handle.record.attempt, handle.record.max_attempts) == (1, 4)


async def test_cancel_twice_or_after_the_end_changes_nothing() -> None:
    tasks, free = QuartTasks(), threading.Event()

    @tasks.task
    def work() -> str:
        progress(1)
        free.wait()
        return "done"

    async with make_app(tasks).test_app():
        handle = await work.submit()
        await until_progress(handle, 1)
        await handle.cancel()
        once = handle.record
        await handle.cancel()
        assert handle.record == once
        free.set()
        assert await handle == "done"
        ended = handle.record
        await handle.cancel()
        await tasks.cancel(handle.id)
        assert handle.record == ended
        with pytest.raises(TaskNotFound):
            await tasks.cancel("01900000-0000-7000-8000-000000000000")


async def test_cancel_right_after_submit_ends_the_task(executor: str) -> None:
    async with make_app().test_app():
        handle = await samples.submit(f"echo-{executor}", "maybe")
        await handle.cancel()
        await until_state(handle, "cancelled", "succeeded")
        assert await (await samples.submit(f"echo-{executor}", "next")) == "next"


# -- parents and children ------------------------------------------------------------------


async def test_task_that_submits_is_the_parent() -> None:
    tasks = QuartTasks()

    @tasks.task
    async def child() -> None: ...

    @tasks.task
    async def parent() -> list[str]:
        one = await child.submit()
        many = await tasks.submit_many(child, [(), ()])
        return [each.id for each in (one, *many)]

    @tasks.task
    def parent_in_thread() -> list[str]:
        return [tasks.submit_sync(child).id]

    async with make_app(tasks).test_app():
        for function, number in ((parent, 3), (parent_in_thread, 1)):
            handle = await function.submit()
            ids = await handle
            await tasks.join()
            assert len(ids) == number
            assert [each.id for each in tasks.list(parent_id=handle.id)] == sorted(ids)[::-1]
            assert {tasks.get(id).record.parent_id for id in ids} == {handle.id}
            assert handle.record.parent_id is None
        assert (await child.submit()).record.parent_id is None


async def test_cancel_reaches_all_unfinished_descendants() -> None:
    tasks, ready = QuartTasks(), asyncio.Event()

    @tasks.task(concurrency=1)
    async def leaf() -> None:
        await asyncio.Event().wait()

    @tasks.task
    async def passes_on() -> None:  # has ended when the cancel comes
        for _ in range(2):
            await leaf.submit()

    @tasks.task
    async def root() -> None:
        await (await passes_on.submit())
        await leaf.with_options(delay=FAR).submit()
        ready.set()
        await asyncio.Event().wait()

    async with make_app(tasks).test_app():
        top = await root.submit()
        beside = await leaf.with_options(delay=FAR).submit()
        await ready.wait()
        (middle,) = tasks.list(name="passes_on")
        states = [each.state for each in tasks.list(name="leaf") if each.parent_id]
        assert sorted(states) == ["queued", "running", "scheduled"]
        await top.cancel()
        with pytest.raises(TaskCancelled):
            await top
        for record in tasks.list(name="leaf"):
            if record.parent_id:
                with pytest.raises(TaskCancelled):
                    await tasks.get(record.id)
        assert tasks.get(middle.id).state == "succeeded"
        assert beside.state == "scheduled"


async def test_child_submitted_after_the_cancel_is_cancelled_too() -> None:
    tasks, free = QuartTasks(), threading.Event()

    @tasks.task
    async def child() -> None: ...

    @tasks.task
    def parent() -> str:
        progress(1)
        free.wait()
        return tasks.submit_sync(child).id

    async with make_app(tasks).test_app():
        handle = await parent.submit()
        await until_progress(handle, 1)
        await handle.cancel()
        free.set()
        with pytest.raises(TaskCancelled):
            await tasks.get(await handle)


async def test_parent_that_waits_keeps_its_slot() -> None:
    tasks = QuartTasks()

    @tasks.task
    async def child() -> None: ...

    @tasks.task
    async def parent() -> None:
        handle = await child.submit()
        progress(1)
        await handle

    async with make_app(tasks, TASKS_ASYNC_CONCURRENCY=1).test_app():
        handle = await parent.submit()
        await until_progress(handle, 1)
        (waiting,) = tasks.list(name="child")
        assert (waiting.state, handle.state) == ("queued", "running")
        await handle.cancel()
        await tasks.join()
        assert tasks.get(waiting.id).state == "cancelled"


async def test_failure_of_a_child_is_the_parents_to_handle() -> None:
    tasks = QuartTasks()

    @tasks.task
    async def child() -> None:
        raise ValueError("no luck")

    @tasks.task
    async def parent() -> str:
        try:
            await (await child.submit())
        except TaskFailed as error:
            return error.message
        return "nothing happened"

    async with make_app(tasks).test_app():
        assert await (await parent.submit()) == "no luck"
