"""`@tasks.background`: a route that answers 202 at once and runs as a task."""

from __future__ import annotations

import asyncio
import functools
import inspect
import re
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
from quart import (
    Quart,
    Request,
    Response,
    current_app,
    has_request_context,
    has_websocket_context,
    request,
)
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, RequestTimeout

from . import replay
from .context import current_task
from .deadlines import BODY_SECONDS, Deadlines
from .definition import Definition, Submission
from .encoding import EMPTY_LIST, StoredResponse, encode
from .exceptions import InvalidDefinition, QuartTasksError
from .executors.base import Call
from .replay import REPLAY, Replay
from .service import Service
from .task import Task
from .web.access import ask
from .web.answers import accepted, ends_within, preferences, preferred_wait, stored
from .web.problems import headers_of, problem, problem_of, respond
from .web.submissions import accept, idempotency_of

MARK = "quart_tasks_background"
BODY = "quart_tasks.kept_body"  # in the scope of a request whose body was read before hooks could
View = Callable[..., Awaitable[Any]]

_RESPOND_ASYNC = re.compile(r"(?:^|,)\s*respond-async\s*(?:$|[,;])", re.IGNORECASE)


class Background(NamedTuple):
    """A view that runs as a task. `prefer`: only if the client prefers that."""

    view: Callable[..., Any]
    definition: Definition
    get_service: Callable[[], Service]
    prefer: bool


def define(
    view: Callable[..., Any], get_service: Callable[[], Service], options: dict[str, Any]
) -> Definition:
    """The definition that handles kept requests of a view. Raises InvalidDefinition."""
    if not callable(view):
        raise InvalidDefinition(f"{view!r} is not a function.")
    if inspect.isgeneratorfunction(view) or inspect.isasyncgenfunction(view):
        raise InvalidDefinition(f"{_name(view)} cannot be a background view. {replay.STREAMED}")

    async def run(kept: bytes, call: Call | None) -> StoredResponse:
        service = get_service()
        limit = service.config.max_result_size
        return await replay.handle(
            service.app, kept, call, limit, functools.partial(may_retry, service)
        )

    executor = "async" if inspect.iscoroutinefunction(view) else "thread"
    if options.get("executor") not in (None, executor):
        raise InvalidDefinition(
            f"{_name(view)} is a background view on the executor {executor!r} and cannot be one on "
            f"{options['executor']!r}: a plain `def` needs a thread, an `async def` the loop; a "
            f"process has no request, so let the view submit a task with executor='process'."
        )
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):  # a partial has none
        setattr(run, name, getattr(view, name, None) or "")
    return Definition(run, **{**options, "executor": executor}, public=False, view=True)


def _name(view: Callable[..., Any]) -> str:
    return str(getattr(view, "__qualname__", view))


def may_retry(service: Service, error: Exception) -> bool:
    """Whether the running task has an attempt left, and its RetryPolicy covers the error."""
    context = current_task()
    task = None if context is None else service.registry.find(context.id)
    if context is None or task is None or task.run is None:
        return False
    return context.attempt < task.record.max_attempts and isinstance(error, task.run.retry.on)


def decorate(background: Background) -> View:
    @functools.wraps(background.view)
    async def view(*args: Any, **kwargs: Any) -> Any:
        if has_websocket_context():
            raise InvalidDefinition(
                f"{background.definition.name} is a WebSocket, which cannot be a background view: "
                f"submit a task, and let clients watch its events."
            )
        if not has_request_context():
            return await current_app.ensure_async(background.view)(*args, **kwargs)
        scope: dict[str, Any] = request.scope  # type: ignore[assignment]
        handling: Replay | None = scope.get(REPLAY)
        if handling is not None:
            return await handling.view(background.view, args, kwargs)
        return await _answer(background, args, kwargs)

    setattr(view, MARK, background)
    return view


def check_classes(app: Quart) -> None:
    """Look at class-based views, which are complete only after their decorators. Raises
    InvalidDefinition."""
    classes: dict[str, Any] = {}
    for view in app.view_functions.values():
        background: Background | None = getattr(view, MARK, None)
        kind: Any = getattr(view, "view_class", None)
        if background is None or kind is None:
            continue
        task = background.definition.name
        if classes.setdefault(task, kind) is not kind:
            raise InvalidDefinition(
                f"{kind.__qualname__} and {classes[task].__qualname__} are background views of the "
                f"name {task!r}: pass name='…' to one of them."
            )
        for name in {*(kind.methods or ()), "dispatch_request"}:
            method = getattr(kind, name if name == "dispatch_request" else name.lower(), None)
            if method is not None and not inspect.iscoroutinefunction(method):
                raise InvalidDefinition(
                    f"{method.__qualname__} is a plain `def`, whose thread a task must have for "
                    f"itself: put @tasks.background on the method and not into `decorators`, or "
                    f"make it an `async def`."
                )


