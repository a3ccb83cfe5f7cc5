"""Records: which are kept and for how long, how they are listed, counted and forgotten."""

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quart import Quart

from quart_tasks import (
    Blob,
    IllegalTransition,
    QuartTasks,
    Record,
    TaskFailed,
    TaskHandle,
    TaskNotFound,
)
from quart_tasks.record import State, check_move

from .sample_tasks import make_app
from .waiting import HANG, until_state

FAR = 3600.0  # seconds; longer than any test
STATES: tuple[State, ...] = (
    "scheduled", "queued", "running", "succeeded", "failed", "cancelled",
)  # fmt: skip


def extension() -> QuartTasks:
    """Tasks that end in every way."""
    tasks = QuartTasks()

    @tasks.task
    async def empty() -> None: ...

    @tasks.task
    async def text(length: int) -> str:
        return "x" * length

    @tasks.task
    async def blob(length: int) -> Blob:
        return Blob(b"x" * length, "image/png")

    @tasks.task
    async def outputs(number: int, length: int) -> AsyncIterator[str]:
        for _ in range(number):
            yield "x" * length

    @tasks.task
    async def fail(message: str) -> None:
        raise ValueError(message)

    @tasks.task(name="with children")
    async def with_children(number: int) -> None:
        await tasks.submit_many("empty", [()] * number)

    @tasks.task
    async def hold(free: asyncio.Event) -> None:
        await free.wait()

    return tasks


async def get(app: Quart, query: str = "") -> dict[str, Any]:
    response = await app.test_client().get(f"/tasks{query}")
    assert response.status_code == 200
    return await response.get_json()  # type: ignore[no-any-return]


async def ids_over_http(app: Quart, query: str = "?limit=500") -> list[str]:
    return [record["id"] for record in (await get(app, query))["tasks"]]


def ids(tasks: QuartTasks, **filters: Any) -> list[str]:
    return [record.id for record in tasks.list(**{"limit": 500, **filters})]


async def end(tasks: QuartTasks, name: str, *args: Any) -> str:
    """Run a task to its end and give its id."""
    handle = await tasks.submit(name, *args)
    with suppress(TaskFailed):
        await handle
    return handle.id


async def ended_children(tasks: QuartTasks, parent: str) -> list[str]:
    """A task's children, the newest first, once they have ended: that may be after it has."""
    children = ids(tasks, parent_id=parent)
    for child in children:
        await tasks.get(child)
    return children


async def until(tasks: QuartTasks, happened: Callable[[], bool]) -> None:
    """Let tasks come and go until that has happened: each end makes room for others."""
    async with asyncio.timeout(HANG):
        while not happened():
            await end(tasks, "empty")


# -- retention -----------------------------------------------------------------------------


async def test_ended_records_go_when_they_are_too_old_and_unfinished_ones_stay() -> None:
    tasks, free = extension(), asyncio.Event()
    app = make_app(tasks, TASKS_RETENTION=0)
    async with app.test_app():
        running = await tasks.submit("hold", free)
        await until_state(running, "running")
        first = await end(tasks, "text", 3)
        await until(tasks, lambda: first not in ids(tasks))
        with pytest.raises(TaskNotFound):
            tasks.get(first)
        assert (await app.test_client().get(f"/tasks/{first}")).status_code == 404
        assert running.id in await ids_over_http(app)
        free.set()
        await running


async def test_a_handle_outlives_its_record() -> None:
    tasks = extension()
    async with make_app(tasks, TASKS_RETENTION=0).test_app():
        handle = await tasks.submit("text", 3)
        await handle
        await until(tasks, lambda: handle.id not in ids(tasks))
        assert await handle == "xxx"
        with pytest.raises(TaskNotFound):
            await handle.refresh()


