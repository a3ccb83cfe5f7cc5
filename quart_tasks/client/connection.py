"""One connection of a watcher: what it subscribes to, and what it is told."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from ..exceptions import TaskNotFound
from ..record import Progress
from .errors import TOO_LARGE, Refused
from .messages import (
    Message,
    Records,
    decode_message,
    decode_progress,
    decode_record,
    decode_records,
    error_of,
)
from .transport import Lost

if TYPE_CHECKING:
    from .watcher import Watcher

MOST_IDS = 5_000  # more are watched as all; a server takes 10,000


class Connection:
    """One connection of a watcher, from its first subscription on."""

    def __init__(
        self, watcher: Watcher, socket: aiohttp.ClientWebSocketResponse, renew: Any
    ) -> None:
        self._watcher, self._socket, self._renew = watcher, socket, renew
        self._ids: set[str] = set()
        self._names: set[str] = set()
        self._all = False
        self._sent: set[int] = set()  # commands
        self._acks: dict[int, set[str]] = {}  # ids whose subscription was asked for by a `ref`
        self._begun = False
        self._snapshot: set[str] = set()

    async def serve(self) -> None:
        """Raises Lost when it breaks, or what the server refuses it with."""
        writing = asyncio.create_task(self._write())
        try:
            async for each in self._socket:
                if each.type is not aiohttp.WSMsgType.TEXT:
                    break
                self._read(decode_message(each.data))
        finally:
            writing.cancel()
            with suppress(asyncio.CancelledError, aiohttp.ClientError, OSError):
                await writing
        if self._socket.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG:
            self._watcher.refuse(
                Refused("A message is larger than the server's TASKS_MAX_BODY_SIZE.", TOO_LARGE)
            )
        raise Lost("the connection broke")

    # -- writing ---------------------------------------------------------------------------

    async def _write(self) -> None:
        watcher = self._watcher
        while True:
            watcher.changed.clear()
            for change in self._due():
                await self._socket.send_str(msgspec.json.encode(change).decode())
            for ref, (command, _) in list(watcher.commands.items()):
                if ref not in self._sent:
                    self._sent.add(ref)
                    await self._socket.send_str(command.decode())
            await watcher.changed.wait()

    def _due(self) -> list[dict[str, Any]]:
        """The commands that make the subscription what is wanted now."""
        watches = self._watcher.watches
        names = set(self._watcher.names)
        ids = {id for id, watch in watches.items() if not watch.covered}
        due: list[dict[str, Any]] = []
        if len(ids) > MOST_IDS and not self._all:
            self._all = True
            due.append(self._subscribe(ids - self._ids, all=True))
            self._ids = ids
        elif self._all:
            self._watcher.check(ids - self._ids)  # their subscription is older than they are
            self._ids = ids
        new, old = ids - self._ids, self._ids - ids
        new_names, old_names = names - self._names, self._names - names
        if new or new_names:
            due.append(self._subscribe(new, ids=sorted(new), names=sorted(new_names)))
        if old or old_names:
            due.append(
                {
                    "type": "unsubscribe", "ref": next(self._watcher.refs), "ids": sorted(old),
                    "names": sorted(old_names),
                }
            )  # fmt: skip
        self._ids, self._names = ids, names
        return due

    def _subscribe(self, new: set[str], **what: Any) -> dict[str, Any]:
        ref = next(self._watcher.refs)
        self._acks[ref] = new
        command = {"type": "subscribe", "ref": ref, **what}
        if not self._begun and self._watcher.cursor is not None:
            command["after"] = self._watcher.cursor
        self._begun = True
        return command

    # -- reading ---------------------------------------------------------------------------

    def _read(self, message: Message) -> None:
        watcher = self._watcher
        if message.type == "bye":
            return
        if message.ref is not None or message.type == "error":
            self._read_answer(message)
        elif message.type == "state":
            watcher.take(decode_record(message.data))
        elif message.type == "progress":
            progress = decode_progress(message.data)
            watch = watcher.watches.get(message.task_id or "")
            for handle in watch.handles if watch is not None else ():
                handle.take_progress(Progress(progress.current, progress.total, progress.message))
        elif message.type == "snapshot":
            self._read_snapshot(decode_records(message.data))
        elif message.type == "deleted" and message.task_id in watcher.watches:
            error = TaskNotFound(f"Task {message.task_id} was deleted.")
            watcher.watches[message.task_id].fail(error)
        watcher.cursor = message.cursor or watcher.cursor
        self._renew()

    def _read_answer(self, message: Message) -> None:
        watcher = self._watcher
        command = watcher.commands.get(message.ref)
        if command is not None:
            if not command[1].done():
                command[1].set_result(message)
        elif message.type == "error":
            error = error_of(message.data)
            if not isinstance(error, Refused) or error.status != TOO_LARGE:
                raise error
            watcher.refuse(error)  # it was not read so far as to its `ref`
        elif (new := self._acks.pop(message.ref, None)) is not None:
            watcher.cursor = watcher.cursor or decode_records(message.data).cursor
            watcher.check(new)

    def _read_snapshot(self, records: Records) -> None:
        for record in records.tasks:
            self._snapshot.add(record.id)
            self._watcher.take(record)
        if not records.more:
            # A covered task that is not in it is known to nobody: a server without a journal.
            watches = self._watcher.watches.items()
            missing = {id for id, watch in watches if watch.covered} - self._snapshot
            self._watcher.check(missing)
            self._snapshot.clear()
