"""Who may do what: the token, the Origin check, and the app's own `authorize` hook."""

from __future__ import annotations

import hmac

from quart import abort, has_request_context, request, websocket
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

from ..service import Service
from ..task import Task

SAFE = {"GET", "HEAD", "OPTIONS"}
DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def guard(service: Service) -> None:
    """What every request and handshake must pass. Aborts with 401 or 403."""
    connection = request if has_request_context() else websocket
    config = service.config
    if not has_request_context() or request.method not in SAFE:
        _check_origin(connection.headers.get("Origin"), connection.host, config.allowed_origins)
    token = config.token if service.catalog.authorize is None else None
    if token is not None and not is_bearer(connection.headers.get("Authorization", ""), token):
        raise Unauthorized(
            "This server wants the header `Authorization: Bearer` with its TASKS_TOKEN.",
            www_authenticate=WWWAuthenticate("bearer"),
        )


def is_bearer(header: str, token: str) -> bool:
    """Whether the header `Authorization` has the token (RFC 6750, section 2.1)."""
    kind, _, given = header.partition(" ")
    given_bytes = given.strip().encode("utf-8", "replace")
    return kind.lower() == "bearer" and hmac.compare_digest(given_bytes, token.encode())


def _check_origin(origin: str | None, host: str, allowed: tuple[str, ...]) -> None:
    """A browser names the page that asks; another site's page must not submit tasks."""
    if origin is None or origin in allowed:
        return
    scheme, _, site = origin.partition("://")
    port = DEFAULT_PORTS.get(scheme)
    if port is None or site.removesuffix(port) != host.removesuffix(port):
        abort(
            403, f"A page of {origin!r} may not do that: add its origin to TASKS_ALLOWED_ORIGINS."
        )


async def ask(
    service: Service, action: str, name: str | None = None, task: Task | None = None
) -> str | None:
    """The caller's owner, from the app's hook, which may abort; None sees everything."""
    hook = service.catalog.authorize
    if hook is None:
        return None
    record = None if task is None else task.record.plain()
    return await hook(action, name if record is None else record.name, record)
