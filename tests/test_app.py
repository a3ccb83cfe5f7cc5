"""Declaring tasks, and the extension's place in the life of one app or several."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from quart import Quart, current_app

from quart_tasks import (
    Draining,
    Interrupted,
    InvalidConfig,
    InvalidDefinition,
    NotStarted,
    QuartTasks,
    QuartTasksError,
    TaskFailed,
    TaskNotFound,
    current_task,
    progress,
)

from .sample_tasks import make_app
from .sample_tasks import tasks as samples
from .waiting import Gate, all_events, until_progress, until_state

# -- declaring -----------------------------------------------------------------------------


async def test_decorated_function_is_still_itself() -> None:
    tasks = QuartTasks()

    @tasks.task
    async def fetch(url: str, tries: int = 1) -> str:
        """Fetch it."""
        assert current_task() is None
        return url * tries

    @tasks.task(executor="thread", retries=3)
    def load(url: str) -> str:
        return url

    @tasks.task
    def numbers() -> Iterator[int]:
        yield 1

    assert await fetch("a", tries=2) == "aa"
    assert load("b") == "b"
    assert list(numbers()) == [1]
    assert (fetch.__doc__, fetch.__module__) == ("Fetch it.", __name__)
    assert list(inspect.signature(fetch).parameters) == ["url", "tries"]


async def test_executor_follows_from_the_kind_of_function() -> None:
    tasks = QuartTasks()

    @tasks.task
    async def coroutine() -> None: ...

    @tasks.task
    def function() -> None: ...

    async with make_app(tasks).test_app():
        assert (await coroutine.submit()).record.executor == "async"
        assert (await function.submit()).record.executor == "thread"
        await tasks.join()


def closure() -> Callable[[], int]:
    value = 1

    def inside() -> int:
        return value

    return inside


async def coroutine() -> None: ...


def function() -> None: ...


class Class:
    def method(self) -> None: ...


@pytest.mark.parametrize(
    ("options", "function", "says"),
    [
        ({"executor": "process"}, closure(), "closure"),
        ({"executor": "process", "name": "x"}, lambda: 1, "lambda"),
        ({"executor": "process"}, Class().method, "method"),
        ({"executor": "process"}, Class.method, "method"),
        ({"executor": "process"}, coroutine, "async def"),
        ({"executor": "thread"}, coroutine, "async def"),
        ({"executor": "async"}, function, "executor"),
        ({"executor": "celery"}, function, "celery"),
        ({"concurrency": 0}, function, "concurrency"),
        ({"timeout": 0}, function, "timeout"),
        ({"timeout": -1}, function, "timeout"),
        ({"retries": -1}, function, "retries"),
        ({"retries": "often"}, function, "often|retries"),
        ({"priority": 0.5}, function, "priority|int"),
        ({"name": "n" * 256}, function, "name"),
        ({}, 5, "5"),
    ],
)
def test_what_cannot_be_a_task_is_refused_at_decoration(
    options: dict[str, Any], function: Any, says: str
) -> None:
    tasks = QuartTasks()
    with pytest.raises(InvalidDefinition, match=says):
        tasks.task(**options)(function)


def test_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="time_out"):
        QuartTasks().task(time_out=3)(function)  # type: ignore[call-overload]


def test_name_of_another_function_is_refused() -> None:
    tasks = QuartTasks()
    tasks.task(function)
    tasks.task(function)  # a module that is loaded again
    with pytest.raises(ValueError, match="'function'"):
        tasks.task(name="function")(coroutine)
    tasks.task(name="other")(coroutine)


# -- starting ------------------------------------------------------------------------------


async def test_before_its_start_and_after_its_stop_the_app_has_no_tasks() -> None:
    tasks = QuartTasks()

    @tasks.task
    async def work() -> None: ...

    calls: list[Callable[[], Any]] = [
        lambda: tasks.get("x"),
        tasks.list,
        tasks.stats,
        lambda: tasks.http,
    ]

    async def check() -> None:
        with pytest.raises(NotStarted, match=r"async with app\.test_app\(\)"):
            await work.submit()
        for call in calls:
            with pytest.raises(NotStarted):
                call()

    await check()
    app = make_app(tasks)
    await check()
    async with app.app_context():
        await check()
    async with app.test_app():
        await work.submit()
    await check()


async def test_extension_is_found_again_and_only_one_fits_an_app() -> None:
    app = Quart(__name__)
    tasks = QuartTasks(app)
    assert app.extensions["QUART_TASKS"] is tasks
    assert "quart_tasks" in app.blueprints
    with pytest.raises(QuartTasksError, match="already"):
        QuartTasks(app)
    with pytest.raises(QuartTasksError, match="already"):
        tasks.init_app(app)
    assert app.extensions["QUART_TASKS"] is tasks


async def test_without_a_prefix_there_is_no_http_surface() -> None:
    tasks = QuartTasks()

    @tasks.task
    async def work() -> int:
        return 1

    app = make_app(tasks, TASKS_URL_PREFIX=None)
    async with app.test_app():
        assert "quart_tasks" not in app.blueprints
        assert (await app.test_client().get("/tasks")).status_code == 404
        assert await (await work.submit()) == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("TASKS_THREADS", 0),
        ("TASKS_THREADS", "many"),
        ("TASKS_MAX_PENDING", -1),
        ("TASKS_RETENTION", "forever"),
        ("TASKS_DRAIN_TIMEOUT", -1),
        ("TASKS_ALLOWED_ORIGINS", 5),
    ],
)
async def test_bad_configuration_ends_the_start_and_names_the_key(key: str, value: Any) -> None:
    app = make_app(QuartTasks(), **{key: value})
    with pytest.raises(Exception, match=key) as refusal:
        await app.startup()
    assert isinstance(refusal.value, InvalidConfig)


def test_bad_prefix_is_refused_by_init_app() -> None:
    with pytest.raises(InvalidConfig, match="TASKS_URL_PREFIX"):
        make_app(QuartTasks(), TASKS_URL_PREFIX="tasks")


async def test_environment_wins_over_the_apps_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TASKS_THREADS", "3")
    tasks = QuartTasks()
    async with make_app(tasks, TASKS_THREADS=5).test_app():
        assert tasks.stats()["executors"]["thread"]["slots"] == 3


async def test_app_can_start_and_stop_many_times(gate: Gate) -> None:
    app = make_app()
    gate.open()
    epochs = set()
    for _ in range(2):
        async with app.test_app():
            assert samples.list() == []
            for executor in ("async", "thread", "process"):
                assert await (await samples.submit(f"hold-{executor}", gate.path)) == "held"
            epochs.add(samples.list()[0].cursor.rpartition("-")[0])
            session = samples.http
            assert not session.closed
            assert samples.http is session
        assert session.closed
    assert len(epochs) == 2


async def test_what_one_task_is_given_as_a_cookie_no_other_sends() -> None:
    tasks = QuartTasks()
    app = Quart(__name__)
    tasks.init_app(app)

    async def greet(request: web.Request) -> web.Response:
        answer = web.Response(text=request.headers.get("Cookie", "none"))
        answer.set_cookie("session", "of the first")
        return answer

    @tasks.task
    async def cookies_sent(url: str) -> str:
        async with tasks.http.get(url) as response:
            return await response.text()

    site = web.Application()
    site.router.add_get("/", greet)
    # A name, as cookies of an address are not kept anyway.
    async with TestServer(site, host="localhost") as server, app.test_app():
        url = str(server.make_url("/"))
        assert [await (await cookies_sent.submit(url)) for _ in range(2)] == ["none", "none"]


async def test_one_extension_serves_several_apps() -> None:
    tasks = QuartTasks()

    @tasks.task
    async def where() -> str:
        return current_app.name

    @tasks.task
    async def passes_on() -> str:
        return await (await where.submit())

    apps = [Quart("first"), Quart("second")]
    for app in apps:
        tasks.init_app(app)
    first, second = apps
    async with first.test_app():
        assert await (await where.submit()) == "first"  # the only one that is started
        async with second.test_app():
            handles = []
            for app in apps:
                async with app.app_context():
                    handles.append(await where.submit())
                    assert await handles[-1] == app.name
                    assert await (await passes_on.submit()) == app.name
                    found = [record.name for record in tasks.list(limit=3)]
                    assert found == ["where", "passes_on", "where"]
            async with second.app_context():
                assert len(tasks.list()) == 3
                with pytest.raises(TaskNotFound):
                    tasks.get(handles[0].id)
            response = await first.test_client().get("/tasks")
            assert handles[0].id in [each["id"] for each in (await response.get_json())["tasks"]]
            with pytest.raises(QuartTasksError, match="app_context"):
                await where.submit()
        assert await (await where.submit()) == "first"
        async with second.app_context():
            with pytest.raises(NotStarted):
                await where.submit()


async def test_a_task_may_be_declared_after_the_start() -> None:
    tasks = QuartTasks()
    async with make_app(tasks).test_app():

        @tasks.task
        async def late() -> str:
            return "not too late"

        assert await (await late.submit()) == "not too late"


# -- stopping ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hold-async", "hold-thread", "hold-process"])
async def test_task_still_running_after_the_drain_ends_as_interrupted(
    name: str, gate: Gate
) -> None:
    async with make_app(TASKS_DRAIN_TIMEOUT=0.05).test_app():
        handle = await samples.submit(name, gate.path)
        await until_progress(handle, 1)
    record = handle.record
    assert record.state == "failed"
    assert record.error is not None
    assert record.error.type == "Interrupted"
    assert record.finished_at is not None
    with pytest.raises(Interrupted):
        await handle


async def test_running_task_may_end_within_the_drain() -> None:
    tasks, stopping = QuartTasks(), asyncio.Event()

    @tasks.task
    async def work() -> str:
        progress(1)
        await stopping.wait()
        return "done"

    app = Quart(__name__)

    @app.after_serving
    async def stop() -> None:
        stopping.set()

    app.config["TASKS_DRAIN_TIMEOUT"] = 60
    tasks.init_app(app)
    async with app.test_app():
        handle = await work.submit()
        await until_progress(handle, 1)
    assert handle.state == "succeeded"
    assert handle.record.result == "done"


async def test_what_never_ran_does_not_keep_its_waiters_for_ever() -> None:
    tasks = QuartTasks()

    @tasks.task
    async def work() -> None: ...

    async with make_app(tasks).test_app():
        handle = await work.with_options(delay=3600).submit()
        waiting = asyncio.ensure_future(handle.result())
        watching = asyncio.create_task(all_events(handle))
        await until_state(handle, "scheduled")
    with pytest.raises(TaskFailed):
        await waiting
    assert (await watching)[-1].type in ("bye", "state")


async def test_no_task_is_accepted_while_the_app_stops() -> None:
    tasks, refusals = QuartTasks(), list[Exception]()
    free = threading.Event()

    @tasks.task
    async def other() -> None: ...

    @tasks.task
    def work() -> None:
        progress(1)
        free.wait()

    async def watch(handle: Any) -> None:
        async for event in handle.events():
            if event.type == "bye":
                try:
                    await other.submit()
                except QuartTasksError as error:
                    refusals.append(error)
                free.set()

    async with make_app(tasks, TASKS_DRAIN_TIMEOUT=60).test_app():
        handle = await work.submit()
        watching = asyncio.create_task(watch(handle))
        await until_progress(handle, 1)
    await watching
    assert [type(each) for each in refusals] == [Draining]
    assert handle.state == "succeeded"
