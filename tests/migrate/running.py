"""Apps that run for real, before and after their migration, and a client that asks both."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy

from tests.e2e.serving import greeting
from tests.waiting import HANG, poll

ROOT = Path(__file__).parents[2]
APPS = Path(__file__).parent / "apps"


@dataclass
class Answer:
    """What a server says; JSON is decoded."""

    status: int
    type: str
    body: Any
    headers: CIMultiDictProxy[str]

    @property
    def told(self) -> tuple[int, str, Any]:
        """What must be the same of both."""
        return self.status, self.type, self.body


class Asker:
    """Asks one server, with cookies, and without following redirects unless told."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url

    async def ask(self, method: str, path: str, follow: bool = False, **options: Any) -> Answer:
        async with self._session.request(
            method, self.url + path, allow_redirects=follow, **options
        ) as response:
            kind = response.content_type
            body = await (response.json() if kind == "application/json" else response.text())
            return Answer(response.status, kind, body, response.headers)

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Answer:
        return await self.ask("POST", path, **options)

    async def until(self, path: str, ready: Callable[[Answer], bool], **options: Any) -> Answer:
        """Ask until the answer is as wanted."""

        async def look() -> Answer | None:
            answer = await self.get(path, **options)
            return answer if ready(answer) else None

        found: Answer = await poll(look)
        return found


Conversation = Callable[[Asker], Awaitable[list[Any]]]


def copied(name: str, to: Path) -> Path:
    """An app's files, in a directory of their own."""
    target = to / name
    shutil.copytree(APPS / name, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


# All plugins that are installed take pytest 0.6 s to import.
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin")
ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


async def run(*command: str, cwd: Path, **environment: str) -> tuple[int, str]:
    """Run a command of the package to its end: exit code and output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=cwd, env=_environment(environment),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(HANG):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def migrate(path: Path) -> tuple[int, str]:
    """`quart-tasks migrate PATH --write`."""
    return await run("-m", "quart_tasks", "migrate", str(path), "--write", cwd=path)


@asynccontextmanager
async def serving(path: Path, app: str, is_flask: bool) -> AsyncIterator[Asker]:
    """Serve MODULE:APP of the directory `path` on a free port."""
    command = [str(Path(__file__).parent / "serve_flask.py"), app]
    if not is_flask:
        command = ["-m", "quart_tasks", "serve", app, "--port", "0"]
    environment = {"BROKER": "memory://", "BACKEND": "cache+memory://"}
    log = (path / "server.log").open("w")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=path, env=_environment(environment),
        stdout=asyncio.subprocess.PIPE, stderr=log, start_new_session=True,
    )  # fmt: skip
    try:
        url = await greeting(process)
        assert url, (path / "server.log").read_text()
        jar = aiohttp.CookieJar(unsafe=True)  # which keeps cookies of an address, too
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            yield Asker(session, url)
    finally:
        with suppress(ProcessLookupError):
            # Its group, as a pool's workers live on without their parent; and while one of them
            # holds the pipe of stdout, asyncio takes the parent for alive.
            os.killpg(process.pid, signal.SIGTERM)
        await process.wait()
        log.close()


def _environment(more: dict[str, str]) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **more}
