"""What becomes of a background view's task: it is retried, cancelled, timed out, watched and kept
as any other."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import os
import sys
import threading
import weakref
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from quart import Response, g, request, send_file
from quart.testing.app import LifespanError
from quart.views import MethodView

from quart_tasks import InvalidDefinition, RetryPolicy, TaskFailed, current_task, progress, track

from .background import Site, which, whole_body
from .waiting import (
    HANG,
    Gate,
    all_events,
    pass_gate,
    pass_gate_on_loop,
    until_progress,
    until_state,
)
from .web import problem

log = logging.getLogger("tests.background_tasks")
log.setLevel(logging.INFO)

AT_ONCE = RetryPolicy(3, delay=0)
both_kinds = pytest.mark.parametrize("kind", ["async", "thread"])


def pass_time(seconds: float) -> None:
    """Set the clock that the loop's timers go by forward: so a timeout that no machine is too slow
    for comes as soon as what it is to cut off has begun."""
    loop = asyncio.get_running_loop()
    time_before = loop.time
    loop.time = lambda: time_before() + seconds  # type: ignore[method-assign]


def waits_at(site: Site, gate: Gate, kind: str, **options: Any) -> list[Any]:
    """Two routes, `/wait` and `/again`, of views that wait at a gate, having reported 1. What they
    note: their names when they begin, and what ended them."""
    notes: list[Any] = []

    async def on_loop() -> str:
        notes.append(request.path)
        progress(1)
        try:
            await pass_gate_on_loop(gate.path)
        except BaseException as error:
            notes.append(type(error).__name__)
            raise
        return request.path

    def in_thread() -> str:
        notes.append(request.path)
        progress(1)
        pass_gate(gate.path)
        return request.path

    view = on_loop if kind == "async" else in_thread
    for name in ("wait", "again"):
        background = site.tasks.background(name=name, **options)(view)
        site.app.add_url_rule(f"/{name}", name, background, methods=["GET", "POST"])
    return notes


# -- failing -----------------------------------------------------------------------------------


class Failing:
    """Views of both kinds that fail as often as the query says."""

    def __init__(self, **options: Any) -> None:
        self.site = site = Site()
        self.attempts: list[int] = []

        def note() -> str:
            task = current_task()
            assert task is not None
            self.attempts.append(task.attempt)
            if task.attempt <= int(request.args["times"]):
                kind = request.args.get("error", "ValueError")
                raise {"ValueError": ValueError, "KeyError": KeyError}[kind](f"{task.attempt}")
            return f"{task.attempt} {g.user}"

        async def on_loop() -> str:
            return note() + " " + (await whole_body()).decode()

        def in_thread() -> str:
            return note() + " body"

        @site.app.before_request
        async def before() -> None:
            g.user = "me"

        for view, path in ((on_loop, "async"), (in_thread, "thread")):
            background = site.tasks.background(name=path, **options)(view)
            site.app.add_url_rule(f"/{path}", path, background, methods=["POST"])


@both_kinds
async def test_view_that_raises_is_tried_again(kind: str) -> None:
    failing = Failing(retries=AT_ONCE)
    async with failing.site as site:
        ran = await site.run("POST", f"/{kind}?times=2", data=b"body")
        assert ran.text == "3 me body"
        assert failing.attempts == [1, 2, 3]
        detail = await site.ended(ran.first["id"])
        assert (detail["attempt"], detail["max_attempts"]) == (3, 4)
        assert [each["error"]["message"] for each in detail["attempts"][:2]] == ["1", "2"]


@both_kinds
async def test_last_attempt_fails_the_task(kind: str) -> None:
    failing = Failing(retries=RetryPolicy(2, delay=0))
    async with failing.site as site:
        ran = await site.run("POST", f"/{kind}?times=9", data=b"body")
        assert failing.attempts == [1, 2, 3]
        assert ran.record["state"] == "failed"
        error = ran.record["error"]
        assert (error["type"], error["message"]) == ("ValueError", "3")
        assert __file__ in error["traceback"]
        failure = await problem(await site.result(ran.first["id"]), 409, "task-failed")
        assert "ValueError: 3" in failure["detail"]


@both_kinds
async def test_only_covered_errors_are_retried(kind: str) -> None:
    failing = Failing(retries=RetryPolicy(3, delay=0, on=(KeyError,)))
    async with failing.site as site:
        ran = await site.run("POST", f"/{kind}?times=9")
        assert (ran.record["attempt"], ran.record["error"]["type"]) == (1, "ValueError")
        ran = await site.run("POST", f"/{kind}?times=1&error=KeyError", data=b"body")
        assert ran.text == "2 me body"


@both_kinds
async def test_handler_for_500_answers_for_the_last_attempt(kind: str) -> None:
    failing = Failing(retries=AT_ONCE)
    handled: list[str] = []

    @failing.site.app.errorhandler(500)
    async def sorry(error: Any) -> Any:
        handled.append(str(error.original_exception))
        return f"sorry for {error.original_exception}", 500, {"X-Sorry": "1"}

    failing.site.app.config["PROPAGATE_EXCEPTIONS"] = False
    async with failing.site as site:
        ran = await site.run("POST", f"/{kind}?times=9")
        assert failing.attempts == [1, 2, 3, 4]
        assert handled == ["4"]
        assert ran.record["state"] == "succeeded"
        assert (ran.status, ran.text) == (500, "sorry for 4")
        assert ran.headers["X-Sorry"] == "1"
        handled.clear()
        ran = await site.run("POST", f"/{kind}?times=1", data=b"body")
        assert (ran.status, ran.text, handled) == (200, "2 me body", [])


@both_kinds
async def test_handled_error_is_an_answer_and_no_failure(kind: str) -> None:
    failing = Failing(retries=AT_ONCE)

    @failing.site.app.errorhandler(ValueError)
    def wrong(error: ValueError) -> Any:
        return f"wrong: {error}", 422

    async with failing.site as site:
        ran = await site.run("POST", f"/{kind}?times=9")
        assert (ran.status, ran.text, ran.record["attempt"]) == (422, "wrong: 1", 1)


async def test_error_in_a_hook_fails_the_task() -> None:
    site = Site()

    @site.app.before_request
    async def before() -> None:
        if current_task() is not None and request.path == "/before":
            raise LookupError("before")

    @site.app.after_request
    async def after(response: Response) -> Response:
        if current_task() is not None and request.path == "/after":
            raise LookupError("after")
        return response

    @site.app.get("/<where>")
    @site.tasks.background(retries=RetryPolicy(1, delay=0))
    def view(where: str) -> str:
        return where

    async with site:
        for where in ("before", "after"):
            ran = await site.run("GET", f"/{where}")
            assert (ran.record["state"], ran.record["attempt"]) == ("failed", 2)
            assert ran.record["error"]["message"] == where


async def test_hook_that_refuses_in_the_task_is_the_answer() -> None:
    site = Site()

    @site.app.before_request
    async def before() -> Any:
        if current_task() is not None:
            return "come back later", 401
        return None

    @site.app.get("/page")
    @site.tasks.background
    def page() -> str:
        raise AssertionError("It must not run.")

    async with site:
        ran = await site.run("GET", "/page")
        assert (ran.status, ran.text) == (401, "come back later")


def too_deep() -> None:
    too_deep()


ENDS: dict[str, Any] = {
    "exit": lambda: sys.exit(3),
    "interrupt": lambda: (_ for _ in ()).throw(KeyboardInterrupt),
    "recursion": too_deep,
    "generator": lambda: (_ for _ in ()).throw(GeneratorExit),
    "stop": lambda: next(iter(())),
    "cancelled": lambda: (_ for _ in ()).throw(asyncio.CancelledError),
    "memory": lambda: (_ for _ in ()).throw(MemoryError),
    "system": lambda: os.open("/nowhere/to/be/found", os.O_RDONLY),
}


@both_kinds
@pytest.mark.parametrize("end", ENDS)
async def test_whatever_ends_a_view_ends_its_task_alone(end: str, kind: str) -> None:
    site = Site()
    site.app.config["PROPAGATE_EXCEPTIONS"] = False

    @site.app.get("/async/<how>")
    @site.tasks.background(retries=RetryPolicy(1, delay=0, on=(ArithmeticError,)))
    async def on_loop(how: str) -> str:
        if how != "well":
            ENDS[how]()
        return "well"

    @site.app.get("/thread/<how>")
    @site.tasks.background(retries=RetryPolicy(1, delay=0, on=(ArithmeticError,)))
    def in_thread(how: str) -> str:
        if how != "well":
            ENDS[how]()
        return "well"

    async with site:
        for _ in range(3):
            ran = await site.run("GET", f"/{kind}/{end}")
            assert ran.record["state"] == "failed"
            assert ran.record["error"]["type"]
        assert (await site.run("GET", f"/{kind}/well")).text == "well"


async def all_gone(site: Site, objects: list[weakref.ref[Any]]) -> None:
    """Wait until nothing holds them: a thread may still be on its way out of the last task."""
    async with asyncio.timeout(HANG):
        while any(each() is not None for each in objects):
            gc.collect()
            await site.client.get("/tasks/stats")


async def test_exceptions_are_freed() -> None:
    site = Site()
    raised: list[weakref.ref[Exception]] = []

    class AsAsked(Exception):  # the built-in ones have no weak references
        pass

    def fail() -> None:
        error = AsAsked("as asked")
        raised.append(weakref.ref(error))
        raise error

    @site.app.get("/async")
    @site.tasks.background
    async def on_loop() -> str:
        fail()
        return ""

    @site.app.get("/thread")
    @site.tasks.background
    def in_thread() -> str:
        fail()
        return ""

    @site.tasks.task
    async def plain() -> None:
        fail()

    @site.tasks.task
    def plain_in_thread() -> None:
        fail()

    async with site:
        for _ in range(5):
            await site.run("GET", "/async")
            await site.run("GET", "/thread")
            for name in ("plain", "plain_in_thread"):
                with pytest.raises(TaskFailed):
                    await (await site.tasks.submit(name))
        assert len(raised) == 20
        await all_gone(site, raised)


# -- cancel and timeout ------------------------------------------------------------------------


@both_kinds
async def test_cancel_stops_a_view_on_the_loop_and_asks_one_in_a_thread(
    kind: str, gate: Gate
) -> None:
    site = Site()
    notes = waits_at(site, gate, kind)
    async with site:
        record = await site.start("GET", "/wait")
        handle = site.tasks.get(record["id"])
        await until_progress(handle, 1)
        answer = await site.client.post(f"/tasks/{record['id']}/cancel")
        assert answer.status_code == 202
        gate.open()  # for the thread, which goes on to its end
        ended = await site.ended(record["id"])
        if kind == "async":
            assert (ended["state"], notes) == ("cancelled", ["/wait", "CancelledError"])
            await problem(await site.result(record["id"]), 409, "task-cancelled")
        else:
            assert ended["state"] == "succeeded"


async def test_thread_is_cancelled_where_it_reports() -> None:
    site = Site()
    begun, go = threading.Event(), threading.Event()
    asked: list[bool] = []

    @site.app.get("/steps")
    @site.tasks.background
    def steps() -> str:
        task = current_task()
        assert task is not None
        for number in track(range(10)):
            if number == 2:
                begun.set()
                go.wait()
                asked.append(task.cancel_requested)
        return "to the end"

    async with site:
        record = await site.start("GET", "/steps")
        await asyncio.to_thread(begun.wait)
        await site.tasks.cancel(record["id"])
        go.set()
        ended = await site.ended(record["id"])
        assert (ended["state"], asked) == ("cancelled", [True])


@both_kinds
async def test_queued_view_is_cancelled_at_once(kind: str, gate: Gate) -> None:
    site = Site()
    notes = waits_at(site, gate, kind, concurrency=1)
    async with site:
        await site.start("GET", "/wait")
        waiting = await site.start("GET", "/wait")
        await site.client.post(f"/tasks/{waiting['id']}/cancel")
        assert (await site.ended(waiting["id"]))["state"] == "cancelled"
        gate.open()
        await site.tasks.join()
        assert notes == ["/wait"]


@both_kinds
async def test_cancel_while_a_hook_waits(kind: str, gate: Gate) -> None:
    """The hooks of a sync view are on the loop as well, and its thread is not taken yet."""
    site = Site()
    ends: list[str] = []

    @site.app.before_request
    async def before() -> None:
        if current_task() is not None:
            progress(1)
            try:
                await pass_gate_on_loop(gate.path)
            except BaseException as error:
                ends.append(type(error).__name__)
                raise

    async def on_loop() -> str:
        return "view"

    def in_thread() -> str:
        return "view"

    view = on_loop if kind == "async" else in_thread
    site.app.add_url_rule("/view", "view", site.tasks.background(view))
    async with site:
        record = await site.start("GET", "/view")
        await until_progress(site.tasks.get(record["id"]), 1)
        await site.tasks.cancel(record["id"])
        ended = await site.ended(record["id"])
        assert (ended["state"], ends) == ("cancelled", ["CancelledError"])


@both_kinds
async def test_timeout_fails_the_task_and_frees_its_slot(kind: str, gate: Gate) -> None:
    site = Site()
    notes = waits_at(site, gate, kind, timeout=60)
    async with site:
        id = (await site.start("GET", "/wait"))["id"]
        await until_progress(site.tasks.get(id), 1)
        pass_time(60)
        record = await site.ended(id)
        assert record["error"]["type"] == "TaskTimeout"
        await problem(await site.result(id), 409, "task-timeout")
        if kind == "async":
            assert notes == ["/wait", "CancelledError"]
            return
        stats = site.tasks.stats()["executors"]["thread"]
        assert (stats["running"], stats["abandoned"]) == (0, 1)
        gate.open()
        while site.tasks.stats()["executors"]["thread"]["abandoned"]:
            await site.client.get("/tasks/stats")
        assert await site.ended(id) == record


@both_kinds
async def test_timeout_while_a_hook_waits(kind: str, gate: Gate) -> None:
    site = Site(TASKS_THREADS=1, TASKS_MAX_ABANDONED_THREADS=0)

    @site.app.before_request
    async def before() -> None:
        if current_task() is not None:
            progress(2)
            await pass_gate_on_loop(gate.path)

    waits_at(site, gate, kind, timeout=60)
    async with site:
        for _ in range(3):
            id = (await site.start("GET", "/wait"))["id"]
            await until_progress(site.tasks.get(id), 2)
            pass_time(60)
            assert (await site.ended(id))["error"]["type"] == "TaskTimeout"
        assert (await site.client.get("/tasks/health")).status_code == 200
        stats = site.tasks.stats()["executors"]["thread"]
        assert (stats["running"], stats["abandoned"]) == (0, 0)


async def test_decorator_that_gives_up_on_a_view(gate: Gate) -> None:
    """The thread goes on, and those that follow do not wait for it."""
    site = Site()

    def at_most(view: Any) -> Any:
        @functools.wraps(view)
        async def limited(*args: Any, **kwargs: Any) -> Any:
            try:
                return await asyncio.wait_for(view(*args, **kwargs), 60)
            except TimeoutError:
                return "it takes too long", 504

        return limited

    @site.app.get("/slow")
    @at_most
    @site.tasks.background
    def slow() -> str:
        progress(1)
        pass_gate(gate.path)
        return "slow"

    @site.app.get("/quick")
    @site.tasks.background
    def quick() -> str:
        return "quick"

    async with site:
        record = await site.start("GET", "/slow")
        await until_progress(site.tasks.get(record["id"]), 1)
        pass_time(60)
        await site.ended(record["id"])
        answer = await site.result(record["id"])
        assert answer.status_code == 504
        assert await answer.get_data() == b"it takes too long"
        assert (await site.run("GET", "/quick")).text == "quick"


async def test_retry_waits_for_the_thread_that_was_abandoned(gate: Gate) -> None:
    site = Site()
    running = most = 0

    @site.app.get("/slow")
    @site.tasks.background(timeout=60, retries=RetryPolicy(1, delay=0))
    def slow() -> str:
        nonlocal running, most
        task = current_task()
        assert task is not None
        running += 1
        most = max(most, running)
        if task.attempt == 1:
            progress(1)
            pass_gate(gate.path)
        running -= 1
        return f"attempt {task.attempt}"

    async with site:
        record = await site.start("GET", "/slow")
        handle = site.tasks.get(record["id"])
        await until_progress(handle, 1)
        pass_time(60)
        await until_state(handle, "scheduled", "queued")
        gate.open()
        assert (await site.ended(record["id"]))["state"] == "succeeded"
        answer = await site.result(record["id"])
        assert (await answer.get_data(), most) == (b"attempt 2", 1)


# -- slots -------------------------------------------------------------------------------------


@both_kinds
async def test_no_more_run_at_once_than_concurrency_says(kind: str, gate: Gate) -> None:
    site = Site()
    notes = waits_at(site, gate, kind, concurrency=2)
    async with site:
        ids = [(await site.start("GET", "/wait"))["id"] for _ in range(4)]
        for id in ids[:2]:
            await until_progress(site.tasks.get(id), 1)
        assert [site.tasks.get(id).state for id in ids] == ["running"] * 2 + ["queued"] * 2
        gate.open()
        assert [(await site.ended(id))["state"] for id in ids] == ["succeeded"] * 4
        assert notes == ["/wait"] * 4


@both_kinds
async def test_higher_priority_goes_first(kind: str, gate: Gate) -> None:
    site = Site(TASKS_THREADS=1, TASKS_ASYNC_CONCURRENCY=1)
    order: list[str] = []

    async def on_loop() -> str:
        if request.path == "/first":
            await pass_gate_on_loop(gate.path)
        order.append(request.path)
        return ""

    def in_thread() -> str:
        if request.path == "/first":
            pass_gate(gate.path)
        order.append(request.path)
        return ""

    view = on_loop if kind == "async" else in_thread
    for name, priority in (("first", 0), ("low", -1), ("high", 7)):
        background = site.tasks.background(name=name, priority=priority)(view)
        site.app.add_url_rule(f"/{name}", name, background)
    async with site:
        records = [await site.start("GET", "/first")]
        await site.until_running("first")
        records += [await site.start("GET", f"/{name}") for name in ("low", "high")]
        assert [each["priority"] for each in records] == [0, -1, 7]
        gate.open()
        await site.tasks.join()
    assert order == ["/first", "/high", "/low"]


async def test_sync_views_take_threads_and_their_hooks_the_loop(gate: Gate) -> None:
    site = Site(TASKS_THREADS=2)
    threads: dict[str, set[int]] = {"hook": set(), "view": set()}
    begun = threading.Semaphore(0)

    @site.app.before_request
    async def before() -> None:
        threads["hook"].add(threading.get_ident())
        await asyncio.sleep(0)

    @site.app.after_request
    async def after(response: Response) -> Response:
        threads["hook"].add(threading.get_ident())
        return response

    @site.app.get("/view")
    @site.tasks.background
    def view() -> str:
        threads["view"].add(threading.get_ident())
        begun.release()
        pass_gate(gate.path)
        return ""

    async with site:
        ids = [(await site.start("GET", "/view"))["id"] for _ in range(5)]
        for _ in range(2):
            await asyncio.to_thread(begun.acquire)
        assert not begun.acquire(blocking=False)
        assert [site.tasks.get(id).state for id in ids].count("running") == 2
        gate.open()
        await site.tasks.join()
    assert len(threads["view"]) == 2
    assert threads["hook"] == {threading.get_ident()}


async def test_many_sync_views_at_once() -> None:
    site = Site(TASKS_THREADS=4)
    value: ContextVar[str] = ContextVar("value")

    @site.app.before_request
    async def before() -> None:
        value.set(request.args.get("n", ""))
        await asyncio.sleep(0)

    @site.app.before_request
    def before_in_thread() -> None:
        g.n = request.args.get("n", "")

    @site.app.get("/view")
    @site.tasks.background
    def view() -> str:
        for _ in track(range(3)):
            log.info("line %s", request.args["n"])
        return f"{request.args['n']} {value.get()} {g.n}"

    async with site:
        records = await asyncio.gather(*(site.start("GET", f"/view?n={n}") for n in range(60)))
        for number, record in enumerate(records):
            detail = await site.ended(record["id"])
            assert {each["message"] for each in detail["logs"]} == {f"line {number}"}
            answer = await site.result(record["id"])
            assert await answer.get_data(as_text=True) == f"{number} {number} {number}"


async def test_sync_methods_of_a_class_view_have_the_thread_of_their_task() -> None:
    site = Site()
    begun, go = threading.Event(), threading.Event()

    class Steps(MethodView):
        @site.tasks.background
        def get(self) -> str:
            for number in track(range(10)):
                if number == 2:
                    begun.set()
                    go.wait()
            return "to the end"

    site.app.add_url_rule("/steps", view_func=Steps.as_view("steps"))
    async with site:
        record = await site.start("GET", "/steps")
        assert record["executor"] == "thread"
        await asyncio.to_thread(begun.wait)
        await site.tasks.cancel(record["id"])
        assert site.tasks.get(record["id"]).state == "running"
        go.set()
        assert (await site.ended(record["id"]))["state"] == "cancelled"


@pytest.mark.parametrize("wraps", [True, False])
async def test_whole_class_view_with_sync_methods_is_refused(wraps: bool) -> None:
    """Its own view is async, and Quart would run the methods in threads that are not the task's."""
    site = Site()

    class Page(MethodView):
        if not wraps:
            decorators = [site.tasks.background]

        def get(self) -> str:
            return ""

    async def start() -> None:
        view = Page.as_view("page")
        site.app.add_url_rule("/page", view_func=site.tasks.background(view) if wraps else view)
        async with site:
            pass

    with pytest.raises((InvalidDefinition, LifespanError), match=r"Page\.get"):
        await start()


