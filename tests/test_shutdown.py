"""The end of an app with tasks: its phases, and what becomes of whom in each."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import select
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from quart_tasks import (
    Draining,
    Interrupted,
    QuartTasks,
    TaskCancelled,
    TaskEvent,
    TaskHandle,
    TaskNotFound,
    current_task,
    progress,
    shutdown,
    track,
)
from quart_tasks.server import serve

from . import sample_tasks, watching
from .e2e import shutdown_app
from .processes import Watched, descendants
from .sample_tasks import make_app
from .waiting import HANG, Gate, all_events, until, until_state
from .watching import Script, Site, echo, flood, messages, play, solo, until_closed
from .web import Closed, Socket, check_problem

EXECUTORS = ["async", "thread", "process"]
LONG = 3600  # seconds: a drain that ends when its tasks have ended

tasks = shutdown_app.tasks  # and these, which run in this process


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers that do read have as long for that as they need, on a machine that is held up."""
    monkeypatch.setattr(shutdown, "LEAVE", LONG)
    monkeypatch.setattr(shutdown, "ALL", 3 * LONG)
    assert serve.__kwdefaults__ is not None
    monkeypatch.setitem(serve.__kwdefaults__, "grace", LONG)


@pytest.fixture
def patient_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so have tasks that do end when they are asked to."""
    monkeypatch.setattr(shutdown, "STOP", LONG)


class Free(threading.Event):
    """Lets tasks go, those in threads and those on the loop that it is made in."""

    def __init__(self) -> None:
        super().__init__()
        self._on_loop = asyncio.Event()

    def set(self) -> None:
        super().set()
        self._on_loop.set()

    async def wait_on_loop(self) -> None:
        await self._on_loop.wait()


@tasks.task
async def stays(free: Free) -> None:
    """Cannot be cancelled, until it is free."""
    progress(1)
    while not free.is_set():
        with suppress(asyncio.CancelledError):
            await free.wait_on_loop()


@tasks.task
def blocks(free: threading.Event) -> None:
    progress(1)
    free.wait()


@tasks.task
def turns(free: threading.Event) -> None:
    """Keeps a processor busy."""
    progress(1)
    while not free.is_set():
        pass


@pytest.fixture
async def free() -> AsyncIterator[Free]:  # async: it ends before the test's loop does
    """Lets those go at the end of the test that nothing can stop."""
    free = Free()
    yield free
    free.set()


class Drain(NamedTuple):
    site: Site
    script: Script
    handle: TaskHandle[Any]  # of the task that does what the script says
    ended: TaskHandle[Any]


@asynccontextmanager
async def draining(**config: Any) -> AsyncIterator[Drain]:
    """A server that drains for as long as its one task runs."""
    async with watching.serving(TASKS_DRAIN_TIMEOUT=LONG, **config) as site:
        script = Script()
        try:
            ended = await echo.submit(5)
            await ended
            handle = await play.submit(script)
            await until_state(handle, "running")
            site.stop.set()
            await until_bye(handle)
            yield Drain(site, script, handle, ended)
        finally:
            script.say("end")


async def until_bye(handle: TaskHandle[Any]) -> None:
    """Wait until the app has begun to stop."""
    await until(handle, lambda event: event.type == "bye")


async def at_bye(handle: TaskHandle[Any], call: Callable[[], object]) -> None:
    await until_bye(handle)
    call()


async def begun(*handles: TaskHandle[Any]) -> None:
    """Wait until each has reported some progress."""
    for handle in handles:
        await until(handle, says_progress)


def reported(handle: TaskHandle[Any]) -> int:
    """The number that a task has reported as its progress."""
    assert handle.progress is not None
    return int(handle.progress.current)


def says_progress(event: TaskEvent) -> bool:
    if event.type == "snapshot":
        return event.data["tasks"][0]["progress"] is not None
    return event.type == "progress"


def check_interrupted(handle: TaskHandle[Any]) -> None:
    """It has failed because the server went, and not because anybody asked."""
    record = handle.record
    assert record.error is not None, record
    assert (record.state, record.error.type) == ("failed", "Interrupted")
    assert record.error.message
    assert record.finished_at is not None
    assert not record.cancel_requested


# -- taking no more ------------------------------------------------------------------------


async def test_a_draining_server_takes_no_task_over_http() -> None:
    async with draining() as (site, _, handle, ended):
        for path, body in (
            ("", {"name": "echo"}),
            ("", {"name": "echo", "options": {"delay": 60}}),
            ("/batch", {"tasks": [{"name": "echo"}, {"name": "echo"}]}),
            (f"/{ended.id}/retry", None),
            ("/retry", {"ids": [ended.id]}),
        ):
            async with site.http.post(f"{site.url}/tasks{path}", json=body) as response:
                assert (response.status, response.content_type) == (503, "application/problem+json")
                assert int(response.headers["Retry-After"]) >= 1
                check_problem(await response.json(), 503, "draining")
        async with site.http.get(f"{site.url}/tasks/health") as response:
            assert "draining" in check_problem(await response.json(), 503)["detail"]
        async with site.http.get(f"{site.url}/tasks") as response:
            ids = [each["id"] for each in (await response.json())["tasks"]]
        assert ids == [handle.id, ended.id]


async def test_a_draining_app_takes_no_task_from_python() -> None:
    async with draining() as (_, _, handle, ended):
        for submit in (
            echo.submit,
            echo.with_options(delay=60).submit,
            lambda: watching.tasks.submit("echo"),
            lambda: watching.tasks.submit_many(echo, [(1,), (2,)]),
            lambda: anext(echo.map([1, 2])),
            lambda: asyncio.to_thread(watching.tasks.submit_sync, "echo"),
            ended.retry,
        ):
            with pytest.raises(Draining):
                await submit()
        assert [each.id for each in watching.tasks.list()] == [handle.id, ended.id]


async def test_a_running_task_can_start_no_other_while_the_app_drains() -> None:
    extension = QuartTasks()

    @extension.task
    async def child() -> None: ...

    @extension.task
    async def parent() -> None:
        progress(1)
        await until_bye(handle)
        await child.submit()

    async with make_app(extension, TASKS_DRAIN_TIMEOUT=LONG).test_app():
        handle = await parent.submit()
        await begun(handle)
    error = handle.record.error
    assert error is not None
    assert error.type == "Draining"


class Clogged(Socket):
    """A socket with room for one frame, so that the app waits until the client reads."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._from_app = asyncio.Queue(1)


