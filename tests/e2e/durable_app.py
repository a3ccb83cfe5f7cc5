"""An app whose tasks say that they run, in the file RAN, before they do anything else."""

from __future__ import annotations

import asyncio
import os
import random
import signal

from quart import Quart

from quart_tasks import QuartTasks, database, progress

from ..footprints import append
from ..waiting import pass_gate_on_loop

if "LOCK_SECONDS" in os.environ:  # to wait for another server
    database.LOCK_SECONDS = float(os.environ["LOCK_SECONDS"])

app = Quart(__name__)
tasks = QuartTasks(app)


def note() -> None:
    append(os.environ["RAN"])


@tasks.task
async def once(number: int) -> int:
    note()
    await asyncio.sleep(random.random() / 100)
    return number


@tasks.task(idempotent=True)
async def again(number: int) -> int:
    note()
    await asyncio.sleep(random.random() / 100)
    return number


@tasks.task
def once_in_a_thread(number: int) -> int:
    note()
    return number


@tasks.task(idempotent=True)
def again_in_a_thread(number: int) -> int:
    note()
    return number


@tasks.task(idempotent=True)
async def kills() -> None:
    note()
    os.kill(os.getpid(), signal.SIGKILL)


@tasks.task(idempotent=True)
def kills_from_a_thread() -> None:
    note()
    os.kill(os.getpid(), signal.SIGKILL)


@tasks.task
async def steps(*gates: str) -> int:
    """Go from gate to gate."""
    for number, gate in enumerate(gates):
        progress(number)
        await pass_gate_on_loop(gate)
    return len(gates)
