"""One `/tasks/socket` for all tasks that somebody waits for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from itertools import count

import msgspec

from ..exceptions import QuartTasksError
from ..record import Record
from .connection import Connection
from .errors import Unreachable
from .messages import (
    Message,
    decode_detail,
    decode_record,
    decode_records,
    error_of,
    passes,
)
from .tap import Tap
from .transport import Blocked, Lost, Transport, part
from .watch import Watch, Watching

POLL_SECONDS = 10.0


class Watcher:
    """Tells handles what happens to their tasks, through any number of connections.

    A task is subscribed to with its history: it may have ended before. When a connection breaks,
    the next one goes on after the last cursor; where that means nothing any more, with the
    history of all tasks.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.watches: dict[str, Watch] = {}
        self.names: Counter[str] = Counter()
        self.fresh: set[str] = set()  # ids whose history is to be asked for
        self.left: set[str] = set()  # ids that nobody watches any more
        self.over: set[str] = set()  # and those whose tasks have ended: there is no hurry
        self._early: dict[str, Record] = {}  # of tasks whose `ack` has not come yet
        self.cursor: str | None = None
        self.refs = count(1)
        self.commands: dict[int, tuple[bytes, asyncio.Future[Message]]] = {}  # not yet answered
        self.changed = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

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

    async def messages(self, handle: Watching, tap: Tap) -> AsyncGenerator[Message, None]:
        """What happens to a task, from its history on. Raises Blocked, Behind, and as `ended`."""
        watch = self.add(handle)
        watch.taps.append(tap)
        self._ask_history(handle.id)
        try:
            async for message in tap:
                yield message
        finally:
            watch.taps.remove(tap)
            self.remove(handle, watch)

    def add(self, handle: Watching, *, covered: bool = False) -> Watch:
        """Watch a task until `remove`. `covered`: its name is watched."""
        watch = self.watches.get(handle.id)
        if watch is None:
            watch = self.watches[handle.id] = Watch(covered)
            if not covered:
                self._ask_history(handle.id)
        if watch.handles:
            handle.take(watch.handles[0].record)
        watch.handles.append(handle)
        if (record := self._early.pop(handle.id, None)) is not None:
            watch.take_record(record)
        return watch

    def _ask_history(self, id: str) -> None:
        self.fresh.add(id)
        self.left.discard(id)
        self.over.discard(id)
        self._change()

    def remove(self, handle: Watching, watch: Watch) -> None:
        watch.handles.remove(handle)
        if watch.handles or self.watches.get(handle.id) is not watch:
            return
        del self.watches[handle.id]
        self.fresh.discard(handle.id)
        if watch.ended.done():
            self.over.add(handle.id)
        else:
            self.left.add(handle.id)
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
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        self._fail(Unreachable("The client is closed."))

    # -- the connection --------------------------------------------------------------------

    def _change(self) -> None:
        self.changed.set()
        wanted = self._transport.way == 0 and self._wanted
        if wanted and (self._running is None or self._running.done()):
            self._running = asyncio.create_task(self._run())

    @property
    def _wanted(self) -> bool:
        return bool(self.watches or self.names or self.commands)

    async def _run(self) -> None:
        patience = self._transport.patience()
        error: QuartTasksError
        while self._wanted:
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
            if not self._wanted:
                return
            try:
                await patience.pause(error)
            except QuartTasksError as last:
                self._fail(last)
                return

    def _fail(self, error: BaseException) -> None:
        watches, self.watches = self.watches, {}
        self.fresh.clear()
        for watch in watches.values():
            watch.fail(error)
        self.refuse(error)

    def refuse(self, error: BaseException) -> None:
        """Let all commands fail that have no answer yet."""
        for _, answer in self.commands.values():
            if not answer.done():
                answer.set_exception(error)

    # -- what comes ------------------------------------------------------------------------

    def take(self, message: Message) -> None:
        """Know what has happened to a task."""
        watch = self.watches.get(message.task_id or "")
        if watch is not None:
            watch.take(message)
        elif message.type == "state" and self.commands:
            record = decode_record(message.data)
            self._early[record.id] = record

    def take_history(self, message: Message) -> None:
        watch = self.watches.get(message.task_id or "")
        if watch is not None:
            watch.take_history(message)

    def learn(self, ids: Iterable[str], cursor: str | None) -> None:
        """The history of these has come, up to a cursor."""
        for id in ids:
            if (watch := self.watches.get(id)) is not None:
                watch.learn(cursor)

    def fail(self, id: str, error: BaseException) -> None:
        """This task is not to be watched."""
        if (watch := self.watches.get(id)) is not None:
            watch.fail(error)

    def lose(self) -> None:
        """What happened in between is not to be had: ask for the history of all."""
        for watch in self.watches.values():
            watch.lose()
        self.fresh.update(self.watches)
        self.changed.set()
