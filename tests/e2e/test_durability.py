"""What a 202 is worth, with a real server, a real client, and faults made for real."""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ..footprints import runs
from ..processes import read_proc
from ..waiting import Gate, poll
from .serving import HANG, ROOT, greeting

APP = "tests.e2e.durable_app:app"
KEEP = {"TASKS_MAX_FINISHED": "10000000"}  # a quick machine ends more than are kept by default
NAMES = ["once", "again", "once_in_a_thread", "again_in_a_thread"]
PAGE = 4096
ENDED = ("succeeded", "failed", "cancelled")

LONG = [pytest.mark.long, pytest.mark.timeout(1200)]


class Gone(Exception):
    """The server does not answer any more."""


@dataclass
class Server:
    """`quart-tasks serve --journal`, which may end at any moment."""

    process: asyncio.subprocess.Process
    http: aiohttp.ClientSession
    url: str = ""
    errors: str = ""

    async def greeting(self) -> bool:
        """Wait until it listens; False if it ends before."""
        self.url = await greeting(self.process)
        return self.url != ""

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON. Raises Gone."""
        try:
            async with self.http.request(method, f"{self.url}/tasks{path}", json=body) as response:
                return response.status, await response.json(content_type=None)
        except (aiohttp.ClientError, OSError) as error:
            raise Gone from error

    async def healthy(self) -> None:
        await self.until_answer("/health", lambda answer: answer["status"] == "ok")

    async def until_answer(self, path: str, wanted: Callable[[Any], object]) -> None:
        """Ask until the answer is as wanted."""

        async def look() -> object:
            return wanted((await self.ask("GET", path))[1])

        await poll(look)

    async def submit(self, name: str, *args: Any, **body: Any) -> str:
        status, record = await self.ask("POST", "", {"name": name, "args": args, **body})
        assert status == 202, record
        return str(record["id"])

    async def show(self, id: str, query: str = "") -> dict[str, Any]:
        status, record = await self.ask("GET", f"/{id}{query}")
        assert status == 200, record
        return dict(record)

    async def all(self) -> dict[str, dict[str, Any]]:
        """Every record there is, by its id."""
        found: dict[str, dict[str, Any]] = {}
        before = ""
        while True:
            _, page = await self.ask("GET", f"?limit=500{before}")
            found |= {each["id"]: each for each in page["tasks"]}
            if page["next"] is None:
                return found
            before = f"&before={page['next']}"

    async def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.ended()

    async def end(self) -> int:
        self.process.terminate()
        return await self.ended()

    async def ended(self) -> int:
        async with asyncio.timeout(HANG):
            _, errors = await self.process.communicate()
        self.errors = errors.decode()
        assert self.process.returncode is not None
        return self.process.returncode


@dataclass
class Place:
    """A journal, and the servers that are started on it."""

    journal: Path
    http: aiohttp.ClientSession
    ran: Path
    servers: list[Server] = field(default_factory=list)

    async def spawn(self, *before: str, **environment: str) -> Server:
        process = await asyncio.create_subprocess_exec(
            *before, sys.executable, "-m", "quart_tasks", "serve", APP, "--port", "0",
            "--journal", str(self.journal), cwd=ROOT,
            env=os.environ | {"RAN": str(self.ran), **KEEP} | environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self.servers.append(Server(process, self.http))
        return self.servers[-1]

    async def start(self, **environment: str) -> Server:
        """A server that has read its journal."""
        server = await self.spawn(**environment)
        if not await server.greeting():
            await server.ended()
            raise AssertionError(server.errors)
        await server.healthy()
        return server

    def runs(self) -> dict[str, list[int]]:
        return runs(self.ran)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        place = Place(tmp_path / "tasks.db", http, tmp_path / "ran")
        yield place
        for server in place.servers:
            if server.process.returncode is None:
                await server.kill()


@pytest.fixture
def gates(tmp_path: Path) -> Iterator[list[Gate]]:
    gates = [Gate(tmp_path / name) for name in ("first", "second")]
    yield gates
    for gate in gates:
        gate.close()


# -- kill -9 -----------------------------------------------------------------------------------


class Crowd:
    """Clients that submit, each number once, and note every 202; and one that looks on."""

    def __init__(self) -> None:
        self.numbers = count()
        self.sent: set[int] = set()
        self.accepted: dict[str, int] = {}
        self.cancelled: set[str] = set()
        self.ends: dict[str, tuple[Any, ...]] = {}

    async def work(self, server: Server) -> None:
        """Until the server is gone."""
        crowd = [self._submit(server) for _ in range(6)]
        async with asyncio.TaskGroup() as group:
            for each in [*crowd, self._cancel(server), self._look(server)]:
                group.create_task(each)

    async def _submit(self, server: Server) -> None:
        with suppress(Gone):
            while True:
                await self._send(server, random.choice(NAMES))

    async def _send(self, server: Server, name: str, **options: Any) -> str | None:
        number = next(self.numbers)
        self.sent.add(number)
        body = {"name": name, "args": [number], "options": options}
        status, record = await server.ask("POST", "", body)
        assert status in (202, 503), record
        if status == 503:  # it still reads its journal
            return None
        self.accepted[record["id"]] = number
        return str(record["id"])

    async def _cancel(self, server: Server) -> None:
        with suppress(Gone):
            while True:
                id = await self._send(server, "once", delay=3600)
                if id is not None and (await server.ask("POST", f"/{id}/cancel"))[0] == 202:
                    self.cancelled.add(id)

    async def _look(self, server: Server) -> None:
        with suppress(Gone):
            while True:
                status, page = await server.ask("GET", "?limit=200")
                if status == 200:
                    self.compare(page["tasks"])

    def compare(self, records: list[dict[str, Any]]) -> None:
        """What was seen as ended is as it was."""
        for record in records:
            if record["state"] in ENDED:
                end = record["state"], record["result"], record["error"], record["attempt"]
                assert self.ends.setdefault(record["id"], end) == end


@pytest.mark.parametrize("times", [3, pytest.param(50, marks=LONG)])
async def test_kill_at_random_moments_loses_no_202(times: int, place: Place) -> None:
    crowd = Crowd()
    for number in range(times):
        server = await place.spawn()
        if number % 3 == 2:  # while it starts, or reads its journal
            await asyncio.sleep(random.uniform(0.1, 1.0))
            await server.kill()
            continue
        assert await server.greeting(), server.errors
        working = asyncio.create_task(crowd.work(server))
        if number == 0:  # a slow machine may need longer for the first than it has below
            await poll(lambda: crowd.accepted)
        await asyncio.sleep(random.uniform(0.05, 1.0))
        await server.kill()
        await working

    server = await place.start()
    await server.ask("POST", "/cancel", {"state": "scheduled"})
    await server.until_answer("/stats", nothing_is_unfinished)
    records, runs = await server.all(), place.runs()
    check_nothing_is_lost_or_made_up(crowd, records)
    check_runs(records, runs)
    crowd.compare(list(records.values()))


def nothing_is_unfinished(stats: dict[str, Any]) -> bool:
    return not any(number for state, number in stats["states"].items() if state not in ENDED)


def check_nothing_is_lost_or_made_up(crowd: Crowd, records: dict[str, dict[str, Any]]) -> None:
    assert crowd.accepted
    assert set(crowd.accepted) <= set(records)
    assert {id: records[id]["args"] for id in crowd.accepted} == {
        id: [number] for id, number in crowd.accepted.items()
    }
    numbers = [record["args"][0] for record in records.values()]
    assert set(numbers) <= crowd.sent
    assert len(numbers) == len(set(numbers))  # each was sent once
    assert {records[id]["state"] for id in crowd.cancelled} <= {"cancelled"}


def check_runs(records: dict[str, dict[str, Any]], runs: dict[str, list[int]]) -> None:
    assert set(runs) <= set(records)
    for id, record in records.items():
        attempts = runs.get(id, [])
        assert attempts == sorted(set(attempts)), (record["name"], attempts)
        if record["name"].startswith("once"):
            assert attempts in ([], [1])
        if record["state"] == "succeeded":
            assert attempts
            assert record["result"] == record["args"][0]
            assert record["attempt"] == attempts[-1]
        elif record["state"] == "failed":
            assert record["error"]["type"] == "Interrupted"
            assert record["name"].startswith("once") or record["attempt"] == 4


@pytest.mark.parametrize("name", ["kills", "kills_from_a_thread"])
async def test_task_that_kills_its_server_does_not_do_so_for_ever(name: str, place: Place) -> None:
    server = await place.start()
    with suppress(Gone):
        await server.ask("POST", "", {"name": name})
    await server.ended()
    for _ in range(8):
        server = await place.spawn()
        with suppress(Gone):
            if await server.greeting():
                await server.healthy()
                [record] = (await server.all()).values()
                record = await server.show(record["id"], "?wait=60")
                break
        await server.ended()
    else:
        raise AssertionError("It goes on.")
    assert place.runs()[record["id"]] == [1, 2, 3, 4]
    assert (record["state"], record["attempt"]) == ("failed", 4)
    assert record["error"]["type"] == "Interrupted"


async def test_end_by_a_signal_follows_the_same_rule(place: Place, gates: list[Gate]) -> None:
    server = await place.start(TASKS_DRAIN_TIMEOUT="0", TASKS_ASYNC_CONCURRENCY="1")
    runs = await server.submit("steps", gates[0].path)
    waits = await server.submit("again", 1)
    asked = asyncio.create_task(server.ask("GET", f"/{waits}?wait=60"))
    assert await server.end() == 0, server.errors
    with suppress(Gone):
        status, record = await asked
        assert status != 200 or record["state"] not in ENDED, record
    server = await place.start()
    assert (await server.show(runs))["error"]["type"] == "Interrupted"
    assert (await server.show(waits, "?wait=60"))["state"] == "succeeded"


# -- what is on the disk -----------------------------------------------------------------------


def copy(journal: Path, to: Path) -> None:
    for end in ("", "-wal"):
        with suppress(FileNotFoundError):
            shutil.copyfile(f"{journal}{end}", f"{to}{end}")


def ids_in(journal: Path) -> set[str]:
    """The ids in a journal that is sound."""
    connection = sqlite3.connect(journal)
    connection.execute("PRAGMA synchronous = OFF")  # it is only a copy
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {id for (id,) in connection.execute("SELECT id FROM tasks")}
    finally:
        connection.close()


def threads(pid: int, file: str, pattern: str) -> int:
    """How many of a process's threads have this in a file in /proc."""
    paths = Path(f"/proc/{pid}/task").glob(f"*/{file}")
    return sum(re.search(pattern, read_proc(path)) is not None for path in paths)


