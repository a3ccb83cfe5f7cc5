"""An app whose tasks, of every executor, do not end by themselves."""

import asyncio
import logging
import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import Any

from quart import Quart, request

from quart_tasks import QuartTasks, RetryPolicy, progress
from quart_tasks.server import serve

from ..waiting import pass_gate_on_loop

tasks = QuartTasks()

firehose_log = logging.getLogger("firehose")
firehose_log.setLevel(logging.INFO)
firehose_log.propagate = False  # its lines are for the streams alone
firehose_log.addHandler(logging.NullHandler())


@tasks.task
async def waits() -> None:
    progress(1)
    await asyncio.Event().wait()


@tasks.task
async def hold(gate: str) -> str:
    progress(1)
    await pass_gate_on_loop(gate)
    return "held"


@tasks.task
async def swallows() -> None:
    """Cannot be cancelled."""
    progress(1)
    never = asyncio.Event()
    while True:
        with suppress(asyncio.CancelledError):
            await never.wait()


@tasks.task
def sleeps() -> None:
    progress(1)
    while True:
        time.sleep(3600)


@tasks.task
def spins_in_thread() -> None:
    progress(1)
    while True:
        pass


@tasks.task(executor="process")
def spins() -> None:
    """Cannot be asked to end, and says its process id."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    progress(os.getpid())
    while True:
        pass


@tasks.task(executor="process")
def spawns() -> None:
    """Waits for a process of its own, and says that one's id."""
    child = subprocess.Popen(["sleep", "3600"])
    progress(child.pid)
    child.wait()


@tasks.task
async def firehose() -> None:
    """Log lines of 8 KiB without an end."""
    line = "x" * 8192
    while True:
        firehose_log.info(line)
        await asyncio.sleep(0.001)  # leave the rest of the server a turn


@tasks.task(retries=RetryPolicy(3, delay=3600, max_delay=3600, jitter=False))
async def fails() -> None:
    raise ValueError("no luck")


@tasks.task(concurrency=1)
async def one_by_one() -> None:
    progress(1)
    await asyncio.Event().wait()


STUCK = ("waits", "swallows", "sleeps", "spins_in_thread", "spins", "spawns")


def create_app(**config: Any) -> Quart:
    app = Quart(__name__)
    app.config.update({"TASKS_PROCESSES": 2, **config})
    tasks.init_app(app)
    if (grace := os.environ.get("GRACE")) and serve.__kwdefaults__ is not None:
        serve.__kwdefaults__["grace"] = float(grace)

    @app.before_serving
    async def start() -> None:
        if gate := os.environ.get("STARTS_WITH"):
            print("starts", flush=True)
            await pass_gate_on_loop(gate)

    @app.before_request
    async def announce() -> None:
        if "wait" in request.args:
            print("waits", flush=True)

    @app.after_serving
    async def end() -> None:
        if place := os.environ.get("HANGS_AT"):
            print("hangs at", place, flush=True)
            await asyncio.Event().wait()

    return app
