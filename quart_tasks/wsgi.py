"""A WSGI app under ASGI: a2wsgi, with what it leaves to chance taken care of.

a2wsgi runs the app in a thread, with a queue of ten messages to the client, so that a slow reader
holds the app up. Around it, on both sides, this adds what it lacks:

- A client that goes is noticed, and the app's generator is closed. Otherwise it would run to its
  end, for ever if it has none, and a queue that nobody empties would keep its thread for good.
- The body is a real file: with a2wsgi's own, `readline(n)` gives nothing before data has come, a
  body without a Content-Length is lost, and one that breaks off looks complete.
- `SCRIPT_NAME` is cut off at a slash, `wsgi.errors` is stderr, bytes outside of ASCII are kept.
- `sys.exit()` in a view does not end the event loop.
- The threads are daemonic: one that is stuck does not hold up the exit.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from wsgiref.util import is_hop_by_hop

from werkzeug.exceptions import ClientDisconnected, RequestTimeout

from .daemons import DaemonThreads
from .environ import Scope, correct, plain

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

EXCHANGE = "quart_tasks.exchange"  # in a scope: its Exchange
AHEAD = 4  # parts of a body that are read before the app asks: the servers' are of 64 KiB
READ_SECONDS = 60.0  # that a client may send nothing while its body is read
CLOSE_SECONDS = 0.3  # for threads whose request is gone to end


class Gateway:
    """An ASGI app that is `app`, a WSGI app, in at most `threads` threads."""

    def __init__(self, app: WSGIApplication, threads: int) -> None:
        # Here, because it is in an extra of the distribution. Raises ImportError.
        from a2wsgi import WSGIMiddleware

        self._threads = DaemonThreads(threads)
        middleware = WSGIMiddleware(partial(_respond, app))
        middleware.executor = cast(Any, self._threads)
        self._middleware: Any = middleware
        self._left: set[asyncio.Future[None]] = set()  # threads that go on without their request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(receive, send)
        # Not cancelled with the request: its thread would wait for ever for what it sends to be
        # taken. It ends with the next part that it makes.
        running = asyncio.ensure_future(
            self._middleware({**plain(scope), EXCHANGE: exchange}, _nothing, exchange.send)
        )
        watching = asyncio.ensure_future(exchange.watch())
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            self._left.add(running)
            running.add_done_callback(self._forget)
            raise
        finally:
            watching.cancel()
        exchange.check()

    def _forget(self, running: asyncio.Future[None]) -> None:
        self._left.discard(running)
        if not running.cancelled():
            running.exception()  # asked for, or asyncio logs that nobody has

    async def close(self) -> None:
        """Let go of the threads; those that are busy end with what they do."""
        self._threads.shutdown()
        if self._left:
            await asyncio.wait(self._left, timeout=CLOSE_SECONDS)


class Exchange:
    """One request: the loop's side receives and sends, the app's thread reads and writes."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.gone = False  # nobody waits for the answer any more
        self._loop = asyncio.get_running_loop()
        self._receive, self._send = receive, send
        self._error: Exception | None = None
        self._parts: asyncio.Queue[bytes | None] = asyncio.Queue()  # b"": the end, None: gone
        self._room = asyncio.Semaphore(AHEAD)

    async def watch(self) -> None:
        """Receive the body, a little ahead of its reader, and then the client's going."""
        try:
            while (message := await self._receive())["type"] == "http.request":
                if part := message.get("body", b""):
                    await self._room.acquire()
                    self._parts.put_nowait(part)
                if not message.get("more_body", False):
                    self._parts.put_nowait(b"")
        finally:
            self.gone = True
            self._parts.put_nowait(None)

    async def send(self, message: Message) -> None:
        """Raises nothing: a2wsgi would never empty its queue again, for which the app waits."""
        if not self.gone:
            if message["type"] == "http.response.body":
                # a2wsgi's last one has none, where Quart's test client looks for it.
                message.setdefault("more_body", False)
            try:
                await self._send(message)
            except OSError:  # how some servers say it
                self.gone = True
            except Exception as error:  # noqa: BLE001 - a header that is none, say
                self.gone, self._error = True, error

    def check(self) -> None:
        """Raises what the server made of the answer."""
        if self._error is not None:
            raise self._error

    def read(self) -> bytes:
        """The next part of the body, b"" at its end; blocks.

        Raises ClientDisconnected or RequestTimeout, for which Flask answers 400 and 408.
        """
        part = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
        if part is None:
            raise ClientDisconnected
        return part

    async def _next(self) -> bytes | None:
        try:
            async with asyncio.timeout(READ_SECONDS):
                part = await self._parts.get()
        except TimeoutError:
            raise RequestTimeout from None
        if part:
            self._room.release()
        else:
            self._parts.put_nowait(part)  # for whoever asks again
        return part


class _Body(io.RawIOBase):
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(self._exchange.read())
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _respond(
    app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterator[bytes]:
    """`app` as it is called and read in its thread.

    The status goes out with the first part, as PEP 3333 wants it: what fails before is a 500.
    """
    exchange: Exchange = environ["asgi.scope"][EXCHANGE]
    if exchange.gone:
        return  # while it waited for a thread
    correct(environ, io.BufferedReader(_Body(exchange)))
    answer: list[tuple[str, list[tuple[str, str]]]] = []
    sent: list[Callable[[bytes], object]] = []

    def begin() -> Callable[[bytes], object]:
        if not sent:
            sent.append(start_response(*answer[0]))
        return sent[0]

    def start(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        if sent and exc_info:
            raise exc_info[1].with_traceback(exc_info[2])
        # Those belong to the connection, which is the server's; over HTTP/2 they are errors.
        answer[:] = [(status, [each for each in headers if not is_hop_by_hop(each[0])])]
        return lambda part: begin()(part)

    parts: Iterable[bytes] = ()
    try:
        parts = app(environ, start)
        for part in parts:
            if exchange.gone:
                break
            if part:
                begin()
                yield part
        begin()
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"The WSGI app raised {type(error).__name__}.") from error
    finally:
        if hasattr(parts, "close"):
            parts.close()


async def _nothing() -> Message:
    """What a2wsgi may receive: the body is read elsewhere."""
    return {"type": "http.request", "body": b"", "more_body": False}