# -- watching ----------------------------------------------------------------------------------


@both_kinds
async def test_progress_and_log_lines_are_seen(kind: str) -> None:
    site = Site()

    async def on_loop() -> str:
        log.info("begun")
        async for _ in track(_some()):
            pass
        return ""

    def in_thread() -> str:
        log.info("begun")
        for _ in track(range(3)):
            pass
        return ""

    view = on_loop if kind == "async" else in_thread
    site.app.add_url_rule("/view", "view", site.tasks.background(view))
    async with site:
        record = await site.start("GET", "/view")
        events = await all_events(site.tasks.get(record["id"]))
        assert events[-1].data["state"] == "succeeded"
        detail = await site.ended(record["id"])
        assert detail["progress"]["current"] == 3
        assert [each["message"] for each in detail["logs"]] == ["begun"]


async def _some() -> Any:
    for number in range(3):
        yield number


async def test_log_lines_of_sync_hooks_arrive(gate: Gate) -> None:
    """They are said in threads of Quart's, and a watcher that waits is told at once."""
    site = Site()

    @site.app.before_request
    def before() -> None:
        if current_task() is not None:
            pass_gate(gate.path)
            log.info("in a hook")
            progress(1, 2)

    @site.app.get("/view")
    @site.tasks.background
    async def view() -> str:
        await site.gate.wait()
        return ""

    async with site:
        asyncio.get_running_loop().set_debug(True)  # which raises for calls from other threads
        record = await site.start("GET", "/view")
        handle = site.tasks.get(record["id"])
        seen = asyncio.create_task(until_progress(handle, 1))
        await until_state(handle, "running")
        gate.open()
        await seen
        site.gate.set()
        detail = await site.ended(record["id"])
        assert [each["message"] for each in detail["logs"]] == ["in a hook"]
        asyncio.get_running_loop().set_debug(False)


