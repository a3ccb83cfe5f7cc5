"""`/tasks/socket`: one WebSocket for commands and for the events that they subscribe to."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from quart import websocket
from werkzeug.exceptions import HTTPException

from ..exceptions import InvalidArguments, QuartTasksError, TaskNotFound
from ..feed import events_of
from ..service import Service
from .access import ask
from .problems import BadRequest, problem_of
from .streams import ClientDisconnectedError, receive, sender
from .submissions import MAX_BATCH, decode, submit_batch

MAX_WATCHED = 10_000
Ids = Annotated[list[str], Meta(max_length=MAX_WATCHED)]

_encode = msgspec.json.Encoder().encode


class Subscribe(msgspec.Struct, tag="subscribe", frozen=True):
    ref: Any = None
    ids: Ids = []
    names: Ids = []
    all: bool = False
    after: str | None = None


class Unsubscribe(msgspec.Struct, tag="unsubscribe", frozen=True):
    ref: Any = None
    ids: Ids = []
    names: Ids = []
    all: bool = False


class Submit(msgspec.Struct, tag="submit", frozen=True):
    tasks: Annotated[list[msgspec.Raw], Meta(max_length=MAX_BATCH)]
    ref: Any = None


class Cancel(msgspec.Struct, tag="cancel", frozen=True):
    id: str
    ref: Any = None


Command: Any = Subscribe | Unsubscribe | Submit | Cancel


class _Ref(msgspec.Struct):
    ref: Any = None


class TaskSocket:
    """One connection. Events and answers take turns: an answer to `subscribe` comes before
    the first event that it asked for."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._sending = asyncio.Lock()
        self._subscription = service.registry.subscriptions.open()
        self._begun = False

    async def serve(self) -> None:
        """Serve an accepted socket to its end."""
        events = asyncio.create_task(self._send_events())
        commands = asyncio.create_task(self._take_commands())
        try:
            await asyncio.wait([events, commands], return_when=asyncio.FIRST_COMPLETED)
            with suppress(ClientDisconnectedError):
                if commands.done():
                    commands.result()
                events.result()  # the server is going
                await websocket.close(1012)
        finally:
            for task in (events, commands):
                task.cancel()
            await asyncio.gather(events, commands, return_exceptions=True)
            self._service.registry.subscriptions.close(self._subscription)

    async def _send_events(self) -> None:
        send, turns = sender(), self._service.registry.subscriptions.turns
        feed = events_of(self._service.registry, lambda: self._subscription)
        async with aclosing(feed) as batches:
            async for batch in batches:
                async with self._sending:
                    for event in batch:
                        await turns.take()
                        await send({"type": "websocket.send", "bytes": None, "text": event.text})
                batch.clear()
                del event

    async def _take_commands(self) -> None:
        while True:
            message = await receive()
            if isinstance(message, str):
                # Its size is in bytes; a lone surrogate is refused with all that is not JSON.
                message = message.encode("utf-8", "surrogatepass")
            ref = None
            try:
                limit = self._service.config.max_body_size
                if message is None or len(message) > limit:
                    raise BadRequest(
                        413 if message else 400, "body-too-large" if message else "invalid-json",
                        f"A message is JSON of at most {limit:,} bytes.",
                    )  # fmt: skip
                ref = decode(message, _Ref).ref
                await self._carry_out(decode(message, Command))
            except (QuartTasksError, HTTPException) as error:
                await self._answer("error", ref, problem_of(error))

    async def _carry_out(self, command: Any) -> None:
        service = self._service
        if isinstance(command, Submit):
            tasks = await submit_batch(service, command.tasks)
            await self._answer("ack", command.ref, {"tasks": [task.record for task in tasks]})
        elif isinstance(command, Cancel):
            try:
                task = service.registry.get(command.id)
            except TaskNotFound:
                await ask(service, "cancel")
                raise
            owner = await ask(service, "cancel", task=task)
            task = service.registry.get(command.id, owner)
            await service.cancel(task)
            await self._answer("ack", command.ref, {"tasks": [task.record]})
        else:
            owner = await ask(service, "events")
            if not (command.all or command.ids or command.names):
                raise InvalidArguments(errors=[("#", "give ids, names, or all")])
            await service.loaded()
            async with self._sending:
                cursor = self._change(command, owner)
                await self._send("ack", command.ref, {"cursor": cursor})

    def _change(self, command: Subscribe | Unsubscribe, owner: str | None) -> str:
        """Widen or narrow the subscription; the cursor from which on that holds."""
        subscriptions, subscription = self._service.registry.subscriptions, self._subscription
        change = subscriptions.remove
        if isinstance(command, Subscribe):
            if command.after is not None and self._begun:
                raise InvalidArguments(
                    errors=[("#/after", "only the first subscribe may go on after a cursor")]
                )
            if not self._begun:
                self._begun, subscription.owner = True, owner
                if command.after is not None:
                    subscription.begin(command.after)
            change = subscriptions.add
            watched = len(subscription.ids) + len(subscription.names)
            if watched + len(command.ids) + len(command.names) > MAX_WATCHED:
                raise InvalidArguments(
                    errors=[("#/ids", f"a socket may watch {MAX_WATCHED:,} ids and names, or all")]
                )
        change(subscription, all=command.all, ids=command.ids, names=command.names)
        return self._service.registry.log.cursor

    async def _answer(self, type: str, ref: Any, data: Any) -> None:
        async with self._sending:
            await self._send(type, ref, data)

    async def _send(self, type: str, ref: Any, data: Any) -> None:
        await websocket.send(_encode({"type": type, "ref": ref, "data": data}).decode())


async def commands(service: Service, owner: str | None) -> None:
    await websocket.accept()
    await TaskSocket(service).serve()
