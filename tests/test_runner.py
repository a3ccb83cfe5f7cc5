"""A task's life: its slot, its times, its retries, its timeout, its key."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from quart_tasks import (
    QuartTasks,
    RetryPolicy,
    TaskCancelled,
    TaskExpired,
    TaskFailed,
    TaskHandle,
    TaskTimeout,
    WorkerCrashed,
    current_task,
    progress,
)

from .sample_tasks import make_app
from .sample_tasks import tasks as samples
from .waiting import Gate, all_events, until_progress, until_state

FAR = 3600.0  # seconds; longer than any test
AT_ONCE = RetryPolicy(1, delay=0)


@pytest.fixture(params=["async", "thread", "process"])
def executor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def one_slot(executor: str) -> dict[str, Any]:
    keys = {
        "async": "TASKS_ASYNC_CONCURRENCY",
        "thread": "TASKS_THREADS",
        "process": "TASKS_PROCESSES",
    }
    return {keys[executor]: 1}


async def detail(app: Any, handle: TaskHandle[Any]) -> dict[str, Any]:
    response = await app.test_client().get(f"/tasks/{handle.id}")
    return await response.get_json()  # type: ignore[no-any-return]


# -- slots ---------------------------------------------------------------------------------


async def test_higher_priority_goes_first_and_equals_in_their_order() -> None:
    tasks, order, free = QuartTasks(), list[str](), asyncio.Event()

    @tasks.task
    async def occupy() -> None:
        await free.wait()

    @tasks.task
    async def note(name: str) -> None:
        order.append(name)

    @tasks.task(priority=5)
    async def note_soon(name: str) -> None:
        order.append(name)

    async with make_app(tasks, TASKS_ASYNC_CONCURRENCY=1).test_app():
        await occupy.submit()
        await note.submit("first")
        await note.with_options(priority=-1).submit("last")
        await note.submit("second")
        await note.with_options(priority=10).submit("urgent")
        await note_soon.submit("soon")
        await note_soon.with_options(priority=0).submit("third")
        handle = await note.with_options(priority=5).submit("soon after")
        assert (handle.state, handle.record.priority) == ("queued", 5)
        free.set()
        await tasks.join()
    assert order == ["urgent", "soon", "soon after", "first", "second", "third", "last"]


async def test_concurrency_of_a_definition_holds_up_no_other() -> None:
    tasks, free = QuartTasks(), asyncio.Event()
    now, peak = 0, 0

    @tasks.task(concurrency=2)
    async def limited() -> None:
        nonlocal now, peak
        now += 1
        peak = max(peak, now)
        await free.wait()
        await asyncio.sleep(0)
        now -= 1

    @tasks.task
    async def other() -> str:
        return "passed by"

    async with make_app(tasks).test_app():
        handles = [await limited.submit() for _ in range(10)]
        assert await (await other.submit()) == "passed by"
        assert [handle.state for handle in handles] == ["running"] * 2 + ["queued"] * 8
        free.set()
        await tasks.join()
        assert {handle.state for handle in handles} == {"succeeded"}
    assert peak == 2


async def test_cancelled_task_leaves_its_place_to_the_next_of_its_kind() -> None:
    tasks, free = QuartTasks(), asyncio.Event()

    @tasks.task(concurrency=1)
    async def limited() -> None:
        await free.wait()

    async with make_app(tasks).test_app():
        first, second, third = [await limited.submit() for _ in range(3)]
        await second.cancel()
        await first.cancel()
        await until_state(third, "running")
        free.set()
        await third


async def test_executor_runs_as_many_as_it_has_slots(executor: str, gate: Gate) -> None:
    app = make_app(TASKS_ASYNC_CONCURRENCY=2, TASKS_THREADS=2, TASKS_PROCESSES=2)
    async with app.test_app():
        handles = [await samples.submit(f"hold-{executor}", gate.path) for _ in range(3)]
        for handle in handles[:2]:
            await until_progress(handle, 1)
        assert handles[2].state == "queued"
        assert samples.stats()["executors"][executor] | {"abandoned": 0} == {
            "slots": 2, "running": 2, "queued": 1, "abandoned": 0,
        }  # fmt: skip
        gate.open()
        assert [await handle for handle in handles] == ["held"] * 3


# -- times ---------------------------------------------------------------------------------


async def test_delayed_task_waits_as_scheduled_and_then_runs() -> None:
    tasks = QuartTasks()

    @tasks.task
    async def whenever() -> str:
        return "ran"

    async with make_app(tasks).test_app():
        late = await whenever.with_options(delay=FAR).submit()
        soon = await whenever.with_options(delay=0.05).submit()
        assert (late.state, soon.state) == ("scheduled", "scheduled")
        due = soon.record.scheduled_for
        assert due is not None
        assert (late.record.scheduled_for or "") > late.record.created_at
        assert await soon == "ran"
        assert (soon.record.started_at or "") >= due
        assert soon.record.scheduled_for is None
        assert late.state == "scheduled"


async def test_eta_is_a_time_with_its_offset_and_the_past_is_now() -> None:
    tasks = QuartTasks()

    @tasks.task
    async def whenever() -> str:
        return "ran"

    async with make_app(tasks).test_app():
        past = whenever.with_options(eta=datetime.now(UTC) - timedelta(days=1))
        assert await (await past.submit()) == "ran"
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        east = tomorrow.astimezone(timezone(timedelta(hours=9)))
        handle = await whenever.with_options(eta=east).submit()
        assert handle.state == "scheduled"
        due = datetime.fromisoformat(handle.record.scheduled_for or "")
        assert abs(due - tomorrow) < timedelta(seconds=1)


async def test_task_that_has_not_started_in_time_expires() -> None:
    tasks, free, ran = QuartTasks(), asyncio.Event(), list[str]()

    @tasks.task(concurrency=1)
    async def work(name: str) -> None:
        ran.append(name)
        await free.wait()

    async with make_app(tasks).test_app():
        started = await work.with_options(expires=0.01).submit("started")
        await until_state(started, "running")
        queued = await work.with_options(expires=0.02).submit("queued")
        delayed = await work.with_options(expires=0.02, delay=FAR).submit("delayed")
        for handle in (queued, delayed):
            with pytest.raises(TaskExpired):
                await handle
            assert (handle.state, handle.record.started_at) == ("failed", None)
            assert handle.record.error is not None
            assert handle.record.error.type == "TaskExpired"
        assert started.state == "running"  # whoever has started does not expire
        free.set()
        await started
    assert ran == ["started"]


async def test_expired_task_is_not_retried() -> None:
    tasks = QuartTasks()

    @tasks.task(retries=3)
    async def work() -> None: ...

    async with make_app(tasks).test_app():
        handle = await work.with_options(expires=0.01, delay=FAR).submit()
        with pytest.raises(TaskExpired):
            await handle
        assert (handle.record.attempt, handle.record.max_attempts) == (0, 4)


# -- retries -------------------------------------------------------------------------------


async def test_failed_attempts_are_made_again(executor: str) -> None:
    app = make_app()
    async with app.test_app():
        handle = await samples.submit(f"succeeds_at-{executor}", 3)
        assert await handle == 3
        record = handle.record
        assert (record.attempt, record.max_attempts, record.error) == (3, 4, None)
        attempts = (await detail(app, handle))["attempts"]
        assert [each["error"] and each["error"]["message"] for each in attempts] == [
            "attempt 1",
            "attempt 2",
            None,
        ]
        times = [time for each in attempts for time in (each["started_at"], each["finished_at"])]
        assert times == sorted(times)
        assert all(each["worker"] for each in attempts)


async def test_after_its_last_attempt_a_task_fails(executor: str) -> None:
    async with make_app().test_app():
        handle = await samples.submit(f"succeeds_at-{executor}", 9)
        with pytest.raises(TaskFailed, match="attempt 4"):
            await handle
        assert (handle.record.attempt, handle.record.max_attempts) == (4, 4)


async def test_only_what_the_policy_covers_is_retried() -> None:
    tasks = QuartTasks()

    @tasks.task(retries=RetryPolicy(5, delay=0, on=(LookupError,)))
    async def work(attempts: int) -> None:
        context = current_task()
        assert context is not None
        raise KeyError("covered") if context.attempt <= attempts else ValueError("not covered")

    @tasks.task(retries=RetryPolicy(5, delay=0))
    async def leaves() -> None:
        raise SystemExit

    async with make_app(tasks).test_app():
        handle = await work.submit(2)
        with pytest.raises(TaskFailed, match="not covered"):
            await handle
        assert handle.record.attempt == 3
        handle = await leaves.submit()  # no Exception
        with pytest.raises(TaskFailed, match="SystemExit"):
            await handle
        assert handle.record.attempt == 1


async def test_error_is_kept_while_the_retry_waits() -> None:
    tasks = QuartTasks()

    @tasks.task(retries=RetryPolicy(1, delay=FAR, jitter=False, max_delay=FAR))
    async def work() -> None:
        raise ValueError("no luck")

    async with make_app(tasks).test_app():
        handle = await work.submit()
        await until_state(handle, "scheduled")
        record = handle.record
        assert record.error is not None
        assert (record.error.type, record.error.message) == ("ValueError", "no luck")
        assert record.attempt == 1
        pause = datetime.fromisoformat(record.scheduled_for or "") - datetime.fromisoformat(
            record.started_at or ""
        )
        assert pause >= timedelta(seconds=FAR)
        await handle.cancel()
        assert handle.state == "cancelled"


async def test_progress_and_outputs_start_anew_with_each_attempt() -> None:
    tasks = QuartTasks()

    @tasks.task(retries=AT_ONCE)
    def work() -> Iterator[str]:
        context = current_task()
        assert context is not None
        yield f"of {context.attempt}"
        if context.attempt == 1:
            progress(7, 10)
            raise ValueError("again")

    async with make_app(tasks).test_app():
        handle = await work.submit()
        events = await all_events(handle)
        assert await handle == ["of 2"]
        assert handle.progress is None
        outputs = [event.data for event in events if event.type == "output"]
        assert outputs == [
            {"index": 0, "value": "of 1", "attempt": 1},
            {"index": 0, "value": "of 2", "attempt": 2},
        ]
        (again,) = [
            event.data
            for event in events
            if event.type == "state"
            and event.data["state"] == "running"
            and event.data["attempt"] == 2
        ]
        assert (again["progress"], again["error"]) == (None, None)


async def test_the_last_ten_attempts_are_kept() -> None:
    tasks = QuartTasks()

    @tasks.task(retries=RetryPolicy(11, delay=0))
    async def work() -> None:
        context = current_task()
        assert context is not None
        raise ValueError(str(context.attempt))

    app = make_app(tasks)
    async with app.test_app():
        handle = await work.submit()
        with pytest.raises(TaskFailed):
            await handle
        attempts = (await detail(app, handle))["attempts"]
        assert [each["error"]["message"] for each in attempts] == [str(n) for n in range(3, 13)]


async def test_options_of_one_task_override_the_retries_of_its_definition() -> None:
    tasks = QuartTasks()

    @tasks.task(retries=3)
    async def work() -> None:
        raise ValueError("no luck")

    async with make_app(tasks).test_app():
        for options, expected in ((0, 1), (RetryPolicy(2, delay=0), 3)):
            handle = await work.with_options(retries=options).submit()
            with pytest.raises(TaskFailed):
                await handle
            assert (handle.record.attempt, handle.record.max_attempts) == (expected, expected)
        assert (await work.with_options(delay=FAR).submit()).record.max_attempts == 4


async def test_a_crash_is_retried_only_where_the_task_is_idempotent() -> None:
    async with make_app().test_app():
        handle = await samples.submit("dies_idempotent", 2)
        assert await handle == 3
        handle = await samples.submit("dies", 2)
        with pytest.raises(WorkerCrashed):
            await handle
        assert (handle.record.attempt, handle.record.max_attempts) == (1, 4)


# -- timeout -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hold-async", "hold-thread", "hold-process"])
async def test_attempt_ends_at_its_timeout_and_its_slot_is_free(name: str, gate: Gate) -> None:
    executor = name.partition("-")[2]
    app = make_app(**one_slot(executor))
    async with app.test_app():
        response = await app.test_client().post(
            "/tasks", json={"name": name, "args": [gate.path], "options": {"timeout": 0.1}}
        )
        handle = samples.get((await response.get_json())["id"])
        with pytest.raises(TaskTimeout, match=r"0\.1"):
            await handle
        assert handle.record.error is not None
        assert handle.record.error.type == "TaskTimeout"
        assert handle.state == "failed"
        assert handle.record.attempt == 1
        # the gate is still closed, so in a thread the first one still runs
        assert await (await samples.submit(f"echo-{executor}", "next")) == "next"
        gate.open()


async def test_timeout_counts_from_the_start_of_each_attempt() -> None:
    tasks, attempts = QuartTasks(), list[int]()

    # More of them than needed: a machine may be held up just when one is in time.
    @tasks.task(timeout=0.05, retries=RetryPolicy(100, delay=0))
    async def work() -> str:
        context = current_task()
        assert context is not None
        attempts.append(context.attempt)
        if context.attempt < 3:
            await asyncio.Event().wait()
        return "in time"

    async with make_app(tasks).test_app():
        handle = await work.with_options(delay=0.1).submit()
        assert await handle == "in time"
    assert len(attempts) >= 3
    assert attempts == [*range(1, len(attempts) + 1)]


@pytest.mark.parametrize(("on", "attempts"), [((TaskTimeout,), 2), ((ValueError,), 1)])
async def test_timeout_is_retried_where_the_policy_covers_it(
    on: tuple[type[Exception]], attempts: int
) -> None:
    tasks = QuartTasks()

    @tasks.task(timeout=0.02, retries=RetryPolicy(1, delay=0, on=on))
    async def work() -> None:
        await asyncio.Event().wait()

    async with make_app(tasks).test_app():
        handle = await work.submit()
        with pytest.raises(TaskTimeout):
            await handle
        assert handle.record.attempt == attempts


async def test_timeout_cleans_up_on_the_loop() -> None:
    tasks, cleaned = QuartTasks(), list[str]()

    @tasks.task(timeout=0.02)
    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("yes")

    async with make_app(tasks).test_app():
        with pytest.raises(TaskTimeout):
            await (await work.submit())
        assert cleaned == ["yes"]


async def test_thread_past_its_timeout_is_retried_only_once_it_has_returned() -> None:
    tasks, began, free = QuartTasks(), threading.Event(), threading.Event()
    log: list[str] = []

    # A busy machine may not make it within the timeout at its second attempt either.
    @tasks.task(timeout=0.05, retries=RetryPolicy(100, delay=0))
    def work() -> str:
        context = current_task()
        assert context is not None
        log.append(f"{context.attempt} begins")
        if context.attempt == 1:
            began.set()
            free.wait()
        log.append(f"{context.attempt} ends")
        return "in time"

    @tasks.task
    def other() -> None: ...

    async with make_app(tasks).test_app():
        handle = await work.submit()
        await until_state(handle, "scheduled")
        await asyncio.to_thread(began.wait)  # its thread may be later than its timeout
        for _ in range(20):  # time enough for a retry that does not wait
            await (await other.submit())
        assert (handle.state, handle.record.attempt, log) == ("scheduled", 1, ["1 begins"])
        free.set()
        assert await handle == "in time"
        attempts = range(1, handle.record.attempt + 1)
    assert len(attempts) >= 2
    assert log == [f"{each} {what}" for each in attempts for what in ("begins", "ends")]


async def test_beyond_the_allowed_number_an_abandoned_thread_keeps_its_slot() -> None:
    tasks, free, ran = QuartTasks(), threading.Event(), list[str]()

    @tasks.task
    def stuck() -> None:
        free.wait()

    @tasks.task
    def work(name: str) -> None:
        ran.append(name)

    @tasks.task
    async def beside() -> None: ...

    app = make_app(tasks, TASKS_THREADS=1, TASKS_MAX_ABANDONED_THREADS=1)
    async with app.test_app():
        with pytest.raises(TaskTimeout):
            await (await stuck.with_options(timeout=0.02).submit())
        await (await work.submit("in the slot given back"))
        with pytest.raises(TaskTimeout):
            await (await stuck.with_options(timeout=0.02).submit())
        waits = await work.submit("in the slot of one that returned")
        await (await beside.submit())
        assert waits.state == "queued"
        free.set()
        await waits
    assert ran == ["in the slot given back", "in the slot of one that returned"]


# -- key -----------------------------------------------------------------------------------


async def test_at_most_one_unfinished_task_of_a_definition_has_a_key() -> None:
    tasks, free = QuartTasks(), asyncio.Event()

    @tasks.task
    async def work(name: str) -> str:
        await free.wait()
        return name

    @tasks.task
    async def other(name: str) -> str:
        return name

    async with make_app(tasks).test_app():
        first = await work.with_options(key="nightly").submit("first")
        again = await work.with_options(key="nightly", priority=3).submit("again")
        assert again.id == first.id
        assert (first.record.key, first.record.priority) == ("nightly", 0)
        assert (await other.with_options(key="nightly").submit("other")).id != first.id
        assert (await work.with_options(key="weekly").submit("weekly")).id != first.id
        assert (await work.submit("plain")).id != first.id
        free.set()
        assert await again == "first"
        anew = await work.with_options(key="nightly").submit("anew")
        assert anew.id != first.id
        assert await anew == "anew"


async def test_key_is_free_again_however_its_task_ended() -> None:
    tasks = QuartTasks()

    @tasks.task
    async def work() -> None:
        raise ValueError("no luck")

    async with make_app(tasks).test_app():
        first = await work.with_options(key="k", delay=FAR).submit()
        assert (await work.with_options(key="k").submit()).id == first.id
        await first.cancel()
        second = await work.with_options(key="k").submit()
        with pytest.raises(TaskFailed):
            await second
        third = await work.with_options(key="k", delay=FAR).submit()
        assert len({first.id, second.id, third.id}) == 3
        with pytest.raises(TaskCancelled):
            await first