async def test_listed_by_its_name() -> None:
    site = Site()

    @site.app.get("/one")
    @site.tasks.background
    async def one() -> str:
        return ""

    @site.app.get("/two")
    @site.tasks.background(name="a name of its own")
    async def two() -> str:
        return ""

    async with site:
        for path in ("/one", "/two", "/one"):
            await site.run("GET", path)
        for name, number in (("one", 2), ("a name of its own", 1), ("two", 0)):
            answer = await site.client.get("/tasks", query_string={"name": name})
            assert len((await answer.get_json())["tasks"]) == number
        stats = await (await site.client.get("/tasks/stats")).get_json()
        assert stats["names"]["one"]["succeeded"] == 2


# -- again, and others -------------------------------------------------------------------------


@both_kinds
async def test_retry_over_http_handles_the_request_again(kind: str) -> None:
    failing = Failing()
    site = failing.site
    async with site:
        failed = await site.run("POST", f"/{kind}?times=1", data=b"body")
        assert failed.record["state"] == "failed"
        for old in (failed, await site.run("POST", f"/{kind}?times=0", data=b"body")):
            answer = await site.client.post(f"/tasks/{old.first['id']}/retry")
            assert answer.status_code == 202
            again = await answer.get_json()
            assert again["retry_of"] == old.first["id"]
            assert again["name"] == kind
            assert again["kwargs"] == {"method": "POST", "path": f"/{kind}"}
            ran = await site.finish(answer, again)
            assert ran.record["state"] == old.record["state"]
            assert (ran.status, ran.data if old.status == 200 else b"") == (
                old.status, old.data if old.status == 200 else b"",
            )  # fmt: skip


