"""`quart_tasks.celery.AsyncResult` speaks of tasks as Celery's does."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from quart import Quart

from quart_tasks import QuartTasks, RetryPolicy, TaskCancelled, TaskNotFound, celery, progress
from quart_tasks.celery import AsyncResult

from .waiting import HANG, poll, until_progress

tasks = QuartTasks()
gate = threading.Event()


class Unlike(Exception):
    pass


@tasks.task
def add(a: int, b: int) -> int:
    return a + b


@tasks.task
def wait_with(current: int | None = None, total: int | None = None, status: str | None = None):
    if current is not None:
        progress(current, total, status)
    gate.wait()


@tasks.task
def fail(kind: str) -> None:
    raise {"value": ValueError, "key": KeyError, "own": Unlike}[kind]("not good")


@tasks.task(executor="process")
def fail_elsewhere() -> None:
    raise ValueError("not good")


@tasks.task(retries=RetryPolicy(1, delay=300, jitter=False))
def fail_once() -> None:
    raise ValueError("again")


@pytest.fixture
async def app() -> AsyncIterator[Quart]:
    gate.clear()
    app = Quart(__name__)
    tasks.init_app(app)
    async with app.test_app(), app.app_context():
        yield app
        gate.set()


async def shows(result: AsyncResult, state: str) -> None:
    """Look until it does: what a result says holds for a tenth of a second, whatever happens."""
    await poll(lambda: result.state == state)


async def test_what_succeeded_has_its_result_and_time(app: Quart) -> None:
    before = datetime.now(UTC)
    handle = await add.submit(1, 2)
    result = AsyncResult(handle.id)
    assert await result.get(timeout=HANG) == 3
    assert (result.state, result.status, result.result, result.info) == ("SUCCESS", "SUCCESS", 3, 3)
    assert (result.ready(), result.successful(), result.failed()) == (True, True, False)
    assert result.id == result.task_id == str(result) == handle.id
    assert result.traceback is None
    assert result.date_done is not None
    assert before <= result.date_done <= datetime.now(UTC)


async def test_an_id_that_nobody_knows_is_pending(app: Quart) -> None:
    result = AsyncResult("nobody")
    assert (result.state, result.info, result.traceback) == ("PENDING", None, None)
    assert (result.ready(), result.successful(), result.failed()) == (False, False, False)
    assert result.date_done is None
    await result.revoke()
    with pytest.raises(TaskNotFound):
        await result.get()


async def test_what_waits_and_what_runs_without_a_word_is_pending(app: Quart) -> None:
    later = AsyncResult(await add.with_options(delay=300).submit(1, 2))
    assert later.state == "PENDING"
    handle = await wait_with.submit()
    started = AsyncResult(handle, track_started=True)
    await shows(started, "STARTED")
    assert set(started.info) == {"pid", "hostname"}
    assert AsyncResult(handle).state == "PENDING"
    assert AsyncResult(handle).info is None


@pytest.mark.parametrize(
    "meta",
    [
        {"current": 1},
        {"current": 1, "total": 2},
        {"current": 0, "total": 2, "status": "at it"},
    ],
)
async def test_progress_is_told_as_it_was_given(app: Quart, meta: dict[str, int | str]) -> None:
    result = AsyncResult(await wait_with.submit(**meta))
    await shows(result, "PROGRESS")
    assert result.info == result.result == meta
    assert not result.ready()


@pytest.mark.parametrize("kind", ["value", "key", "own"])
async def test_what_failed_raises_its_error(app: Quart, kind: str) -> None:
    handle = await fail.submit(kind)
    result = AsyncResult(handle)
    error = {"value": ValueError, "key": KeyError, "own": Unlike}[kind]
    with pytest.raises(error, match="not good"):
        await result.get()
    again = AsyncResult(handle.id)
    assert again.state == "FAILURE"
    assert again.failed()
    assert "not good" in str(again.info)
    assert type(again.info).__name__ == error.__name__
    assert again.traceback is not None
    assert "in fail" in again.traceback


async def test_a_failure_of_elsewhere_has_its_class_and_text(app: Quart) -> None:
    result = AsyncResult((await fail_elsewhere.submit()).id)
    error = await result.get(propagate=False)
    assert repr(error) == "ValueError('not good')"
    with pytest.raises(ValueError, match=r"^not good$"):
        await result.get()


async def test_what_waits_for_its_retry_says_so(app: Quart) -> None:
    result = AsyncResult(await fail_once.submit())
    await shows(result, "RETRY")
    assert str(result.info) == "again"
    assert not result.ready()
    await result.revoke()
    assert result.state == "REVOKED"


async def test_revoke_spares_what_runs_unless_told(app: Quart) -> None:
    waiting = AsyncResult(await add.with_options(delay=300).submit(1, 2))
    await waiting.revoke()
    assert waiting.state == "REVOKED"
    assert isinstance(waiting.result, TaskCancelled)
    with pytest.raises(TaskCancelled):
        await waiting.get()
    handle = await wait_with.submit(1)
    running = AsyncResult(handle)
    await shows(running, "PROGRESS")
    await running.revoke()
    assert not handle.record.cancel_requested
    await running.revoke(terminate=True)
    assert handle.record.cancel_requested


async def test_a_wait_that_ends_first(app: Quart) -> None:
    result = AsyncResult(await wait_with.submit(1))
    with pytest.raises(TimeoutError):
        await result.get(timeout=0.01)
    assert not result.ready()


async def test_sync_view_reads_it_too(app: Quart) -> None:
    @app.get("/<id>")
    def status(id: str) -> dict[str, object]:
        result = AsyncResult(id)
        return {"state": result.state, "info": result.info}

    handle = await add.submit(1, 2)
    await handle
    response = await app.test_client().get(f"/{handle.id}")
    assert await response.get_json() == {"state": "SUCCESS", "info": 3}


async def test_the_info_of_an_answer_is_that_of_its_state(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(celery, "HOLDS", HANG)
    handle = await wait_with.submit(1, 2)
    await until_progress(handle, 1)
    result = AsyncResult(handle)
    assert result.state == "PROGRESS"
    gate.set()
    await handle
    assert (result.state, result.info) == ("PROGRESS", {"current": 1, "total": 2})
    monkeypatch.setattr(celery, "HOLDS", 0.0)
    await shows(result, "SUCCESS")
