"""The HTTP client, against a server in the same process."""

import asyncio
import gc
import json
import logging
import math
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from quart import Quart, Response

from quart_tasks import (
    Blob,
    Conflict,
    Draining,
    InvalidArguments,
    Progress,
    QuartTasks,
    QueueFull,
    TaskCancelled,
    TaskEvent,
    TaskExpired,
    TaskFailed,
    TaskNotFound,
    TaskTimeout,
    UnknownTask,
    progress,
)
from quart_tasks.client import Refused, TaskHandle, TasksClient, Unreachable, connection, transport
from quart_tasks.client import sync as blocking
from quart_tasks.client.messages import retry_after
from quart_tasks.server import serve

from .proxy import EVENT_STREAM, WEBSOCKET, Proxy, proxy_to

tasks = QuartTasks()
gates: dict[str, asyncio.Event] = {}
running: list[int] = [0, 0]  # now, and the most at once
apps: list[Quart] = []
HANG = 30


@tasks.task
async def echo(value: Any) -> Any:
    return value


@tasks.task
async def add(first: int, second: int = 1) -> int:
    return first + second


@tasks.task
async def gated(gate: str) -> str:
    progress(1, 2, "at the gate")
    running[0] += 1
    running[1] = max(running)
    try:
        await gates.setdefault(gate, asyncio.Event()).wait()
    finally:
        running[0] -= 1
    return gate


@tasks.task(timeout=0.01)
async def too_slow() -> None:
    await asyncio.Event().wait()


@tasks.task
async def fails(message: str) -> None:
    raise LookupError(message)


@tasks.task
async def waits_or_fails(number: int) -> int:
    if number > 1:
        await asyncio.Event().wait()
    if number:
        raise LookupError(str(number))
    return number


@tasks.task
async def picture() -> Blob:
    return Blob(b"\x89PNG", "image/png")


@tasks.task
async def json_blob() -> Blob:
    return Blob(b'{"a": 1}', "application/json")


@tasks.task
async def counts(number: int, gate: str = "") -> AsyncIterator[int]:
    for each in range(number):
        if gate and each == number // 2:
            await gates.setdefault(gate, asyncio.Event()).wait()
        logging.getLogger("shop").warning("at %d", each)
        yield each


@tasks.task(retries=3, timeout=60)
async def with_limits(value: int) -> int:
    return value


@asynccontextmanager
async def serving(**config: Any) -> AsyncIterator[str]:
    """The URL of a server."""
    app = Quart(__name__)
    app.config.update({"TASKS_DRAIN_TIMEOUT": 0, **config})
    tasks.init_app(app)
    apps[:] = [app]
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    server = asyncio.create_task(serve(app, port=0, stop=stop, on_listening=url.set_result))
    await asyncio.wait([url, server], return_when=asyncio.FIRST_COMPLETED)
    try:
        yield url.result()
    finally:
        stop.set()
        await server


@pytest.fixture
async def url() -> AsyncIterator[str]:
    gates.clear()
    running[:] = [0, 0]
    async with serving() as url:
        yield url


@pytest.fixture
async def client(url: str) -> AsyncIterator[TasksClient]:
    async with TasksClient(url) as client:
        yield client


@pytest.fixture
async def proxy(url: str) -> AsyncIterator[Proxy]:
    async with proxy_to(url) as proxy:
        yield proxy


def open_gate(name: str) -> None:
    gates.setdefault(name, asyncio.Event()).set()


async def until_running(handle: TaskHandle) -> None:
    async for event in handle.events():
        if event.type == "progress" or handle.progress is not None:
            return


async def kinds_of(handle: TaskHandle) -> list[str]:
    """The types of a task's events; of a change the new state."""
    return [
        event.data["state"] if event.type == "state" else event.type
        async for event in handle.events()
    ]


# -- submitting and waiting ----------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [None, 0, 1.5, "ü\u2028", [1, [None]], {"a": {"b": []}}, "x" * 100_000, [["y" * 9000]], ""],
)
async def test_values_come_back(client: TasksClient, value: Any) -> None:
    assert await (await client.submit("echo", value)) == value


async def test_arguments_by_name(client: TasksClient) -> None:
    assert await (await client.submit("add", 1)) == 2
    assert await (await client.submit("add", 1, second=5)) == 6
    assert await (await client.submit("add", first=1, second=5)) == 6


async def test_blobs_come_back_as_such(client: TasksClient) -> None:
    assert await (await client.submit("picture")) == Blob(b"\x89PNG", "image/png")
    assert await (await client.submit("json_blob")) == Blob(b'{"a": 1}', "application/json")


