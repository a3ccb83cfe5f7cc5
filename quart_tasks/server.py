"""Serves a Quart app on Hypercorn, in this process, as background tasks need it.

In this process, because `hypercorn app:app` runs the app in a daemonic child, where no worker
process may be started, and because several server processes would be several registries.
"""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any

import hypercorn.asyncio
import hypercorn.config
from quart import Quart

from . import config, shutdown
from .connections import (
    BACKLOG,
    PING_SECONDS,
    CannotServe,
    Listener,
    listen,
    patched_websockets,
    resolve,
)

__all__ = ["CannotServe", "serve"]

# 16 threads that spin gave the loop a p99 lag of 948 ms at Python's 5 ms, and 63 ms at this.
SWITCH_INTERVAL_SECONDS = 0.0005
YOUNG_OBJECTS = 10_000

log = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[Any]]
Requests = dict["asyncio.Task[Any] | None", Receive]


async def serve(
    app: Quart,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    stop: asyncio.Event | None = None,
    grace: float = shutdown.ANSWER,
    on_listening: Callable[[str], object] | None = None,
    on_draining: Callable[[int, float], object] | None = None,
) -> None:
    """Serve `app` until SIGINT or SIGTERM, or until `stop` is set; then end it in order.

        asyncio.run(serve(app, "127.0.0.1", 8000))

    `port` 0 takes a free one. `on_listening` is called with the URL (`http://127.0.0.1:8000`)
    once the app answers, and `on_draining` with a number of running tasks and the seconds that they
    have, if there are any when it is to end. Signals are heard in the main thread only.

    The order of the end is that of `quart_tasks.shutdown`: running tasks get TASKS_DRAIN_TIMEOUT
    seconds to end while the app still answers, then requests on their way get `grace` seconds,
    and what is still connected is cut. A second signal ends all waiting, and a third the process;
    where there are no tasks the second does.

    Raises CannotServe for an address that is taken, unknown, or reachable by others while the
    tasks are guarded by neither TASKS_TOKEN nor an authorize hook; InvalidConfig for a bad key;
    Hypercorn's LifespanFailureError if the app's own start or end raised, which Quart has logged.
    """
    stop, hurry = stop or asyncio.Event(), asyncio.Event()
    settings = config.load(app.config) if "QUART_TASKS" in app.extensions else None
    family, address = resolve(host, port)
    _refuse_unguarded(app, settings, address[0])
    requests: Requests = {}
    aborting: asyncio.Task[None] | None = None

    async def stopped() -> None:  # called by Hypercorn when it has begun to serve
        nonlocal aborting
        # What the imports and the start have made stays. Not walking these 70,000 objects again
        # takes 13 to 27 ms off each of the cycle collector's full passes, which hold the loop.
        gc.freeze()
        if on_listening is not None:
            on_listening(listener.url)
        await stop.wait()
        running = app.extensions["QUART_TASKS"].running(app) if settings is not None else 0
        if running and settings is not None and on_draining is not None:
            on_draining(running, settings.drain_timeout)
        await _drain(app)
        aborting = asyncio.create_task(_abort(listener, requests, hurry, grace))

    with (
        listen(family, address) as listener,
        _signals(app, stop, hurry),
        _switch_interval(),
        _young_objects(),
        patched_websockets(),
    ):
        try:
            await hypercorn.asyncio.serve(
                _noting(app, requests),
                _Config(listener, settings, grace),
                shutdown_trigger=stopped,
                mode="asgi",
            )
        finally:
            if aborting is not None:
                aborting.cancel()


class _Config(hypercorn.config.Config):
    """Hypercorn's configuration, with a socket that is open already."""

    backlog = BACKLOG
    websocket_ping_interval = PING_SECONDS
    # Longer than clients and proxies keep an idle connection (aiohttp 15 s, load balancers 60 s):
    # if the server closes first, the request that is just on its way is lost.
    keep_alive_timeout = 75
    include_server_header = False
    # A logger, not its name: for a name Hypercorn adds a handler of its own.
    errorlog = logging.getLogger("hypercorn.error")

    def __init__(self, listener: Listener, settings: config.Config | None, grace: float) -> None:
        self._listener = listener
        # Everything has been cut by then, also on a machine that stalls. If Hypercorn is first, it
        # cancels the connections, and Python 3.11 logs a traceback for each.
        self.graceful_timeout = grace + 10
        if settings is not None:
            self.websocket_max_message_size = settings.max_body_size
            # What Hypercorn allows by itself stays for the app's own `after_serving`.
            self.shutdown_timeout += settings.drain_timeout + shutdown.ALL

    def create_sockets(self) -> hypercorn.config.Sockets:
        return hypercorn.config.Sockets([], [self._listener], [])