async def test_retried_in_bulk_and_from_python() -> None:
    site = Site()

    @site.app.post("/echo")
    @site.tasks.background
    async def echo() -> bytes:
        return await whole_body()

    async with site:
        ran = await site.run("POST", "/echo", data=b"body")
        answer = await site.client.post("/tasks/retry", json={"name": "echo"})
        assert await answer.get_json() == {"count": 1}
        await site.tasks.join()
        again = site.tasks.list()[0]
        assert again.retry_of == ran.first["id"]
        assert await (await site.result(again.id)).get_data() == b"body"
        handle = await site.tasks.get(ran.first["id"]).retry()
        await site.tasks.join()
        assert await (await site.result(handle.id)).get_data() == b"body"


async def test_awaited_from_python() -> None:
    site = Site()

    @site.app.get("/page")
    @site.tasks.background
    async def page() -> Any:
        return "page", 201

    @site.app.get("/broken")
    @site.tasks.background
    async def broken() -> Any:
        raise ValueError("as asked")

    async with site:
        handle = site.tasks.get((await site.start("GET", "/page"))["id"])
        result = await handle
        assert bytes(getattr(result, "data", result)) == b"page"
        handle = site.tasks.get((await site.start("GET", "/broken"))["id"])
        with pytest.raises(TaskFailed, match="as asked"):
            await handle