@pytest.mark.parametrize("content", ["", "null", "true", "[1]", "no JSON"])
@pytest.mark.parametrize("status", [200, 303, 404, 503])
async def test_a_background_views_response_is_its_result(content: str, status: int) -> None:
    async with serving() as url, TasksClient(url) as client:
        headers = {"Location": "/elsewhere"} if status == 303 else {}

        @apps[0].post("/text")
        @tasks.background
        async def text_view() -> Response:
            return Response(content, status, headers, content_type="text/plain; charset=utf-8")

        @apps[0].post("/json")
        @tasks.background
        async def json_view() -> Response:
            return Response(content, status, headers, content_type="application/json")

        for path in ("/text", "/json"):
            answer = await client._transport.session.post(f"{url}{path}")
            handle = await client.get((await answer.json())["id"])
            if path == "/text":
                assert await handle == Blob(content.encode(), "text/plain")
            elif content in ("", "no JSON"):
                with pytest.raises(ValueError, match=r"JSON|truncated"):
                    await handle
            else:
                assert await handle == json.loads(content)


async def test_a_handle_is_awaited_again_and_by_many(client: TasksClient) -> None:
    handle = await client.submit("gated", "a")
    waiting = [asyncio.create_task(handle.result()) for _ in range(5)]
    other = await client.get(handle.id)
    waiting.append(asyncio.create_task(other.result()))
    await asyncio.sleep(0)
    open_gate("a")
    assert await asyncio.gather(*waiting) == ["a"] * 6
    assert await handle == "a"


async def test_a_failure_tells_what_was_raised(client: TasksClient) -> None:
    handle = await client.submit("fails", "because")
    with pytest.raises(TaskFailed, match="because") as failed:
        await handle
    assert failed.value.type == "LookupError"
    assert failed.value.message == "because"
    assert "in fails" in (failed.value.traceback or "")
    assert handle.done()
    assert handle.state == "failed"


async def test_kinds_of_failure(client: TasksClient) -> None:
    with pytest.raises(TaskTimeout):
        await (await client.submit("too_slow"))
    handle = await client.with_options(delay=60, expires=0.01).submit("add", 1)
    with pytest.raises(TaskExpired):
        await handle


async def test_a_wait_that_ends_leaves_the_task(client: TasksClient) -> None:
    handle = await client.submit("gated", "a")
    with pytest.raises(TimeoutError):
        await handle.result(timeout=0.05)
    waiting = asyncio.create_task(handle.result())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    open_gate("a")
    assert await handle.result(HANG) == "a"


async def test_unknown_names_and_misfits(client: TasksClient) -> None:
    with pytest.raises(UnknownTask, match="nothing"):
        await client.submit("nothing")
    with pytest.raises(InvalidArguments) as misfit:
        await client.submit("add", "one", second="two")
    assert [pointer for pointer, _ in misfit.value.errors] == ["#/args/0", "#/kwargs/second"]


@pytest.mark.parametrize("value", [math.nan, object(), "\ud800", {1, math.inf}])
async def test_what_json_cannot_carry_is_refused_here(client: TasksClient, value: Any) -> None:
    with pytest.raises(InvalidArguments, match="'echo' are not JSON"):
        await client.submit("echo", value)


async def test_options(client: TasksClient) -> None:
    later = client.with_options(priority=3, delay=600)
    record = (await later.with_options(key="k").submit("add", 1)).record
    assert (record.priority, record.key, record.state) == (3, "k", "scheduled")
    eta = datetime.now(UTC) + timedelta(hours=1)
    record = (await later.with_options(eta=eta).submit("add", 1)).record
    assert record.scheduled_for == eta.isoformat(timespec="microseconds").replace("+00:00", "Z")
    record = (await client.with_options(retries=1).submit("with_limits", 1)).record
    assert record.max_attempts == 2
    with pytest.raises(InvalidArguments, match="only lower"):
        await client.with_options(timeout=61).submit("with_limits", 1)
    with pytest.raises(InvalidArguments, match="either"):
        client.with_options(delay=1, eta=eta)
    with pytest.raises(InvalidArguments, match="offset"):
        client.with_options(eta=datetime(2026, 1, 1))


async def test_a_key_gives_the_unfinished_task(client: TasksClient) -> None:
    keyed = client.with_options(key="only", delay=600)
    first, second = await keyed.submit("add", 1), await keyed.submit("add", 2)
    assert first.id == second.id
    assert (await client.submit("add", 1)).id != (await client.submit("add", 1)).id