@pytest.mark.parametrize("times", [5, pytest.param(100, marks=LONG)])
async def test_copies_of_a_stopped_server_hold_what_was_accepted(
    times: int, place: Place, tmp_path: Path
) -> None:
    crowd = Crowd()
    server = await place.start()
    working = asyncio.create_task(crowd.work(server))
    pid = server.process.pid
    for number in range(times):
        await poll(lambda: len(crowd.accepted) > number)  # noqa: B023
        await asyncio.sleep(random.uniform(0.01, 0.3))
        os.kill(pid, signal.SIGSTOP)
        await poll(lambda: threads(pid, "stat", r"\) T ") == threads(pid, "stat", r"\) \w "))
        at = tmp_path / f"copy{number}.db"
        copy(place.journal, at)
        for _ in range(1000):  # answers that are on their way
            await asyncio.sleep(0)
        accepted = set(crowd.accepted)
        os.kill(pid, signal.SIGCONT)
        there = await asyncio.to_thread(ids_in, at)
        assert accepted <= there
        assert len(accepted) > number
    await server.kill()
    await working
    place.journal = at  # the last of them, for a server
    again = await place.start()
    assert accepted <= set(await again.all())


def commits(path: Path) -> list[int]:
    """Where each commit of a WAL ends (https://sqlite.org/fileformat2.html#walformat)."""
    wal = path.read_bytes()
    salt, ends = wal[16:24], []
    for at in range(32, len(wal), 24 + PAGE):
        header = wal[at : at + 24]
        if header[8:16] != salt:
            break
        if header[4:8] != b"\0\0\0\0":  # the last frame of a commit
            ends.append(at + 24 + PAGE)
    return ends