async def test_deleted_task_has_no_result() -> None:
    site = Site()

    @site.app.get("/page")
    @site.tasks.background
    async def page() -> str:
        return ""

    async with site:
        ran = await site.run("GET", "/page")
        answer = await site.client.delete(f"/tasks/{ran.first['id']}")
        assert answer.status_code == 204
        await problem(await site.result(ran.first["id"]), 404)


@both_kinds
async def test_tasks_that_a_view_submits_are_its_children(kind: str) -> None:
    site = Site()

    @site.tasks.task
    async def child(number: int) -> int:
        await site.gate.wait()
        return number

    async def on_loop() -> Any:
        return [(await child.submit(number)).id for number in range(2)]

    def in_thread() -> Any:
        return [site.tasks.submit_sync(child, number).id for number in range(2)]

    view = on_loop if kind == "async" else in_thread
    site.app.add_url_rule("/view", "view", site.tasks.background(view))

    async with site:
        ran = await site.run("GET", "/view")
        for id in ran.json:
            record = site.tasks.get(id).record
            assert (record.name, record.parent_id) == ("child", ran.first["id"])


async def test_cancel_reaches_the_children() -> None:
    site = Site()

    @site.tasks.task
    async def child() -> None:
        await asyncio.Event().wait()

    @site.app.get("/parent")
    @site.tasks.background
    async def parent() -> str:
        await (await child.submit())
        return ""

    async with site:
        record = await site.start("GET", "/parent")
        await site.until_running("child")
        await site.tasks.cancel(record["id"])
        await site.tasks.join()
        assert {each.state for each in site.tasks.list()} == {"cancelled"}