async def test_many_are_accepted_together_or_not_at_all(client: TasksClient) -> None:
    handles = await client.submit_many("add", [[1], [2, 2], (3,)])
    assert await asyncio.gather(*handles) == [2, 4, 4]
    with pytest.raises(InvalidArguments) as misfit:
        await client.submit_many("add", [[1], ["x"], []])
    assert [pointer for pointer, _ in misfit.value.errors] == [
        "#/tasks/1/args/0",
        "#/tasks/2/kwargs/first",
    ]
    assert len(await client.list()) == 3
    assert await client.submit_many("add", []) == []


# -- handles -------------------------------------------------------------------------------


async def test_a_handle_knows_its_record(client: TasksClient) -> None:
    handle = await client.submit("gated", "a")
    assert handle.record.name == "gated"
    assert handle.record.args == ["a"]
    assert handle.id in repr(handle)
    assert not handle.done()
    waiting = asyncio.create_task(handle.result())
    while handle.progress is None:  # noqa: ASYNC110 - it comes to the handle by itself
        await asyncio.sleep(0.01)
    assert handle.progress == Progress(1, 2, "at the gate")
    assert handle.state == "running"
    open_gate("a")
    await waiting
    assert handle.state == "succeeded"
    assert handle.record.finished_at


async def test_refresh_asks_for_all_of_it(client: TasksClient) -> None:
    handle = await client.submit("counts", 3)
    await handle
    detail: Any = await handle.refresh()
    assert [line.message for line in detail.logs] == ["at 0", "at 1", "at 2"]
    assert detail.attempts[0].worker
    assert handle.record is detail


async def test_cancel(client: TasksClient) -> None:
    handle = await client.submit("gated", "never")
    await handle.cancel()
    with pytest.raises(TaskCancelled):
        await handle
    await handle.cancel()  # again: nothing happens
    other = await client.with_options(delay=600).submit("add", 1)
    await client.cancel(other.id)
    with pytest.raises(TaskCancelled):
        await other


async def test_retry(client: TasksClient) -> None:
    handle = await client.submit("gated", "a")
    with pytest.raises(Conflict):
        await handle.retry()
    open_gate("a")
    await handle
    again = await handle.retry()
    assert again.record.retry_of == handle.id
    assert await again == "a"


async def test_what_is_not_there(client: TasksClient) -> None:
    with pytest.raises(TaskNotFound):
        await client.get("0" * 36)
    with pytest.raises(TaskNotFound):
        await client.get("../types?x=/")
    with pytest.raises(TaskNotFound):
        await client.cancel("nothing")


async def test_a_task_that_was_deleted_ends_its_wait(client: TasksClient) -> None:
    handle = await client.submit("gated", "a")
    stale = await client.get(handle.id)
    open_gate("a")
    await handle
    await client._transport.ask("DELETE", f"/{handle.id}")
    with pytest.raises(TaskNotFound):
        await stale
    with pytest.raises(TaskNotFound):
        await stale.refresh()


async def test_wait_in_a_thread_and_not_on_the_loop(client: TasksClient) -> None:
    handle = await client.submit("add", 1)
    assert await asyncio.to_thread(handle.wait, HANG) == 2
    with pytest.raises(RuntimeError, match="block the event loop"):
        handle.wait()


# -- asking --------------------------------------------------------------------------------


async def test_list(client: TasksClient) -> None:
    handles = await client.submit_many("add", [[number] for number in range(1000)])
    await client.submit("echo", "x")
    everything = await client.list(limit=2000)
    assert len(everything) == 1001
    assert everything[0].name == "echo"
    adds = await client.list(name="add", limit=700)
    assert [record.id for record in adds] == [handle.id for handle in reversed(handles)][:700]
    assert [record.id for record in await client.list(before=handles[1].id)] == [handles[0].id]
    assert len(await client.list()) == 50
    assert await client.list(state="failed") == []
    assert [record.id for record in await client.list(q=handles[0].id)] == [handles[0].id]
    with pytest.raises(InvalidArguments):
        await client.list(state="odd")  # type: ignore[arg-type]


async def test_types_and_stats(client: TasksClient) -> None:
    types = {each["name"]: each for each in await client.types()}
    assert types["add"]["parameters"]["required"] == ["first"]
    await (await client.submit("add", 1))
    assert (await client.stats())["states"]["succeeded"] == 1