@pytest.mark.parametrize("step", [97, pytest.param(1, marks=LONG)])
async def test_log_cut_in_its_last_commit_holds_all_before(
    step: int, place: Place, tmp_path: Path
) -> None:
    server = await place.start()
    accepted = [await server.submit("once", each, options={"delay": 3600}) for each in range(20)]
    body = [{"name": "once", "args": [each], "options": {"delay": 3600}} for each in range(30)]
    status, batch = await server.ask("POST", "/batch", {"tasks": body})
    assert status == 202
    whole = tmp_path / "whole.db"
    copy(place.journal, whole)
    await server.kill()
    ends = commits(whole.with_name("whole.db-wal"))
    together = {each["id"] for each in batch["tasks"]}
    at = tmp_path / "cut.db"

    def cut(size: int) -> set[str]:
        copy(whole, at)
        os.truncate(f"{at}-wal", size)
        return ids_in(at)

    assert cut(ends[-1]) == {*accepted, *together}
    for size in range(ends[-2], ends[-1], step):
        assert cut(size) == set(accepted)
    for size in range(ends[0], ends[-2], step * 10):
        assert cut(size) in [set(accepted[:number]) for number in range(21)]
    copy(whole, at)
    os.truncate(f"{at}-wal", ends[-1] - 1)
    place.journal = at
    assert set(await (await place.start()).all()) == set(accepted)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
