"""Submitting in every way, and what a handle does."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from quart_tasks import (
    Conflict,
    InvalidArguments,
    QuartTasks,
    QuartTasksError,
    QueueFull,
    RetryPolicy,
    TaskCancelled,
    TaskEvent,
    TaskFailed,
    TaskNotFound,
    UnknownTask,
    progress,
)

from .sample_tasks import logger, make_app
from .sample_tasks import tasks as samples
from .waiting import all_events, until_progress, until_state

FAR = 3600.0  # seconds; longer than any test
NOBODY = "01900000-0000-7000-8000-000000000000"


# -- submitting ----------------------------------------------------------------------------


async def test_submit_takes_the_function_or_its_name() -> None:
    tasks = QuartTasks()

    @tasks.task(name="sum")
    async def add(a: int, b: int = 1) -> int:
        return a + b

    async with make_app(tasks).test_app():
        handles = [
            await add.submit(1, b=2),
            await tasks.submit(add, 1, b=2),
            await tasks.submit("sum", 1, b=2),
            await tasks.submit(add.with_options(priority=3), 1, b=2),
            await add.with_options(priority=3).submit(1, b=2),
        ]
        assert [await handle for handle in handles] == [3] * 5
        assert {handle.record.name for handle in handles} == {"sum"}
        assert [handle.record.priority for handle in handles] == [0, 0, 0, 3, 3]
        assert (handles[0].record.args, handles[0].record.kwargs) == ([1], {"b": 2})
        with pytest.raises(UnknownTask, match="'add'"):
            await tasks.submit("add", 1)


async def test_submit_many_takes_all_in_order() -> None:
    tasks = QuartTasks()

    @tasks.task
    async def add(a: int, b: int = 1) -> int:
        return a + b

    async with make_app(tasks).test_app():
        for task in (add, "add", add.with_options(priority=1)):
            handles = await tasks.submit_many(task, [(1,), [2, 3], (4, 5)])
            assert [await handle for handle in handles] == [2, 5, 9]
        assert handles[0].record.priority == 1
        assert await tasks.submit_many(add, []) == []


async def test_submit_many_takes_none_if_one_does_not_fit() -> None:
    tasks = QuartTasks()

    @tasks.task
    async def add(a: int) -> int:
        return a

    async with make_app(tasks).test_app():
        with pytest.raises(InvalidArguments, match="int"):
            await tasks.submit_many(add, [(1,), ("two",), (3,)])
        with pytest.raises(InvalidArguments, match="list or tuple"):
            await tasks.submit_many(add, [(1,), "2"])
        assert tasks.list() == []


async def test_full_queue_refuses_all_of_a_batch() -> None:
    tasks, free = QuartTasks(), asyncio.Event()

    @tasks.task
    async def work(number: int) -> int:
        await free.wait()
        return number

    async with make_app(tasks, TASKS_ASYNC_CONCURRENCY=1, TASKS_MAX_PENDING=3).test_app():
        await until_state(await work.submit(0), "running")
        await work.with_options(delay=FAR, key="late").submit(1)
        with pytest.raises(QueueFull, match="TASKS_MAX_PENDING") as refusal:
            await tasks.submit_many(work, [(2,), (3,), (4,)])
        assert refusal.value.retry_after >= 1
        assert len(tasks.list()) == 2
        handles = await tasks.submit_many(work, [(2,), (3,)])
        with pytest.raises(QueueFull):
            await work.submit(4)
        assert len(tasks.list()) == 4
        free.set()
        assert [await handle for handle in handles] == [2, 3]
        assert await (await work.submit(4)) == 4


async def test_submit_sync_is_for_threads_and_sync_views() -> None:
    tasks = QuartTasks()

    @tasks.task
    async def add(a: int, b: int) -> int:
        return a + b

    @tasks.task
    def in_thread() -> int:
        return int(tasks.submit_sync(add, 1, b=2).wait())

    app = make_app(tasks)

    @app.get("/add")
    def view() -> Any:
        return tasks.submit_sync("add", 3, 4).accepted()

    async with app.test_app():
        assert await (await in_thread.submit()) == 3
        handle = await asyncio.to_thread(tasks.submit_sync, add, 5, 6)
        assert await handle == 11
        response = await app.test_client().get("/add")
        record = await response.get_json()
        assert response.status_code == 202
        assert response.headers["Location"].endswith(f"/tasks/{record['id']}")
        assert await tasks.get(record["id"]) == 7
        with pytest.raises(RuntimeError, match="await"):
            tasks.submit_sync(add, 1, 2)
        with pytest.raises(InvalidArguments):
            await asyncio.to_thread(tasks.submit_sync, add, "one", 2)  # type: ignore[arg-type]


@pytest.mark.parametrize("synchronously", [False, True])
async def test_process_task_cannot_submit(synchronously: bool) -> None:
    async with make_app().test_app():
        with pytest.raises(TaskFailed, match="process") as failure:
            await (await samples.submit("submits", synchronously))
        assert failure.value.type == QuartTasksError.__name__
        with pytest.raises(TaskFailed, match="process"):
            await (await samples.submit("looks_up", NOBODY))


async def test_accepted_answers_a_view() -> None:
    tasks = QuartTasks()

    @tasks.task
    async def work() -> None: ...

    app = make_app(tasks, TASKS_URL_PREFIX="/jobs")

    @app.post("/works")
    async def create() -> Any:
        return (await work.submit()).accepted()

    async with app.test_app():
        response = await app.test_client().post("/works")
        record = await response.get_json()
        assert response.status_code == 202
        assert response.headers["Location"].endswith(f"/jobs/{record['id']}")
        assert int(response.headers["Retry-After"]) >= 0
        assert (record["name"], record["result"]) == ("work", None)


NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "options",
    [
        {"delay": -1}, {"delay": "soon"}, {"delay": float("nan")}, {"delay": float("inf")},
        {"eta": NOON.replace(tzinfo=None)}, {"eta": 5}, {"delay": 1, "eta": NOON},
        {"expires": 0}, {"expires": -1}, {"expires": float("nan")},
        {"timeout": 0}, {"timeout": -1}, {"timeout": float("nan")}, {"timeout": float("inf")},
        {"priority": 1.5}, {"retries": -1}, {"retries": "often"}, {"key": ""}, {"key": "k" * 256},
        {"key": 5},
    ],
    ids=str,
)  # fmt: skip
async def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    tasks = QuartTasks()

    @tasks.task
    async def work() -> None: ...

    with pytest.raises(InvalidArguments):
        work.with_options(**options)


async def test_unknown_options_are_refused() -> None:
    tasks = QuartTasks()

    @tasks.task
    async def work() -> None: ...

    with pytest.raises(TypeError):
        work.with_options(nonsense=1)  # type: ignore[call-arg]


async def test_options_add_up_and_leave_the_definition_alone() -> None:
    tasks = QuartTasks()

    @tasks.task
    async def work() -> None: ...

    async with make_app(tasks).test_app():
        late = work.with_options(delay=FAR, priority=2)
        keyed = late.with_options(key="k", priority=3)
        now = keyed.with_options(eta=datetime.now(UTC) - timedelta(days=1))
        for options, expected in (
            (work, (None, 0, False)),
            (late, (None, 2, True)),
            (keyed, ("k", 3, True)),
        ):
            record = (await options.submit()).record
            assert (record.key, record.priority, record.state == "scheduled") == expected
        await tasks.cancel(record.id)
        assert (await now.submit()).state != "scheduled"  # the later of delay and eta counts


# -- waiting -------------------------------------------------------------------------------


async def test_a_wait_that_ends_never_touches_the_task() -> None:
    tasks, free = QuartTasks(), asyncio.Event()

    @tasks.task
    async def work() -> str:
        await free.wait()
        return "done"

    async with make_app(tasks).test_app():
        handle = await work.submit()
        with pytest.raises(TimeoutError) as ended:
            await handle.result(timeout=0.01)
        assert not isinstance(ended.value, QuartTasksError)
        waiting = asyncio.ensure_future(handle.result())
        await until_state(handle, "running")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await handle
        assert (handle.state, handle.done()) == ("running", False)
        assert not handle.record.cancel_requested
        free.set()
        for result in await asyncio.gather(handle.result(), handle.result(timeout=60)):
            assert result == "done"
        assert handle.done()
        assert await handle.result(timeout=0) == "done"


async def test_wait_blocks_a_thread_until_the_end() -> None:
    tasks, free = QuartTasks(), asyncio.Event()

    @tasks.task
    async def work() -> str:
        await free.wait()
        return "done"

    @tasks.task
    async def fails() -> None:
        raise ValueError("no luck")

    async with make_app(tasks).test_app():
        handle = await work.submit()
        with pytest.raises(RuntimeError, match="await"):
            handle.wait()
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(handle.wait, 0.01)
        waiting = asyncio.create_task(asyncio.to_thread(handle.wait))
        free.set()
        assert await waiting == "done"
        with pytest.raises(TaskFailed, match="no luck"):
            await asyncio.to_thread((await fails.submit()).wait)


async def test_join_waits_for_all_tasks_and_their_children() -> None:
    tasks, free, ended = QuartTasks(), asyncio.Event(), list[str]()

    @tasks.task
    async def child() -> None:
        await free.wait()
        ended.append("child")

    @tasks.task
    async def parent() -> None:
        await child.submit()
        ended.append("parent")

    async with make_app(tasks).test_app():
        await tasks.join()
        await parent.submit()
        with pytest.raises(TimeoutError):
            await tasks.join(timeout=0.01)
        free.set()
        await tasks.join(timeout=60)
        assert ended == ["parent", "child"]
        assert {record.state for record in tasks.list()} == {"succeeded"}


async def test_handle_found_again_by_id_is_as_good() -> None:
    tasks, free = QuartTasks(), asyncio.Event()

    @tasks.task
    async def work() -> str:
        progress(1, 2, "half")
        await free.wait()
        return "done"

    async with make_app(tasks).test_app():
        first = await work.submit()
        second = tasks.get(first.id)
        await until_progress(second, 1)
        assert second.id == first.id
        assert second.record == first.record
        assert second.progress is not None
        assert (second.progress.total, second.progress.message) == (2, "half")
        free.set()
        assert await second == "done"
        assert await tasks.get(first.id) == "done"
        assert (await second.refresh()).state == "succeeded"
        with pytest.raises(TaskNotFound):
            tasks.get(NOBODY)


async def test_record_is_the_one_that_http_shows() -> None:
    tasks = QuartTasks()

    @tasks.task
    async def add(a: int, *, b: int = 1) -> int:
        return a + b

    app = make_app(tasks)
    async with app.test_app():
        handle = await add.with_options(priority=2, key="k").submit(1, b=2)
        await handle
        response = await app.test_client().get(f"/tasks/{handle.id}")
        shown = await response.get_json()
        record = handle.record
        for name in shown.keys() - {"attempts", "logs", "omitted"}:
            assert getattr(record, name) == shown[name], name
        assert (shown["args"], shown["kwargs"], shown["result"]) == ([1], {"b": 2}, 3)


# -- events --------------------------------------------------------------------------------


async def test_events_tell_the_story_of_a_task() -> None:
    tasks, free = QuartTasks(), asyncio.Event()

    @tasks.task
    async def work() -> AsyncIterator[str]:
        await free.wait()
        progress(1, 2, "half")
        logger.info("a line")
        yield "a value"

    async with make_app(tasks).test_app():
        handle = await work.submit()
        events: list[TaskEvent] = []
        async for event in handle.events():
            if not events:
                free.set()
            events.append(event)
        kinds = [event.type for event in events]
        assert kinds[0] == "snapshot"
        assert kinds[-4:] == ["progress", "log", "output", "state"]
        assert events[0].data["tasks"][0]["id"] == handle.id
        assert events[-3].data["message"] == "a line"
        assert events[-2].data == {"index": 0, "value": "a value", "attempt": 1}
        assert events[-1].data["state"] == "succeeded"
        assert events[-1].cursor == handle.record.cursor
        assert {event.task_id for event in events[1:]} == {handle.id}
        numbers = [int(event.cursor.rpartition("-")[2]) for event in events]
        assert numbers == sorted(set(numbers))
        assert [event.time for event in events[1:]] == sorted(event.time for event in events[1:])


async def test_events_go_on_after_a_cursor() -> None:
    tasks = QuartTasks()

    @tasks.task
    async def work() -> AsyncIterator[int]:
        for number in range(5):
            yield number

    async with make_app(tasks).test_app():
        handle = await work.submit()
        whole = await all_events(handle)
        for place, event in enumerate(whole):
            rest = await all_events(handle, after=event.cursor)
            expected = [each for each in whole[place + 1 :] if each.type != "snapshot"]
            assert [each for each in rest if each.type == "output"] == [
                each for each in expected if each.type == "output"
            ]
            assert [each.cursor for each in rest[-1:]] == [each.cursor for each in expected[-1:]]
        assert await all_events(handle, after=handle.record.cursor) == []


async def test_events_of_an_ended_task_still_have_its_outputs_and_log() -> None:
    tasks = QuartTasks()

    @tasks.task
    async def work() -> AsyncIterator[int]:
        yield 1
        logger.info("between")
        yield 2

    async with make_app(tasks).test_app():
        handle = await work.submit()
        await handle
        events = await all_events(handle)
        assert [event.type for event in events] == ["snapshot", "output", "log", "output", "state"]
        assert events[-1].data["state"] == "succeeded"


async def test_many_may_watch_one_task() -> None:
    tasks, free = QuartTasks(), asyncio.Event()

    @tasks.task
    async def work() -> AsyncIterator[int]:
        await free.wait()
        for number in range(100):
            yield number

    async with make_app(tasks).test_app():
        handle = await work.submit()
        first = asyncio.create_task(all_events(handle))
        second = asyncio.create_task(all_events(tasks.get(handle.id)))
        await until_state(handle, "running")
        free.set()
        for events in await asyncio.gather(first, second):
            values = [event.data["value"] for event in events if event.type == "output"]
            assert values == list(range(100))
            assert events[-1].data["state"] == "succeeded"


# -- map -----------------------------------------------------------------------------------


async def test_map_gives_results_in_the_order_of_its_items() -> None:
    tasks = QuartTasks()
    turn = [asyncio.Event() for _ in range(6)]
    turn[5].set()

    @tasks.task
    async def square(number: int) -> int:
        await turn[number].wait()
        if number:
            turn[number - 1].set()  # the last item ends first
        return number * number

    async def numbers() -> AsyncIterator[int]:
        for number in range(6):
            yield number

    async with make_app(tasks).test_app():
        for items in (range(6), numbers()):
            results = [result async for result in square.map(items)]
            assert results == [0, 1, 4, 9, 16, 25]
        named = square.with_options(priority=7).map(range(6))
        assert [result async for result in named] == results
        assert tasks.list()[0].priority == 7


async def test_map_over_an_endless_iterable_is_bounded_in_flight() -> None:
    tasks = QuartTasks()
    taken = received = peak = 0

    @tasks.task
    def same(number: int) -> int:
        return number

    def numbers() -> Iterator[int]:
        nonlocal taken, peak
        for number in count():
            taken += 1
            peak = max(peak, taken - received)
            yield number

    async with make_app(tasks).test_app(), aclosing(same.map(numbers())) as results:  # type: ignore[type-var]
        async for result in results:
            assert result == received
            received += 1
            if received == 500:
                break
    assert 2 <= peak <= 100


@pytest.mark.parametrize("ends", ["by a failure", "by leaving"])
async def test_when_map_ends_early_what_is_in_flight_is_cancelled(ends: str) -> None:
    tasks = QuartTasks()

    @tasks.task
    async def work(number: int) -> int:
        if number == 1 and ends == "by a failure":
            raise ValueError("no luck")
        if number > 1:
            await asyncio.Event().wait()
        return number

    async with make_app(tasks).test_app():
        async with aclosing(work.map(range(10))) as results:  # type: ignore[type-var]
            assert await anext(results) == 0
            if ends == "by a failure":
                with pytest.raises(TaskFailed, match="no luck"):
                    await anext(results)
        await tasks.join(timeout=60)
        states = [record.state for record in tasks.list()[::-1]]
        assert states[2:] == ["cancelled"] * 8


# -- retry ---------------------------------------------------------------------------------


async def test_retry_of_an_ended_task_is_a_new_one_of_the_same() -> None:
    tasks, lucky = QuartTasks(), False

    @tasks.task
    async def work(a: int, b: int = 0) -> int:
        if not lucky:
            raise ValueError("no luck")
        return a + b

    async with make_app(tasks).test_app():
        options = work.with_options(priority=3, key="k", retries=RetryPolicy(1, delay=0))
        first = await options.submit(1, b=2)
        with pytest.raises(TaskFailed):
            await first
        lucky = True
        second = await first.retry()
        assert await second == 3
        record = second.record
        assert record.id != first.id
        assert (record.retry_of, record.name) == (first.id, "work")
        assert (record.args, record.kwargs) == ([1], {"b": 2})
        assert (record.priority, record.key, record.max_attempts) == (3, "k", 2)
        assert first.state == "failed"


async def test_retry_is_refused_while_unfinished_or_without_the_arguments() -> None:
    tasks = QuartTasks()

    @tasks.task
    async def work(thing: Any) -> None: ...

    async with make_app(tasks).test_app():
        waiting = await work.with_options(delay=FAR).submit(1)
        with pytest.raises(Conflict, match="scheduled"):
            await waiting.retry()
        await waiting.cancel()
        with pytest.raises(TaskCancelled):
            await waiting
        assert (await waiting.retry()).state == "scheduled"  # with the same delay
        unkept = await work.submit(threading.Lock())
        await unkept
        with pytest.raises(Conflict, match="argument"):
            await unkept.retry()