async def test_a_command_that_comes_too_late_is_answered(free: Free) -> None:
    extension, connected, asked = QuartTasks(), asyncio.Event(), asyncio.Event()

    @extension.task
    async def nothing() -> None: ...

    held = extension.task(name="held")(stays)

    @extension.authorize
    async def note(action: str, name: str | None, record: Any) -> None:
        if action == "submit":
            asked.set()

    async def client() -> tuple[list[dict[str, Any]], int]:
        frames = []
        async with Clogged(app, "/tasks/socket") as socket:
            answer = await socket.ask({"type": "subscribe", "ref": 1, "all": True})
            assert answer["type"] == "ack"
            connected.set()
            await until_bye(handle)
            socket.send({"type": "submit", "ref": 2, "tasks": [{"name": "nothing"}]})
            await asked.wait()
            try:
                while True:
                    frames.append(await socket.receive())
            except Closed as closed:
                return frames, closed.code

    app = make_app(extension, TASKS_DRAIN_TIMEOUT=LONG)
    async with app.test_app():
        handle = await held.submit(free)
        await begun(handle)
        talking = asyncio.create_task(client())
        await connected.wait()
        for _ in range(5):
            await (await nothing.submit())  # it has to tell more than the socket has room for
        talking.add_done_callback(lambda _: free.set())
    frames, code = await talking
    [error] = [each for each in frames if each["type"] == "error"]
    assert error["ref"] == 2
    check_problem(error["data"], 503, "draining")
    assert (frames[-1]["type"], code) == ("bye", 1012)