async def test_children_belong_to_the_owner() -> None:
    site = Site()

    @site.tasks.authorize
    async def authorize(action: str, name: str | None, record: Any) -> str | None:
        return request.headers.get("X-User")

    @site.tasks.task
    async def child() -> None:
        pass

    @site.app.get("/parent")
    @site.tasks.background
    async def parent() -> str:
        return (await child.submit()).id

    async with site:
        await site.start("GET", "/parent", headers={"X-User": "me"})
        await site.tasks.join()
        assert [each.owner for each in site.tasks.list()] == ["me", "me"]


async def test_view_that_asks_the_app_itself() -> None:
    """A background view is asked from inside a task: another task, of its own."""
    site = Site()

    @site.app.get("/inner")
    @site.tasks.background
    async def inner() -> str:
        return "inner"

    @site.app.get("/outer")
    @site.tasks.background
    async def outer() -> Any:
        answer = await site.app.test_client().get("/inner")
        return await answer.get_json(), answer.status_code

    async with site:
        ran = await site.run("GET", "/outer")
        assert ran.status == 202
        assert ran.json["name"] == "inner"
        assert ran.json["id"] != ran.first["id"]
        inner_record = await site.ended(ran.json["id"])
        assert inner_record["state"] == "succeeded"


# -- the end of the app ------------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize("where", ["view", "hook"])
async def test_app_stops_in_mid_view(
    where: str, kind: str, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "quart_tasks")
    before_it = set(threading.enumerate())
    site = Site()

    @site.app.before_request
    async def before() -> None:
        if current_task() is not None and where == "hook":
            progress(1)
            await pass_gate_on_loop(gate.path)

    waits_at(site, gate, kind)
    async with site:
        record = await site.start("GET", "/wait")
        handle = site.tasks.get(record["id"])
        await until_progress(handle, 1)
    assert handle.record.state == "failed"
    error = handle.record.error
    assert error is not None
    assert error.type == "Interrupted"
    gate.open()
    for thread in set(threading.enumerate()) - before_it:
        await asyncio.to_thread(thread.join)  # it ends too, once it has returned


