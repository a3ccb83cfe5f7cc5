"""The journal, with apps that are started again and again on one file."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from quart import Quart, request
from quart.testing import QuartClient as Client

from quart_tasks import (
    Blob,
    Interrupted,
    InvalidArguments,
    JournalUnavailable,
    QuartTasks,
    QuartTasksError,
    QueueFull,
    RetryPolicy,
    TaskCancelled,
    TaskFailed,
    TaskHandle,
    TaskNotFound,
    current_task,
    database,
    progress,
    recovery,
    service,
)

from .waiting import (
    HANG,
    Gate,
    all_events,
    pass_gate,
    pass_gate_on_loop,
    poll,
    until_progress,
    until_state,
)
from .web import Socket, client_of, ended, problem, submit

TIMES = 0.3, 3.0, 30.0  # seconds: the next where a busy machine takes as long to start again
STATS = "/tasks/stats"

tasks = QuartTasks()
ran: list[tuple[Any, ...]] = []  # what tasks say that they did


def note(*what: Any) -> None:
    context = current_task()
    assert context is not None
    ran.append((context.name, context.attempt, *what))


@tasks.task
async def work(value: Any = None) -> Any:
    note(value)
    return value


@tasks.task(idempotent=True)
async def work_again(value: Any) -> Any:
    return value


@tasks.task
async def hold(gate: str) -> str:
    note()
    progress(1)
    await pass_gate_on_loop(gate)
    return "held"


@tasks.task(idempotent=True)
async def hold_again(gate: str) -> str:
    note()
    progress(1)
    await pass_gate_on_loop(gate)
    return "held"


@tasks.task
def stubborn(gate: str) -> None:
    """Goes on when it is asked to end."""
    progress(1)
    pass_gate(gate)


@tasks.task(idempotent=True)
def stubborn_again(gate: str) -> None:
    progress(1)
    pass_gate(gate)


@tasks.task(durable=False)
async def forgotten(value: Any) -> None:
    note()


@tasks.task
async def fails(kind: str) -> None:
    note(kind)
    raise {"key": KeyError, "os": OSError}[kind]("as asked")


@tasks.task(idempotent=True)
async def above(gate: str) -> None:
    """Its first attempt alone has a child, which ends and leaves one of its own."""
    context = current_task()
    assert context is not None
    if context.attempt == 1:
        await (await between.submit())
    progress(1)
    await pass_gate_on_loop(gate)


@tasks.task
async def between() -> None:
    await work.with_options(delay=3600).submit("below")


@tasks.task
async def begets(begin: str, gate: str) -> None:
    progress(1)
    await pass_gate_on_loop(begin)
    await hold.submit(gate)
    await pass_gate_on_loop(gate)


@tasks.task
async def gives(kind: str) -> Any:
    if kind == "error":
        raise ValueError("as asked")
    return {
        "none": None,
        "small": {"answer": [42, "ä\u0000b", 0.1]},
        "large": ["x" * 100] * 1000,
        "text": "",
        "bytes": b"\x00\xff",
        "empty blob": b"",
        "blob": Blob(b"<svg/>", "image/svg+xml"),
    }[kind]


@tasks.task
async def yields(count: int, size: int) -> AsyncIterator[str]:
    for number in range(count):
        yield f"{number}{'y' * size}"


def make_app(path: Path, extension: QuartTasks = tasks, **config: Any) -> Quart:
    app = Quart(__name__)
    app.config.update({"TASKS_JOURNAL": path, "TASKS_DRAIN_TIMEOUT": 0, **config})
    extension.init_app(app)
    return app


@asynccontextmanager
async def started(
    path: Path, extension: QuartTasks = tasks, **config: Any
) -> AsyncIterator[Client]:
    """An app on a journal, all of which it has read."""
    app = make_app(path, extension, **config)
    async with app.test_app(), app.app_context():
        client = client_of(app)
        await healthy(client)
        yield client


async def healthy(client: Client) -> None:
    await until_answer(client, "/tasks/health", lambda answer: answer["status"] == "ok")


async def until_answer(client: Client, path: str, wanted: Callable[[Any], object]) -> None:
    """Ask until the answer is as wanted."""

    async def look() -> object:
        return wanted(await (await client.get(path)).get_json())

    await poll(look)


async def show(client: Client, id: str) -> dict[str, Any]:
    """All of a task, but for what belongs to one start."""
    response = await client.get(f"/tasks/{id}")
    assert response.status_code == 200, await response.get_data()
    record = await response.get_json()
    del record["cursor"]
    return dict(record)


def files(path: Path) -> list[Path]:
    """The database and its log."""
    return [path, Path(f"{path}-wal")]


def copy(path: Path, to: Path) -> None:
    for each, target in zip(files(path), files(to), strict=True):
        if each.exists():
            shutil.copyfile(each, target)


@dataclass
class Journal:
    """A journal's file, and whether what is seen of it next is what a kill leaves."""

    path: Path
    killed: bool

    async def kill(self) -> None:
        """To be called in the end of a start: with `killed`, the file is from now on another,
        with what is committed by now. The copy is whole, as nothing is written meanwhile."""
        if self.killed:
            await forgotten.submit(object())  # a turn, in which what is not awaited is begun
            await work.submit("the last")  # that is committed now too, as the order is kept
            after = self.path.with_name(f"{self.path.stem}x.db")
            copy(self.path, after)
            self.path = after