async def test_only_so_many_ended_records_are_kept_the_newest() -> None:
    tasks, free = extension(), asyncio.Event()
    app = make_app(tasks, TASKS_MAX_FINISHED=3)
    async with app.test_app():
        running = await tasks.submit("hold", free)
        ended = []
        for _ in range(5):
            ended += [await end(tasks, "fail", "no luck"), await end(tasks, "text", 3)]
        expected = [*ended[:-4:-1], running.id]
        assert ids(tasks) == expected
        assert await ids_over_http(app) == expected
        assert sum(tasks.stats()["states"].values()) == 4
        free.set()
        await running


@pytest.mark.parametrize(
    ("name", "args"), [("text", (4_000,)), ("blob", (4_000,)), ("outputs", (4, 1_000))]
)
async def test_results_together_are_bounded_and_the_oldest_go_first(
    name: str, args: tuple[int, ...]
) -> None:
    tasks = extension()
    app = make_app(tasks, TASKS_MAX_RESULTS_BYTES=40_000)
    async with app.test_app():
        ended = [await end(tasks, name, *args) for _ in range(20)]
        kept = ids(tasks)
        assert kept == await ids_over_http(app)
        assert kept == ended[: -len(kept) - 1 : -1]
        sizes = [record.result_size or 0 for record in tasks.list()]
        assert 0 < sum(sizes) <= 40_000
        assert len(kept) >= 2


async def test_record_that_alone_is_too_large_goes_and_later_ones_are_kept() -> None:
    tasks = extension()
    async with make_app(tasks, TASKS_MAX_RESULTS_BYTES=10_000).test_app():
        large = await tasks.submit("text", 20_000)
        assert len(await large) == 20_000
        await until(tasks, lambda: large.id not in ids(tasks))
        later = await end(tasks, "text", 100)
        assert later in ids(tasks)


# -- lists ---------------------------------------------------------------------------------


async def test_list_is_the_newest_first_with_filters() -> None:
    tasks, free = extension(), asyncio.Event()
    app = make_app(tasks)
    async with app.test_app():
        hold = await tasks.submit("hold", free)
        late = await tasks.submit("empty")
        await late
        failed = await end(tasks, "fail", "the disk is full")
        parent = await end(tasks, "with children", 3)
        children = await ended_children(tasks, parent)
        text = await end(tasks, "text", 3)
        everything = [text, *children, parent, failed, late.id, hold.id]
        assert len(children) == 3
        for filters, expected in (
            ({}, everything),
            ({"state": "running"}, [hold.id]),
            ({"state": "failed"}, [failed]),
            ({"state": "queued"}, []),
            ({"name": "empty"}, [*children, late.id]),
            ({"name": "emp"}, []),
            ({"parent_id": parent}, children),
            ({"parent_id": text}, []),
            ({"name": "empty", "parent_id": parent, "state": "succeeded"}, children),
            ({"name": "text", "state": "failed"}, []),
            ({"q": "hildre"}, [parent]),
            ({"q": "disk is"}, [failed]),
            ({"q": text}, [text]),
            ({"q": text[:-4]}, [text]),
            ({"q": text[4:]}, []),
            ({"q": "no such thing"}, []),
            ({"q": "e", "state": "succeeded", "name": "empty"}, [*children, late.id]),
        ):
            assert ids(tasks, **filters) == expected, filters
            response = await app.test_client().get("/tasks", query_string=filters)
            found = await response.get_json()
            assert [record["id"] for record in found["tasks"]] == expected, filters
            assert found["next"] is None
        free.set()
        await hold


async def test_q_finds_a_key() -> None:
    tasks = QuartTasks()

    @tasks.task
    async def work() -> None: ...

    async with make_app(tasks).test_app():
        handle = await work.with_options(key="nightly-import", delay=FAR).submit()
        await work.submit()
        assert ids(tasks, q="tly-imp") == [handle.id]


