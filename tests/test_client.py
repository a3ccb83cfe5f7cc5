"""The HTTP client: submitting, waiting, asking, and a server that says no."""

import asyncio
import json
import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from quart import Quart, Response

from quart_tasks import (
    Blob,
    Conflict,
    Draining,
    InvalidArguments,
    Progress,
    QueueFull,
    TaskCancelled,
    TaskExpired,
    TaskFailed,
    TaskNotFound,
    TaskTimeout,
    UnknownTask,
)
from quart_tasks.client import Refused, TaskHandle, TasksClient, Unreachable
from quart_tasks.client import sync as blocking
from quart_tasks.client.messages import retry_after

from .client_tasks import (  # noqa: F401 - fixtures are used by name
    HANG,
    apps,
    client_fixture,
    gates,
    open_gate,
    proxy_fixture,
    running,
    serving,
    tasks,
    until_running,
    url_fixture,
)
from .proxy import Proxy

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
    await asyncio.sleep(0)
    await until_running(await client.get(handle.id))
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


async def test_a_name_that_is_not_found() -> None:
    async with TasksClient("http://nosuch.invalid", patience=0) as client:
        with pytest.raises(Unreachable) as unreachable:
            await client.stats()
    assert "Unknown error" not in str(unreachable.value)


async def test_pauses_are_told_of_with_their_reason(proxy: Proxy) -> None:
    told: list[Exception] = []

    def on_pause(error: Exception) -> None:
        told.append(error)
        if len(told) == 3:
            proxy.refuses = False

    proxy.refuses = True
    async with TasksClient(proxy.url, on_pause=on_pause) as client:
        assert await (await client.submit("add", 1)) == 2
    assert {type(each) for each in told} == {Unreachable}
    assert len(told) == 3


async def test_a_view_answers_with_a_task_of_another_server(client: TasksClient) -> None:
    app = Quart("front")

    @app.post("/jobs")
    async def create() -> Any:
        return (await client.submit("add", 1)).accepted()

    response = await app.test_client().post("/jobs")
    record = await response.get_json()
    assert (response.status_code, response.content_type) == (202, "application/json")
    assert await (await client.get(record["id"])) == 2
    async with client._transport.session.get(response.headers["Location"]) as answer:
        assert (await answer.json())["id"] == record["id"]


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
    later = datetime.now(UTC) + timedelta(hours=24)
    assert 80_000 < retry_after({"Retry-After": format_datetime(later, usegmt=True)}) <= 86_400


async def test_who_waits_when_the_client_is_closed(url: str) -> None:
    client = TasksClient(url)
    handle = await client.submit("gated", "never")
    waiting = asyncio.create_task(handle.result())
    await until_running(handle)
    await client.close()
    with pytest.raises(Unreachable, match="closed"):
        await waiting
