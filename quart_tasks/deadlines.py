"""How long a request's body may take."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

BODY_SECONDS = 60.0  # Quart's default too


class Deadlines:
    """`asyncio.timeout(BODY_SECONDS)` for very many that hardly ever come to it.

    With a timer each, thousands of cancelled ones wait in the loop's heap, and requests a
    second fell by a twentieth. Here one looks after all, four times in that span.
    """

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[Any], float] = {}
        self._looking = False

    @contextmanager
    def of_this_task(self) -> Iterator[None]:
        """Raises TimeoutError in the block when its time is over."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a server calls an app in a task
        loop = task.get_loop()
        self._tasks[task] = loop.time() + BODY_SECONDS
        if not self._looking:
            self._looking = True
            loop.call_later(BODY_SECONDS / 4, self._look, loop)
        try:
            yield
        except asyncio.CancelledError:
            if self._tasks[task] == 0:
                task.uncancel()
                raise TimeoutError from None
            raise
        finally:
            del self._tasks[task]

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        for task, deadline in self._tasks.items():
            if 0 < deadline <= loop.time():
                self._tasks[task] = 0
                task.cancel()
        self._looking = bool(self._tasks)
        if self._looking:
            loop.call_later(BODY_SECONDS / 4, self._look, loop)