# -- events --------------------------------------------------------------------------------


def outputs(events: list[TaskEvent]) -> list[Any]:
    return [event.data["value"] for event in events if event.type == "output"]


async def test_events_of_a_task(client: TasksClient) -> None:
    handle = await client.submit("counts", 3)
    events = [event async for event in handle.events()]
    assert events[0].type == "snapshot"
    assert outputs(events) == [0, 1, 2]
    assert [event.data["message"] for event in events if event.type == "log"][-1] == "at 2"
    assert events[-1].data["state"] == "succeeded"
    assert handle.state == "succeeded"
    position = next(n for n, event in enumerate(events) if event.type == "output")
    rest = [event async for event in handle.events(events[position].cursor)]
    assert rest == events[position + 1 :]
    assert [event async for event in handle.events(events[-1].cursor)] == []


async def test_events_of_what_is_not_there(client: TasksClient) -> None:
    handle = await client.submit("add", 1)
    await handle
    await client._transport.ask("DELETE", f"/{handle.id}")
    with pytest.raises(TaskNotFound):
        [event async for event in handle.events()]


async def test_events_of_all_tasks(client: TasksClient) -> None:
    def ends(event: TaskEvent) -> bool:
        return event.type == "state" and event.data["state"] == "succeeded"

    stream = client.events(names=["add"])
    assert (await anext(stream)).type == "snapshot"
    await (await client.submit("echo", 1))
    handle = await client.submit("add", 1)
    first = await anext(event async for event in stream if ends(event))
    assert first.task_id == handle.id
    again = client.events(after=first.cursor)
    other = await client.submit("echo", 2)
    assert (await anext(event async for event in again if ends(event))).task_id == other.id


# -- map -----------------------------------------------------------------------------------


async def test_map_gives_results_in_order(client: TasksClient) -> None:
    assert [value async for value in client.map("echo", range(333))] == list(range(333))
    assert [value async for value in client.map("echo", [])] == []
    values = client.with_options(priority=2).map("echo", "abc")
    assert [value async for value in values] == ["a", "b", "c"]
    assert {record.priority for record in await client.list(limit=3)} == {2}


async def test_map_takes_asynchronous_items_as_they_come(client: TasksClient) -> None:
    async def items() -> AsyncIterator[str]:
        yield "a"
        handle = (await client.list(name="echo"))[0]
        yield handle.args[0] + "b"

    assert [value async for value in client.map("echo", items())] == ["a", "ab"]


async def test_map_is_bounded(client: TasksClient) -> None:
    asked = []

    def items() -> Iterator[str]:
        for number in range(300):
            asked.append(number)
            yield "a"

    values = client.map("gated", items())
    first = asyncio.ensure_future(anext(values))
    while running[0] < len(asked) or running[0] < 75:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert not first.done()
    open_gate("a")
    await first
    assert [value async for value in values] == ["a"] * 299
    assert 75 <= running[1] <= 100


async def test_map_ends_with_the_first_failure_and_cancels_the_rest(client: TasksClient) -> None:
    values = client.map("waits_or_fails", range(60))
    assert await anext(values) == 0
    with pytest.raises(TaskFailed, match="1"):
        await anext(values)
    await tasks.join(HANG)
    assert len(await client.list(name="waits_or_fails", state="cancelled", limit=100)) == 58


async def test_leaving_map_cancels_what_is_in_flight(client: TasksClient) -> None:
    open_gate("open")
    values = client.map("gated", ["open", *["never"] * 30])
    assert await anext(values) == "open"
    await values.aclose()
    await tasks.join(HANG)
    assert len(await client.list(state="cancelled", limit=100)) == 30


async def test_map_with_items_that_do_not_fit_one_message(client: TasksClient) -> None:
    items = ["x" * 100_000 + str(number) for number in range(30)]
    assert [value async for value in client.map("echo", items)] == items
    with pytest.raises(InvalidArguments, match="Expected `int`, got `str`"):
        [value async for value in client.map("add", ["one"])]
    with pytest.raises(InvalidArguments, match="'nothing'"):
        [value async for value in client.map("nothing", [1])]


async def test_map_to_a_server_that_takes_small_messages_only() -> None:
    async with serving(TASKS_MAX_BODY_SIZE=3000) as url, TasksClient(url) as client:
        items = ["x" * 1000 + str(number) for number in range(10)]
        assert [value async for value in client.map("echo", items)] == items
        with pytest.raises(Refused, match="TASKS_MAX_BODY_SIZE") as refused:
            [value async for value in client.map("echo", ["x", "x" * 3000])]
        assert refused.value.status == 413
        with pytest.raises(Refused, match="TASKS_MAX_BODY_SIZE"):
            await client.submit("echo", "x" * 3000)