async def test_list_follows_each_change_of_state() -> None:
    tasks, free = extension(), asyncio.Event()
    async with make_app(tasks, TASKS_ASYNC_CONCURRENCY=1).test_app():
        running = await tasks.submit("hold", free)
        await until_state(running, "running")
        queued = await tasks.submit("empty")
        assert ids(tasks, state="queued") == [queued.id]
        assert ids(tasks, state="running") == [running.id]
        free.set()
        await queued
        assert ids(tasks, state="queued") == ids(tasks, state="running") == []
        assert ids(tasks, state="succeeded") == [queued.id, running.id]


async def test_pages_follow_each_other_without_a_gap() -> None:
    tasks = extension()
    app = make_app(tasks)
    async with app.test_app():
        handles: list[TaskHandle[None]]
        handles = await tasks.submit_many("empty", [()] * 1_200)
        await tasks.join()
        newest_first = [handle.id for handle in handles][::-1]
        assert await ids_over_http(app, "") == newest_first[:50]
        assert await ids_over_http(app, "?limit=100000") == newest_first[:500]
        before = newest_first[99]
        assert await ids_over_http(app, f"?limit=3&before={before}") == newest_first[100:103]
        assert ids(tasks, limit=3, before=before) == newest_first[100:103]
        seen, query = [], "?limit=450"
        while query:
            response = await app.test_client().get(f"/tasks{query}")
            seen += [record["id"] for record in (await response.get_json())["tasks"]]
            link = response.headers.get("Link", "")
            assert not link or link.endswith('>; rel="next"')
            query = link.removesuffix('>; rel="next"').removeprefix("</tasks")
        assert seen == newest_first


async def test_page_before_an_id_that_is_gone_goes_on_from_its_place() -> None:
    tasks = extension()
    app = make_app(tasks)
    async with app.test_app():
        ended = [await end(tasks, "empty") for _ in range(6)]
        assert (await app.test_client().delete(f"/tasks/{ended[3]}")).status_code == 204
        assert ids(tasks, before=ended[3]) == ended[2::-1]


async def test_page_that_looks_at_too_many_records_is_short_and_has_a_next() -> None:
    tasks = extension()
    app = make_app(tasks)
    async with app.test_app():
        wanted = await end(tasks, "fail", "needle")
        for _ in range(5):
            await tasks.submit_many("empty", [()] * 1_000)
        await tasks.join()
        found: list[str] = []
        pages, query = 0, "?q=needle"
        while query:
            page = await get(app, query)
            pages += 1
            found += [record["id"] for record in page["tasks"]]
            query = page["next"] and f"?q=needle&before={page['next']}"
        assert found == [wanted]
        assert pages >= 3
        # an index finds what has a rare state or name at once
        assert await ids_over_http(app, "?state=failed") == [wanted]
        assert await ids_over_http(app, "?name=fail") == [wanted]


@settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    number=st.integers(0, 40),
    limit=st.integers(1, 50),
    forgotten=st.sets(st.integers(0, 39)),
    filters=st.sampled_from(["", "&state=succeeded", "&name=empty", "&q=emp", "&name=none"]),
    newcomers=st.integers(0, 3),
)
def test_pages_of_any_size_visit_every_record_once(
    number: int, limit: int, forgotten: set[int], filters: str, newcomers: int
) -> None:
    async def visit() -> None:
        tasks = extension()
        app = make_app(tasks)
        async with app.test_app():
            client = app.test_client()
            handles: list[TaskHandle[None]]
            handles = await tasks.submit_many("empty", [()] * number)
            await tasks.join()
            all_ids = [handle.id for handle in handles]
            for place in forgotten:
                if place < number:
                    await client.delete(f"/tasks/{all_ids[place]}")
            left = [id for place, id in enumerate(all_ids) if place not in forgotten]
            seen: list[str] = []
            before = ""
            for _ in range(number + 2):
                page = await get(app, f"?limit={limit}{filters}{before}")
                assert len(page["tasks"]) <= limit
                seen += [record["id"] for record in page["tasks"]]
                if page["next"] is None:
                    break
                before = f"&before={page['next']}"
                await tasks.submit_many("empty", [()] * newcomers)  # are on no later page
            assert page["next"] is None
            assert seen == ([] if "none" in filters else left[::-1])

    asyncio.run(visit())


