"""One connection of a watcher: what it subscribes to, and what it is told."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from ..exceptions import QuartTasksError
from .errors import TOO_LARGE, Refused
from .messages import Message, decode_message, decode_records, error_of, passes
from .transport import Lost

if TYPE_CHECKING:
    from .watcher import Watcher

MOST_IDS = 5_000  # more are watched as all; a server takes 10,000
TOGETHER = 25  # ids whose history is asked for in one message: each takes 40 bytes
MOST_OVER = 100  # ids of ended tasks, about which nothing comes, that stay subscribed


class Connection:
    """One connection of a watcher, from its first subscription on."""

    def __init__(
        self, watcher: Watcher, socket: aiohttp.ClientWebSocketResponse, renew: Callable[[], None]
    ) -> None:
        self._watcher, self._socket, self._renew = watcher, socket, renew
        self._ids: set[str] = set()
        self._names: set[str] = set()
        self._all = False
        self._sent: set[int] = set()  # commands
        self._resumes: int | None = None  # the `ref` of the subscription after the last cursor
        self._resumed = asyncio.Event()  # or there is nothing to go on with
        self._asked: deque[tuple[int, list[str]]] = deque()  # whose history, with the `ref`
        self._in_history = False  # nothing else comes between its frames and its answer
        self._alone: set[str] = set()  # those of a question that was refused

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
            message = "A message is larger than the server's TASKS_MAX_BODY_SIZE."
            self._read_too_large(Refused(message, TOO_LARGE))
        raise Lost("the connection broke")

    # -- writing ---------------------------------------------------------------------------

    async def _write(self) -> None:
        watcher = self._watcher
        if (resuming := self._resume()) is not None:
            await self._send([resuming])
            await self._resumed.wait()  # by itself: it may be too large, which says no `ref`
        while True:
            watcher.changed.clear()
            await self._send(self._due())
            for ref, (command, _) in list(watcher.commands.items()):
                if ref not in self._sent:
                    self._sent.add(ref)
                    await self._socket.send_str(command.decode())
            await watcher.changed.wait()

    async def _send(self, messages: Iterable[dict[str, Any]]) -> None:
        for message in messages:
            await self._socket.send_str(msgspec.json.encode(message).decode())

    def _resume(self) -> dict[str, Any] | None:
        """The command to go on after the last cursor, with all that is known up to there."""
        watcher = self._watcher
        watcher.over.clear()
        watcher.left.clear()
        # What was asked for on the last connection, and has not come.
        watcher.fresh.update(id for id, watch in watcher.watches.items() if watch.lacks_history)
        known = {id for id, watch in watcher.watches.items() if watch.joined and not watch.covered}
        if watcher.cursor is None or not (known or watcher.names):
            watcher.cursor = None
            return None
        self._resumes = next(watcher.refs)
        command = {"type": "subscribe", "ref": self._resumes, "after": watcher.cursor}
        if len(known) > MOST_IDS:
            self._all = True
            return command | {"all": True}
        self._ids, self._names = known, set(watcher.names)
        return command | {"ids": list(known), "names": list(self._names)}

    def _due(self) -> Iterator[dict[str, Any]]:
        """The commands that make the subscription what is wanted now."""
        watcher = self._watcher
        names = set(watcher.names)
        yield from self._change("subscribe", names=list(names - self._names))
        yield from self._change("unsubscribe", names=list(self._names - names))
        self._names = names
        if not self._all and len(self._ids) + len(watcher.fresh) > MOST_IDS:
            self._all = True
            yield from self._change("subscribe", all=True)
        while self._alone:
            yield self._ask([self._alone.pop()])
        while watcher.fresh:
            ids = list(islice(watcher.fresh, TOGETHER))
            watcher.fresh.difference_update(ids)
            yield self._ask(ids)
        if len(watcher.over) > MOST_OVER:
            watcher.left |= watcher.over
            watcher.over.clear()
        watcher.left &= self._ids
        while watcher.left:
            ids = list(islice(watcher.left, TOGETHER))
            watcher.left.difference_update(ids)
            self._ids.difference_update(ids)
            yield from self._change("unsubscribe", ids=ids)

    def _ask(self, ids: list[str]) -> dict[str, Any]:
        self._ids.update(ids)
        ref = next(self._watcher.refs)
        self._asked.append((ref, ids))
        return {"type": "subscribe", "ref": ref, "ids": ids, "history": True}

    def _change(self, type: str, **what: Any) -> Iterator[dict[str, Any]]:
        if any(what.values()):
            yield {"type": type, "ref": next(self._watcher.refs), **what}

    # -- reading ---------------------------------------------------------------------------

    def _read(self, message: Message) -> None:
        watcher = self._watcher
        if message.type == "bye":
            return
        if message.ref is not None or message.type == "error":
            self._in_history = False
            self._read_answer(message)
        elif self._in_history or (message.type == "snapshot" and message.task_id is not None):
            # Its cursor says nothing of other tasks: their earlier events may be still to come.
            self._in_history = True
            watcher.take_history(message)
        elif message.type == "snapshot":  # the last cursor means nothing any more
            if not decode_records(message.data).more:
                watcher.lose()
                watcher.cursor = message.cursor
        else:
            watcher.take(message)
            watcher.cursor = message.cursor
        self._renew()

    def _read_answer(self, message: Message) -> None:
        watcher = self._watcher
        command = watcher.commands.get(message.ref)
        if command is not None:
            if not command[1].done():
                command[1].set_result(message)
        elif message.type == "error":
            error = error_of(message.data)
            if isinstance(error, Refused) and error.status == TOO_LARGE:
                self._read_too_large(error)
            elif self._asked and self._asked[0][0] == message.ref and not passes(error):
                self._read_refusal(error)
            else:
                raise error
        else:
            cursor = decode_records(message.data).cursor
            watcher.cursor = watcher.cursor or cursor
            if message.ref == self._resumes:
                self._resumed.set()
            elif self._asked and self._asked[0][0] == message.ref:
                _, ids = self._asked.popleft()
                watcher.learn(ids, cursor)
                if self._all:
                    watcher.left.update(ids)  # they are among all

    def _read_refusal(self, error: QuartTasksError) -> None:
        """One of these may not be watched: ask for each by itself, to know which."""
        _, ids = self._asked.popleft()
        self._ids.difference_update(ids)
        if len(ids) == 1:
            self._watcher.fail(ids[0], error)
        else:
            self._alone.update(ids)
            self._watcher.changed.set()

    def _read_too_large(self, error: Refused) -> None:
        """A message was not read so far as to its `ref`: a submission, or that with all ids."""
        if self._resumes is None or self._resumed.is_set():
            self._watcher.refuse(error)
            return
        self._ids, self._names, self._all = set(), set(), False
        self._watcher.lose()
        self._resumed.set()