async def test_map_with_a_key_is_one_task(client: TasksClient) -> None:
    values = client.with_options(key="k", delay=0.1).map("echo", ["a", "b", "c"])
    assert [value async for value in values] == ["a"] * 3
    assert len(await client.list()) == 1


async def test_maps_at_once(client: TasksClient) -> None:
    async def total(name: str, count: int) -> int:
        return sum([value async for value in client.map(name, range(count))])

    totals = await asyncio.gather(total("echo", 150), total("add", 150), total("echo", 75))
    assert totals == [11175, 11325, 2775]


# -- the server that says no ---------------------------------------------------------------


async def test_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(TASKS_TOKEN="secret", TASKS_URL_PREFIX="/a/b") as url:
        async with TasksClient(f"{url}/", prefix="/a/b/", token="secret") as client:
            handle = await client.submit("add", 1)
            assert await handle == 2
            assert [event.type async for event in handle.events()][-1] == "state"
            assert [value async for value in client.map("echo", [1])] == [1]
        async with TasksClient(url, prefix="/a/b") as client:
            with pytest.raises(Refused, match="TASKS_TOKEN") as refused:
                await client.submit("add", 1)
            assert refused.value.status == 401
            other = TaskHandle(client._transport, client._watcher, handle.record)
            with pytest.raises(Refused, match="TASKS_TOKEN"):
                [event async for event in other.events()]
            with pytest.raises(Refused, match="TASKS_TOKEN"):
                [value async for value in client.map("echo", [1])]


async def test_a_url_of_something_else(url: str) -> None:
    async with TasksClient(url, prefix="/elsewhere") as client:
        with pytest.raises(Refused, match="404 and not of quart_tasks") as refused:
            await client.submit("add", 1)
        assert refused.value.status == 404


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://x", "http://", "/tasks"])
@pytest.mark.parametrize("kind", [TasksClient, blocking.TasksClient])
def test_what_is_no_url(url: str, kind: Any) -> None:
    with pytest.raises(ValueError, match="no server's root"):
        kind(url)


async def test_no_server(proxy: Proxy) -> None:
    proxy.refuses = True
    async with TasksClient(proxy.url, patience=0.1) as client:
        with pytest.raises(Unreachable, match=f"{proxy.url} cannot be reached"):
            await client.submit("add", 1)
        with pytest.raises(Unreachable):
            [event async for event in client.events()]
        with pytest.raises(Unreachable):
            [value async for value in client.map("echo", [1])]
    async with TasksClient("http://127.0.0.1:1", patience=0) as client:
        with pytest.raises(ConnectionError, match="refused"):
            await client.stats()


async def test_a_full_queue_is_waited_for() -> None:
    async with serving(TASKS_MAX_PENDING=1, TASKS_ASYNC_CONCURRENCY=1) as url:
        gates.clear()
        async with TasksClient(url) as client, TasksClient(url, patience=0) as hasty:
            first = await client.submit("gated", "a")
            await until_running(first)
            second = await client.submit("gated", "b")
            with pytest.raises(QueueFull) as full:
                await hasty.submit("add", 1)
            assert full.value.retry_after >= 1
            with pytest.raises(QueueFull):
                [value async for value in hasty.map("echo", [1])]
            third = asyncio.create_task(client.submit("add", 1))
            mapped = asyncio.create_task(anext(client.map("echo", [5])))
            open_gate("a")
            open_gate("b")
            assert await asyncio.gather(first, second) == ["a", "b"]
            assert await (await third) == 2
            assert await mapped == 5


async def test_a_server_that_ends_is_waited_for_and_then_given_up() -> None:
    gates.clear()
    async with serving(TASKS_DRAIN_TIMEOUT=HANG) as url, TasksClient(url, patience=0.1) as client:
        handle = await client.submit("gated", "a")
        waiting = asyncio.create_task(handle.result())
        await until_running(handle)
        leaving = asyncio.create_task(tasks.drain(apps[0]))
        await asyncio.sleep(0)
        with pytest.raises((Draining, Unreachable)):
            await client.submit("add", 1)
        with pytest.raises((Draining, Unreachable)):
            await waiting
        open_gate("a")
        await leaving


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        ("", 0),
        ("soon", 0),
        ("-1", 0),
        ("Fri, 21 Nov 2025 08:00:00 GMT", 0),
        ("9" * 50, 999_999_999),
    ],
)
def test_what_retry_after_may_say(text: str, seconds: float) -> None:
    assert retry_after({"Retry-After": text}) == seconds
    assert retry_after({}) == 0
    later = datetime.now(UTC) + timedelta(hours=1)
    assert 3500 < retry_after({"Retry-After": format_datetime(later, usegmt=True)}) <= 3600


