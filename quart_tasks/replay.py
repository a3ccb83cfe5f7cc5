"""A request that is kept whole, and handled again by the app inside a task."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from quart import Quart, current_app
from quart.signals import got_request_exception
from quart.wrappers import Request
from quart.wrappers.response import DataBody, IterableBody
from werkzeug.exceptions import InternalServerError
from werkzeug.wrappers import Response as WerkzeugResponse

from .encoding import StoredResponse, too_large
from .exceptions import InvalidResult, UnknownTask
from .executors.base import Call

REPLAY = "quart_tasks.replay"  # in the scope of a request that is handled again

# Of the connection and not of the response, or written anew with it (RFC 9110, section 7.6.1);
# and cookies, which are for the client that asked, whoever fetches the result.
NOT_KEPT = {
    "set-cookie", "content-length", "transfer-encoding", "connection", "keep-alive", "date",
    "server",
}  # fmt: skip

_TAKES_CONTEXT = "ctx" in inspect.signature(Quart.handle_exception).parameters  # from 0.23 on

MayRetry = Callable[[Exception], bool]


class KeptRequest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The scope that the server gave (ASGI, "HTTP Connection Scope"), the view, and the body."""

    method: str
    scheme: str
    path: str
    raw_path: bytes
    query: bytes
    root_path: str
    http_version: str
    headers: list[tuple[bytes, bytes]]
    client: tuple[str, int | None] | None
    server: tuple[str, int | None] | None
    endpoint: str
    body: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(KeptRequest).decode


def keep(request: Request, body: bytes) -> bytes:
    scope: Any = request.scope
    return _encode(
        KeptRequest(
            scope["method"], scope["scheme"], scope["path"], scope.get("raw_path") or b"",
            scope["query_string"], scope.get("root_path", ""), scope["http_version"],
            [(bytes(name), bytes(value)) for name, value in scope["headers"]],
            _address(scope.get("client")), _address(scope.get("server")), request.endpoint or "",
            body,
        )
    )  # fmt: skip


def _address(address: Any) -> tuple[str, int | None] | None:
    return None if not address else (str(address[0]), address[1] if len(address) > 1 else None)


def rebuild(app: Quart, kept: KeptRequest, replay: Replay) -> Request:
    """The request that was kept, as Quart makes it of what a server gives."""
    scope: Any = {
        "type": "http", "asgi": {"spec_version": "2.3", "version": "3.0"},
        "http_version": kept.http_version, "method": kept.method, "scheme": kept.scheme,
        "path": kept.path, "raw_path": kept.raw_path, "query_string": kept.query,
        "root_path": kept.root_path, "client": kept.client, "server": kept.server,
        "headers": kept.headers, "extensions": {}, "state": {}, REPLAY: replay,
    }  # fmt: skip
    connection: Any = app.asgi_http_class(app, scope)
    request: Request = connection._create_request_from_scope(_send_nothing)
    request.body.set_result(kept.body)
    request.body_timeout = None  # it is there, and a timer takes 10 µs
    return request


async def _send_nothing(message: Any) -> None:
    pass


class Replay:
    """One handling of a request inside a task. `call`: how its sync view is called."""

    def __init__(self, call: Call | None) -> None:
        self._call = call

    async def view(self, view: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Run a view, a sync one in the task's thread."""
        if inspect.iscoroutinefunction(view):
            return await view(*args, **kwargs)
        if self._call is None:
            return await current_app.ensure_async(view)(*args, **kwargs)
        return await self._call(partial(view, *args, **kwargs))


async def handle(
    app: Quart, data: bytes, call: Call | None, limit: int, may_retry: MayRetry
) -> StoredResponse:
    """Handle a kept request again. Raises what no handler of the app takes, UnknownTask if its
    route is gone, and InvalidResult for a response that cannot be kept: a stream, or more than
    `limit` bytes."""
    # `Quart.handle_request`, but for an exception that nobody handles: that one fails the task.
    kept = _decode(data)
    async with app.request_context(rebuild(app, kept, Replay(call))) as context:
        request = context.request
        if request.routing_exception is not None or request.endpoint != kept.endpoint:
            raise UnknownTask(
                f"The route of {kept.method} {kept.path} is not {kept.endpoint!r} any more: retry "
                f"the task when it is back."
            )
        try:
            response = await app.full_dispatch_request(context)
        except Exception as error:
            last = InternalServerError(original_exception=error)
            if may_retry(error) or app._find_error_handler(last, request.blueprints) is None:
                await got_request_exception.send_async(
                    app,
                    _sync_wrapper=app.ensure_async,  # type: ignore[arg-type]
                    exception=error,
                )
                raise
            given: Any = (context, error) if _TAKES_CONTEXT else (error,)
            response = await app.handle_exception(*given)
        return await _store(response, limit)


async def _store(response: Any, limit: int) -> StoredResponse:
    kept = [(name, value) for name, value in response.headers if name.lower() not in NOT_KEPT]
    return StoredResponse.of(response.status_code, kept, await _body(response, limit))


async def _body(response: Any, limit: int) -> bytes:
    if isinstance(response, WerkzeugResponse):
        if response.is_streamed:
            raise InvalidResult(STREAMED)
        data = response.get_data()
        if len(data) > limit:
            raise InvalidResult(too_large("response", len(data), limit))
        return data
    if type(response.response) is DataBody:
        data = response.response.data
        if len(data) > limit:
            raise InvalidResult(too_large("response", len(data), limit))
        return bytes(data)
    collected = bytearray()
    streamed = isinstance(response.response, IterableBody)  # as is that of an empty response
    async with response.response as body:
        async for chunk in body:
            if streamed and chunk:
                raise InvalidResult(STREAMED)
            collected += chunk
            if len(collected) > limit:
                raise InvalidResult(too_large("response", len(collected), limit))
    return bytes(collected)


STREAMED = (
    "A background view's response is kept, and this one is a stream: return the whole of it, or "
    "stream it from a route that is no background view."
)