def _refuse_unguarded(app: Quart, settings: config.Config | None, address: str) -> None:
    if settings is None or settings.url_prefix is None or settings.token:
        return
    loopback = ipaddress.ip_address(address).is_loopback
    if loopback or app.extensions["QUART_TASKS"].authorize_hook is not None:
        return
    raise CannotServe(
        f"On {address} others could reach the tasks of this app, which nothing guards: set "
        f"TASKS_TOKEN or add an `authorize` hook, or serve on 127.0.0.1."
    )


def _noting(app: Quart, requests: Requests) -> Callable[..., Awaitable[None]]:
    """`app`, with each request or socket noted in `requests` while it is handled."""

    async def noting(scope: Any, receive: Receive, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await app(scope, receive, send)
        task = asyncio.current_task()
        requests[task] = receive
        try:
            await app(scope, receive, send)
        finally:
            requests.pop(task, None)

    return noting


async def _drain(app: Quart) -> None:
    extension = app.extensions.get("QUART_TASKS")
    if extension is not None:
        try:
            await extension.drain(app)
        except Exception:
            log.exception("The tasks could not be ended in order; they are cut off instead.")


async def _abort(
    listener: Listener, requests: Requests, hurry: asyncio.Event, grace: float
) -> None:
    """After `grace` seconds, or in a hurry, cut what is still connected, until cancelled.

    Hypercorn waits for every connection before the app may end: for ever from Python 3.12 on
    (hypercorn #308).
    """
    with suppress(TimeoutError):
        await asyncio.wait_for(hurry.wait(), grace)
    async with asyncio.TaskGroup() as readers:
        while True:
            # A write that waits for a peer that does not read fails now, and a read ends. Told of
            # that, Quart ends the handler; cancelled, Quart 0.22 would leave it running.
            for connection in list(listener.connections):
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            await asyncio.sleep(0.1)
            # Where a handler does not receive, Hypercorn has stopped reading and cannot see the
            # end. So that handler goes, and what was meant for it is dropped.
            while requests:
                task, receive = requests.popitem()
                if task is not None:
                    task.cancel()
                readers.create_task(_drop(receive))


async def _drop(receive: Receive) -> None:
    while True:
        await receive()


@contextmanager
def _signals(app: Quart, stop: asyncio.Event, hurry: asyncio.Event) -> Iterator[None]:
    """The first SIGINT or SIGTERM sets `stop`, the next `hurry`, and one more ends the process;
    without tasks the second does.

    Not with `loop.add_signal_handler`: the last one has to work while the loop is stuck.
    """
    loop = asyncio.get_running_loop()
    extension = app.extensions.get("QUART_TASKS")
    steps: list[list[Callable[[], object]]] = [[stop.set]]
    if extension is not None:
        steps.append([partial(extension.hurry, app), hurry.set])
    ahead = iter(steps)
    server = os.getpid()

    def handle(number: int, frame: FrameType | None) -> None:
        # A child that the app forks has this handler too. One signal may come amid another.
        step = next(ahead, None) if os.getpid() == server else None
        if step is not None:
            for each in step:
                loop.call_soon_threadsafe(each)
        else:
            # By the signal itself: no thread is waited for, and the parent sees what happened.
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # A signal that comes just before the loop begins to wait would be seen only when it ends to.
    awake, wake = socket.socketpair()
    wake.setblocking(False)
    loop.add_reader(awake, awake.recv, 4096)
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    fd_before = signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(fd_before)
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        loop.remove_reader(awake)
        awake.close()
        wake.close()


@contextmanager
def _young_objects() -> Iterator[None]:
    """Have the cycle collector look at new objects once there are YOUNG_OBJECTS of them. With
    1,000 requests under way they are all alive: its walks over every 700 took a fifth of the
    server's time."""
    before = gc.get_threshold()
    if 0 < before[0] < YOUNG_OBJECTS:
        gc.set_threshold(YOUNG_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def _switch_interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