@pytest.fixture(params=["stopped", "killed"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Journal:
    return Journal(tmp_path / "tasks.db", request.param == "killed")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.db"


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


@pytest.fixture
def patient_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that does not give up for as long as a test has it locked."""
    monkeypatch.setattr(database, "BUSY_SECONDS", HANG)


@pytest.fixture
def slow_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """The start does not wait for the journal to be read, which takes many turns of the loop on
    however fast a machine: each slice is read in a thread, and asked for in a turn of its own."""
    monkeypatch.setattr(service, "READ_SECONDS", 0)
    monkeypatch.setattr(recovery, "SLICE", 10)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nobody can write to the journal meanwhile."""
    other = sqlite3.connect(path, timeout=HANG, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


async def turns() -> None:
    """Let what has been begun come to where it waits."""
    for _ in range(100):
        await asyncio.sleep(0)


async def check_held(client: Client) -> None:
    """That submissions count, and are not to be seen; TASKS_MAX_PENDING must be their number."""
    await turns()
    async with asyncio.timeout(HANG):
        await problem(await client.post("/tasks", json={"name": "work"}), 429)
    assert await records(client) == []
    assert sum((await stats(client))["states"].values()) == 0


async def records(client: Client) -> list[dict[str, Any]]:
    response = await client.get("/tasks?limit=500")
    return (await response.get_json())["tasks"]  # type: ignore[no-any-return]


async def stats(client: Client) -> dict[str, Any]:
    return await (await client.get(STATS)).get_json()  # type: ignore[no-any-return]


def taken(stats: dict[str, Any]) -> dict[str, int]:
    return stats["executors"]["async"]  # type: ignore[no-any-return]


# -- what waits --------------------------------------------------------------------------------


async def test_waiting_tasks_come_back_as_they_were(journal: Journal, gate: Gate) -> None:
    options = {"priority": 3, "key": "k", "expires": 3000, "timeout": 9, "retries": 0}
    async with started(journal.path, TASKS_ASYNC_CONCURRENCY=1) as client:
        blocker = await hold_again.with_options(priority=9).submit(gate.path)
        await until_progress(blocker, 1)
        ids = [
            (await submit(client, "work", value, options=each))["id"]
            for value, each in [
                ("plain", {}),
                ("x" * 10_000, options),
                ("later", {"delay": 3600}),
                ("at", {"eta": "2100-01-01T00:00:00+01:00"}),
            ]
        ]
        before = [await show(client, id) for id in ids]
        await journal.kill()
    async with started(journal.path, TASKS_ASYNC_CONCURRENCY=1) as client:
        assert [await show(client, id) for id in ids] == before
        assert [each["state"] for each in before] == ["queued"] * 2 + ["scheduled"] * 2
        gate.open()
        assert (await ended(client, ids[1]))["state"] == "succeeded"
        assert await tasks.get(ids[0]) == "plain"
        values = [value[0] for name, _, *value in ran if name == "work"]
        assert values[:2] == ["x" * 10_000, "plain"]


async def test_priority_and_order_hold(journal: Journal, gate: Gate) -> None:
    async with started(journal.path, TASKS_ASYNC_CONCURRENCY=1):
        await until_progress(await hold.submit(gate.path), 1)
        handles = [
            await work.with_options(priority=priority).submit(number)
            for number, priority in enumerate([0, 5, -1, 5, 0])
        ]
        await journal.kill()
    async with started(journal.path, TASKS_ASYNC_CONCURRENCY=1):
        assert [await tasks.get(each.id) for each in handles] == [0, 1, 2, 3, 4]
    assert [value for name, _, value in ran[1:] if name == "work" and value != "the last"] == [
        1, 3, 0, 4, 2,
    ]  # fmt: skip


async def test_delay_goes_on_by_the_wall_clock(journal: Journal) -> None:
    for delay in TIMES:
        async with started(journal.path):
            # It is idempotent, as the kill may come when it has begun.
            handle = await work_again.with_options(delay=delay).submit("later")
            due = handle.record.scheduled_for
            assert due is not None
            await journal.kill()
        async with started(journal.path):
            again = tasks.get(handle.id)
            before = again.record
            assert await again == "later"
            started_at = again.record.started_at
        assert started_at is not None
        assert started_at >= due
        if before.state == "scheduled":
            break
    assert before.scheduled_for == due


async def test_a_pause_before_a_retry_goes_on(journal: Journal) -> None:
    for delay in TIMES:
        policy = RetryPolicy(1, delay=delay, jitter=False)
        async with started(journal.path):
            handle = await fails.with_options(retries=policy).submit("key")
            await until_state(handle, "scheduled")
            before = handle.record
            await journal.kill()
        ran.clear()  # a killed one may have run again behind the copy
        async with started(journal.path):
            again = tasks.get(handle.id)
            after = again.record
            with pytest.raises(TaskFailed) as failed:
                await again
        if after.state == "scheduled":
            break
    assert (after.scheduled_for, after.error) == (before.scheduled_for, before.error)
    assert failed.value.type == "KeyError"
    assert [each for each in ran if each[0] == "fails"] == [("fails", 2, "key")]


async def test_expires_goes_on(journal: Journal, gate: Gate) -> None:
    async with started(journal.path, TASKS_ASYNC_CONCURRENCY=1):
        await until_progress(await hold_again.with_options(priority=9).submit(gate.path), 1)
        handle = await work.with_options(expires=0.3).submit("never")
        await journal.kill()
    async with started(journal.path, TASKS_ASYNC_CONCURRENCY=1) as client:
        record = await ended(client, handle.id)
        assert record["error"]["type"] == "TaskExpired"
        assert record["attempt"] == 0


async def test_owner_and_retry_of_hold(journal: Journal) -> None:
    own = QuartTasks()
    own.task(name="work")(work.definition.function)

    @own.authorize
    async def who(action: str, name: Any, record: Any) -> str | None:
        return request.headers.get("X-User")

    alice, bob = {"X-User": "alice"}, {"X-User": "bob"}
    body = {"name": "work", "options": {"key": "k", "delay": 3600}, "idempotency_key": "i"}
    async with started(journal.path, own) as client:
        response = await client.post("/tasks", json=body, headers=alice)
        first = await response.get_json()
        await client.post(f"/tasks/{first['id']}/cancel", headers=alice)
        response = await client.post(f"/tasks/{first['id']}/retry", headers=alice)
        second = await response.get_json()
        if journal.killed:
            copy(journal.path, journal.path.with_name("copy.db"))
            journal.path = journal.path.with_name("copy.db")
    async with started(journal.path, own) as client:
        assert (await client.get(f"/tasks/{second['id']}", headers=bob)).status_code == 404
        response = await client.get(f"/tasks/{second['id']}", headers=alice)
        again = await response.get_json()
        assert (again["owner"], again["retry_of"]) == ("alice", first["id"])
        response = await client.post("/tasks", json=body | {"idempotency_key": "j"}, headers=alice)
        assert (await response.get_json())["id"] == second["id"]  # whose key it is
        response = await client.post("/tasks", json=body, headers=alice)
        assert (await response.get_json())["id"] == first["id"]
        response = await client.post("/tasks", json=body, headers=bob)
        assert (await response.get_json())["id"] not in (first["id"], second["id"])


async def test_cancel_reaches_descendants_of_an_earlier_start(journal: Journal, gate: Gate) -> None:
    async with started(journal.path):
        parent = await above.submit(gate.path)
        await until_progress(parent, 1)
        await journal.kill()
    async with started(journal.path) as client:
        await until_progress(tasks.get(parent.id), 1)
        by_name = {each["name"]: each for each in await records(client) if each["parent_id"]}
        assert by_name["between"]["parent_id"] == parent.id
        below = tasks.get(by_name["work"]["id"])
        assert below.record.parent_id == by_name["between"]["id"]
        await tasks.cancel(parent.id)
        with pytest.raises(TaskCancelled):
            await below


async def test_retry_policy_and_timeout_of_one_task_hold(journal: Journal, gate: Gate) -> None:
    async with started(journal.path, TASKS_ASYNC_CONCURRENCY=1):
        await until_progress(await hold.submit(gate.path), 1)
        policy = RetryPolicy(2, delay=0, on=(KeyError,))
        covered = await fails.with_options(retries=policy).submit("key")
        other = await fails.with_options(retries=policy).submit("os")
        slow = await hold.with_options(timeout=0.05).submit(gate.path)
        await journal.kill()
    async with started(journal.path) as client:
        assert [(await ended(client, each.id))["attempt"] for each in (covered, other)] == [3, 1]
        assert (await ended(client, slow.id))["error"]["type"] == "TaskTimeout"


async def test_a_class_to_retry_on_that_cannot_be_imported_costs_nothing_else(
    path: Path, tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "volatile_errors.py"
    module.write_text("class Flaky(Exception): pass\n")
    import volatile_errors  # type: ignore[import-not-found]

    async with started(path, TASKS_ASYNC_CONCURRENCY=1):
        await hold.submit(gate.path)  # the others wait for its slot
        policy = RetryPolicy(2, delay=0, on=(volatile_errors.Flaky,))
        odd = await work.with_options(retries=policy).submit("odd")
        plain = await work.submit("plain")
    del sys.modules["volatile_errors"]
    module.write_text("raise RuntimeError('this module is broken now')\n")
    async with started(path):
        assert await tasks.get(plain.id) == "plain"
        assert await tasks.get(odd.id) == "odd"


# -- keys --------------------------------------------------------------------------------------


async def test_key_holds_until_its_task_ends(journal: Journal, gate: Gate) -> None:
    async with started(journal.path):
        first = await hold_again.with_options(key="k").submit(gate.path)
        await until_progress(first, 1)
        await journal.kill()
    async with started(journal.path):
        keyed = hold_again.with_options(key="k")
        assert (await keyed.submit("other")).id == first.id
        gate.open()
        await tasks.get(first.id)
        assert (await keyed.submit(gate.path)).id != first.id


async def test_idempotency_key_holds(journal: Journal) -> None:
    body = {"name": "work", "args": [1]}
    header = {"Idempotency-Key": "in a header"}
    async with started(journal.path) as client:
        first = await submit(client, "work", 1, idempotency_key="ended")
        await ended(client, first["id"])
        later = await submit(client, "work", options={"delay": 3600}, idempotency_key="later")
        response = await client.post("/tasks", json=body, headers=header)
        third = await response.get_json()
        await journal.kill()
    for _ in range(2):
        async with started(journal.path) as client:
            again = await submit(client, "work", 1, idempotency_key="ended")
            assert again["id"] == first["id"]
            again = await submit(client, "work", options={"delay": 3600}, idempotency_key="later")
            assert again["id"] == later["id"]
            response = await client.post("/tasks", json=body, headers=header)
            assert (await response.get_json())["id"] == third["id"]
            for key in ("ended", "later"):
                other = {"name": "work", "args": [2], "idempotency_key": key}
                await problem(await client.post("/tasks", json=other), 422)
    assert ran.count(("work", 1, 1)) == 2


async def test_idempotency_key_of_a_submission_that_a_key_answered_holds(
    journal: Journal, gate: Gate
) -> None:
    """Its client may send it again, and must not start it anew."""
    body: dict[str, Any] = {"options": {"key": "k"}, "idempotency_key": "second"}
    async with started(journal.path) as client:
        first = await submit(client, "hold_again", gate.path, options={"key": "k"})
        assert (await submit(client, "hold_again", gate.path, **body))["id"] == first["id"]
        await journal.kill()
    async with started(journal.path) as client:
        gate.open()
        await ended(client, first["id"])
        assert (await submit(client, "hold_again", gate.path, **body))["id"] == first["id"]


# -- what ran ----------------------------------------------------------------------------------


async def test_running_idempotent_task_is_run_again_three_times(
    journal: Journal, gate: Gate
) -> None:
    async with started(journal.path):
        handle = await hold_again.submit(gate.path)
        await until_progress(handle, 1)
        await journal.kill()
    for attempt in (2, 3, 4):
        async with started(journal.path) as client:
            again = tasks.get(handle.id)
            await until_progress(again, 1)
            record = await show(client, handle.id)
            assert (record["state"], record["attempt"]) == ("running", attempt)
            past = record["attempts"][:-1]
            assert [each["error"]["type"] for each in past] == ["Interrupted"] * (attempt - 1)
            await journal.kill()
    for _ in range(2):
        async with started(journal.path) as client:
            record = await show(client, handle.id)
            assert (record["state"], record["attempt"]) == ("failed", 4)
            assert record["error"]["type"] == "Interrupted"
    assert [attempt for name, attempt, *_ in ran if name == "hold_again"] == [1, 2, 3, 4]


async def test_retries_come_on_top_of_interruptions(journal: Journal, gate: Gate) -> None:
    async with started(journal.path):
        again = hold_again.with_options(retries=RetryPolicy(1, delay=0))
        handle = await again.submit(gate.path)
        await until_progress(handle, 1)
        await journal.kill()
    for attempt in (2, 3, 4, 5):
        async with started(journal.path):
            await until_progress(tasks.get(handle.id), 1)
            assert tasks.get(handle.id).record.attempt == attempt
            await journal.kill()
    async with started(journal.path) as client:
        assert (await show(client, handle.id))["error"]["type"] == "Interrupted"


async def test_running_task_that_is_not_idempotent_ends_as_interrupted(
    journal: Journal, gate: Gate
) -> None:
    async with started(journal.path):
        handle = await hold.with_options(retries=RetryPolicy(3, delay=0)).submit(gate.path)
        await until_progress(handle, 1)
        await journal.kill()
    async with started(journal.path) as client:
        with pytest.raises(Interrupted):
            await tasks.get(handle.id)
        found = await problem(await client.get(f"/tasks/{handle.id}/result"), 409, "interrupted")
        assert found["detail"]
        first = await show(client, handle.id)
        assert (first["state"], first["attempt"], len(first["attempts"])) == ("failed", 1, 1)
        await journal.kill()
    async with started(journal.path) as client:
        assert await show(client, handle.id) == first
    assert len([each for each in ran if each[0] == "hold"]) == 1


async def test_interrupted_task_can_be_retried(journal: Journal, gate: Gate) -> None:
    async with started(journal.path):
        handle = await hold.submit(gate.path)
        await until_progress(handle, 1)
        await journal.kill()
    gate.open()
    async with started(journal.path):
        again = await tasks.get(handle.id).retry()
        assert await again == "held"
        assert again.record.retry_of == handle.id


@pytest.mark.parametrize("name", ["stubborn", "stubborn_again"])
async def test_acknowledged_cancel_of_a_running_task_holds(
    name: str, journal: Journal, gate: Gate
) -> None:
    async with started(journal.path) as client:
        handle = await tasks.submit(name, gate.path)
        await until_progress(handle, 1)
        response = await client.post(f"/tasks/{handle.id}/cancel")
        assert response.status_code == 202
        assert (await response.get_json())["state"] == "running"
        await journal.kill()
    for _ in range(2):
        async with started(journal.path) as client:
            record = await show(client, handle.id)
            assert (record["state"], record["cancel_requested"]) == ("cancelled", True)
            with pytest.raises(TaskCancelled):
                await tasks.get(handle.id)


async def test_cancel_of_waiting_tasks_holds(journal: Journal) -> None:
    async with started(journal.path) as client:
        handles = [await work.with_options(delay=3600).submit(number) for number in range(5)]
        await tasks.cancel(handles[0].id)
        await client.post("/tasks/cancel", json={"ids": [each.id for each in handles[1:4]]})
        await journal.kill()
    async with started(journal.path):
        states = [tasks.get(each.id).state for each in handles]
        assert states == ["cancelled"] * 4 + ["scheduled"]


@pytest.mark.usefixtures("patient_journal")
async def test_child_on_its_way_into_the_journal_is_cancelled_with_its_parent(
    path: Path, tmp_path: Path, gate: Gate
) -> None:
    begin = Gate(tmp_path / "begin")
    async with started(path, TASKS_MAX_PENDING=1) as client:
        parent = await begets.submit(begin.path, gate.path)
        await until_progress(parent, 1)
        with locked(path):
            begin.open()
            await turns()
            await problem(await client.post("/tasks", json={"name": "work"}), 429)
            cancel = asyncio.create_task(parent.cancel())
            await turns()
        await cancel
        with pytest.raises(TaskCancelled):
            await parent
        gate.open()  # what was not cancelled goes on to its end
        [child] = [each for each in await records(client) if each["name"] == "hold"]
        assert (await ended(client, child["id"]))["state"] == "cancelled"
    begin.close()


# -- what has ended ----------------------------------------------------------------------------

KINDS = ["none", "small", "large", "text", "bytes", "empty blob", "blob", "error"]


async def test_ended_tasks_come_back_whole(journal: Journal) -> None:
    async with started(journal.path) as client:
        handles: list[TaskHandle[Any]] = [await gives.submit(kind) for kind in KINDS]
        handles += [await yields.submit(*each) for each in [(0, 1), (3, 1), (40, 1000)]]
        handles.append(
            await fails.with_options(retries=RetryPolicy(2, delay=0, on=(KeyError,))).submit("key")
        )
        handles.append(await work.with_options(delay=3600).submit("not to be"))
        await handles[-1].cancel()
        await tasks.join()
        before = [await show(client, each.id) for each in handles]
        results = [await whole_result(client, each.id) for each in handles]
        await journal.kill()
    for _ in range(2):
        async with started(journal.path) as client:
            assert [without_logs(await show(client, each.id)) for each in handles] == [
                without_logs(each) for each in before
            ]
            assert [await whole_result(client, each.id) for each in handles] == results
            assert await tasks.get(handles[0].id) is None
            assert await tasks.get(handles[4].id) == b"\x00\xff"
            assert await tasks.get(handles[6].id) == Blob(b"<svg/>", "image/svg+xml")
            listed = {each["id"]: each for each in await records(client)}
            assert listed[handles[2].id]["omitted"] == ["result"]
            assert listed[handles[2].id]["result"] is None


def without_logs(record: dict[str, Any]) -> dict[str, Any]:
    """Log lines and progress are not journaled."""
    return {**record, "logs": None, "progress": None}


async def whole_result(client: Client, id: str) -> tuple[Any, ...]:
    response = await client.get(f"/tasks/{id}/result")
    return (
        response.status_code, response.content_type, response.headers["Task-State"],
        await response.get_data(),
    )  # fmt: skip


async def test_outputs_of_an_earlier_start_are_streamed(journal: Journal) -> None:
    async with started(journal.path):
        handle = await yields.submit(40, 1000)
        await handle
        before = [each.data for each in await all_events(handle) if each.type == "output"]
        cursor = handle.record.cursor
        await journal.kill()
    async with started(journal.path):
        for after in (None, cursor):
            events = await all_events(tasks.get(handle.id), after)
            assert events[0].type == "snapshot"
            assert events[0].data["reason"] == ("start" if after is None else "epoch")
            assert [each.data for each in events if each.type == "output"] == before
            assert events[-1].type == "state" or events[0].data["tasks"][0]["finished_at"]


async def test_stream_of_an_earlier_start_gets_its_snapshot(journal: Journal, gate: Gate) -> None:
    async with started(journal.path) as client:
        over = await work.submit("over")
        await over
        cursor = (await (await client.get("/tasks")).get_json())["cursor"]
        waits = await work.with_options(delay=3600).submit("waits")
        await journal.kill()
    async with started(journal.path) as client:
        async with Socket(client.app, f"/tasks/events?after={cursor}") as socket:
            frame = await socket.receive()
        assert (frame["type"], frame["data"]["reason"]) == ("snapshot", "epoch")
        assert {over.id, waits.id} <= {each["id"] for each in frame["data"]["tasks"]}
        assert frame["cursor"].partition("-")[0] != cursor.partition("-")[0]


async def test_ended_records_go_when_their_time_is_over(path: Path) -> None:
    async with started(path):
        handles = [await work.submit(number) for number in range(3)]
        await tasks.join()
        waits = await work.with_options(delay=3600).submit("waits")
    async with started(path, TASKS_MAX_FINISHED=1) as client:
        await until_answer(client, STATS, lambda stats: stats["states"]["succeeded"] == 1)
        last = max(handles, key=lambda each: str(each.record.finished_at))
        assert tasks.get(last.id).state == "succeeded"
    async with started(path) as client:
        assert {each["id"] for each in await records(client)} == {last.id, waits.id}
    async with started(path, TASKS_RETENTION=0) as client:
        await until_answer(client, STATS, lambda stats: stats["states"]["succeeded"] == 0)
    async with started(path) as client:
        assert [each["id"] for each in await records(client)] == [waits.id]


async def test_delete_holds(journal: Journal) -> None:
    async with started(journal.path) as client:
        gone, kept = [await gives.submit(kind) for kind in ("large", "small")]
        await tasks.join()
        assert (await client.delete(f"/tasks/{gone.id}")).status_code == 204
        await journal.kill()
    async with started(journal.path) as client:
        await problem(await client.get(f"/tasks/{gone.id}"), 404)
        assert (await show(client, kept.id))["state"] == "succeeded"


async def test_retry_holds(journal: Journal) -> None:
    async with started(journal.path) as client:
        first = await submit(client, "work", "x" * 10_000, options={"delay": 3600, "priority": 2})
        await tasks.cancel(first["id"])
        response = await client.post(f"/tasks/{first['id']}/retry")
        second = await response.get_json()
        await journal.kill()
    async with started(journal.path) as client:
        record = await show(client, second["id"])
        assert (record["state"], record["priority"]) == ("scheduled", 2)
        assert record["retry_of"] == first["id"]
        assert record["args"] == ["x" * 10_000]


# -- what no longer fits -----------------------------------------------------------------------


def versions() -> tuple[QuartTasks, QuartTasks, QuartTasks]:
    """An app's tasks, those without `changing`, and those where it takes something else."""
    with_it, without, other = QuartTasks(), QuartTasks(), QuartTasks()

    async def changing(value: int) -> int:
        return value

    async def changed(value: dict[str, int]) -> None:
        raise AssertionError("It must not run.")

    with_it.task(changing)
    other.task(name="changing")(changed)
    return with_it, without, other


@pytest.mark.parametrize("misfit", ["gone", "changed"])
async def test_task_that_no_longer_fits_fails_and_can_be_retried_later(
    misfit: str, journal: Journal
) -> None:
    good, without, other = versions()
    async with started(journal.path, good) as client:
        waits = await submit(client, "changing", 42, options={"delay": 3600, "key": "k"})
    async with started(journal.path, without if misfit == "gone" else other) as client:
        record = await show(client, waits["id"])
        assert record["state"] == "failed"
        assert record["error"]["type"] == (
            "UnknownTask" if misfit == "gone" else "InvalidArguments"
        )
        about = "'changing'" if misfit == "gone" else "#/args/0"
        assert about in record["error"]["message"]
        await problem(await client.post(f"/tasks/{waits['id']}/retry"), 409)
    async with started(journal.path, good) as client:
        again = await show(client, waits["id"])
        assert again == record
        response = await client.post(f"/tasks/{waits['id']}/retry")
        assert response.status_code == 202
        retried = await response.get_json()
        assert (retried["args"], retried["key"], retried["state"]) == ([42], "k", "scheduled")


async def test_arguments_whose_check_breaks_cost_nothing_else(path: Path) -> None:
    good, odd = QuartTasks(), QuartTasks()

    async def checked(value: int) -> int:
        return value

    async def badly(value: Capricious) -> None:
        raise AssertionError("It must not run.")

    @good.task
    async def holds() -> None:
        await asyncio.Event().wait()

    good.task(checked)
    good.task(name="plain")(checked)
    odd.task(name="checked")(badly)
    odd.task(name="plain")(checked)
    async with started(path, good, TASKS_ASYNC_CONCURRENCY=1) as client:
        await submit(client, "holds")  # the others wait for its slot
        ids = [(await submit(client, name, 1))["id"] for name in ("checked", "plain")]
    async with started(path, odd) as client:
        assert (await ended(client, ids[1]))["state"] == "succeeded"
        assert (await ended(client, ids[0]))["state"] == "failed"


@dataclass
class Capricious:
    """A type that is looked up in something that is not there today."""

    value: int = 0

    def __post_init__(self) -> None:
        raise LookupError("no such thing today")


async def test_task_that_opted_out_is_not_there(journal: Journal) -> None:
    async with started(journal.path):
        lost = await forgotten.with_options(delay=3600).submit("plain data")
        odd = await forgotten.submit(object())
        await odd
        kept = await work.with_options(delay=3600).submit("kept")
        await journal.kill()
    async with started(journal.path):
        assert tasks.get(kept.id).state == "scheduled"
        for each in (lost, odd):
            with pytest.raises(TaskNotFound):
                tasks.get(each.id)


async def test_arguments_that_are_no_json_are_refused(path: Path) -> None:
    async with started(path):
        with pytest.raises(InvalidArguments, match="durable=False"):
            await work.submit(object())
        with pytest.raises(InvalidArguments, match="durable=False"):
            await tasks.submit_many(work, [[1], [object()]])
        assert tasks.list() == []


# -- while it is read --------------------------------------------------------------------------


@pytest.mark.usefixtures("slow_reading")
async def test_server_answers_while_the_journal_is_read(path: Path) -> None:
    number = 5_000
    async with started(path):
        delayed = work.with_options(delay=3600)
        handles = await tasks.submit_many(delayed, [[each] for each in range(number)])
    app = make_app(path)
    async with app.test_app(), app.app_context():
        client = client_of(app)
        health = await problem(await client.get("/tasks/health"), 503)
        assert "loading" in health["detail"]
        response = await client.post("/tasks", json={"name": "work"})
        await problem(response, 503)
        assert int(response.headers["Retry-After"]) > 0
        for id in (handles[-1].id, "0195d1b0-0000-7000-8000-000000000000"):
            response = await client.get(f"/tasks/{id}")
            await problem(response, 503)
            assert int(response.headers["Retry-After"]) > 0
        assert (await work.submit(1)).state in ("queued", "running", "succeeded")  # it waits
        await healthy(client)
        await problem(await client.get("/tasks/0195d1b0-0000-7000-8000-000000000000"), 404)
        assert tasks.get(handles[-1].id).state == "scheduled"
        assert (await stats(client))["states"]["scheduled"] == number
        await submit(client, "work", 1)


@pytest.mark.usefixtures("slow_reading")
async def test_stream_begun_while_the_journal_is_read_misses_nothing(path: Path) -> None:
    """Clients come back at once when a server does."""
    async with started(path):
        delayed = work.with_options(delay=3600)
        handles = await tasks.submit_many(delayed, [[each] for each in range(5_000)])
    app = make_app(path)
    async with app.test_app(), app.app_context():
        client = client_of(app)
        assert (await client.get("/tasks/health")).status_code == 503
        seen: set[str] = set()
        async with Socket(app, "/tasks/events") as socket:
            frame = await socket.receive()
            if frame["type"] == "error":
                assert (await socket.refusal(frame))["status"] == 503
                return
            marker = None
            async with asyncio.timeout(HANG):
                while marker is None or marker not in seen:
                    if frame["type"] == "snapshot":
                        seen.update(each["id"] for each in frame["data"]["tasks"])
                    elif frame["type"] == "state":
                        seen.add(frame["task_id"])
                    if marker is None and not frame["data"].get("more"):
                        await healthy(client)
                        marker = (await submit(client, "work", "marker"))["id"]
                    if marker not in seen:
                        frame = await socket.receive()
        assert {each.id for each in handles} <= seen


@pytest.mark.usefixtures("slow_reading")
async def test_app_that_is_stopped_while_the_journal_is_read_loses_nothing(path: Path) -> None:
    number, health = 2_000, []
    async with started(path):
        delayed = work.with_options(delay=3600)
        await tasks.submit_many(delayed, [[each] for each in range(number)])
    for pauses in range(0, 40, 3):
        app = make_app(path)
        async with app.test_app(), app.app_context():
            for _ in range(pauses):
                await asyncio.sleep(0)
            health.append((await client_of(app).get("/tasks/health")).status_code)
    assert 503 in health  # it was read still
    async with started(path) as client:
        assert (await stats(client))["states"]["scheduled"] == number


# -- while it is written -----------------------------------------------------------------------


@pytest.mark.usefixtures("patient_journal")
async def test_task_is_not_there_until_it_is_committed(path: Path) -> None:
    async with started(path, TASKS_MAX_PENDING=1) as client:
        async with Socket(client.app, "/tasks/events") as socket:
            assert (await socket.receive())["type"] == "snapshot"
            with locked(path):
                submission = asyncio.create_task(submit(client, "work", "slow"))
                await check_held(client)
                with pytest.raises(QueueFull):
                    await work.submit("too many")
                assert ran == []
                assert not submission.done()
            frame = await socket.receive()
        record = await submission
        assert frame["task_id"] == record["id"]
        assert (await ended(client, record["id"]))["result"] == "slow"


SAME: list[dict[str, Any]] = [{"options": {"key": "k"}}, {"idempotency_key": "i"}]


@pytest.mark.usefixtures("patient_journal")
@pytest.mark.parametrize("body", SAME, ids=["key", "idempotency key"])
async def test_second_submission_under_a_key_waits_for_the_same_commit(
    body: dict[str, Any], path: Path
) -> None:
    async with started(path, TASKS_MAX_PENDING=1) as client:
        with locked(path):
            first = asyncio.create_task(submit(client, "work", 1, **body))
            await check_held(client)
            second = asyncio.create_task(submit(client, "work", 1, **body))
            await turns()
            await client.get("/tasks")
            assert not first.done()
            assert not second.done()
        assert (await first)["id"] == (await second)["id"]
        await tasks.join()
    assert ran == [("work", 1, 1)]


async def test_same_key_twice_in_one_batch_is_one_task(path: Path) -> None:
    async with started(path):
        handles = await tasks.submit_many(work.with_options(key="k"), [[1], [2]])
        assert handles[0].id == handles[1].id
        await tasks.join()
    assert ran == [("work", 1, 1)]


@pytest.mark.usefixtures("patient_journal")
async def test_caller_that_goes_away_undoes_nothing(path: Path) -> None:
    async with started(path, TASKS_MAX_PENDING=1) as client:
        with locked(path):
            caller = asyncio.create_task(work.with_options(key="k").submit("gone"))
            await check_held(client)
            caller.cancel()
            await asyncio.wait([caller])
        await tasks.join()
        assert ran == [("work", 1, "gone")]
        [record] = await records(client)
        assert record["key"] == "k"


@pytest.mark.usefixtures("patient_journal")
async def test_stop_while_a_submission_waits(path: Path) -> None:
    """It is in the journal then, or refused; and the stop does not wait for it."""
    app = make_app(path, TASKS_DRAIN_TIMEOUT=3600)
    await app.startup()
    async with app.app_context():
        await healthy(client_of(app))
        with locked(path):
            submission = asyncio.create_task(work.submit("late"))
            await turns()
            assert not submission.done()
            stopping = asyncio.create_task(app.shutdown())
            await turns()
        async with asyncio.timeout(HANG):
            await stopping
            await asyncio.wait([submission])
    async with started(path):
        if submission.exception() is None:
            assert await tasks.get(submission.result().id) == "late"
        else:
            assert isinstance(submission.exception(), QuartTasksError)
            assert tasks.list() == []


async def test_what_ends_with_the_server_is_not_forgotten(path: Path, gate: Gate) -> None:
    """Retention is for tasks that have ended, and those of a server that goes have not."""
    config: dict[str, Any] = {"TASKS_MAX_FINISHED": 0, "TASKS_RETENTION": 0}
    async with started(path, **config):
        await until_progress(await stubborn_again.submit(gate.path), 1)  # holds up the end
        delayed = work.with_options(delay=3600)
        handles = await tasks.submit_many(delayed, [[each] for each in range(100)])
    async with started(path):
        assert [tasks.get(each.id).state for each in handles] == ["scheduled"] * 100


async def test_nobody_is_told_of_an_end_that_the_next_start_takes_back(path: Path) -> None:
    async with started(path) as client:
        waits = await work.with_options(delay=3600).submit("waits")
        asked = asyncio.create_task(ask_for_end(client, waits.id))
        awaited = asyncio.create_task(waits.result())
        await turns()
    record = await asked
    assert record is None or record["finished_at"] is None
    with pytest.raises((QuartTasksError, asyncio.CancelledError)) as raised:
        await awaited
    assert not isinstance(raised.value, TaskCancelled)
    async with started(path):
        assert tasks.get(waits.id).state == "scheduled"


async def ask_for_end(client: Client, id: str) -> dict[str, Any] | None:
    response = await client.get(f"/tasks/{id}?wait=60")
    return await response.get_json() if response.status_code == 200 else None


# -- when it cannot be written -----------------------------------------------------------------


async def until_refused(client: Client) -> None:
    """Wait until the journal is known to be out of order."""
    await problem(await client.post("/tasks", json={"name": "work"}), 503, "journal-unavailable")


@pytest.mark.usefixtures("hasty_journal")
async def test_journal_that_cannot_be_written(
    path: Path, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "quart_tasks")
    async with started(path) as client:
        over = await work.submit("over")
        await over
        waits = await work.with_options(delay=3600).submit("waits")
        runs = await hold.submit(gate.path)
        await until_progress(runs, 1)
        with locked(path):
            body = {"name": "work", "idempotency_key": "i", "options": {"key": "k"}}
            response = await client.post("/tasks", json=body)
            await problem(response, 503, "journal-unavailable")
            assert int(response.headers["Retry-After"]) > 0
            await problem(await client.post("/tasks/batch", json={"tasks": [body] * 3}), 503)
            for method, target in [
                ("POST", f"{waits.id}/cancel"), ("POST", f"{over.id}/retry"), ("DELETE", over.id),
            ]:  # fmt: skip
                response = await client.open(f"/tasks/{target}", method=method)
                await problem(response, 503, "journal-unavailable")
            for call in (lambda: work.submit(1), waits.cancel, over.retry):
                with pytest.raises(JournalUnavailable):
                    await call()
            health = await problem(await client.get("/tasks/health"), 503)
            assert "journal" in health["detail"]
            gate.open()  # the task that runs goes on to its end, which is not shown yet
            await until_answer(client, STATS, lambda stats: not taken(stats)["running"])
            assert runs.state == "running"
        await healthy(client)
        assert await runs == "held"
        assert (over.state, waits.state) == ("succeeded", "scheduled")
        fresh = await submit(client, "work", idempotency_key="i", options={"key": "k"})
        assert (await ended(client, fresh["id"]))["state"] == "succeeded"
        before = {each["id"]: each for each in await records(client)}
        assert set(before) == {over.id, waits.id, runs.id, fresh["id"]}
    async with started(path) as client:
        after = {each["id"]: each for each in await records(client)}
        assert {id: each["state"] for id, each in after.items()} == {
            id: each["state"] for id, each in before.items()
        }


@pytest.mark.usefixtures("hasty_journal")
async def test_refused_submissions_free_their_places(path: Path, gate: Gate) -> None:
    config: dict[str, Any] = {"TASKS_ASYNC_CONCURRENCY": 1, "TASKS_MAX_PENDING": 1}
    async with started(path, **config) as client:
        with locked(path):
            for _ in range(2):
                await until_refused(client)
        await healthy(client)
        handle = await hold.submit(gate.path)
        await until_progress(handle, 1)
        waits = await work.submit("waits")
        with pytest.raises(QueueFull):
            await work.submit("too many")
        gate.open()
        assert await waits == "waits"
    assert ("work", 1, None) not in ran


@pytest.mark.usefixtures("hasty_journal")
async def test_duplicates_are_refused_with_the_commit_that_they_waited_for(path: Path) -> None:
    keyed = work.with_options(key="k")
    async with started(path) as client:
        with locked(path):
            callers = [asyncio.create_task(keyed.submit(number)) for number in range(3)]
            outcomes = await asyncio.gather(*callers, return_exceptions=True)
        assert [type(each) for each in outcomes] == [JournalUnavailable] * 3
        await healthy(client)
        assert await (await keyed.submit("now")) == "now"
    assert ran == [("work", 1, "now")]


@pytest.mark.usefixtures("hasty_journal")
async def test_task_does_not_start_while_its_start_cannot_be_committed(
    path: Path, gate: Gate
) -> None:
    async with started(path, TASKS_ASYNC_CONCURRENCY=1) as client:
        blocker = await hold.submit(gate.path)
        await until_progress(blocker, 1)
        waits = await work.submit("waits")
        with locked(path):
            await until_refused(client)
            gate.open()
            await until_answer(client, STATS, lambda stats: not taken(stats)["queued"])
            assert waits.state == "queued"
            assert ("work", 1, "waits") not in ran
        assert await waits == "waits"


# -- what is refused at the start --------------------------------------------------------------


async def refusal(path: Path) -> str:
    """The error that a start ends with, which has changed nothing."""
    before = content(path)
    with pytest.raises(QuartTasksError) as refused:
        await make_app(path).startup()
    assert content(path) == before
    assert str(path) in str(refused.value)
    return str(refused.value)


def content(path: Path) -> list[bytes]:
    """What the journal's files hold; one that is not there holds nothing."""
    return [each.read_bytes() if each.exists() else b"" for each in files(path)]


async def filled(path: Path) -> None:
    """A journal of some pages, in the file itself and not in its WAL."""
    async with started(path):
        delayed = work.with_options(delay=3600)
        handles = await tasks.submit_many(delayed, [["x" * 2000]] * 100)
        for each in handles[:50]:
            await each.cancel()


@pytest.mark.parametrize(
    "content", [b"\0" * 5000, b"no database at all\n" * 500, b"xyz"], ids=["zeros", "text", "short"]
)
async def test_garbage_is_refused(path: Path, content: bytes) -> None:
    fill(path, content)
    assert "move it away" in await refusal(path)


def fill(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def middle(path: Path) -> int:
    """Where a page in the middle begins."""
    return path.stat().st_size // 2 // 4096 * 4096


def damage(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(middle(path))
        file.write(os.urandom(4096))


async def test_damaged_page_is_refused(path: Path) -> None:
    await filled(path)
    damage(path)
    assert "move it away" in await refusal(path)


async def test_damaged_page_is_refused_beside_what_a_kill_left(path: Path) -> None:
    """A log that belongs to the damaged file is left for whoever mends it."""
    await filled(path)
    async with started(path):
        await work.with_options(delay=3600).submit("in the WAL")
        copied = path.with_name("copy.db")
        copy(path, copied)
    damage(copied)
    assert "move it away" in await refusal(copied)


async def test_file_that_was_cut_is_refused(path: Path) -> None:
    await filled(path)
    os.truncate(path, middle(path))
    assert "move it away" in await refusal(path)


async def test_other_database_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE tasks (id TEXT PRIMARY KEY, what TEXT)")
    other.close()
    assert "TASKS_JOURNAL" in await refusal(path)


async def test_newer_version_is_refused(path: Path) -> None:
    await filled(path)
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 999")
    other.close()
    assert "999" in await refusal(path)


async def test_missing_directory_is_refused(tmp_path: Path) -> None:
    assert "TASKS_JOURNAL" in await refusal(tmp_path / "missing" / "tasks.db")


async def test_directory_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "directory"
    directory.mkdir()
    app = make_app(directory)
    with pytest.raises(QuartTasksError, match="directory"):
        await app.startup()


@pytest.mark.parametrize("linked", [False, True])
async def test_second_app_on_one_file_is_refused(
    linked: bool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = path.with_name("link.db") if linked else path
    async with started(path) as client:
        if linked:
            other.symlink_to(path)
        app = make_app(other)
        monkeypatch.setattr(database, "LOCK_SECONDS", 0.1)  # that it waits for the first to go
        with pytest.raises(QuartTasksError, match=f"process {os.getpid()}"):
            await app.startup()
        await submit(client, "work", 1)


async def test_start_that_was_given_up_does_not_take_the_journal_later(path: Path) -> None:
    async with started(path):
        start = asyncio.create_task(make_app(path).startup())
        await turns()
        start.cancel()
        await asyncio.wait([start])
    async with started(path) as client:
        await submit(client, "work", 1)


@pytest.mark.usefixtures("hasty_journal")
async def test_file_that_another_program_writes_is_refused(path: Path) -> None:
    await filled(path)
    with locked(path):
        assert "another program" in await refusal(path)


async def test_empty_file_becomes_a_journal(path: Path) -> None:
    fill(path, b"")
    async with started(path):
        handle = await work.with_options(delay=3600).submit("kept")
    async with started(path):
        assert tasks.get(handle.id).state == "scheduled"


async def test_record_that_cannot_be_read_costs_nothing_else(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with started(path):
        damaged, good = [await work.with_options(delay=3600).submit(each) for each in range(2)]
    other = sqlite3.connect(path)
    with other:
        other.execute("UPDATE tasks SET current = x'c1' WHERE id = ?", (damaged.id,))
    other.close()
    caplog.set_level(logging.CRITICAL, "quart_tasks")
    async with started(path):
        assert tasks.get(good.id).state == "scheduled"
        with pytest.raises(TaskNotFound):
            tasks.get(damaged.id)


def test_journal_is_of_the_documented_kind(path: Path) -> None:
    """What people look at the file with can tell whose it is."""

    async def once() -> None:
        async with started(path):
            await work.submit(json.loads("1"))

    asyncio.run(once())
    other = sqlite3.connect(path)
    assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert other.execute("PRAGMA application_id").fetchone() != (0,)
    other.close()