async def _answer(background: Background, args: Any, kwargs: Any) -> Any:
    """The answer to a request from outside."""
    if not background.prefer:
        return await _in_background(background, None)
    if _is_preferred():
        response: Any = await _in_background(background, preferred_wait())
    else:
        view = current_app.ensure_async(background.view)
        response = await current_app.make_response(await view(*args, **kwargs))
    response.vary.add("Prefer")
    return response


def _is_preferred() -> bool:
    return _RESPOND_ASYNC.search(preferences()) is not None or preferred_wait() is not None


async def _in_background(background: Background, wait: float | None) -> Response:
    try:
        service = background.get_service()
        task = await accept(service, await _submission(service, background.definition))
    except QuartTasksError as error:
        return respond(problem_of(error), headers_of(error))
    if wait is None or not await ends_within(service, task, wait):
        response = accepted(service, task)
        if background.prefer and wait is None:
            response.headers["Preference-Applied"] = "respond-async"
        return response
    response = _ended(task)
    response.headers["Preference-Applied"] = f"wait={wait:.0f}"
    return response


def _ended(task: Task) -> Response:
    """The answer to a client that has waited: the view's, or as of a view that has failed."""
    record = task.record
    if record.state == "succeeded":
        response = stored(task)
    else:
        error = record.error
        detail = "It was cancelled." if error is None else f"{error.type}: {error.message}"
        response = respond(problem(500, "task-failed", detail))
    response.headers["Task-State"] = record.state
    return response


async def _submission(service: Service, definition: Definition) -> Submission:
    owner = await ask(service, "submit", definition.name)
    request = current_request()
    scope: dict[str, Any] = request.scope  # type: ignore[assignment]
    body: bytes | HTTPException = scope[BODY] if BODY in scope else await _late_body(request)
    if isinstance(body, HTTPException):
        raise body
    kept = replay.keep(request, body)
    shown = {"method": request.method, "path": request.path}  # headers and body may be secret
    key, idempotency = request.headers.get("Idempotency-Key"), None
    if key is not None:
        about = (request.method, request.path, request.query_string, body)
        digest = blake2b(msgspec.msgpack.encode(about), digest_size=16).digest()
        idempotency = idempotency_of(owner, key, digest)
    return Submission(
        definition, (kept,), {}, EMPTY_LIST, encode(shown), owner=owner, idempotency=idempotency,
        kept=kept,
    )  # fmt: skip


async def _late_body(request: Request) -> bytes:
    """The body, where another decorator hid that the view is a background view."""
    body: Any = await request.get_data()
    if not body and request.content_length:
        raise RuntimeError(
            "The request's body was read before the background view could keep it: use "
            "functools.wraps in the decorators above @tasks.background."
        )
    return bytes(body)


def current_request() -> Request:
    """The request itself: each look through the proxy takes 0.3 µs."""
    proxy: Any = request
    found: Request = proxy._get_current_object()
    return found


def keep_bodies(app: Quart) -> None:
    """Have the bodies of background views read before any hook can: who parses a form or iterates
    over a body leaves nothing of it."""
    deadlines = Deadlines()

    async def keep_body() -> None:
        request = current_request()
        scope: dict[str, Any] = request.scope  # type: ignore[assignment]
        view = app.view_functions.get(request.endpoint or "")
        background = _background_of(view, request.method)
        if background is None or REPLAY in scope:
            return
        if background.prefer and not _is_preferred():
            return
        try:
            data = await _whole_body(request, deadlines)
        except HTTPException as error:  # not before the hooks have run, as in any route
            scope[BODY] = error
            if isinstance(error, RequestEntityTooLarge):  # so it is for those who read it
                request.body = request.body_class(1, 0)
            return
        scope[BODY] = data
        request.body_timeout = None
        if data:  # whoever iterates over it, as the parser of forms does, has all to read
            request.body = request.body_class(None, None)
            request.body.set_result(data)

    app.before_request_funcs.setdefault(None, []).insert(0, keep_body)


async def _whole_body(request: Request, deadlines: Deadlines) -> bytes:
    """Raises RequestEntityTooLarge, RequestTimeout."""
    try:
        if request.body_timeout != BODY_SECONDS:
            async with asyncio.timeout(request.body_timeout):
                return await _read(request)
        with deadlines.of_this_task():
            return await _read(request)
    except TimeoutError:
        raise RequestTimeout from None


async def _read(request: Request) -> bytes:
    """The body. Raises RequestEntityTooLarge as soon as it is: to those who await a body, Quart
    0.23 does so at its end."""
    most, body = request.max_content_length, bytearray()
    async for piece in request.body:
        body += piece
        if most is not None and len(body) > most:
            raise RequestEntityTooLarge
    return bytes(body)


def _background_of(view: Any, method: str) -> Background | None:
    handler = getattr(getattr(view, "view_class", None), method.lower(), None)
    return getattr(view, MARK, None) or getattr(handler, MARK, None)
