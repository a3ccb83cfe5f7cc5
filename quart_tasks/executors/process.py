"""Attempts in worker processes, which can be killed one by one.

Each slot is a `ProcessPoolExecutor` of one worker that holds one attempt: a dead worker
breaks its whole pool and all that waits in it, so nothing else is in it. The pool runs the
worker's one call; attempts go to it, and what becomes of them comes back, in order, through a
socket beside it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from contextvars import Context
from typing import ClassVar, Literal

from ..execution import Outcome
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
        self._slots = [
            Slot(f"process-{number}", reports, limit, nice, modules, self._ended)
            for number in range(1, slots + 1)
        ]
        self._idle = self._slots[::-1]
        self._running: dict[Attempt, Slot] = {}

    def start(self, attempt: Attempt) -> None:
        slot = self._running[attempt] = self._idle.pop()
        # In an empty context: the worker's reader lives in it for as long as the worker.
        self._loop.call_soon(slot.run, attempt, context=Context())

    def stop(self, attempt: Attempt) -> None:
        if (slot := self._running.get(attempt)) is not None:
            slot.stop(attempt)

    def _ended(self, slot: Slot, attempt: Attempt, outcome: Outcome | str) -> None:
        # First, as the next attempt may begin in the very report of the end.
        del self._running[attempt]
        self._idle.append(slot)
        if isinstance(outcome, str):
            self._reports.lost(attempt, outcome)
        else:
            self._reports.ended(attempt, outcome)

    async def close(self, timeout: float) -> None:
        ends = {end for slot in self._slots for end in slot.close()}
        if ends:
            await asyncio.wait(ends, timeout=timeout)

    def health(self) -> str | None:
        if multiprocessing.current_process().daemon:
            return DAEMONIC
        problems = [slot.problem for slot in self._slots if slot.problem is not None]
        if not problems:
            return None
        return f"{len(problems)} of {self.slots} worker processes do not start. {problems[0]}"
