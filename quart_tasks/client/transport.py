"""Requests to one server, each made again while that is safe and worth it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
from multidict import CIMultiDictProxy
from yarl import URL

from ..exceptions import QuartTasksError
from ..retry import RetryPolicy
from .errors import Refused, Unreachable
from .messages import error_of, passes, retry_after

BACKOFF = RetryPolicy(delay=0.1, factor=2.0, max_delay=5.0)
PING_SECONDS = 20.0
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
    """The pauses between attempts, for at most `seconds` from the first that failed."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
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
        await asyncio.sleep(pause)


class Transport:
    """One server: its address, its token, and the session of all connections to it."""

    def __init__(
        self, url: str, prefix: str, token: str | None, timeout: float, patience: float
    ) -> None:
        root = URL(url)
        if root.scheme not in ("http", "https") or not root.host:
            raise ValueError(f"{url!r} is no server's root: give one as in http://127.0.0.1:8000")
        self.url = url.rstrip("/")
        self._base = f"{self.url}{prefix.rstrip('/')}"
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._timeout, self._patience = timeout, patience
        self.way = 0  # of streams: which of those in `streams.py` gets through
        self._session: aiohttp.ClientSession | None = None

    def patience(self) -> Patience:
        return Patience(self._patience)

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
                timeout=aiohttp.ClientTimeout(total=self._timeout + wait), allow_redirects=False,
            ) as response:  # fmt: skip
                data = await response.read()
        except (aiohttp.ClientError, OSError) as error:
            raise lost(error) from None
        return Answer(response.status, response.headers, data)

    async def websocket(self, path: str, query: Any = ()) -> aiohttp.ClientWebSocketResponse:
        """Raises Lost, or Blocked where the answer is no WebSocket."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self.session.ws_connect(
                    self.address(path, query), heartbeat=PING_SECONDS
                )
        except aiohttp.WSServerHandshakeError as error:
            if error.status in (502, 503, 504):
                raise Lost(f"the answer is {error.status}") from None
            raise Blocked from None
        except (aiohttp.ClientError, OSError) as error:
            raise lost(error) from None

    async def stream(self, path: str, query: Any) -> aiohttp.ClientResponse:
        """An event stream, read as it comes. Raises Lost."""
        headers = {"Accept": "text/event-stream"}
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self._timeout, sock_read=SILENT_SECONDS
        )
        try:
            return await self.session.get(
                self.address(path, query), headers=headers, timeout=timeout, allow_redirects=False
            )
        except (aiohttp.ClientError, OSError) as error:
            raise lost(error) from None


def lost(error: Exception) -> Lost:
    if isinstance(error, TimeoutError):  # before the others: aiohttp's are both
        return Lost("no answer came in time", not isinstance(error, aiohttp.ConnectionTimeoutError))
    if isinstance(error, aiohttp.ClientConnectorError):
        return Lost(os.strerror(error.errno) if error.errno else str(error))
    return Lost(str(error) or type(error).__name__, sent=True)


def part(id: str) -> str:
    """An id as a part of a path."""
    return quote(id, safe="")
