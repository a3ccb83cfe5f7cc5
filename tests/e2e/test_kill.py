"""What is left of a server that was killed, and what threads that never return do to its end."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ..processes import Watched
from ..waiting import poll
from .serving import HANG, Server, serving

APP = "tests.e2e.kill_app:app"
BUSY = ["spins", "holds_the_gil", "spawns"]

MANY = pytest.param(20, marks=[pytest.mark.long, pytest.mark.timeout(600)])
once = pytest.mark.parametrize("times", [1, MANY])
twice = pytest.mark.parametrize("times", [2, MANY])


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


async def submit(http: aiohttp.ClientSession, server: Server, name: str, **options: Any) -> str:
    body = {"name": name, "options": options}
    async with http.post(f"{server.url}/tasks", json=body) as response:
        assert response.status == 202, await response.text()
        return str((await response.json())["id"])


async def until_busy(http: aiohttp.ClientSession, server: Server, id: str) -> None:
    """Wait until a task has reported that its fault has begun."""
    async with http.ws_connect(f"{server.url.replace('http', 'ws')}/tasks/{id}/events") as socket:
        async for message in socket:
            frame = message.json()
            if frame["type"] == "progress":
                return
            if frame["type"] == "snapshot" and frame["data"]["tasks"][0]["progress"]:
                return
    raise AssertionError("The task ended before that happened.")


class Family:
    """All processes that were started with one variable in their environment: they have it from
    the server, by whatever way they come from it, and also when it is gone."""

    def __init__(self) -> None:
        self.environment = {"TEST_FAMILY": uuid.uuid4().hex}

    def members(self) -> set[int]:
        name, value = next(iter(self.environment.items()))
        mark = f"{name}={value}".encode()
        return {
            int(path.parent.name)
            for path in Path("/proc").glob("[0-9]*/environ")
            if mark in _read(path)
        }

    async def grown_to(self, number: int) -> None:
        await poll(lambda: len(self.members()) >= number)

    async def gone(self) -> None:
        """Wait until none is left, one born late included."""
        try:
            async with asyncio.timeout(HANG):
                while left := self.members():
                    for pid in left:
                        with suppress(ProcessLookupError):
                            await Watched(pid).ended()
        finally:
            for pid in self.members():  # they would spin on
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has just ended
        return b""


async def kill(server: Server) -> None:
    server.process.send_signal(signal.SIGKILL)
    await server.process.wait()


@once
async def test_nothing_is_left_of_a_killed_server(times: int, http: aiohttp.ClientSession) -> None:
    for _ in range(times):
        family = Family()
        async with serving(APP, TASKS_PROCESSES="3", **family.environment) as server:
            for id in [await submit(http, server, name) for name in BUSY]:
                await until_busy(http, server, id)
            # the server, its fork server and resource tracker, 3 workers, a shell and its child
            await family.grown_to(8)
            await kill(server)
            await family.gone()


@twice
async def test_nothing_is_left_of_a_server_killed_while_workers_start(
    times: int, http: aiohttp.ClientSession
) -> None:
    for number in range(times):
        family = Family()
        async with serving(APP, TASKS_PROCESSES="3", **family.environment) as server:
            for name in BUSY:
                await submit(http, server, name)
            await family.grown_to(2 + number % 4)  # somewhere on the way
            await kill(server)
            await family.gone()


@pytest.mark.parametrize("timeout", [0.05, None], ids=["abandoned", "running"])
async def test_threads_that_never_return_do_not_hold_up_the_end(
    timeout: float | None, http: aiohttp.ClientSession
) -> None:
    names = ["sleeps_in_a_thread", "spins_in_a_thread", "ignores_its_end"]
    async with serving(APP, TASKS_DRAIN_TIMEOUT="0") as server:
        options = {} if timeout is None else {"timeout": timeout}
        ids = [await submit(http, server, name, **options) for name in names]
        for id in ids:
            if timeout is None:
                await until_busy(http, server, id)
                continue
            async with http.get(f"{server.url}/tasks/{id}/result?wait=60") as response:
                assert response.headers["Task-State"] == "failed"
        async with http.get(f"{server.url}/tasks/stats") as response:
            stats = (await response.json())["executors"]["thread"]
        assert (stats["running"], stats["abandoned"]) == ((3, 0) if timeout is None else (0, 3))
        assert await server.end() == 0, server.errors
