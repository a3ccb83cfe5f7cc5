"""The processes behind process tasks: how they are born, and that they end."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from quart_tasks import TaskCancelled, TaskFailed, WorkerCrashed
from quart_tasks.executors import worker as workers

from . import faulty_tasks
from .processes import Watched, read_proc
from .sample_tasks import make_app, tasks
from .waiting import HANG, Gate, poll, until

ROOT = Path(__file__).parent.parent


async def test_worker_is_nice_and_leaves_ctrl_c_to_the_server() -> None:
    own = os.nice(0)
    async with make_app(TASKS_PROCESS_NICE=3).test_app():
        described = await (await tasks.submit("describe_process"))
    assert described["nice"] == min(own + 3, 19)
    assert described["ignores_ctrl_c"]
    assert described["pid"] != os.getpid()


async def test_worker_that_died_idle_costs_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine its pool may see its end a second after its socket did.
    monkeypatch.setattr(workers, "LAST_WORDS_SECONDS", HANG)
    async with make_app(TASKS_PROCESSES=1).test_app():
        described = await (await tasks.submit("describe_process"))
        worker = Watched(described["pid"])
        os.kill(worker.pid, signal.SIGKILL)
        await worker.ended()
        replaced = await (await tasks.submit("describe_process"))
        assert replaced["pid"] != worker.pid


async def test_workers_end_with_the_app() -> None:
    async with make_app(TASKS_PROCESSES=1).test_app():
        described = await (await tasks.submit("describe_process"))
        worker = Watched(described["pid"])
    await worker.ended()


@pytest.fixture
def apart(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """An app in a process of its own."""
    module = getattr(request, "param", "tests.process_parent")
    command = [sys.executable, "-m", module]
    # A killed app leaves semaphores to the resource tracker, which says so on stderr.
    env = os.environ | {"PYTHONWARNINGS": "ignore:resource_tracker"}
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as app:
        yield app
        app.kill()


def said(app: subprocess.Popen[str]) -> Any:
    assert app.stdout is not None
    return json.loads(app.stdout.readline())


@pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(), reason="there is no fork server"
)
def test_worker_is_born_with_the_module_of_its_tasks(apart: subprocess.Popen[str]) -> None:
    described = said(apart)
    assert described["loaded_by"] not in (described["pid"], apart.pid)


async def test_worker_that_holds_the_gil_dies_with_its_server(apart: subprocess.Popen[str]) -> None:
    said(apart)
    busy = Watched(said(apart))
    try:
        apart.kill()
        await busy.ended()
    finally:
        with suppress(ProcessLookupError):
            os.kill(busy.pid, signal.SIGKILL)


def is_guarded(pid: int) -> bool:
    """Whether the kernel sends a signal when one of the process's files has news."""
    infos = [read_proc(path) for path in Path(f"/proc/{pid}/fdinfo").iterdir()]
    flags = [int(info.split("flags:")[1].split()[0], 8) for info in infos if info]
    return any(each & os.O_ASYNC for each in flags)


@pytest.mark.parametrize("apart", ["tests.process_parent_stuck"], indirect=True)
async def test_worker_that_hangs_in_its_imports_dies_with_its_server(
    apart: subprocess.Popen[str],
) -> None:
    stuck = Watched(said(apart))
    try:
        await poll(lambda: is_guarded(stuck.pid))
        apart.kill()
        await stuck.ended()
    finally:
        with suppress(ProcessLookupError):
            os.kill(stuck.pid, signal.SIGKILL)


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[str]]:
    """The leader of a process group. It says what it is told."""
    pipe = subprocess.PIPE
    with subprocess.Popen(["cat"], stdin=pipe, stdout=pipe, text=True, process_group=0) as cat:
        yield cat


async def test_task_that_leaves_its_process_group_is_killed_alone(
    bystander: subprocess.Popen[str],
) -> None:
    # It does not join the server's group, as this test would not tell of its own end.
    async with make_app(faulty_tasks.tasks, TASKS_PROCESSES=1).test_app():
        handle = await faulty_tasks.tasks.submit("joins_group", bystander.pid)
        event = await until(handle, lambda event: event.type == "progress")
        worker = Watched(int(event.data["current"]))
        await handle.cancel()
        with pytest.raises(TaskCancelled):
            await handle
        await worker.ended()
        assert await (await faulty_tasks.tasks.submit("process_id")) != worker.pid
    assert bystander.communicate("still here")[0] == "still here"


async def test_what_a_task_writes_to_the_workers_socket_fails_that_task_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "LAST_WORDS_SECONDS", 0.1)  # it lives, and is waited for in vain
    gate = Gate(tmp_path / "gate")
    async with make_app(faulty_tasks.tasks, TASKS_PROCESSES=1).test_app():
        with pytest.raises(WorkerCrashed, match="lost its connection"):
            await (await faulty_tasks.tasks.submit("writes_to_every_socket", gate.path))
        assert await (await faulty_tasks.tasks.submit("process_id"))
    gate.close()


async def test_worker_that_cannot_begin_a_task_is_replaced() -> None:
    async with make_app(faulty_tasks.tasks, TASKS_PROCESSES=1).test_app():
        broken = await (await faulty_tasks.tasks.submit("breaks_pickle"))
        with pytest.raises(TaskFailed, match="not callable"):
            await (await faulty_tasks.tasks.submit("process_id"))
        assert await (await faulty_tasks.tasks.submit("process_id")) != broken


@pytest.mark.parametrize("left", ["leaves_a_thread_behind", "leaves_a_fork_behind"])
async def test_what_a_task_leaves_behind_does_not_speak_for_the_next(
    tmp_path: Path, left: str
) -> None:
    gates = []
    for name in ("gate", "done"):
        os.mkfifo(tmp_path / name)
        gates.append(str(tmp_path / name))
    app = make_app(faulty_tasks.tasks, TASKS_PROCESSES=1)
    async with app.test_app():
        await (await faulty_tasks.tasks.submit(left, *gates))
        handle = await faulty_tasks.tasks.submit("waits_for", *gates)
        assert await handle == [1, 2]
        response = await app.test_client().get(f"/tasks/{handle.id}")
        record = await response.get_json()
        assert (record["logs"], record["progress"]) == ([], None)