async def test_no_task_that_waits_is_started_any_more() -> None:
    async with watching.serving(TASKS_DRAIN_TIMEOUT=LONG) as site:
        first, second = Script(), Script()
        running, queued = await solo.submit(first), await solo.submit(second)
        await until_state(running, "running")
        site.stop.set()
        await until_bye(running)
        first.say("end")
        second.say("end")
    assert running.state == "succeeded"
    check_interrupted(queued)
    assert (queued.record.attempt, queued.record.started_at) == (0, None)


@pytest.mark.parametrize("executor", EXECUTORS)
async def test_no_attempt_is_made_again(
    executor: str, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"hold_then_fail-{executor}"
    async with make_app(TASKS_DRAIN_TIMEOUT=LONG).test_app():
        handle = await sample_tasks.tasks.submit(name, gate.path)
        await begun(handle)
        opening = asyncio.create_task(at_bye(handle, gate.open))
    await opening
    check_interrupted(handle)
    assert handle.record.attempt == 1
    assert not_run(caplog) == {name: 1}


# -- telling the streams -------------------------------------------------------------------


async def test_all_that_was_before_comes_before_the_bye() -> None:
    async with watching.serving() as site:
        async with (
            site.watch("/events") as client,
            site.watch("/socket") as commands,
            site.sse("/events") as response,
        ):
            await commands.send_json({"type": "subscribe", "all": True})
            await commands.receive()
            await site.streams(3)
            handle = await flood.submit(3000)
            await handle
            site.stop.set()
            stories = [await until_closed(client), await until_closed(commands)]
            stories.append(
                [each.frame async for each in messages(response) if "data" in each.fields]
            )
        assert (client.close_code, commands.close_code) == (1012, 1012)
    for frames in stories:
        assert len(watching.outputs(frames)) == 3000
        assert watching.kinds(frames)[-2:] == ["succeeded", "bye"]
        assert frames[-1]["data"]["reason"]
        watching.check_order(frames)


async def test_a_stream_that_comes_later_is_sent_away() -> None:
    async with draining() as (site, _, handle, _):
        for path in ("/events", "/events?name=play", f"/{handle.id}/events"):
            async with site.sse(path) as response:
                assert (response.status, response.content_type) == (200, "text/event-stream")
                retry, last = [each async for each in messages(response)]
            assert int(retry.fields["retry"]) > 0
            assert last.fields["event"] == last.frame["type"] == "bye"
            assert last.fields["id"] == last.frame["cursor"]
        for path in ("/events", f"/{handle.id}/events", "/socket"):
            async with site.watch(path) as client:
                [bye] = await until_closed(client)
            assert (bye["type"], client.close_code) == ("bye", 1012)


# -- letting running tasks end -------------------------------------------------------------


@pytest.mark.parametrize("executor", EXECUTORS)
async def test_a_running_task_may_end_within_the_drain(executor: str, gate: Gate) -> None:
    async with make_app(TASKS_DRAIN_TIMEOUT=LONG).test_app():
        handle = await sample_tasks.tasks.submit(f"hold-{executor}", gate.path)
        await begun(handle)
        opening = asyncio.create_task(at_bye(handle, gate.open))
    await opening
    assert handle.state == "succeeded"
    assert await handle == "held"


async def test_what_ends_in_the_drain_can_still_be_asked_for() -> None:
    async with watching.serving(TASKS_DRAIN_TIMEOUT=LONG) as site:
        first, last = Script(), Script()
        handle, other = await play.submit(first), await play.submit(last)
        await until_state(other, "running")
        site.stop.set()
        await until_bye(handle)
        assert (await site.record(handle.id))["state"] == "running"
        first.say("output", 7)
        first.say("end")
        await handle
        record = await site.record(handle.id)
        async with site.http.get(f"{site.url}/tasks/{handle.id}/result") as response:
            assert await response.json() == [7]
        assert (await site.record(other.id))["state"] == "running"
        last.say("end")
    assert (record["state"], record["result"]) == ("succeeded", [7])


async def test_a_draining_server_lets_tasks_be_cancelled() -> None:
    async with draining() as (site, _, handle, _):
        async with site.http.post(f"{site.url}/tasks/{handle.id}/cancel") as response:
            assert response.status == 202
        with pytest.raises(TaskCancelled):
            await handle
    assert handle.state == "cancelled"


async def test_a_cancel_from_before_the_drain_stays_one() -> None:
    extension = QuartTasks()

    @extension.task
    async def cleans_up() -> None:
        progress(1)
        try:
            await asyncio.Event().wait()
        finally:
            await until_bye(handle)

    async with make_app(extension, TASKS_DRAIN_TIMEOUT=LONG).test_app():
        handle = await cleans_up.submit()
        await begun(handle)
        await handle.cancel()
        assert not handle.done()
    assert handle.state == "cancelled"


# -- stopping them -------------------------------------------------------------------------


@pytest.mark.usefixtures("patient_stop")
async def test_a_coroutine_is_cancelled_and_cleans_up() -> None:
    extension, steps = QuartTasks(), list[str]()

    @extension.task
    async def work() -> None:
        progress(1)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            steps.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned up")

    async with make_app(extension, TASKS_DRAIN_TIMEOUT=0).test_app():
        handle = await work.submit()
        await begun(handle)
    assert steps == ["cancelled", "cleaned up"]
    check_interrupted(handle)


@pytest.mark.usefixtures("patient_stop")
async def test_a_thread_sees_the_request_and_cleans_up() -> None:
    extension, seen = QuartTasks(), list[bool]()

    @extension.task
    def work() -> None:
        context = current_task()
        assert context is not None
        try:
            for _ in track(count()):
                threading.Event().wait(0.001)
        finally:
            seen.append(context.cancel_requested)

    async with make_app(extension, TASKS_DRAIN_TIMEOUT=0).test_app():
        handle = await work.submit()
        await begun(handle)
    assert seen == [True]
    check_interrupted(handle)


async def test_a_process_is_killed_with_what_it_has_spawned() -> None:
    before = descendants(os.getpid())
    async with shutdown_app.create_app(TASKS_DRAIN_TIMEOUT=0).test_app():
        handles = [await tasks.submit("spawns"), await tasks.submit("spins")]
        await begun(*handles)
        spawned, worker = map(reported, handles)
        new = descendants(os.getpid()) - before
        assert {spawned, worker} <= new
        # Not the fork server, which stays for the next app of this process.
        family = [Watched(pid) for pid in new if pid in (spawned, worker) or is_worker(pid)]
        assert len(family) >= 3
    for handle in handles:
        check_interrupted(handle)
    for process in family:
        await process.ended()


def is_worker(pid: int) -> bool:
    """Whether it leads a process group of its own."""
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:  # a short-lived one, of multiprocessing or another test
        return False


@pytest.mark.parametrize("executor", ["async", "thread"])
@pytest.mark.parametrize("way", ["returns", "raises"])
@pytest.mark.usefixtures("patient_stop")
async def test_how_a_stopped_task_ends_is_up_to_it(executor: str, way: str) -> None:
    extension = QuartTasks()

    def end() -> str:
        if way == "raises":
            raise OSError("while cleaning up")
        return "just in time"

    async def on_loop() -> str:
        progress(1)
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return end()

    def in_thread() -> str:
        with suppress(asyncio.CancelledError):
            for _ in track(count()):
                threading.Event().wait(0.001)
        return end()

    work = extension.task(name="work")(on_loop if executor == "async" else in_thread)
    async with make_app(extension, TASKS_DRAIN_TIMEOUT=0).test_app():
        handle = await work.submit()
        await begun(handle)
    if way == "returns":
        assert await handle == "just in time"
    else:
        check_interrupted(handle)


@pytest.mark.parametrize("name", ["stays", "blocks", "turns"])
async def test_what_cannot_be_stopped_is_left_behind(name: str, free: Free) -> None:
    before = set(threading.enumerate())
    mine = asyncio.all_tasks()
    async with shutdown_app.create_app(TASKS_DRAIN_TIMEOUT=0).test_app():
        handle = await tasks.submit(name, free)
        await begun(handle)
    check_interrupted(handle)
    record = handle.record
    free.set()
    await left_behind(before, mine)
    assert handle.record == record  # too late


async def left_behind(threads: set[threading.Thread], running: set[asyncio.Task[Any]]) -> None:
    """Wait for the end of all other threads and asyncio tasks."""
    while others := asyncio.all_tasks() - running:  # one may start another as it ends
        _, pending = await asyncio.wait(others, timeout=HANG)
        assert not pending
    join_others(threads)  # after these, which may start a thread, and end before it does


def join_others(threads: set[threading.Thread]) -> None:
    while others := set(threading.enumerate()) - threads:
        for thread in others:
            with suppress(RuntimeError):  # it is only being started
                thread.join()


# -- what they end as ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["waits", "stays", "blocks", "turns", "spins", "spawns"])
async def test_who_waits_for_an_interrupted_task_is_told(
    name: str, free: Free, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = [free] if name in ("stays", "blocks", "turns") else []
    async with shutdown_app.create_app(TASKS_DRAIN_TIMEOUT=0).test_app():
        handle = await tasks.submit(name, *arguments)
        await begun(handle)
        waits = [handle.result(), handle.result(LONG), asyncio.to_thread(handle.wait)]
        waiting = [asyncio.ensure_future(each) for each in waits]
        watched = asyncio.create_task(all_events(handle))
    check_interrupted(handle)
    for each in waiting:
        with pytest.raises(Interrupted):
            await each
    with pytest.raises(Interrupted) as late:
        await handle
    assert late.value.type == "Interrupted"
    assert (await watched)[-1].type == "bye"
    [line] = [each for each in caplog.records if handle.id in each.getMessage()]
    assert line.levelno == logging.ERROR
    assert name in line.getMessage()
    assert "Interrupted" in line.getMessage()


def not_run(caplog: pytest.LogCaptureFixture) -> dict[str, int]:
    """What the log says that was not run: by name, the number."""
    [line] = [text for each in caplog.records if "Not run" in (text := each.getMessage())]
    return {name: int(number) for number, name in re.findall(r"(\d+) of ([\w-]+)", line)}


async def test_what_was_not_run_is_in_the_log_by_name_and_number(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with shutdown_app.create_app(TASKS_DRAIN_TIMEOUT=0).test_app():
        running = await tasks.submit("one_by_one")
        queued = [await tasks.submit("one_by_one") for _ in range(2)]
        later = shutdown_app.waits.with_options(delay=3600)
        scheduled = [await later.submit() for _ in range(3)]
        failed = await tasks.submit("fails")
        await begun(running)
        await until_state(failed, "scheduled")
    assert not_run(caplog) == {"one_by_one": 2, "waits": 3, "fails": 1}
    for each in (running, *queued, *scheduled, failed):
        check_interrupted(each)
    for each in (*queued, *scheduled):
        assert each.record.attempt == 0
        with pytest.raises(Interrupted):
            await each
    assert failed.record.attempt == 1


async def test_nothing_is_reported_where_all_has_run(caplog: pytest.LogCaptureFixture) -> None:
    async with make_app(TASKS_DRAIN_TIMEOUT=LONG).test_app():
        for executor in EXECUTORS:
            assert await (await sample_tasks.tasks.submit(f"echo-{executor}", 5)) == 5
    assert [each.getMessage() for each in caplog.records if each.name == "quart_tasks"] == []


# -- again and again -----------------------------------------------------------------------


async def test_an_app_that_stops_leaves_nothing_behind() -> None:
    app = shutdown_app.create_app(TASKS_DRAIN_TIMEOUT=0.1, TASKS_PROCESSES=1)
    epochs, ids, left = set[str](), list[str](), list[Any]()
    threads, running = set(threading.enumerate()), asyncio.all_tasks()
    for _ in range(3):  # the first starts the fork server, which stays
        free = Free()
        async with app.test_app():
            stats = tasks.stats()
            assert not any(stats["states"].values())
            epochs.add(stats["epoch"])
            assert tasks.list() == []
            for id in ids:
                with pytest.raises(TaskNotFound):
                    tasks.get(id)
            handles = [await tasks.submit(name, free) for name in ("stays", "blocks", "turns")]
            handles += [await tasks.submit(name) for name in ("waits", "spins")]
            await begun(*handles)
            assert not tasks.http.closed
            worker = Watched(reported(handles[-1]))
            watched = [asyncio.create_task(all_events(each)) for each in handles]
            handles += [await shutdown_app.waits.with_options(delay=LONG).submit()]
            handles += [await tasks.submit("spins")]
            ids = [each.id for each in handles]
        for each in handles:
            check_interrupted(each)
        for story in await asyncio.gather(*watched):
            assert story[-1].type == "bye"
        free.set()
        await left_behind(threads, running)
        await worker.ended()
        left.append(possessions())
    assert left[1:] == left[:1] * 2
    assert len(epochs) == 3


def possessions() -> tuple[Any, ...]:
    """Threads, asyncio tasks, child processes and open files of this process."""
    gc.collect()
    files = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # that of the listing itself
            files.append(re.sub(r"\d+", "", os.readlink(f"/proc/self/fd/{number}")))
    names = Counter(each.name for each in threading.enumerate())
    return names, len(asyncio.all_tasks()), len(descendants(os.getpid())), Counter(files)


@pytest.mark.parametrize("moment", ["running", "starting"])
def test_no_process_outlives_the_app_though_the_loop_ends_with_it(moment: str) -> None:
    async def live(moment: str) -> None:
        async with shutdown_app.create_app(TASKS_DRAIN_TIMEOUT=0).test_app():
            handle = await tasks.submit("spins")
            if moment == "running":
                await begun(handle)

    asyncio.run(live("running"))  # the fork server stays, and has come up by now
    for _ in range(3):
        threads, processes = set(threading.enumerate()), descendants(os.getpid())
        asyncio.run(live(moment))
        join_others(threads)
        for pid in descendants(os.getpid()) - processes:
            wait_for_process(pid)


def wait_for_process(pid: int) -> None:
    with suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        ended, _, _ = select.select([pidfd], [], [], HANG)
        os.close(pidfd)
        assert ended, pid


@pytest.mark.parametrize("name", ["stays", "blocks", "spins", "hold"])
async def test_an_app_may_stop_as_soon_as_it_has_started(name: str, free: Free, gate: Gate) -> None:
    """Its task has been accepted, and what runs it may have made no step by then."""
    arguments: list[Any] = {"spins": [], "hold": [gate.path]}.get(name, [free])
    async with shutdown_app.create_app(TASKS_DRAIN_TIMEOUT=0).test_app():
        handle = await tasks.submit(name, *arguments)
    check_interrupted(handle)


@pytest.mark.parametrize("executor", EXECUTORS)
async def test_a_task_of_the_last_moment_runs_or_does_not(executor: str, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "open")
    gate.open()
    async with make_app(TASKS_DRAIN_TIMEOUT=LONG).test_app():
        handle = await sample_tasks.tasks.submit(f"hold-{executor}", gate.path)
    gate.close()
    if handle.state == "succeeded":
        assert await handle == "held"
    else:
        check_interrupted(handle)
        assert handle.record.attempt == 0


async def test_an_app_without_tasks_to_stop_just_stops() -> None:
    app = make_app(TASKS_DRAIN_TIMEOUT=LONG)
    for _ in range(3):
        async with app.test_app():
            pass


@pytest.mark.long
async def test_a_test_app_waits_for_the_whole_drain() -> None:
    """Ten seconds by default, which is more than Quart's own test app would wait."""
    async with shutdown_app.create_app().test_app():
        handle = await tasks.submit("waits")
        await begun(handle)
    check_interrupted(handle)