async def test_sync_comes_before_the_202(place: Place, tmp_path: Path) -> None:
    server = await place.start()
    trace = tmp_path / "trace"
    calls = "trace=pwrite64,fdatasync,fsync,sendto,write,sendmsg"
    strace = await asyncio.create_subprocess_exec(
        "strace", "-f", "-y", "-s", "64", "-e", calls, "-o", str(trace),
        "-p", str(server.process.pid), stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert strace.stderr is not None
    async with asyncio.timeout(HANG):
        line = (await strace.stderr.readline()).decode()
        if "attached" not in line:
            await strace.wait()
            pytest.skip(f"strace cannot attach here: {line}")
    pid = server.process.pid
    await poll(lambda: not threads(pid, "status", r"TracerPid:\s0\n"))
    await server.submit("once", 1, options={"delay": 3600})
    strace.terminate()
    async with asyncio.timeout(HANG):
        await strace.communicate()
    lines = trace.read_text().splitlines()
    written = [
        number for number, line in enumerate(lines) if "pwrite64(" in line and "-wal" in line
    ]
    synced = ends_of_syncs(lines)
    [answered] = [number for number, line in enumerate(lines) if "HTTP/1.1 202" in line]
    assert written
    assert any(written[-1] < number < answered for number in synced), "\n".join(lines)


def ends_of_syncs(lines: list[str]) -> list[int]:
    """Where syncs of the log have returned; strace splits a call that others come between."""
    begun: set[str] = set()
    found = []
    for number, line in enumerate(lines):
        thread = line.split()[0]
        if re.search(r"\bf(data)?sync\(\d+<.*-wal>", line):
            if "unfinished" in line:
                begun.add(thread)
            elif line.endswith("= 0"):
                found.append(number)
        elif thread in begun and re.search(r"f(data)?sync resumed>\) += 0", line):
            begun.discard(thread)
            found.append(number)
    return found


# -- a disk that is full -----------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "quart-tasks-test", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mount is not allowed")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Make a file that takes all there is."""
    big = disk / "big"
    with suppress(OSError), big.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 512)
    return big


