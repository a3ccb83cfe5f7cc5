"""Requests to one server, each made again while that is safe and worth it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from multidict import CIMultiDictProxy
from yarl import URL

from ..exceptions import QuartTasksError
from ..retry import RetryPolicy
from .errors import Refused, Unreachable
from .messages import error_of, passes, retry_after

T = TypeVar("T")
OnPause = Callable[[Exception], None]

BACKOFF = RetryPolicy(delay=0.1, factor=2.0, max_delay=5.0)
FIRST_SECONDS = 10.0  # a stream that is silent for so long at its start may be held back
PING_SECONDS = 20.0
CLOSE_SECONDS = 2.0  # for the other side to answer the close
SILENT_SECONDS = 45.0  # three of the server's heartbeats


class Answer(msgspec.Struct, frozen=True):
    status: int
    headers: CIMultiDictProxy[str]
    data: bytes


class Lost(Exception):
    """A connection broke, or could not be made. `sent`: the server may have got the request."""

    def __init__(self, message: str, sent: bool = False) -> None:
        self.sent = sent
        super().__init__(message)


class Blocked(Exception):
    """Something on the way does not let a WebSocket, or a stream, through."""


class Patience:
    """The pauses between attempts, for at most `seconds` from the first that failed. `on_pause` is
    told why, before each."""

    def __init__(self, seconds: float, on_pause: OnPause | None = None) -> None:
        self._seconds, self._on_pause = seconds, on_pause
        self.renew()

    def renew(self) -> None:
        """One has succeeded."""
        self._number = 0
        self._end: float | None = None

    async def pause(self, error: Exception, at_least: float = 0.0) -> None:
        """Wait before another attempt, or raise `error` if it would come too late."""
        now = time.monotonic()
        pause = at_least + BACKOFF.pause(self._number)
        self._number += 1
        self._end = self._end or now + self._seconds
        if now + pause >= self._end:
            raise error
        if self._on_pause is not None:
            self._on_pause(error)
        await asyncio.sleep(pause)


class Transport:
    """One server: its address, its token, and the session of all connections to it."""

    def __init__(
        self, url: str, prefix: str, token: str | None, timeout: float, patience: float,
        connect_timeout: float | None = None, on_pause: OnPause | None = None,
    ) -> None:  # fmt: skip
        root = URL(url)
        if root.scheme not in ("http", "https") or not root.host:
            raise ValueError(f"{url!r} is no server's root: give one as in http://127.0.0.1:8000")
        self.url = url.rstrip("/")
        self._base = f"{self.url}{prefix.rstrip('/')}"
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._timeout, self._connect_timeout = timeout, connect_timeout
        self._patience, self._on_pause = patience, on_pause
        self.way = 0  # of streams: which of those in `streams.py` gets through
        self._held = 0  # streams, one after the other, that did not begin
        self._held_at = 0.0  # the last of them was given up then: what went beside it is no other
        self._session: aiohttp.ClientSession | None = None

    def patience(self) -> Patience:
        return Patience(self._patience, self._on_pause)

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                connector=aiohttp.TCPConnector(limit=0),  # a stream keeps its connection
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def address(self, path: str, query: Any = ()) -> URL:
        """`path` below the prefix, its parts quoted already."""
        address = URL(f"{self._base}{path}", encoded=True)
        return address.with_query(query) if query else address

    async def ask(
        self, method: str, path: str, body: bytes | None = None, *, query: Any = (),
        headers: Mapping[str, str] | None = None, wait: float = 0.0, again: bool = True,
    ) -> Answer:  # fmt: skip
        """The answer to a request: a status of 2xx or 304, or a result.

        It is made again while the server cannot be reached, or says that it is full, going or
        coming, until the client's patience ends; with `again=False` not when it may have been
        carried out. `wait`: seconds for which the server may hold the answer back. Raises what
        the answer stands for, or Unreachable.
        """
        patience = self.patience()
        while True:
            error: QuartTasksError
            pause = 0.0
            try:
                answer = await self._ask_once(method, path, body, query, headers, wait)
            except Lost as lost:
                error = Unreachable(f"{self.url} cannot be reached: {lost}.")
                if lost.sent and not again:
                    raise error from None
            else:
                # A background view's response is the result, whatever its status.
                state = answer.headers.get("Task-State")
                if answer.status < 300 or answer.status == 304 or state == "succeeded":
                    return answer
                if "Location" in answer.headers:
                    place = answer.headers["Location"]
                    raise Refused(f"{self.url} has moved to {place}.", answer.status)
                error = error_of(answer.data, answer.status)
                if not passes(error):
                    raise error
                pause = retry_after(answer.headers)
            await patience.pause(error, pause)

    async def _ask_once(
        self, method: str, path: str, body: bytes | None, query: Any,
        headers: Mapping[str, str] | None, wait: float,
    ) -> Answer:  # fmt: skip
        sent = {"Content-Type": "application/json"} if body is not None else {}
        try:
            async with self.session.request(
                method, self.address(path, query), data=body, headers={**sent, **(headers or {})},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=self._timeout + wait, sock_connect=self._connect_timeout
                ),
            ) as response:  # fmt: skip
                data = await response.read()
        except (aiohttp.ClientError, OSError) as error:
            raise lost(error) from None
        return Answer(response.status, response.headers, data)

    async def websocket(self, path: str, query: Any = ()) -> aiohttp.ClientWebSocketResponse:
        """Raises Lost, or Blocked where the answer is no WebSocket, or none comes."""
        connecting = self.session.ws_connect(
            self.address(path, query), heartbeat=PING_SECONDS,
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
        )  # fmt: skip
        try:
            socket = await self.first(connecting, Exception)  # some proxies break it off
        except aiohttp.WSServerHandshakeError as error:
            if error.status in (502, 503, 504):
                raise Lost(f"the answer is {error.status}") from None
            raise Blocked from None
        self.begun()
        return socket

    async def stream(self, path: str, query: Any) -> aiohttp.ClientResponse:
        """An event stream, whose head has come. Raises Lost, or Blocked where none comes."""
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self._timeout, sock_read=SILENT_SECONDS
        )
        return await self.first(
            self.session.get(
                self.address(path, query), headers={"Accept": "text/event-stream"},
                timeout=timeout, allow_redirects=False,
            )
        )  # fmt: skip

    async def first(self, step: Awaitable[T], hint: type[Exception] = TimeoutError) -> T:
        """What a stream begins with. Raises Lost, or Blocked where only streams do not begin:
        `hint` is the kind of error that may mean that."""
        started = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(min(self._timeout, FIRST_SECONDS)):
                return await step
        except aiohttp.WSServerHandshakeError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, hint):
                raise await self._held_back(lost(error), started) from None
            raise lost(error) from None

    def begun(self) -> None:
        """A stream gets through."""
        self._held = 0

    async def _held_back(self, error: Lost, started: float) -> Lost | Blocked:
        if error.sent and started >= self._held_at:
            self._held += 1
            self._held_at = asyncio.get_running_loop().time()
        if self._held > 1:  # once may be chance
            with suppress(Lost):
                answer = await self._ask_once("GET", "/health", None, (), None, 0.0)
                if answer.status < 500:
                    self._held = 0
                    return Blocked()
        return error


def lost(error: Exception) -> Lost:
    if isinstance(error, TimeoutError):  # before the others: aiohttp's are both
        return Lost("no answer came in time", not isinstance(error, aiohttp.ConnectionTimeoutError))
    if isinstance(error, aiohttp.ClientConnectorError):
        # A name that is not found has a negative number, and its own text.
        number, reason = error.os_error.errno or 0, error.os_error.strerror
        return Lost(os.strerror(number) if number > 0 else reason or str(error))
    return Lost(str(error) or type(error).__name__, sent=True)


def part(id: str) -> str:
    """An id as a part of a path."""
    return quote(id, safe="")
