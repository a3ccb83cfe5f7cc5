"""One `/tasks/socket` for all tasks that somebody waits for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from itertools import count
from typing import Protocol

import msgspec

from ..exceptions import QuartTasksError
from ..record import Progress, Record
from .connection import Connection
from .errors import Unreachable
from .messages import Message, decode_detail, decode_records, error_of, passes
from .transport import Blocked, Lost, Transport, part

CHECKS = 20  # at once
POLL_SECONDS = 30.0


class Watching(Protocol):
    """A handle, as far as the watcher needs it."""

    @property
    def id(self) -> str: ...
    @property
    def record(self) -> Record: ...
    def take(self, record: Record) -> None: ...
    def take_progress(self, progress: Progress) -> None: ...


class _Watch:
    """A task that is watched, and by whom."""

    __slots__ = ("covered", "ended", "handles")

    def __init__(self) -> None:
        self.handles: list[Watching] = []
        self.covered = False  # by its name's subscription
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(self, error: BaseException) -> None:
        if not self.ended.done():
            self.ended.set_exception(error)
            self.ended.exception()  # asked for: perhaps nobody waits


class Watcher:
    """Tells handles what happens to their tasks, through any number of connections.

    A socket subscribes to what is wanted at the moment. A task whose subscription is new is read
    once after that, as it may have ended before. When a connection breaks, the next one goes on
    after the last cursor; where that means nothing any more, the server sends a snapshot.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.watches: dict[str, _Watch] = {}
        self.names: Counter[str] = Counter()
        self._early: dict[str, Record] = {}  # of tasks whose `ack` has not come yet
        self.cursor: str | None = None
        self.refs = count(1)
        self.commands: dict[int, tuple[bytes, asyncio.Future[Message]]] = {}  # not yet answered
        self.changed = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._checks: set[asyncio.Task[None]] = set()
        self._checking = asyncio.Semaphore(CHECKS)

    # -- for handles and the client --------------------------------------------------------

    async def ended(self, handle: Watching) -> None:
        """Wait until the handle's record is a terminal one. Raises TaskNotFound, Unreachable."""
        if handle.record.ended:
            return
        if self._transport.way == 0:
            watch = self.add(handle)
            try:
                await asyncio.shield(watch.ended)
            except Blocked:
                pass
            finally:
                self.remove(handle, watch)
        await self._poll(handle)

    async def _poll(self, handle: Watching) -> None:
        while not handle.record.ended:
            answer = await self._transport.ask(
                "GET", f"/{part(handle.id)}", query=[("wait", f"{POLL_SECONDS:.0f}")],
                wait=POLL_SECONDS,
            )  # fmt: skip
            handle.take(decode_detail(answer.data))

    def add(self, handle: Watching, *, covered: bool = False) -> _Watch:
        """Watch a task until `remove`. `covered`: its name is watched."""
        watch = self.watches.get(handle.id)
        if watch is None:
            watch = self.watches[handle.id] = _Watch()
            watch.covered = covered
            self._change()
        if watch.handles:
            handle.take(watch.handles[0].record)
        watch.handles.append(handle)
        if (record := self._early.pop(handle.id, None)) is not None:
            self.take(record)
        return watch

    def remove(self, handle: Watching, watch: _Watch) -> None:
        watch.handles.remove(handle)
        if not watch.handles and self.watches.get(handle.id) is watch:
            del self.watches[handle.id]
            self._change()

    def add_name(self, name: str) -> None:
        """Watch all tasks of a name, so that those that are submitted here are, from the first."""
        self.names[name] += 1
        self._change()

    def remove_name(self, name: str) -> None:
        self.names[name] -= 1
        self.names += Counter()  # without what nobody wants
        self._change()

    async def submit(self, submissions: list[msgspec.Raw]) -> list[Record]:
        """Submit through the socket. Raises Blocked, and what the server refuses them with."""
        if self._transport.way > 0:
            raise Blocked
        ref = next(self.refs)
        command = msgspec.json.encode({"type": "submit", "ref": ref, "tasks": submissions})
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self.commands[ref] = (command, answer)
        self._change()
        try:
            message = await answer
        finally:
            self.commands.pop(ref, None)
        if message.type == "error":
            raise error_of(message.data)
        return decode_records(message.data).tasks

    def settle(self) -> None:
        """Forget early records: whose they are is known when nothing is being submitted."""
        if not self.commands:
            self._early.clear()

    async def close(self) -> None:
        tasks = [*self._checks, *filter(None, [self._running])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._fail(Unreachable("The client is closed."))

    # -- the connection --------------------------------------------------------------------

    def _change(self) -> None:
        self.changed.set()
        wanted = self._transport.way == 0 and (self.watches or self.names or self.commands)
        if wanted and (self._running is None or self._running.done()):
            self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        patience = self._transport.patience()
        error: QuartTasksError
        while self.watches or self.names or self.commands:
            try:
                async with await self._transport.websocket("/socket") as socket:
                    await Connection(self, socket, patience.renew).serve()
            except Lost as lost:
                error = Unreachable(f"{self._transport.url} cannot be reached: {lost}.")
            except Blocked as blocked:
                self._transport.way = max(self._transport.way, 1)
                self._fail(blocked)
                return
            except QuartTasksError as refused:
                if not passes(refused):  # 401, say
                    self._fail(refused)
                    return
                error = refused
            try:
                await patience.pause(error)
            except QuartTasksError as last:
                self._fail(last)
                return

    def _fail(self, error: BaseException) -> None:
        watches, self.watches = self.watches, {}
        for watch in watches.values():
            watch.fail(error)
        self.refuse(error)

    def refuse(self, error: BaseException) -> None:
        """Let all commands fail that have no answer yet."""
        for _, answer in self.commands.values():
            if not answer.done():
                answer.set_exception(error)

    # -- what comes ------------------------------------------------------------------------

    def take(self, record: Record) -> None:
        """Know of a change."""
        watch = self.watches.get(record.id)
        if watch is None:
            if self.commands:
                self._early[record.id] = record
            return
        for handle in watch.handles:
            handle.take(record)
        if record.ended and not watch.ended.done():
            watch.ended.set_result(None)

    def check(self, ids: Iterable[str]) -> None:
        """Read these tasks once."""
        for id in ids:
            task = asyncio.create_task(self._check(id))
            self._checks.add(task)
            task.add_done_callback(self._checks.discard)

    async def _check(self, id: str) -> None:
        try:
            async with self._checking:
                answer = await self._transport.ask("GET", f"/{part(id)}")
        except QuartTasksError as error:
            if (watch := self.watches.get(id)) is not None:
                watch.fail(error)
        else:
            self.take(decode_detail(answer.data))
