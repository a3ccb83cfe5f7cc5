"""Processes that are killed, tasks that take theirs with them, and workers that cannot start."""

import asyncio
import gc
import importlib
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from quart_tasks import (
    QuartTasks,
    RetryPolicy,
    TaskExpired,
    TaskFailed,
    TaskHandle,
    WorkerCrashed,
)
from quart_tasks.executors import worker

from . import faulty_tasks
from .faulty_tasks import echo, raises, returns
from .faulty_tasks import tasks as faulty
from .footprints import appended
from .processes import Watched
from .sample_tasks import make_app
from .sample_tasks import tasks as samples
from .waiting import HANG, Gate, poll, until, until_progress

FEW_RECORDS = {"TASKS_MAX_FINISHED": 200, "TASKS_EVENT_BUFFER": 100}


def few_or(many: int, few: int) -> pytest.MarkDecorator:
    """So many times, and more where there is time for that."""
    marks = [pytest.mark.long, pytest.mark.timeout(600)]
    return pytest.mark.parametrize("times", [few, pytest.param(many, marks=marks)])


@pytest.fixture(params=["async", "thread", "process"])
def executor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def late_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """How a worker has died may be told as late as a busy machine makes it."""
    monkeypatch.setattr(worker, "LAST_WORDS_SECONDS", HANG)


async def pid_of(handle: TaskHandle[Any]) -> int:
    """The process that a task reports to run in."""
    event = await until(handle, lambda event: event.type == "progress")
    return int(event.data["current"])


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


# -- workers killed under load ---------------------------------------------------------------


