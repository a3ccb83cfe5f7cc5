"""The HTTP client with blocking calls, and what a process is left with that imports it."""

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from inspect import getmembers, signature
from pathlib import Path
from typing import Any

import pytest

from quart_tasks import (
    InvalidArguments,
    TaskCancelled,
    TaskFailed,
    TaskNotFound,
)
from quart_tasks.client import TaskHandle, TasksClient, Unreachable
from quart_tasks.client import sync as blocking
from quart_tasks.client.tasks import Submitter

from .client_tasks import (  # noqa: F401 - fixtures are used by name
    HANG,
    open_gate,
    outputs,
    proxy_fixture,
    tasks,
    url_fixture,
)
from .proxy import Proxy

# -- blocking calls ------------------------------------------------------------------------


@pytest.fixture
async def calls(url: str) -> AsyncIterator[blocking.TasksClient]:
    client = blocking.TasksClient(url)
    yield client
    await asyncio.to_thread(client.close)  # while the server, in this loop, can answer the close


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


async def test_a_flask_view_submits_and_polls(calls: blocking.TasksClient, url: str) -> None:
    from flask import Flask

    app = Flask("old")

    @app.post("/jobs/<int:number>")
    def create(number: int) -> Any:
        return calls.submit("add", number).accepted()

    @app.get("/jobs/<id>")
    def show(id: str) -> dict[str, Any]:
        handle = calls.get(id)
        return {"result": handle.result(), "state": handle.state}

    def browse() -> tuple[Any, Any]:
        client = app.test_client()
        answer = client.post("/jobs/3")
        return answer, client.get(f"/jobs/{answer.get_json()['id']}").get_json()

    answer, shown = await asyncio.to_thread(browse)
    assert answer.status_code == 202
    assert answer.content_type == "application/json"
    assert answer.headers["Location"] == f"{url}/tasks/{answer.get_json()['id']}"
    assert answer.headers["Retry-After"] == "1"
    assert answer.get_json()["args"] == [3]
    assert shown == {"result": 4, "state": "succeeded"}


@pytest.mark.parametrize(
    ("ours", "twin"),
    [
        (TaskHandle, blocking.TaskHandle),
        (TasksClient, blocking.TasksClient),
        (Submitter, blocking.Submitter),
    ],
)
def test_the_twin_has_every_method_with_the_same_arguments(ours: type, twin: type) -> None:
    def shapes(kind: type) -> dict[str, Any]:
        return {
            name: [*signature(value).parameters.values()] if callable(value) else "property"
            for name, value in getmembers(kind)
            if not name.startswith("_") and name not in ("take", "take_progress")
        }

    def plain(shape: Any) -> Any:
        """Arguments by name, kind and default; an iterable may be asynchronous for ours."""
        return shape if isinstance(shape, str) else [(p.name, p.kind, p.default) for p in shape]

    assert {name: plain(shape) for name, shape in shapes(ours).items()} == {
        name: plain(shape) for name, shape in shapes(twin).items()
    }
    constructed = [plain([*signature(each).parameters.values()]) for each in (ours, twin)]
    assert ours is not TasksClient or constructed[0] == constructed[1]


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
    await proxy.reaches(1)
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
    others = set(threading.enumerate())
    client: blocking.TasksClient | None = blocking.TasksClient(url)
    assert client is not None
    assert await asyncio.to_thread(client.stats)
    new = set(threading.enumerate()) - others
    [thread] = [each for each in new if each.name == "quart-tasks-client"]
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
servers = {"quart", "hypercorn", "werkzeug", "flask", "click", "a2wsgi", "sqlite3"}
print(sorted(servers & set(sys.modules)))
print(*sorted(name for name in sys.modules if name.startswith("quart_tasks.")))
"""
    servers, ours = (await run(script)).splitlines()
    assert servers == "[]"
    shared = {"encoding", "events", "exceptions", "ids", "record", "retry"}
    modules = {name.split(".")[1] for name in ours.split()}
    assert modules == {"client", *shared}


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
