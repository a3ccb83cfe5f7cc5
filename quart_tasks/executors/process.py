"""Attempts in worker processes, which can be killed one by one.

Each slot is a `ProcessPoolExecutor` of one worker that holds one attempt: a dead worker
breaks its whole pool and all that waits in it, so nothing else is in it. What is said on the
way (progress, outputs, log lines) comes through a pipe beside the pool, and the pool's reply
says how much of that was before it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from contextvars import Context
from typing import ClassVar, Literal

from .base import Attempt, Reports
from .slot import DAEMONIC, Slot

__all__ = ["DAEMONIC", "ProcessExecutor"]


class ProcessExecutor:
    """Runs plain functions in processes, started when first needed. To stop one is to kill
    its worker and all that it has spawned."""

    name = "process"
    stops: ClassVar[Literal["cancel", "ask", "kill"]] = "kill"

    def __init__(
        self, reports: Reports, slots: int, limit: int, nice: int, modules: list[str]
    ) -> None:
        self.slots = slots
        self._reports = reports
        self._loop = asyncio.get_running_loop()
        self._idle = [
            Slot(f"process-{number}", reports, limit, nice, modules)
            for number in range(slots, 0, -1)
        ]
        self._slots = list(self._idle)
        self._running: dict[Attempt, tuple[Slot, asyncio.Task[None]]] = {}

    def start(self, attempt: Attempt) -> None:
        slot = self._idle.pop()
        # In an empty context: the worker's reader lives in it for as long as the worker.
        run = self._loop.create_task(self._run(slot, attempt), context=Context())
        self._running[attempt] = slot, run

    def stop(self, attempt: Attempt) -> None:
        if (running := self._running.get(attempt)) is not None:
            running[0].stop(attempt)

    async def _run(self, slot: Slot, attempt: Attempt) -> None:
        outcome = await slot.run(attempt)
        # First, as the next attempt may begin in the very report of the end.
        del self._running[attempt]
        self._idle.append(slot)
        if isinstance(outcome, str):
            self._reports.lost(attempt, outcome)
        else:
            self._reports.ended(attempt, outcome)

    async def close(self, timeout: float) -> None:
        # The pools' threads end with them. At the interpreter's own end CPython writes to the
        # pipe of each that is left, which may be closed by then
        # (concurrent/futures/process.py, `_python_exit`).
        ends = {end for slot in self._slots for end in slot.close()}
        ends.update(task for _, task in self._running.values())
        if ends:
            await asyncio.wait(ends, timeout=timeout)

    def health(self) -> str | None:
        if multiprocessing.current_process().daemon:
            return DAEMONIC
        problems = [slot.problem for slot in self._slots if slot.problem is not None]
        if not problems:
            return None
        return f"{len(problems)} of {self.slots} worker processes do not start. {problems[0]}"