@dataclass
class Load:
    """Short process tasks, twenty at a time, each of which writes its id down."""

    path: str
    ids: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def put(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        loop = asyncio.create_task(self._put(stop))
        try:
            yield
        finally:
            stop.set()
            await loop

    async def _put(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            for handle in await faulty.submit_many("note", [[self.path]] * 20):
                await handle  # raises where the task was lost
                self.ids.append(handle.id)

    def check(self, others: dict[str, int]) -> None:
        """That each ran once, and the others so often."""
        assert len(self.ids) >= 20
        attempts = Counter(id for id, _ in appended(self.path))
        assert attempts == dict.fromkeys(self.ids, 1) | others


class Held:
    """What this process holds: file descriptors, and bytes of memory."""

    def __init__(self) -> None:
        gc.collect()
        self.files = len(os.listdir("/proc/self/fd"))
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.memory = pages * os.sysconf("SC_PAGE_SIZE")

    async def check(self) -> None:
        """That it is no more now. What a dead worker held goes once its pool's thread ends."""
        async with asyncio.timeout(HANG):
            while Held().files > self.files:
                await (await faulty.submit("process_id"))
        assert Held().memory - self.memory < 10e6


async def meet(tmp_path: Path, number: int) -> list[int]:
    """The processes of so many tasks that ran at the same time."""
    gate = Gate(tmp_path / f"gate-{time.monotonic_ns()}")
    handles = await faulty.submit_many("meets", [[gate.path]] * number)
    for handle in handles:
        await until_progress(handle, 1)
    gate.open()
    pids = [await handle for handle in handles]
    gate.close()
    return pids


@few_or(100, 6)
async def test_worker_killed_in_mid_task_costs_that_task_alone(times: int, tmp_path: Path) -> None:
    load = Load(str(tmp_path / "notes"))
    killed: dict[str, int] = {}
    app = make_app(faulty, TASKS_PROCESSES=3, **FEW_RECORDS)
    async with app.test_app():
        await meet(tmp_path, 3)
        held = Held()
        async with load.put():
            for number in range(times):
                retried = number % 2
                victim = [faulty_tasks.is_killed, faulty_tasks.is_killed_and_retried][retried]
                handle = await victim.with_options(priority=1).submit(load.path)
                os.kill(await pid_of(handle), signal.SIGKILL)
                if retried:
                    assert await handle == "again"
                else:
                    with pytest.raises(WorkerCrashed, match="SIGKILL"):
                        await handle
                killed[handle.id] = handle.record.attempt
        assert sorted(killed.values()) == [1] * (times // 2) + [2] * (times // 2)
        await held.check()  # first, as the other takes memory for each of very many tasks
        load.check(killed)


@few_or(100, 6)
async def test_idle_workers_that_are_killed_cost_nothing(times: int, tmp_path: Path) -> None:
    path = str(tmp_path / "notes")
    app = make_app(faulty, TASKS_PROCESSES=3, **FEW_RECORDS)
    async with app.test_app():
        pids = await meet(tmp_path, 3)
        held, ids = Held(), []
        for number in range(times):
            for pid in pids[: 1 + number % 3]:
                os.kill(pid, signal.SIGKILL)
            handles = await faulty.submit_many("note", [[path]] * 6)
            for handle in handles:
                await handle
                ids.append(handle.id)
            pids = await meet(tmp_path, 3)
            assert len(set(pids)) == 3
        assert Counter(appended(path)) == {(id, 1): 1 for id in ids}
        await held.check()


@few_or(200, 20)
async def test_worker_killed_at_any_moment_costs_one_task_at_most(
    times: int, tmp_path: Path
) -> None:
    path = str(tmp_path / "notes")
    succeeded, crashed = set(), 0
    async with make_app(faulty, TASKS_PROCESSES=2, **FEW_RECORDS).test_app():
        for number in range(times):
            handles = await faulty.submit_many("note", [[path]] * 12)
            pid = await handles[number % 12]  # that process may be idle or in the next one by now
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            for handle in handles:
                try:
                    await handle
                    succeeded.add(handle.id)
                except WorkerCrashed:
                    crashed += 1
    attempts = Counter(id for id, _ in appended(path))
    assert set(attempts.values()) == {1}
    assert succeeded <= attempts.keys()
    assert len(succeeded) + crashed == 12 * times
    assert crashed <= times


async def test_fork_server_that_is_killed_costs_at_most_what_runs(tmp_path: Path) -> None:
    path = str(tmp_path / "notes")
    async with make_app(faulty, TASKS_PROCESSES=1).test_app():
        handle = await faulty_tasks.is_killed_and_retried.submit(path)
        worker = Watched(await pid_of(handle))
        fork_server = parent(worker.pid)
        assert fork_server != os.getpid()
        os.kill(fork_server, signal.SIGKILL)
        with suppress(ProcessLookupError):  # it may have been given up with its fork server
            os.kill(worker.pid, signal.SIGKILL)
        await worker.ended()
        assert await handle == "again"
        assert appended(path) == [(handle.id, 1), (handle.id, 2)]


async def test_task_that_kills_its_worker_at_each_attempt_ends(tmp_path: Path) -> None:
    path = str(tmp_path / "notes")
    async with make_app(faulty, TASKS_PROCESSES=1).test_app():
        again = faulty_tasks.kills_itself_again.with_options(retries=RetryPolicy(2, delay=0))
        handle = await again.submit(path)
        with pytest.raises(WorkerCrashed, match="SIGKILL"):
            await handle
        assert (handle.record.attempt, handle.record.max_attempts) == (3, 3)
        assert appended(path) == [(handle.id, attempt) for attempt in (1, 2, 3)]
        assert await (await echo["process"].submit("next")) == "next"


# -- tasks that take their process with them -------------------------------------------------


@few_or(20, 2)
@pytest.mark.parametrize(
    ("name", "args", "says"),
    [
        ("segfaults", (), "SIGSEGV"),
        ("aborts", (), "SIGABRT"),
        ("kills_itself", (), "SIGKILL"),
        ("leaves", (3,), r"\b3\b"),
        ("leaves", (0,), r"\b0\b"),
        ("closes_all_files", (), "process"),
    ],
)
async def test_death_of_a_process_is_told_and_its_slot_runs_the_next(
    name: str, args: tuple[int, ...], says: str, times: int
) -> None:
    async with make_app(faulty, TASKS_PROCESSES=1).test_app():
        for number in range(times):
            with pytest.raises(WorkerCrashed, match=says):
                await (await faulty.submit(name, *args))
            assert await (await echo["process"].submit(number)) == number


@few_or(20, 2)
@pytest.mark.parametrize("name", ["outgrows", "starves"])
async def test_process_without_memory_fails_its_task_and_no_later_one(
    name: str, times: int
) -> None:
    async with make_app(faulty, TASKS_PROCESSES=1).test_app():
        for _ in range(times):
            pid = await (await faulty.submit("process_id"))
            with pytest.raises(TaskFailed) as failure:
                await (await faulty.submit(name))
            # one that cannot even allocate its error may be lost with its process
            assert failure.value.type in ("MemoryError", *["WorkerCrashed"] * (name == "starves"))
            assert failure.value.message
            assert await (await faulty.submit("process_id")) != pid
            assert len(await (await echo["process"].submit("x" * 1_000_000))) == 1_000_000


# -- ends that cannot be passed on, in each executor -----------------------------------------


@pytest.mark.parametrize(
    ("kind", "type", "says"),
    [
        ("unpicklable", "Unpicklable", "not to be pickled"),
        ("exits as text", "ExitsAsText", "ExitsAsText"),
        ("group", "BaseExceptionGroup", "several"),
        ("circle", "ValueError", "round and round"),
    ],
)
async def test_exception_that_cannot_be_passed_on_is_told(
    executor: str, kind: str, type: str, says: str
) -> None:
    async with make_app(faulty, TASKS_PROCESSES=1).test_app():
        with pytest.raises(TaskFailed, match=says) as failure:
            await (await raises[executor].submit(kind))
        assert failure.value.type == type
        assert await (await echo[executor].submit("next")) == "next"


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("opaque", "Opaque"),
        ("lambda", "function"),
        ("nested", "list"),
        pytest.param("blob", "314,572,800", marks=pytest.mark.long),
        pytest.param("text", "314,572,802", marks=pytest.mark.long),
    ],
)
async def test_result_that_cannot_be_passed_on_is_told(executor: str, kind: str, says: str) -> None:
    async with make_app(faulty, TASKS_PROCESSES=1).test_app():
        with pytest.raises(TaskFailed, match=says) as failure:
            await (await returns[executor].submit(kind))
        assert failure.value.type == "InvalidResult"
        assert await (await echo[executor].submit("next")) == "next"


@few_or(20, 2)
async def test_bad_ends_all_at_once_are_told_apart(executor: str, times: int) -> None:
    ends = {
        "exits": "SystemExit", "interrupts": "KeyboardInterrupt", "closes": "GeneratorExit",
        "recurses": "RecursionError", "raises_base": "Abandon", "raises_unpicklable": "TwoParts",
        "raises_unprintable": "Unprintable", "raises_cancelled": "CancelledError",
        "returns_object": "InvalidResult", "returns_circle": "InvalidResult",
        "yields_object": "InvalidResult",
    }  # fmt: skip
    async with make_app(TASKS_PROCESSES=2).test_app():
        for number in range(times):
            failing = {name: await samples.submit(f"{name}-{executor}") for name in ends}
            others = [await samples.submit(f"echo-{executor}", each) for each in range(20)]
            for name, handle in failing.items():
                with pytest.raises(TaskFailed) as failure:
                    await handle
                assert (name, failure.value.type) == (name, ends[name])
            assert [await each for each in others] == list(range(20)), number


# -- workers that cannot start ---------------------------------------------------------------

BROKEN = """
from pathlib import Path
from quart_tasks import QuartTasks

if Path({flag!r}).exists():
    with open({starts!r}, "a") as starts:
        starts.write("x")
    {fault}

tasks = QuartTasks()

@tasks.task(executor="process")
def work() -> str:
    return "done"
"""


SLEEPS = "import time; time.sleep(1000)"
SLEEPS_IN_WORKERS = f"""import multiprocessing
    if multiprocessing.parent_process() is None:
        raise ImportError("A fork server goes on without this module.")
    {SLEEPS}"""


class Broken:
    """An app whose module can be imported here, and in no worker until `mend`."""

    def __init__(self, folder: Path, fault: str, says: str) -> None:
        self.says = says  # what is to be said about it
        self.flag, self.starts = folder / "flag", folder / "starts"
        name = f"broken_{time.monotonic_ns()}"  # no fork server has imported it
        source = BROKEN.format(flag=str(self.flag), starts=str(self.starts), fault=fault)
        (folder / f"{name}.py").write_text(source)
        importlib.invalidate_caches()
        module = importlib.import_module(name)
        self.tasks: QuartTasks = module.tasks
        self.work: Any = module.work
        self.app = make_app(self.tasks, TASKS_PROCESSES=1)
        self.flag.touch()

    def mend(self) -> None:
        self.flag.unlink()

    async def health(self, status: int) -> str:
        """Wait until it is so, as a monitor does: by asking; what it says then."""

        async def ask() -> str | None:
            response = await self.app.test_client().get("/tasks/health")
            text: str = await response.get_data(as_text=True)
            return text if response.status_code == status else None

        return str(await poll(ask))


@pytest.fixture(
    params=[("raise ImportError('no wheels')", "no wheels"), ("import os; os._exit(9)", "start")]
)
def broken(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Broken]:
    monkeypatch.syspath_prepend(tmp_path)
    yield (broken := Broken(tmp_path, *request.param))
    sys.modules.pop(broken.work.definition.reference[0])


async def test_worker_that_cannot_start_leaves_its_tasks_waiting(broken: Broken) -> None:
    async with broken.app.test_app():
        began = time.monotonic()
        waiting = await broken.work.submit()
        cancelled = await broken.work.submit()
        expiring = await broken.work.with_options(expires=1.0).submit()
        assert broken.says in await broken.health(503)
        with pytest.raises(TaskExpired):
            await expiring
        assert expiring.record.attempt == 0
        for handle in (waiting, cancelled):
            assert (handle.state, handle.record.attempt, handle.record.error) == ("queued", 0, None)
        await cancelled.cancel()
        assert (cancelled.state, cancelled.record.attempt) == ("cancelled", 0)
        # It does not spin: at most one start at once, and one in each half second.
        assert len(broken.starts.read_text()) <= 2 + 2 * (time.monotonic() - began)

        await broken.health(503)
        broken.mend()
        assert await waiting == "done"
        assert waiting.record.attempt == 1
        await broken.health(200)


async def test_task_in_the_slot_of_a_worker_that_cannot_start_ends_at_once(broken: Broken) -> None:
    async with broken.app.test_app():
        first = await broken.work.submit()
        await broken.health(503)
        await first.cancel()
        assert (first.state, first.record.attempt) == ("cancelled", 0)
        second = await broken.work.with_options(expires=0.1).submit()
        with pytest.raises(TaskExpired):
            await second
        assert second.record.attempt == 0
        broken.mend()
        assert await (await broken.work.submit()) == "done"


@pytest.fixture
def no_fork_server() -> Iterator[None]:
    """It is started anew by this test, and by the next one."""
    stop = forkserver._forkserver._stop  # type: ignore[attr-defined]
    stop()
    yield
    stop()


@pytest.mark.usefixtures("no_fork_server")
@pytest.mark.parametrize("sleeps", [SLEEPS, SLEEPS_IN_WORKERS])
async def test_worker_that_never_gets_ready_counts_as_one_that_cannot_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sleeps: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    broken = Broken(tmp_path, sleeps, "start")
    async with broken.app.test_app():
        with monkeypatch.context() as patch:
            patch.setattr(worker, "START_SECONDS", 0.5)
            handle = await broken.work.submit()
            await broken.health(503)
        assert (handle.state, handle.record.attempt) == ("queued", 0)
        broken.mend()
        assert await handle == "done"
