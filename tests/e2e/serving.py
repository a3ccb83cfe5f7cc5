"""The real server, in a process of its own."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Seconds after which a server that was told to end, or to start, has hung: fewer than the 60 s
# after which ours gives up by itself on a worker that does not start, or a body that does not come.
HANG = 50


@dataclass
class Server:
    """`quart-tasks serve` or `demo`. `errors` is its stderr once it has ended."""

    process: asyncio.subprocess.Process
    url: str
    errors: str = ""

    async def end(self, number: int = signal.SIGTERM, seconds: float = HANG) -> int:
        """Send a signal and wait for the end; the exit code. `seconds` guard against a hang."""
        self.process.send_signal(number)
        async with asyncio.timeout(seconds):
            _, errors = await self.process.communicate()
        self.errors = errors.decode()
        assert self.process.returncode is not None
        return self.process.returncode


async def greeting(process: asyncio.subprocess.Process) -> str:
    """Wait until a server listens; its URL, or nothing if it has ended before."""
    assert process.stdout is not None
    async with asyncio.timeout(HANG):
        line = (await process.stdout.readline()).decode()
    found = re.search(r" on (http://\S+:\d+) ", line)
    return found[1] if found else ""


@asynccontextmanager
async def serving(app: str | None = None, **environment: str) -> AsyncIterator[Server]:
    """Serve MODULE:APP, or the demo, on a free port; at the end SIGTERM must end it with exit
    code 0 and without a traceback. `environment` adds variables, such as TASKS_EVENT_BUFFER."""
    command = ["demo"] if app is None else ["serve", app]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "quart_tasks", *command, "--port", "0",
        cwd=ROOT, env=os.environ | environment, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        server = Server(process, await greeting(process))
        if not server.url:
            with suppress(ProcessLookupError):
                process.kill()
            raise AssertionError((await process.communicate())[1].decode())
        yield server
        if process.returncode is None:
            assert await server.end() == 0, server.errors
            assert "Traceback" not in server.errors, server.errors
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
