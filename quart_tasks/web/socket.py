"""`/tasks/socket`: one WebSocket for commands and for the events that they subscribe to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing, suppress
from itertools import chain
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from quart import websocket
from werkzeug.exceptions import HTTPException

from ..events import Event
from ..exceptions import InvalidArguments, QuartTasksError, TaskNotFound
from ..feed import events_of, opening
from ..service import Service
from .access import ask
from .problems import BadRequest, problem_of
from .streams import ClientDisconnectedError, receive, sender
from .submissions import MAX_BATCH, decode, submit_batch

MAX_WATCHED = 10_000
MAX_HISTORIES = 100  # in one message: they are begun in one turn of the loop
Ids = Annotated[list[str], Meta(max_length=MAX_WATCHED)]

_encode = msgspec.json.Encoder().encode


class Subscribe(msgspec.Struct, tag="subscribe", frozen=True):
    ref: Any = None
    ids: Ids = []
    names: Ids = []
    all: bool = False
    after: str | None = None
    history: bool = False  # each of the ids begins as its own stream does


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
        self._send_frame = sender()

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
        feed = events_of(self._service.registry, lambda: self._subscription)
        async with aclosing(feed) as batches:
            async for batch in batches:
                async with self._sending:
                    for event in batch:
                        await self._send_event(event)
                batch.clear()
                del event

    async def _send_event(self, event: Event) -> None:
        await self._service.registry.subscriptions.turns.take()
        await self._send_frame({"type": "websocket.send", "bytes": None, "text": event.text})

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
            if isinstance(command, Subscribe) and command.history:
                await self._may_read(command)
            async with self._sending:
                cursor = self._change(command, owner)
                for events in self._histories(command, owner):
                    for event in events:
                        await self._send_event(event)
                await self._send("ack", command.ref, {"cursor": cursor})

    async def _may_read(self, command: Subscribe) -> None:
        """What a task's own stream would ask. Raises InvalidArguments for too many ids, and for a
        cursor, after which the same would come again."""
        if command.after is not None:
            raise InvalidArguments(
                errors=[("#/after", "has no place beside history, which begins at the start")]
            )
        if len(command.ids) > MAX_HISTORIES:
            raise InvalidArguments(
                errors=[("#/ids", f"a message may ask for the history of {MAX_HISTORIES} tasks")]
            )
        for id in command.ids:
            if (task := self._service.registry.find(id)) is not None:
                await ask(self._service, "events", task=task)

    def _histories(
        self, command: Subscribe | Unsubscribe, owner: str | None
    ) -> list[Iterator[Event]]:
        """What the streams of these ids begin with. To be had in the same turn as their
        subscription, which brings what happens from then on."""
        if isinstance(command, Unsubscribe) or not command.history:
            return []
        registry = self._service.registry
        found = []
        for id in dict.fromkeys(command.ids):
            try:
                events = opening(registry, registry.get(id, owner))
            except TaskNotFound:
                nothing = {"tasks": [], "reason": "start", "more": False}
                events = iter([registry.log.moment("snapshot", nothing)])
            found.append(_about(id, events))
        return found

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


def _about(id: str, events: Iterator[Event]) -> Iterator[Event]:
    """A history, whose first frame would not say whose it is."""
    first = next(events)
    first.task_id = id
    return chain([first], events)


async def commands(service: Service, owner: str | None) -> None:
    await websocket.accept()
    await TaskSocket(service).serve()