@both_kinds
async def test_running_view_may_end_while_the_app_stops(kind: str, gate: Gate) -> None:
    site = Site(TASKS_DRAIN_TIMEOUT=60)
    waits_at(site, gate, kind)
    async with site:
        record = await site.start("GET", "/wait")
        handle = site.tasks.get(record["id"])
        await until_progress(handle, 1)
        draining = asyncio.create_task(site.tasks.drain(site.app))
        await site.tasks.close_streams(site.app)
        gate.open()
        await draining
        assert handle.record.state == "succeeded"


# -- memory ------------------------------------------------------------------------------------


async def test_nothing_pins_the_first_request() -> None:
    site = Site(BODY_TIMEOUT=None)  # Quart's timer for the body holds the request while it lasts
    first: list[weakref.ref[Any]] = []

    @site.app.before_request
    async def remember() -> None:
        if which() == "first" and not request.path.startswith("/tasks"):
            first.append(weakref.ref(request._get_current_object()))

    @site.app.post("/slow")
    @site.tasks.background
    async def slow() -> str:
        await site.gate.wait()
        return ""

    @site.app.post("/slow-sync")
    @site.tasks.background
    def slow_sync() -> str:
        progress(1)
        asyncio.run_coroutine_threadsafe(site.gate.wait(), loop).result()
        return ""

    loop = asyncio.get_running_loop()
    async with site:
        for path in ("/slow", "/slow-sync"):
            first.clear()
            site.gate.clear()
            record = await site.start("POST", path, data=b"x" * 100_000)
            await site.until_running()
            gc.collect()
            assert len(first) == 1
            assert first[0]() is None
            site.gate.set()
            assert (await site.ended(record["id"]))["state"] == "succeeded"