async def test_who_waits_when_the_client_is_closed(url: str) -> None:
    client = TasksClient(url)
    handle = await client.submit("gated", "never")
    waiting = asyncio.create_task(handle.result())
    await until_running(handle)
    await client.close()
    with pytest.raises(Unreachable, match="closed"):
        await waiting


# -- connections that break ----------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 3])
async def test_a_lost_answer_makes_no_second_task(proxy: Proxy, times: int) -> None:
    async with TasksClient(proxy.url) as client:
        proxy.lost_answers = times
        handle = await client.submit("add", 1)
        assert proxy.lost_answers == 0
        assert [record.id for record in await client.list()] == [handle.id]
        proxy.lost_answers = times
        handles = await client.submit_many("add", [[1], [2]])
        assert len(await client.list()) == 3
        assert await asyncio.gather(*handles) == [2, 3]


async def test_a_retry_whose_answer_is_lost_is_not_made_again(proxy: Proxy) -> None:
    async with TasksClient(proxy.url) as client:
        handle = await client.submit("add", 1)
        assert [event async for event in handle.events()]
        proxy.lost_answers = 1
        with pytest.raises(Unreachable):
            await handle.retry()
        assert len(await client.list()) == 2


async def test_a_wait_goes_on_after_a_cut(proxy: Proxy) -> None:
    async with TasksClient(proxy.url) as client:
        handles = [await client.submit("gated", "a") for _ in range(10)]
        waiting = [asyncio.create_task(handle.result()) for handle in handles]
        for _ in range(3):
            await until_running(handles[-1])
            proxy.cut()
        proxy.refuses = True
        proxy.cut()
        open_gate("a")
        await tasks.join(HANG)  # they end while nobody is told
        proxy.refuses = False
        assert await asyncio.gather(*waiting) == ["a"] * 10


async def test_events_go_on_after_a_cut_without_a_gap(proxy: Proxy) -> None:
    async with TasksClient(proxy.url) as client:
        handle = await client.submit("counts", 40, gate="half")
        seen = []
        async for event in handle.events():
            seen.append(event)
            if event.type == "output" and event.data["value"] in (5, 19):
                proxy.cut()
            if event.type == "output" and event.data["value"] == 19:
                open_gate("half")
        assert outputs(seen) == list(range(40))
        lines = [event.data["message"] for event in seen if event.type == "log"]
        assert lines == [f"at {number}" for number in range(40)]
        assert seen[-1].data["state"] == "succeeded"
        cursors = [int(event.cursor.rpartition("-")[2]) for event in seen]
        assert cursors == sorted(cursors)


async def test_handles_share_one_socket(proxy: Proxy) -> None:
    async with TasksClient(proxy.url) as client:
        handles = await client.submit_many("gated", [["a"]] * 200)
        waiting = [asyncio.create_task(handle.result()) for handle in handles]
        streams = [asyncio.create_task(kinds_of(handle)) for handle in handles]
        await asyncio.gather(*map(until_running, handles))
        assert (await client.stats())["streams"] == 1
        open_gate("a")
        assert await asyncio.gather(*waiting) == ["a"] * 200
        for kinds in await asyncio.gather(*streams):
            assert kinds[0] == "snapshot"
            assert kinds[-1] == "succeeded"
        assert proxy.connections <= 2  # the socket, and one for requests


