"""What happens when things happen at once, each made to do so."""

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator

import pytest
from quart import Quart

from quart_tasks import QuartTasks, RetryPolicy, TaskCancelled, TaskExpired, TaskFailed
from quart_tasks.executors import worker as workers

from .waiting import HANG, until_state

in_processes = QuartTasks()


@in_processes.task(executor="process")
def process_id() -> int:
    logging.getLogger("worker").warning("here")
    return os.getpid()


@in_processes.task
async def starts_a_worker() -> str:
    """Be the one in whose time the worker starts, and still be there when it logs."""
    child = await process_id.submit()
    await child
    await (await process_id.submit())
    return child.id


def make_process_app() -> Quart:
    app = Quart(__name__)
    app.config.update(TASKS_DRAIN_TIMEOUT=0, TASKS_PROCESSES=1, TASKS_PROCESS_NICE=0)
    in_processes.init_app(app)
    return app


def make_app(**config: object) -> tuple[Quart, QuartTasks]:
    app = Quart(__name__)
    app.config.update({"TASKS_DRAIN_TIMEOUT": 0, **config})
    return app, QuartTasks(app)


async def test_thread_that_fails_while_others_flood_the_loop_does_not_stop_it() -> None:
    app, tasks = make_app()
    stop = threading.Event()

    @tasks.task
    def flood() -> Iterator[int]:
        number = 0
        while not stop.is_set():
            yield number
            number += 1

    @tasks.task
    def broken() -> None:
        raise ValueError("broken")

    async with app.test_app():
        floods = [await flood.submit() for _ in range(3)]
        for _ in range(20):
            with pytest.raises(TaskFailed, match="broken"):
                await (await broken.submit())
        stop.set()
        for handle in floods:
            with contextlib.suppress(TaskFailed):  # of too many outputs, if all took long
                await handle


async def test_next_of_a_limited_definition_runs_when_the_one_before_it_was_cancelled() -> None:
    app, tasks = make_app(TASKS_ASYNC_CONCURRENCY=2)

    @tasks.task(concurrency=1)
    async def limited(gate: asyncio.Event) -> None:
        await gate.wait()

    @tasks.task
    async def free(gate: asyncio.Event) -> None:
        await gate.wait()

    async with app.test_app():
        gates = [asyncio.Event() for _ in range(3)]
        open_gate = asyncio.Event()
        open_gate.set()
        first = await limited.submit(gates[0])
        waiting = await limited.submit(open_gate)
        last = await limited.submit(open_gate)
        other = await free.submit(gates[1])
        urgent = await free.with_options(priority=10).submit(gates[2])
        gates[0].set()
        await first  # its slot goes to the urgent one, its place to the waiting one
        await waiting.cancel()
        gates[1].set()
        gates[2].set()
        await asyncio.gather(other.result(), urgent.result(), last.result())
        with pytest.raises(TaskCancelled):
            await waiting


async def test_cancel_of_a_task_that_has_just_ended_leaves_the_next_on_its_worker_alone() -> None:
    async with make_process_app().test_app():
        for _ in range(5):
            first = await process_id.submit()
            second = await process_id.submit()
            await until_state(first, "running")
            await first.cancel()  # the worker may be done with it, and be killed all the same
            with contextlib.suppress(TaskCancelled):
                await first
            assert await second > 0


async def test_idle_worker_that_was_killed_costs_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine its pool may see its end a second after its socket did.
    monkeypatch.setattr(workers, "LAST_WORDS_SECONDS", HANG)
    async with make_process_app().test_app():
        pid = await (await process_id.submit())
        os.kill(pid, signal.SIGKILL)
        assert await (await process_id.submit()) != pid


async def test_retry_policy_of_one_task_decides_what_is_retried() -> None:
    app, tasks = make_app()

    @tasks.task(retries=3)
    async def broken() -> None:
        raise KeyError("broken")

    async with app.test_app():
        policy = RetryPolicy(3, delay=0, on=(ValueError,))
        handle = await broken.with_options(retries=policy).submit()
        with pytest.raises(TaskFailed):
            await handle
        assert handle.record.attempt == 1


async def test_child_cancelled_with_its_parent_can_be_retried() -> None:
    app, tasks = make_app()
    begun, gate = asyncio.Event(), asyncio.Event()

    @tasks.task
    async def child() -> str:
        begun.set()
        await gate.wait()
        return "done"

    @tasks.task
    async def parent() -> None:
        await (await child.submit())

    async with app.test_app():
        handle = await parent.submit()
        await begun.wait()
        await handle.cancel()
        with pytest.raises(TaskCancelled):
            await handle
        await tasks.join()
        again = await tasks.get(tasks.list(name="child")[0].id).retry()
        gate.set()
        assert await again == "done"


async def test_log_lines_of_a_process_stay_with_their_task() -> None:
    app = make_process_app()
    async with app.test_app():
        parent = await starts_a_worker.submit()
        child_id = await parent
        client = app.test_client()
        child = await (await client.get(f"/tasks/{child_id}")).get_json()
        assert [line["message"] for line in child["logs"]] == ["here"]
        assert (await (await client.get(f"/tasks/{parent.id}")).get_json())["logs"] == []


async def test_expiry_counts_while_a_worker_is_still_starting() -> None:
    async with make_process_app().test_app():
        handle = await process_id.with_options(expires=0.000_001).submit()
        with pytest.raises(TaskExpired):
            await handle
        assert await (await process_id.submit()) > 0