async def test_disk_that_is_full(place: Place, small_disk: Path, gates: list[Gate]) -> None:
    place.journal = small_disk / "tasks.db"
    server = await place.start()
    accepted = [await server.submit("again", number) for number in range(5)]
    runs = await server.submit("steps", *(gate.path for gate in gates))
    big = fill(small_disk)

    statuses = set()
    async with asyncio.timeout(HANG):
        while 503 not in statuses:
            body = {"name": "again", "args": [0], "options": {"delay": 3600}}
            status, record = await server.ask("POST", "", body)
            statuses.add(status)
            if status == 202:  # there was room for this one
                accepted.append(record["id"])
    assert statuses <= {202, 503}
    assert record["type"] == "urn:quart-tasks:journal-unavailable"
    status, health = await server.ask("GET", "/health")
    assert (status, "journal" in health["detail"]) == (503, True)
    gates[0].open()

    await server.until_answer(
        f"/{runs}", lambda record: (record["progress"] or {}).get("current") == 1
    )
    gates[1].open()
    big.unlink()
    await server.healthy()
    assert (await server.show(runs, "?wait=60"))["result"] == 2
    accepted.append(await server.submit("again", 7))
    await server.show(accepted[-1], "?wait=60")
    await server.kill()
    server = await place.start()
    records = await server.all()
    assert {*accepted, runs} == set(records)
    assert records[runs]["state"] == records[accepted[-1]]["state"] == "succeeded"


async def test_start_on_a_full_disk(place: Place, small_disk: Path) -> None:
    """It starts and refuses submissions, or does not start and says why; and loses nothing."""
    place.journal = small_disk / "tasks.db"
    server = await place.start()
    options = {"delay": 3600}
    accepted = {await server.submit("once", number, options=options) for number in range(5)}
    await server.kill()
    big = fill(small_disk)
    server = await place.spawn()
    if await server.greeting():
        await server.kill()
    else:
        assert await server.ended() != 0
        assert "Traceback" not in server.errors
        assert str(place.journal) in server.errors
    big.unlink()
    assert set(await (await place.start()).all()) == accepted


def protect(journal: Path, what: str) -> None:
    if what == "file":
        journal.chmod(0o444)
    else:
        Path(f"{journal}.lock").unlink()
        journal.parent.chmod(0o555)


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
@pytest.mark.parametrize("what", ["file", "directory"])
async def test_journal_that_may_not_be_written_is_refused(
    what: str, place: Place, tmp_path: Path
) -> None:
    place.journal = tmp_path / "readonly" / "tasks.db"
    place.journal.parent.mkdir()
    server = await place.start()
    await server.submit("once", 1, options={"delay": 3600})
    assert await server.end() == 0
    before = place.journal.read_bytes()
    protect(place.journal, what)
    # Root may write everywhere, unless that is taken from it.
    drop = ["setpriv", "--bounding-set", "-dac_override"] if os.geteuid() == 0 else []
    server = await place.spawn(*drop)
    assert not await server.greeting()
    assert await server.ended() != 0
    assert "Traceback" not in server.errors
    assert str(place.journal) in server.errors
    assert place.journal.read_bytes() == before
    place.journal.parent.chmod(0o755)


# -- two servers -------------------------------------------------------------------------------


async def test_next_server_takes_over_when_the_first_ends(place: Place) -> None:
    first = await place.start()
    id = await first.submit("once", 1, options={"delay": 3600})
    second = await place.spawn(LOCK_SECONDS="100")
    lock = f"{place.journal}.lock"

    await poll(lambda: lock in open_files(second.process.pid))
    assert await first.end() == 0, first.errors
    assert await second.greeting(), second.errors
    await second.healthy()
    assert (await second.show(id))["state"] == "scheduled"


def open_files(pid: int) -> set[str]:
    found = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found.add(os.readlink(path))
    return found


async def test_second_server_is_refused(place: Place) -> None:
    first = await place.start()
    second = await place.spawn(LOCK_SECONDS="0.1")
    assert not await second.greeting()
    assert await second.ended() != 0
    assert f"process {first.process.pid}" in second.errors
    assert "Traceback" not in second.errors
    await first.submit("once", 1)


async def test_refusal_at_the_start_is_a_sentence(place: Place) -> None:
    place.journal.write_bytes(b"no database at all\n" * 500)
    before = place.journal.read_bytes()
    server = await place.spawn()
    assert not await server.greeting()
    assert await server.ended() != 0
    assert str(place.journal) in server.errors
    assert "Traceback" not in server.errors
    assert place.journal.read_bytes() == before
