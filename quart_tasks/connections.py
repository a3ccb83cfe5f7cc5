"""The server's sockets: one that listens, those that it accepts, and Hypercorn's WebSockets."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import os
import socket
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any, cast

from hypercorn.protocol import events, h2, h11
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.typing import ASGISendEvent
from wsproto.events import CloseConnection, Ping

from .exceptions import QuartTasksError

# 1,000 clients that connect at once took 8.2 s with Hypercorn's 100, and 1.2 s with this.
BACKLOG = 4096
# Hypercorn sends pings and never looks for the pongs, so TCP has to find the peers that are gone:
# it ends a connection when for this long nothing was acknowledged, or nothing read; of 50 that did
# not read the last was gone after 25 s.
USER_TIMEOUT_SECONDS = 20
# What waits in the kernel for a peer that does not read, beside what is on its way to it: 2.8 MB
# without a limit, for each such socket.
NOT_SENT_BYTES = 128 * 1024

# An idle socket stays open through proxies, and has something for its peer to acknowledge.
PING_SECONDS = 20.0
CLOSE_SECONDS = 5.0  # for a client that was told 1009 to close

Address = tuple[Any, ...]  # as `socket.bind` takes it: host and port come first


class CannotServe(QuartTasksError):
    """The app cannot be served on this address."""


def _lost_is_reset(call: Callable[..., Any]) -> Callable[..., Any]:
    def checked(self: socket.socket, *args: Any) -> Any:
        try:
            return call(self, *args)
        except (BlockingIOError, InterruptedError, ConnectionError):
            raise
        except OSError as error:
            raise ConnectionResetError(error.errno, error.strerror) from None

    return checked


class _Connection(socket.socket):
    """An accepted socket, on which a lost peer is a ConnectionError whatever the system calls it.

    It says ETIMEDOUT or EHOSTUNREACH when it gives a peer up. Hypercorn and Quart take these for
    errors of the app: two tracebacks for every client that went out of reach.
    """

    recv = _lost_is_reset(socket.socket.recv)
    send = _lost_is_reset(socket.socket.send)
    if hasattr(socket.socket, "sendmsg"):
        sendmsg = _lost_is_reset(socket.socket.sendmsg)


class Listener(socket.socket):
    """A listening socket that remembers the connections it accepted, while they are in use."""

    def __init__(self, family: int) -> None:
        super().__init__(family, socket.SOCK_STREAM)
        self.connections: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def accept(self) -> tuple[socket.socket, Any]:
        plain, address = super().accept()
        connection = _Connection(self.family, self.type, self.proto, plain.detach())
        self.connections.add(connection)
        return connection, address

    @property
    def url(self) -> str:
        host, port = self.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def resolve(host: str, port: int) -> tuple[int, Address]:
    """The address family and the first address of a host.

    Raises CannotServe if it has none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise CannotServe(f"The host {host!r} has no address: name another one.") from None
    family, _, _, _, address = found[0]
    return family, address


def listen(family: int, address: Address) -> Listener:
    """A socket that listens there; port 0 takes a free one.

    Raises CannotServe if the port is in use or cannot be had.
    """
    listener = Listener(family)
    try:
        if os.name == "posix":  # elsewhere the option lets two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit these. Without the first a response in two writes waits
        # 40 ms for the client's ACK: 370 requests/s on 16 connections instead of 4,100. asyncio
        # sets it only where the socket was made with its protocol named.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            milliseconds = USER_TIMEOUT_SECONDS * 1000
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOT_SENT_BYTES)
        listener.bind(address)
        # Not left to asyncio: of two that start together both may bind, and only this tells.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        where = f"Port {address[1]} of {address[0]}"
        if error.errno == errno.EADDRINUSE:
            raise CannotServe(
                f"{where} is in use: stop what listens there, or choose another (0: a free one)."
            ) from None
        raise CannotServe(
            f"{where} cannot be listened on ({error.strerror}): choose another host or port."
        ) from None
    return listener


async def _put_nowhere(message: Any) -> None:
    pass


class _WebSocket(WSStream):
    """Hypercorn's WebSocket, but for four things of it that no setting changes.

    It declines permessage-deflate, by not seeing the offer. Hypercorn takes every offer, at
    139 KB a socket instead of 39 KB after one message, and inflates before it looks at the size:
    a frame of 398 KiB took the process from 39 to 231 MB.

    Its pings are set off by a timer, and end with it. Hypercorn's are a task that sleeps, which
    takes 2 KB of each socket, and sleeps on when that is gone: the connection and its file are kept
    (all of 300 sockets that were dropped, after a second), and shutdown waits.

    What still comes of a message that is too large is dropped. Hypercorn answers it with 1009, and
    keeps the rest: one frame of 300 MB took 290 MB.

    What comes after the app has ended is dropped too. Hypercorn waits for somebody to take it, also
    to say that the socket is closed: 6 of 20 that were flooded as they ended were kept for ever.
    """

    _pings: asyncio.TimerHandle | None = None
    _end: asyncio.Task[None] | None = None  # of a connection that was told 1009

    async def handle(self, event: events.Event) -> None:
        if isinstance(event, events.Request):
            offer = b"sec-websocket-extensions"
            headers = [header for header in event.headers if header[0].lower() != offer]
            event = dataclasses.replace(event, headers=headers)
        if self._end is not None and isinstance(event, (events.Body, events.Data)):
            if not self.closed:
                self.connection.receive_data(event.data)
                await self._drop()
        else:
            await super().handle(event)
            if self._end is None and self.buffer.length > self.buffer.max_length:
                self._end = asyncio.create_task(self._end_in_time())
                await self._drop()
        if self.closed:
            for each in (self._pings, self._end):
                if each is not None:
                    each.cancel()

    async def app_send(self, message: ASGISendEvent | None) -> None:
        if message is None and isinstance(self.app_put, MethodType):  # the app has ended
            queue = cast(asyncio.Queue[Any], self.app_put.__self__)
            self.app_put = _put_nowhere
            while not queue.empty():  # each lets one go on that waits to put
                queue.get_nowait()
        await super().app_send(message)

    async def _drop(self) -> None:
        """Drop what has come, but for the client's close."""
        self.buffer.clear()
        for event in self.connection.events():
            if isinstance(event, CloseConnection):
                await self.send(events.StreamClosed(stream_id=self.stream_id))

    async def _end_in_time(self) -> None:
        await asyncio.sleep(CLOSE_SECONDS)
        await self.send(events.StreamClosed(stream_id=self.stream_id))

    async def _send_pings(self) -> None:
        await self._send_wsproto_event(Ping())
        if not self.closed:
            self._pings = asyncio.get_running_loop().call_later(
                PING_SECONDS, self.task_group.spawn, self._send_pings
            )


@contextmanager
def patched_websockets() -> Iterator[None]:
    """Hypercorn makes its WebSockets of the class above, for as long as this lasts."""
    name = WSStream.__name__
    for protocol in (h11, h2):
        setattr(protocol, name, _WebSocket)
    try:
        yield
    finally:
        for protocol in (h11, h2):
            setattr(protocol, name, WSStream)
