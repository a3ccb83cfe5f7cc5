"""Answers in JSON, and what requests ask for in headers and queries."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from quart import Response, current_app, has_request_context, request
from quart.signals import request_finished
from werkzeug.http import parse_set_header

from ..encoding import decode_head
from ..exceptions import InvalidArguments
from ..service import Service
from ..task import Task
from .scope import AS_IS

MAX_WAIT = 60.0  # seconds
POLL_AFTER = "1"  # seconds, in `Retry-After` of a 202

_encode = msgspec.json.Encoder().encode
_WAIT = re.compile(r'(?:^|[,;\s])wait\s*=\s*"?(\d+)"?\s*(?:$|[,;])', re.IGNORECASE)


def answer(data: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`data` as JSON; bytes are JSON already."""
    body = data if isinstance(data, bytes) else _encode(data)
    response = Response(body, status, content_type="application/json")
    response.headers["Cache-Control"] = "no-cache"
    if headers:
        response.headers.update(headers)
    return response


def empty(status: int) -> Response:
    response = Response(b"", status)
    del response.headers["Content-Type"]
    response.headers["Cache-Control"] = "no-cache"
    return response


def accepted(service: Service, task: Task) -> Response:
    """202 for a task that was taken on (RFC 9110, section 15.3.3)."""
    headers = {"Retry-After": POLL_AFTER}
    if service.config.url_prefix is not None:
        headers["Location"] = url(service, task.record.id)
    return answer(task.record, 202, headers)


def stored(task: Task) -> Response:
    """A succeeded task's result."""
    if task.blob is None:
        return answer(bytes(task.value("result")))
    if task.head is not None:  # a background view's response, as the app made it
        return _as_it_was(task.blob, *decode_head(task.head))
    response = Response(task.blob, 200, content_type=task.record.result_type)
    # A task's bytes are no page of this site, whatever they claim to be.
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response.headers["Cache-Control"] = "no-cache"
    return response


def _as_it_was(body: bytes, status: int, headers: list[tuple[str, str]]) -> Response:
    """A stored response. What hooks make of it now counts only where it has said nothing."""
    response = Response(body, status)
    del response.headers["Content-Type"]
    response.headers.extend(headers)
    scope: dict[str, Any] = request.scope  # type: ignore[assignment]
    scope[AS_IS] = headers
    app: Any = current_app
    request_finished.connect(_restore, app._get_current_object())
    return response


async def _restore(app: Any, response: Response, **more: Any) -> None:
    """After all hooks: they run once for the response, and once for the request that fetches it."""
    scope: dict[str, Any] = request.scope  # type: ignore[assignment]
    stored: list[tuple[str, str]] | None = scope.get(AS_IS)
    if stored is not None:
        names = {name.lower() for name, _ in stored}
        added = [each for each in response.headers if each[0].lower() not in names]
        vary = parse_set_header(", ".join(response.headers.getlist("Vary")))
        response.headers.clear()
        response.headers.extend([*stored, *added])
        response.vary.update(vary)


async def ends_within(service: Service, task: Task, seconds: float) -> bool:
    try:
        await service.ended(task, seconds)
    except TimeoutError:
        return False
    return task.run is None  # else the server stops, and leaves it to the next start


def url(service: Service, id: str) -> str:
    root = request.root_path if has_request_context() else ""
    return f"{root}{service.config.url_prefix}/{id}"


def preferences() -> str:
    """What the client prefers; several headers are one list (RFC 7240, section 2)."""
    return ", ".join(request.headers.getlist("Prefer"))


def preferred_wait() -> float | None:
    """Seconds of `Prefer: wait=N` (RFC 7240, section 4.3); a bad one is ignored."""
    found = _WAIT.search(preferences())
    return min(float(found[1]), MAX_WAIT) if found else None


def query_wait() -> float | None:
    """Seconds of `?wait=N`. Raises InvalidArguments."""
    text = request.args.get("wait")
    if text is None:
        return None
    if not re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
        raise bad_query("wait", "must be a number of seconds from 0 to 60")
    return min(float(text), MAX_WAIT)


def bad_query(name: str, detail: str) -> InvalidArguments:
    return InvalidArguments(f"?{name}= {detail}.", [(f"#/query/{name}", detail)])