# -- forgetting ----------------------------------------------------------------------------


async def test_delete_forgets_an_ended_task_and_no_other() -> None:
    tasks, free = extension(), asyncio.Event()
    app = make_app(tasks)
    async with app.test_app():
        client = app.test_client()
        running = await tasks.submit("hold", free)
        await until_state(running, "running")
        response = await client.delete(f"/tasks/{running.id}")
        assert response.status_code == 409
        assert response.content_type == "application/problem+json"
        parent = await end(tasks, "with children", 2)
        child, _ = await ended_children(tasks, parent)
        for id in (child, parent):
            assert (await client.delete(f"/tasks/{id}")).status_code == 204
            assert (await client.get(f"/tasks/{id}")).status_code == 404
            assert (await client.delete(f"/tasks/{id}")).status_code == 404
        assert len(ids(tasks)) == 2
        assert len(ids(tasks, parent_id=parent)) == 1
        assert sum(tasks.stats()["states"].values()) == 2
        free.set()
        await running


# -- counts --------------------------------------------------------------------------------


async def test_counts_add_up() -> None:
    tasks, free = extension(), asyncio.Event()
    app = make_app(tasks, TASKS_ASYNC_CONCURRENCY=2)
    async with app.test_app():
        await end(tasks, "text", 3)
        await end(tasks, "fail", "no luck")
        holds = [await tasks.submit("hold", free) for _ in range(4)]
        for handle in holds[:2]:
            await until_state(handle, "running")
        await holds[3].cancel()
        stats = await get(app, "/stats")
        assert stats["states"] == {
            "scheduled": 0, "queued": 1, "running": 2, "succeeded": 1, "failed": 1, "cancelled": 1,
        }  # fmt: skip
        lane = stats["executors"]["async"]
        assert (lane["slots"], lane["running"], lane["queued"]) == (2, 2, 1)
        assert stats["names"]["hold"]["running"] == 2
        assert stats["names"]["fail"]["failed"] == 1
        assert tasks.stats()["states"] == stats["states"]
        free.set()
        await tasks.join()
        stats = await get(app, "/stats")
        for state in STATES:
            count = sum(names[state] for names in stats["names"].values())
            assert count == stats["states"][state] == len(ids(tasks, state=state))
        assert stats["executors"]["async"]["running"] == 0
        assert stats["executors"]["async"]["queued"] == 0


# -- states and ids ------------------------------------------------------------------------

MOVES: set[tuple[State, State]] = {
    ("scheduled", "queued"), ("scheduled", "failed"), ("scheduled", "cancelled"),
    ("queued", "running"), ("queued", "failed"), ("queued", "cancelled"),
    ("running", "scheduled"), ("running", "succeeded"), ("running", "failed"),
    ("running", "cancelled"),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), [*itertools.product(STATES, STATES)])
def test_only_legal_moves_are_made(before: State, after: State) -> None:
    record = Record(id="1", name="work", executor="async", state=before)
    if (before, after) in MOVES:
        check_move(record, after)
    else:
        with pytest.raises(IllegalTransition, match=f"{before}.*{after}"):
            check_move(record, after)


async def test_ids_are_uuids_of_version_7_in_the_order_of_creation() -> None:
    tasks = extension()
    async with make_app(tasks, TASKS_MAX_PENDING=20_000).test_app():
        began = time.time_ns() // 1_000_000
        made = [(await tasks.submit("empty")).id for _ in range(100)]
        many: list[TaskHandle[None]] = await tasks.submit_many("empty", [()] * 10_000)
        made += [handle.id for handle in many]
        await tasks.join()
        assert made == sorted(set(made))
        parsed = [uuid.UUID(id) for id in made]
        assert {(each.version, each.variant) for each in parsed} == {(7, uuid.RFC_4122)}
        assert [str(each) for each in parsed] == made
        assert parsed[0].int >> 80 >= began
