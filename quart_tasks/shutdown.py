"""The end of an app's tasks, in phases that each have their own budget.

| phase  | at most               | what happens                                                |
|--------|-----------------------|-------------------------------------------------------------|
| refuse | at once               | no task is taken (503, `Draining`) and no other starts      |
| leave  | LEAVE, beside drain   | every stream gets `bye` and is closed (WebSocket: 1012)      |
| drain  | TASKS_DRAIN_TIMEOUT   | running tasks may end; the server still answers             |
| stop   | STOP                  | those that go on are cancelled, asked to end, or killed     |
| kill   | at once               | what is left ends as Interrupted; what never ran is counted |
| answer | ANSWER                | requests on their way are answered, then connections cut    |
| close  | CLOSE                 | executors let go of threads and processes                   |
| write  | WRITE                 | the last words to the journal; only if somebody locks it    |

Without open sockets and running tasks no phase takes any time. `hurry()` ends the waiting of all.
The phase `answer` is the server's (`server.py`); under another server than ours it is that one's
own affair, and the rest happens in `after_serving`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from quart import Quart

from . import config
from .database import LOCK_SECONDS
from .runner import Runner
from .subscriptions import Subscriptions

LEAVE = 0.5  # seconds, like all of these
STOP = 0.5
ANSWER = 0.5
CLOSE = 0.3
WRITE = 1.2  # longer than SQLite waits for a lock
ALL = LEAVE + STOP + ANSWER + CLOSE + WRITE  # and TASKS_DRAIN_TIMEOUT


class Shutdown:
    """The phases from `refuse` to `kill` of one service. They run once, whoever asks for them."""

    def __init__(self, runner: Runner, subscriptions: Subscriptions, drain_timeout: float) -> None:
        self._runner = runner
        self._subscriptions = subscriptions
        self._drain_timeout = drain_timeout
        self._in_a_hurry = asyncio.Event()
        self._run: asyncio.Task[None] | None = None

    async def run(self) -> None:
        if self._run is None:
            self._run = asyncio.create_task(self._phases())
        await asyncio.shield(self._run)

    async def _phases(self) -> None:
        leaving = asyncio.ensure_future(self.leave())
        await self._until_quiet(self._drain_timeout)
        if self._runner.running():
            self._runner.interrupt()
            await self._until_quiet(STOP)
        self._runner.give_up()
        await leaving

    async def leave(self) -> None:
        """Take no more tasks, and send every stream away. Some do not read what they are sent."""
        self._runner.draining = True
        subscriptions = self._subscriptions
        subscriptions.close_all()
        if len(subscriptions):
            gone = asyncio.Event()
            subscriptions.when_empty = gone.set
            await self._wait(gone, LEAVE)

    def hurry(self) -> None:
        """Wait for nothing any more."""
        self._in_a_hurry.set()

    async def _until_quiet(self, seconds: float) -> None:
        """Wait until no attempt runs."""
        if self._runner.running():
            quiet = asyncio.Event()
            self._runner.when_quiet.append(quiet.set)
            await self._wait(quiet, seconds)

    async def _wait(self, event: asyncio.Event, seconds: float) -> None:
        either = [asyncio.ensure_future(each.wait()) for each in (event, self._in_a_hurry)]
        await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for each in either:
            each.cancel()


def patient(test_app_class: Any) -> Any:
    """A class for `app.test_app()` that waits for all these phases: Quart gives the start and the
    end of a test's app six seconds each, and a drain may take ten, as the lock of a journal."""

    class Patient(test_app_class):  # type: ignore[misc]
        def __init__(self, app: Quart, *args: Any, **kwargs: Any) -> None:
            super().__init__(app, *args, **kwargs)
            self.startup_timeout += LOCK_SECONDS
            self.shutdown_timeout += config.load(app.config).drain_timeout + ALL

    return Patient
