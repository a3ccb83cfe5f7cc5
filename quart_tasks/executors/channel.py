"""From the code of attempts in this process to the runner."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..record import Progress
from .base import Attempt, Reports

MAX_AHEAD = 256  # reports a thread may be ahead of the loop


class Channel:
    """What an attempt reports, in order, from whatever thread: also code on the loop may have
    others call `progress` or log for it. Threads far ahead of the loop wait for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, reports: Reports) -> None:
        self.lock = threading.Lock()
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._reports = reports
        self._adding = threading.Lock()
        self._waiting: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self._closed = False
        self._room = threading.Event()
        self._room.set()

    def progress(self, attempt: Attempt, progress: Progress) -> None:
        self.post(self._reports.progress, attempt, progress)

    def output(self, attempt: Attempt, value: bytes) -> None:
        self._wait_for_room()
        self.post(self._reports.output, attempt, value)

    def log(self, attempt: Attempt, level: str, logger: str, message: str) -> None:
        self._wait_for_room()
        self.post(self._reports.log, attempt, level, logger, message)

    def later(self, attempt: Attempt, delay: float, callback: Callable[[], None]) -> None:
        self.post(self._loop.call_later, delay, callback)

    def _wait_for_room(self) -> None:
        if threading.get_ident() != self._loop_thread:  # only the loop makes room
            self._room.wait()
            if self._closed:
                raise asyncio.CancelledError("The app has stopped.")

    def close(self) -> None:
        """Let nobody wait any more: the loop is going."""
        self._closed = True
        self._room.set()

    def post(self, function: Callable[..., Any], *args: Any) -> None:
        """Have the loop call `function`, after all that was posted before. Never waits."""
        if threading.get_ident() == self._loop_thread:
            if self._waiting:
                self._drain()
            function(*args)
            return
        with self._adding:
            self._waiting.append((function, args))
            waiting = len(self._waiting)
            if waiting >= MAX_AHEAD and not self._closed:
                self._room.clear()
        if waiting == 1:
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        with self._adding:
            waiting, self._waiting = self._waiting, []
            self._room.set()
        for function, args in waiting:
            function(*args)