async def test_very_many_handles_are_watched_as_all(
    client: TasksClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MOST_IDS", 3)
    handles = await client.submit_many("gated", [["a"]] * 10)
    waiting = [asyncio.create_task(handle.result()) for handle in handles]
    await until_running(handles[-1])
    late = asyncio.create_task((await client.submit("gated", "b")).result())
    open_gate("a")
    open_gate("b")
    assert await asyncio.gather(*waiting, late) == ["a"] * 10 + ["b"]


# -- proxies that let less through ---------------------------------------------------------


async def test_without_websockets_there_are_sse_and_polling(proxy: Proxy) -> None:
    proxy.blocks = WEBSOCKET
    async with TasksClient(proxy.url) as client:
        handle = await client.submit("counts", 40, gate="half")
        waiting = asyncio.create_task(handle.result())
        seen = []
        async for event in handle.events():
            seen.append(event)
            if event.type == "output" and event.data["value"] in (5, 19):
                proxy.cut()
                open_gate("half")
        assert outputs(seen) == list(range(40))
        assert await waiting == list(range(40))
        assert [event async for event in handle.events(seen[-1].cursor)] == []
        assert [value async for value in client.map("add", range(60))] == list(range(1, 61))
        stream = client.events()
        assert (await anext(stream)).type == "snapshot"
        await stream.aclose()
        assert 1 <= proxy.refused <= 2


@pytest.mark.parametrize("swallows", [False, True])
async def test_where_streams_are_held_back_events_are_polled(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, swallows: bool
) -> None:
    monkeypatch.setattr(transport, "FIRST_SECONDS", 0.1)
    proxy.blocks = None if swallows else WEBSOCKET
    proxy.holds = [EVENT_STREAM, *([WEBSOCKET] if swallows else [])]
    async with TasksClient(proxy.url) as client:
        handle = await client.submit("gated", "a")
        kinds = []
        async for event in handle.events():
            kinds.append(event.data["state"] if event.type == "state" else event.type)
            open_gate("a")
        assert (kinds[0], kinds[-1]) == ("snapshot", "succeeded")
        logging_task = await client.submit("counts", 3)
        events = [event async for event in logging_task.events()]
        lines = [event.data["message"] for event in events if event.type == "log"]
        assert lines == ["at 0", "at 1", "at 2"]
        with pytest.raises(Unreachable, match="no stream"):
            [event async for event in client.events()]
        # One that is held back may be chance.
        assert (proxy.refused, proxy.held) == ((0, 4) if swallows else (1, 2))


# -- blocking calls ------------------------------------------------------------------------


@pytest.fixture
def calls(url: str) -> Iterator[blocking.TasksClient]:
    client = blocking.TasksClient(url)
    yield client
    closing = threading.Thread(target=client.close)
    closing.start()
    closing.join()


async def test_blocking_calls(calls: blocking.TasksClient) -> None:
    def script() -> None:
        handle = calls.submit("add", 1, second=2)
        assert handle.result() == handle.wait(HANG) == 3
        assert (handle.done(), handle.state, handle.record.result) == (True, "succeeded", 3)
        assert calls.get(handle.id).result() == 3
        assert handle.retry().result(HANG) == 3
        assert handle.id in repr(handle)
        assert [each.result() for each in calls.submit_many("add", [[1], [2]])] == [2, 3]
        with pytest.raises(TaskFailed, match="because"):
            calls.submit("fails", "because").result()
        with pytest.raises(InvalidArguments):
            calls.submit("add", "x")
        with pytest.raises(TaskNotFound):
            calls.get("nothing")
        waits = calls.with_options(priority=2).submit("gated", "never")
        assert waits.record.priority == 2
        with pytest.raises(TimeoutError):
            waits.result(0.05)
        waits.cancel()
        with pytest.raises(TaskCancelled):
            waits.result()
        calls.cancel(waits.id)
        counting = calls.submit("counts", 3)
        events = list(counting.events())
        assert outputs(events) == [0, 1, 2]
        assert counting.refresh().state == "succeeded"
        assert counting.progress is None
        assert calls.list(name="add", limit=1)[0].name == "add"
        assert "add" in {each["name"] for each in calls.types()}
        assert calls.stats()["states"]["failed"] == 1
        stream = calls.events(ids=[counting.id], after=events[-2].cursor)
        assert next(stream).type == "state"
        stream.close()

    await asyncio.to_thread(script)


async def test_blocking_map_iterates_in_the_thread_of_the_caller(
    calls: blocking.TasksClient,
) -> None:
    threads = set()

    def items() -> Iterator[int]:
        for number in range(130):
            threads.add(threading.current_thread())
            yield number

    def script() -> list[int]:
        threads.add(threading.current_thread())
        return list(calls.map("add", items()))

    assert await asyncio.to_thread(script) == list(range(1, 131))
    assert len(threads) == 1

    def leave() -> None:
        values = calls.map("gated", ["open", *["never"] * 5])
        assert next(values) == "open"
        values.close()

    open_gate("open")
    await asyncio.to_thread(leave)
    await tasks.join(HANG)
    assert len(await asyncio.to_thread(calls.list, state="cancelled")) == 5


async def test_blocking_calls_of_many_threads_at_once(calls: blocking.TasksClient) -> None:
    def script(number: int) -> int:
        return sum(int(calls.submit("add", number).result()) for _ in range(5))

    threads = [asyncio.to_thread(script, number) for number in range(30)]
    assert await asyncio.gather(*threads) == [5 * (number + 1) for number in range(30)]


async def test_blocking_calls_are_refused_on_an_event_loop(calls: blocking.TasksClient) -> None:
    with pytest.raises(RuntimeError, match=r"use quart_tasks\.client"):
        calls.submit("add", 1)


async def test_a_flask_view_submits_and_polls(calls: blocking.TasksClient) -> None:
    from flask import Flask

    app = Flask("old")

    @app.post("/jobs/<int:number>")
    def create(number: int) -> tuple[dict[str, str], int]:
        return {"id": calls.submit("add", number).id}, 202

    @app.get("/jobs/<id>")
    def show(id: str) -> dict[str, Any]:
        handle = calls.get(id)
        return {"result": handle.result(), "state": handle.state}

    def browse() -> Any:
        client = app.test_client()
        id = client.post("/jobs/3").get_json()["id"]
        return client.get(f"/jobs/{id}").get_json()

    assert await asyncio.to_thread(browse) == {"result": 4, "state": "succeeded"}


async def test_a_closed_client_may_be_used_again(calls: blocking.TasksClient) -> None:
    def script() -> None:
        with calls:
            assert calls.submit("add", 1).result() == 2
        assert calls.submit("add", 2).result() == 3

    await asyncio.to_thread(script)


async def test_who_waits_in_a_thread_when_the_client_is_closed(
    calls: blocking.TasksClient, proxy: Proxy
) -> None:
    handle = await asyncio.to_thread(calls.submit, "gated", "never")
    waiting = asyncio.create_task(asyncio.to_thread(handle.result))
    await asyncio.to_thread(lambda: next(iter(handle.events())))
    proxy.refuses = True
    elsewhere = blocking.TasksClient(proxy.url)
    submitting = asyncio.create_task(asyncio.to_thread(elsewhere.submit, "add", 1))
    while not proxy.connections:  # noqa: ASYNC110 - it tries, again and again
        await asyncio.sleep(0.01)
    for client, wait in ((calls, waiting), (elsewhere, submitting)):
        await asyncio.to_thread(client.close)
        with pytest.raises(Unreachable, match="closed"):
            await wait


async def test_handles_keep_their_client(url: str) -> None:
    def script() -> None:
        assert blocking.TasksClient(url).submit("add", 1).result() == 2
        kinds = [event.type for event in blocking.TasksClient(url).submit("counts", 1).events()]
        assert kinds[-1] == "state"

    await asyncio.to_thread(script)


async def test_a_client_that_is_thrown_away_ends_its_thread(url: str) -> None:
    client: blocking.TasksClient | None = blocking.TasksClient(url)
    assert client is not None
    assert await asyncio.to_thread(client.stats)
    thread = next(each for each in threading.enumerate() if each.name == "quart-tasks-client")
    client = None
    gc.collect()
    thread.join(HANG)
    assert not thread.is_alive()


# -- processes -----------------------------------------------------------------------------


async def run(script: str, *arguments: str) -> str:
    """What a script prints, in a process of its own that warns of nothing."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", script, *arguments,
        cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert errors == b""
    return output.decode()


async def test_the_client_imports_nothing_of_a_server() -> None:
    script = """
import sys
import quart_tasks.client, quart_tasks.client.sync
servers = {"quart", "hypercorn", "werkzeug", "flask", "click", "a2wsgi"}
print(sorted(servers & set(sys.modules)))
"""
    assert await run(script) == "[]\n"


async def test_a_script_that_closes_nothing_ends_quietly(url: str) -> None:
    script = """
import sys
from quart_tasks.client.sync import TasksClient
client = TasksClient(sys.argv[1])
print(client.submit("add", 1).result(), next(client.submit("counts", 3).events()).type)
"""
    assert await run(script, url) == "2 snapshot\n"


async def test_a_client_made_before_a_fork_works_after_it(url: str) -> None:
    script = """
import os, sys, warnings
from quart_tasks.client.sync import TasksClient
warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside a thread
client = TasksClient(sys.argv[1])
print(client.submit("add", 1).result(), flush=True)
child = os.fork()
print(client.submit("add", 2).result(), flush=True)
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    assert sorted(await run(script, url)) == sorted("2\n3\n3\n")
