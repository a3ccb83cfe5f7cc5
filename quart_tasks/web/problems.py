"""Errors as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import msgspec
from quart import Response
from werkzeug.exceptions import HTTPException

from .. import exceptions
from ..exceptions import InvalidArguments, QuartTasksError, QueueFull
from .scope import Scope

CONTENT_TYPE = "application/problem+json"
RETRY_LATER = 1  # seconds, in `Retry-After` of a 503

_STATUS: dict[type[Exception], int] = {
    exceptions.UnknownTask: 404,
    exceptions.TaskNotFound: 404,
    exceptions.InvalidArguments: 422,
    exceptions.Conflict: 409,
    exceptions.QueueFull: 429,
    exceptions.Draining: 503,
    exceptions.NotStarted: 503,
    exceptions.JournalUnavailable: 503,
}


class BadRequest(QuartTasksError):
    """A request that is wrong before it is about any task. `status` is 400, 413 or 415."""

    def __init__(self, status: int, name: str, detail: str) -> None:
        self.status = status
        self.name = name
        super().__init__(detail)


def problem(
    status: int, name: str | None = None, detail: str | None = None, **more: Any
) -> dict[str, Any]:
    """A problem. `name` ends its type, `urn:quart-tasks:<name>`; default: the status's own."""
    phrase = _phrase(status)
    return {
        "type": f"urn:quart-tasks:{name or re.sub(r'[^a-z]+', '-', phrase.lower())}",
        "title": name.replace("-", " ").capitalize() if name else phrase,
        "status": status,
        "detail": detail or phrase,
        **more,
    }


def problem_of(error: Exception) -> dict[str, Any]:
    """The problem that an exception is. Raises the exception if it is none."""
    if isinstance(error, HTTPException):
        return problem(error.code or 500, detail=error.description)
    if isinstance(error, BadRequest):
        return problem(error.status, error.name, str(error))
    status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), None)
    if status is None:
        raise error
    more: dict[str, Any] = {}
    if isinstance(error, QueueFull):
        more["retry_after"] = error.retry_after  # a socket has no headers to tell it in
    if isinstance(error, InvalidArguments):
        more["errors"] = [
            {"pointer": pointer, "detail": detail} for pointer, detail in error.errors
        ]
    return problem(status, kebab(type(error).__name__), str(error), **more)


def headers_of(error: Exception) -> dict[str, str]:
    if isinstance(error, QueueFull):
        return {"Retry-After": str(error.retry_after)}
    if isinstance(error, QuartTasksError) and _STATUS.get(type(error)) == 503:
        return {"Retry-After": str(RETRY_LATER)}
    if isinstance(error, HTTPException):
        kept = ("allow", "retry-after", "www-authenticate")
        return {name: value for name, value in error.get_headers() if name.lower() in kept}
    return {}


def respond(problem: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(problem),
        problem["status"],
        headers={"Cache-Control": "no-cache", **(headers or {})},
        content_type=CONTENT_TYPE,
    )


def detail_of(status: int, scope: Scope) -> str | None:
    """What an error of routing is about."""
    if status == 404:
        return f"There is nothing at {scope['path']!r}."
    if status == 405:
        return f"{scope.get('method', 'This')} is not for {scope['path']!r}."
    return None


def kebab(name: str) -> str:
    """`TaskNotFound` as `task-not-found`."""
    return re.sub(r"(?<!^)([A-Z])", r"-\1", name).lower()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
