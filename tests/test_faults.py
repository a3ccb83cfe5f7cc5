"""Cancel and timeout, against tasks that do not end for them and at the worst of moments."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from quart import Quart

from quart_tasks import (
    QuartTasks,
    RetryPolicy,
    TaskCancelled,
    TaskExpired,
    TaskFailed,
    TaskTimeout,
    progress,
)
from quart_tasks.executors.worker import Worker

from . import faulty_tasks
from .faulty_tasks import echo, fails, lasts, waits
from .faulty_tasks import tasks as faulty
from .footprints import appended
from .processes import Watched, descendants
from .sample_tasks import make_app
from .waiting import Gate, until_progress, until_state

ONE_SLOT = {"TASKS_ASYNC_CONCURRENCY": 1, "TASKS_THREADS": 1, "TASKS_PROCESSES": 1}
ALL_EVENTS = {"TASKS_EVENT_BUFFER": 1_000_000}  # so that they can be read in the end
ENDED = ("succeeded", "failed", "cancelled")
# Seconds: what a task or its test has to do in them takes milliseconds, and the next of them
# where a busy machine did not make it.
TIMEOUTS = 0.3, 3.0, 30.0


@pytest.fixture(params=["async", "thread", "process"])
def executor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["cancel", "timeout"])
def how(request: pytest.FixtureRequest) -> str:
    """The two ways to stop a task."""
    return str(request.param)


@pytest.fixture(params=[1, pytest.param(20, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
def times(request: pytest.FixtureRequest) -> int:
    return int(request.param)


async def get(app: Quart, path: str) -> Any:
    response = await app.test_client().get(f"/tasks{path}")
    return json.loads(await response.get_data())


# -- a coroutine that swallows its cancellation ----------------------------------------------


async def test_coroutine_that_does_not_stop_is_running_and_keeps_its_slot(how: str) -> None:
    tasks, free, asked = QuartTasks(), asyncio.Event(), asyncio.Event()

    @tasks.task
    async def stubborn() -> str:
        progress(1)
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                asked.set()
        return "all the same"

    @tasks.task
    async def follows() -> str:
        return "next"

    app = make_app(tasks, TASKS_ASYNC_CONCURRENCY=1)
    async with app.test_app():
        handle = await stubborn.with_options(timeout=0.02 if how == "timeout" else None).submit()
        waiting = await follows.submit()
        await until_progress(handle, 1)
        if how == "cancel":
            await handle.cancel()
        await asked.wait()
        record = await get(app, f"/{handle.id}")
        assert (record["state"], record["cancel_requested"]) == ("running", how == "cancel")
        assert (record["finished_at"], record["error"]) == (None, None)
        stats = (await get(app, "/stats"))["executors"]["async"]
        assert (stats["running"], stats["queued"], waiting.state) == (1, 1, "queued")
        free.set()
        assert await handle == "all the same"
        assert await waiting == "next"


# -- a thread past its timeout ---------------------------------------------------------------


class Threads:
    """Thread tasks that stay until they are let go, and one that does not."""

    def __init__(self, **config: Any) -> None:
        self.tasks = QuartTasks()
        self.app = make_app(self.tasks, **config)
        self.short = self.tasks.task(name="short", executor="thread")(lambda: "next")
        self.stuck = self.tasks.task(
            name="stuck", executor="thread", timeout=0.05, retries=RetryPolicy(3, delay=0)
        )(self._stuck)

    def _stuck(self, free: threading.Event) -> str:
        # No `progress()` here: it would end a thread that comes to it after its timeout.
        free.wait()
        return "late"

    async def abandon(self, free: threading.Event) -> str:
        """The id of a task whose thread was abandoned."""
        handle = await self.stuck.with_options(retries=0).submit(free)
        with pytest.raises(TaskTimeout):
            await handle
        return handle.id

    async def counts(self) -> tuple[int, int]:
        """How many threads hold a slot, and how many are abandoned."""
        stats = (await get(self.app, "/stats"))["executors"]["thread"]
        return stats["running"], stats["abandoned"]

    async def all_returned(self) -> None:
        while await self.counts() != (0, 0):
            await (await self.short.submit())


async def test_abandoned_thread_is_counted_until_it_returns() -> None:
    threads, free = Threads(TASKS_THREADS=1), threading.Event()
    async with threads.app.test_app():
        id = await threads.abandon(free)
        record = await get(threads.app, f"/{id}")
        assert (record["state"], record["error"]["type"]) == ("failed", "TaskTimeout")
        assert await threads.counts() == (0, 1)
        assert await (await threads.short.submit()) == "next"
        assert await threads.counts() == (0, 1)
        free.set()
        await threads.all_returned()
        assert await get(threads.app, f"/{id}") == record  # what it returned changed nothing


@pytest.mark.parametrize("returns", [0, 1])
async def test_beyond_their_number_slots_stay_taken_and_health_says_so(returns: int) -> None:
    threads = Threads(TASKS_THREADS=1, TASKS_MAX_ABANDONED_THREADS=1)
    gates = [threading.Event(), threading.Event()]
    client = threads.app.test_client()
    async with threads.app.test_app():
        for free in gates:
            assert (await client.get("/tasks/health")).status_code == 200
            await threads.abandon(free)
        assert await threads.counts() == (1, 1)
        response = await client.get("/tasks/health")
        assert response.status_code == 503
        assert "thread" in (await response.get_json())["detail"]
        waiting = await threads.short.submit()
        assert waiting.state == "queued"
        gates[returns].set()
        assert await waiting == "next"
        assert (await client.get("/tasks/health")).status_code == 200
        gates[1 - returns].set()
        await threads.all_returned()


async def test_retry_that_waits_for_an_abandoned_thread_is_cancelled_at_once() -> None:
    threads, free = Threads(), threading.Event()
    async with threads.app.test_app():
        handle = await threads.stuck.submit(free)
        await until_state(handle, "scheduled")
        await handle.cancel()
        ended = handle.record
        assert (ended.state, ended.attempt) == ("cancelled", 1)
        free.set()
        await threads.all_returned()
        assert handle.record == ended


async def test_thread_that_was_asked_to_cancel_is_abandoned_at_its_timeout() -> None:
    threads = Threads()
    async with threads.app.test_app():
        for timeout in TIMEOUTS:
            free = threading.Event()
            stuck = threads.stuck.with_options(timeout=timeout, retries=0)
            handle = await stuck.submit(free)
            await until_state(handle, "running")
            await handle.cancel()
            if handle.state == "running":
                break
            free.set()
            await threads.all_returned()
        assert handle.state == "running"
        with pytest.raises(TaskCancelled):
            await handle
        assert await threads.counts() == (0, 1)
        free.set()


# -- a process that only a kill ends ---------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size"),
    [("spins", 1), ("ignores_signals", 1), ("holds_the_gil", 1), ("is_stopped", 1), ("spawns", 3)],
)
async def test_process_is_gone_with_its_children_and_its_slot_runs_the_next(
    name: str, size: int, how: str
) -> None:
    async with make_app(faulty, TASKS_PROCESSES=1).test_app():
        function = getattr(faulty_tasks, name)
        for timeout in TIMEOUTS if how == "timeout" else [None]:
            pid = await (await faulty.submit("process_id"))
            handle = await function.with_options(timeout=timeout).submit()
            family: list[Watched] = []
            with suppress(AssertionError, ProcessLookupError):  # it was stopped before that
                await until_progress(handle, pid)
                family += [Watched(each) for each in (pid, *descendants(pid))]
            if len(family) == size:
                break
        assert len(family) == size
        if how == "cancel":
            await handle.cancel()
        with pytest.raises(TaskCancelled if how == "cancel" else TaskTimeout):
            await handle
        assert await (await faulty.submit("process_id")) != pid
        for each in family:
            await each.ended()


async def test_task_whose_worker_is_starting_is_cancelled_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes, go, start = tmp_path / "notes", threading.Event(), Worker.start

    def start_later(self: Worker, nice: int, modules: list[str]) -> None:
        go.wait()
        start(self, nice, modules)

    monkeypatch.setattr(Worker, "start", start_later)
    app = make_app(faulty, TASKS_PROCESSES=1)
    async with app.test_app():
        for _ in range(3):
            handle = await faulty.submit("note", str(notes))
            await get(app, "/stats")  # the worker begins to start
            assert handle.state == "queued"
            await handle.cancel()
            assert (handle.state, handle.record.attempt) == ("cancelled", 0)
        go.set()
        last = await faulty.submit("note", str(notes))
        await last
        assert appended(str(notes)) == [(last.id, 1)]


# -- times, in each executor -----------------------------------------------------------------


async def test_timeout_does_not_count_the_wait_for_a_slot_and_expires_does(
    executor: str, gate: Gate, tmp_path: Path
) -> None:
    async with make_app(faulty, **ONE_SLOT).test_app():
        for timeout in TIMEOUTS:
            footprint = str(tmp_path / f"footprint-{timeout}")
            holder = await waits[executor].submit(gate.path, footprint)
            await until_progress(holder, 1)
            patient = await echo[executor].with_options(timeout=timeout).submit("late")
            hasty = await echo[executor].with_options(expires=1.2 * timeout).submit("never")
            with pytest.raises(TaskExpired):
                await hasty
            assert (hasty.record.attempt, patient.state) == (0, "queued")
            await holder.cancel()
            with suppress(TaskTimeout):
                assert await patient == "late"
                break
        assert patient.state == "succeeded"


async def test_each_attempt_has_the_whole_timeout(
    executor: str, gate: Gate, tmp_path: Path
) -> None:
    app = make_app(faulty, **ONE_SLOT)
    async with app.test_app():
        for timeout in TIMEOUTS:
            footprint = str(tmp_path / f"footprint-{timeout}")
            waiting = waits[executor].with_options(timeout=timeout)
            handle = await waiting.submit(gate.path, footprint)
            with suppress(TaskTimeout):
                assert await handle == "in time"
                if len(appended(footprint)) == 2:  # else the first was killed before it began
                    break
        assert appended(footprint) == [(handle.id, 1), (handle.id, 2)]
        first, second = (await get(app, f"/{handle.id}"))["attempts"]
        assert (first["error"]["type"], second["error"]) == ("TaskTimeout", None)
        assert handle.record.error is None


async def test_cancel_is_not_retried_where_a_timeout_would_be(
    executor: str, gate: Gate, tmp_path: Path
) -> None:
    footprint = str(tmp_path / "footprint")
    async with make_app(faulty, **ONE_SLOT).test_app():
        handle = await waits[executor].submit(gate.path, footprint)
        await until_progress(handle, 1)
        await handle.cancel()
        # A thread that is asked returns, and what it returns counts.
        await until_state(handle, "succeeded" if executor == "thread" else "cancelled")
        assert await (await echo[executor].submit("next")) == "next"
        assert appended(footprint) == [(handle.id, 1)]


# -- things that happen in the same moment ---------------------------------------------------


async def told(app: Quart, after: str) -> dict[str, list[str]]:
    """What the events since a cursor tell of each task: its states and what else happened."""
    last = await echo["async"].submit("the last")
    await last
    story: dict[str, list[str]] = {}
    async with app.test_client().websocket(f"/tasks/events?after={after}") as socket:
        while story.get(last.id, [""])[-1] not in ENDED:
            frame = json.loads(await socket.receive())
            assert frame["type"] != "snapshot"
            what = frame["data"]["state"] if frame["type"] == "state" else frame["type"]
            story.setdefault(frame["task_id"], []).append(what)
    return story


class Races:
    """Tasks that ended in a race, and what must be true of each of them."""

    def __init__(self, app: Quart) -> None:
        self.app = app
        self.handles: list[Any] = []
        self._after = ""

    async def begin(self) -> None:
        self._after = (await get(self.app, "?limit=1"))["cursor"]

    async def check(self, executor: str) -> list[str]:
        """That each ended once, and is as its handle, its record and its events say; the slots
        are free again. The states."""
        await faulty.join()
        while faulty.stats()["executors"]["thread"]["abandoned"]:
            await (await echo["async"].submit("until late threads have returned"))
        states = []
        story = await told(self.app, self._after)
        for handle in self.handles:
            happened = story[handle.id]
            assert [each for each in happened if each in ENDED] == [handle.state], happened
            assert happened[-1] == handle.state
            record = await get(self.app, f"/{handle.id}")
            assert record["state"] == handle.state
            if handle.state != "cancelled":  # that keeps the error of an attempt before
                assert (record["error"] is None) == (handle.state == "succeeded")
            try:
                await handle
            except TaskCancelled:
                assert handle.state == "cancelled"
            except TaskFailed:
                assert handle.state == "failed"
            else:
                assert handle.state == "succeeded"
            states.append(handle.state)
        assert await (await echo[executor].submit("next")) == "next"
        stats = faulty.stats()
        assert stats["executors"][executor]["running"] == 0
        assert sum(stats["states"].values()) == sum(stats["states"][state] for state in ENDED)
        return states


async def turns(number: int) -> None:
    """Let the loop turn so often."""
    for _ in range(number):
        await asyncio.sleep(0)


async def cancel_twice(app: Quart, handle: Any) -> None:
    """At once, and again."""
    await handle.cancel()
    response = await app.test_client().post(f"/tasks/{handle.id}/cancel")
    assert response.status_code in (200, 202)


def steps(executor: str, times: int) -> Iterator[int]:
    """After how many turns of the loop to strike: what takes a process takes many."""
    number, step = {"async": (8, 1), "thread": (16, 4), "process": (16, 80)}[executor]
    for _ in range(2 * times):
        yield from range(0, number * step, step)


async def test_cancel_against_the_end(executor: str, times: int) -> None:
    app = make_app(faulty, **ONE_SLOT, **ALL_EVENTS)
    async with app.test_app():
        races = Races(app)
        await races.begin()
        for number in steps(executor, times):
            handle = await echo[executor].submit(number)
            races.handles.append(handle)
            if executor == "process":
                await until_state(handle, "running", "succeeded")
            await turns(number)
            await cancel_twice(app, handle)
        states = await races.check(executor)
        assert set(states) <= {"cancelled", "succeeded"}


async def test_cancel_against_the_retry(executor: str, times: int) -> None:
    app = make_app(faulty, **ONE_SLOT, **ALL_EVENTS)
    async with app.test_app():
        races = Races(app)
        await races.begin()
        for number in steps(executor, times):
            handle = await fails[executor].submit()
            races.handles.append(handle)
            await until_state(handle, "scheduled")
            await turns(number)
            await cancel_twice(app, handle)
            await until_state(handle, "cancelled")
            attempts = (await get(app, f"/{handle.id}"))["attempts"]
            assert len(attempts) == min(handle.record.attempt, 10)
            assert attempts[-1]["finished_at"] is not None
        assert set(await races.check(executor)) == {"cancelled"}


@pytest.mark.parametrize("against", ["success", "cancel"])
async def test_timeout_against_the_end_or_a_cancel(against: str, executor: str, times: int) -> None:
    number, timeout = {"async": (50, 0.05), "thread": (30, 0.05), "process": (10, 0.1)}[executor]
    app = make_app(faulty, TASKS_PROCESSES=2, **ALL_EVENTS)
    async with app.test_app():
        races = Races(app)
        await races.begin()
        for _ in range(times):
            cancels = []
            for each in range(number):
                seconds = timeout * (0.6 + 0.6 * each / number)
                lasting = lasts[executor].with_options(timeout=timeout)
                long = 2 * timeout if executor == "thread" else 60  # a thread is not stopped
                handle = await lasting.submit(seconds if against == "success" else long)
                races.handles.append(handle)
                if against == "cancel":
                    cancels.append(cancel_at(app, handle, seconds))
            await asyncio.gather(*cancels)
        states = await races.check(executor)
        possible = {"failed", "succeeded" if against == "success" else "cancelled"}
        if executor == "thread":
            possible.add("succeeded")  # what returns all the same
        assert set(states) <= possible
        errors = {each.record.error.type for each in races.handles if each.record.error}
        assert errors <= {"TaskTimeout"}


async def cancel_at(app: Quart, handle: Any, seconds: float) -> None:
    """Cancel a task so long after its start."""
    await until_state(handle, "running", *ENDED)
    await asyncio.sleep(seconds)
    await cancel_twice(app, handle)