async def test_nothing_pins_the_second_request() -> None:
    site = Site()
    second: list[weakref.ref[Any]] = []

    @site.app.post("/page")
    @site.tasks.background
    async def page() -> str:
        second.append(weakref.ref(request._get_current_object()))
        return ""

    @site.app.post("/page-sync")
    @site.tasks.background
    def page_sync() -> str:
        second.append(weakref.ref(request._get_current_object()))
        return ""

    @site.app.post("/broken")
    @site.tasks.background
    def broken() -> str:
        second.append(weakref.ref(request._get_current_object()))
        raise ValueError("as asked")

    async with site:
        for path in ("/page", "/page-sync", "/broken"):
            await site.run("POST", path, data=b"x")
        assert len(second) == 3
        await all_gone(site, second)


async def test_bodies_and_responses_count_as_results() -> None:
    size, room = 1_000_000, 20
    site = Site(TASKS_MAX_RESULTS_BYTES=room * size)

    @site.app.post("/size")
    @site.tasks.background
    async def length() -> str:
        return str(len(await request.get_data()))

    @site.app.get("/large")
    @site.tasks.background
    async def large() -> bytes:
        return b"x" * size

    async with site:
        for method, path, data in (("POST", "/size", b"x" * size), ("GET", "/large", b"")):
            for _ in range(2 * room):
                record = await site.start(method, path, data=data)
                assert (await site.ended(record["id"]))["state"] == "succeeded"
            assert room - 2 <= len(site.tasks.list(limit=500)) <= room


async def test_ended_tasks_are_not_walked_by_the_collector() -> None:
    """A hundred thousand of them would make each of its full passes hold the loop."""
    site = Site(TASKS_EVENT_BUFFER=0, BODY_TIMEOUT=None)

    @site.app.post("/page")
    @site.tasks.background
    async def page() -> Any:
        return {"a": 1}, {"X-Own": "1"}

    async def ask(number: int) -> int:
        for _ in range(number):
            await site.start("POST", "/page", data=b"body")
        await site.tasks.join()
        for _ in range(3):  # a tuple is let go of one pass after what is in it
            gc.collect()
        return len(gc.get_objects())

    async with site:
        before = await ask(20)
        assert await ask(200) - before < 100


@pytest.mark.parametrize("kind", ["bytes", "file"])
async def test_response_that_is_too_large(kind: str, tmp_path: Path) -> None:
    site = Site(TASKS_MAX_RESULT_SIZE=1000)

    @site.app.get("/size/<int:size>")
    @site.tasks.background(retries=2)
    async def of_size(size: int) -> Any:
        data = b"x" * size
        if kind == "bytes":
            return data
        (tmp_path / "file").write_bytes(data)
        return await send_file(tmp_path / "file")

    async with site:
        assert (await site.run("GET", "/size/1000")).data == b"x" * 1000
        ran = await site.run("GET", "/size/1001")
        assert (ran.record["state"], ran.record["attempt"]) == ("failed", 1)
        assert ran.record["error"]["type"] == "InvalidResult"
        assert "TASKS_MAX_RESULT_SIZE" in ran.record["error"]["message"]


@pytest.mark.parametrize("view", ["plain", "background"])
async def test_body_that_is_too_large_meets_the_same_hooks(view: str) -> None:
    site = Site(MAX_CONTENT_LENGTH=10)
    met = []

    @site.app.before_request
    def before() -> None:
        met.append("before")

    @site.app.after_request
    def after(response: Response) -> Response:
        met.append(f"after {response.status_code}")
        return response

    @site.app.post("/plain")
    async def plain() -> bytes:
        return bytes(await request.get_data())

    @site.app.post("/background")
    @site.tasks.background
    async def background() -> bytes:
        return bytes(await request.get_data())

    async with site:
        response = await site.client.post(f"/{view}", data=b"x" * 11)
        assert response.status_code == 413
    assert met == ["before", "after 413"]
