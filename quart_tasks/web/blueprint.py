"""The route table, and the wrapper that no route escapes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from quart import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from ..exceptions import InvalidArguments, QuartTasksError, TaskNotFound
from ..service import Service
from ..task import Task
from . import dashboard, rest, socket, streams
from .access import ask, guard
from .problems import BadRequest, headers_of, problem_of, respond

View = Callable[..., Awaitable[Any]]


class Route(msgspec.Struct, frozen=True):
    """`action` is what the app's authorize hook is asked about. A view of a rule with `<id>`
    gets the service and the task, any other the service and the caller's owner; one that
    `asks` for itself, by what its body names, the service alone."""

    rule: str
    method: str  # or WEBSOCKET
    action: str
    view: View
    asks: bool = False


WEBSOCKET = "WEBSOCKET"
# Open to all: a browser that asks for a page sends no token. What it shows needs one.
DASHBOARD = "dashboard"
CREATE = "quart_tasks.rest_create"  # the endpoint of `POST /tasks`

ROUTES = (
    Route("", "GET", "list", rest.index),
    Route("", "POST", "submit", rest.create, asks=True),
    Route("/batch", "POST", "submit", rest.create_batch, asks=True),
    Route("/cancel", "POST", "cancel", rest.cancel_many),
    Route("/retry", "POST", "retry", rest.retry_many),
    Route("/types", "GET", "types", rest.types),
    Route("/stats", "GET", "stats", rest.stats),
    Route("/ui/stats", "GET", "stats", streams.stats_sse),
    Route("/health", "GET", "health", rest.health),
    Route("/events", "GET", "events", streams.all_sse),
    Route("/events", WEBSOCKET, "events", streams.all_websocket),
    Route("/socket", WEBSOCKET, "socket", socket.commands),
    Route("/<id>", "GET", "get", rest.show),
    Route("/<id>", "DELETE", "delete", rest.delete),
    Route("/<id>/result", "GET", "result", rest.result),
    Route("/<id>/cancel", "POST", "cancel", rest.cancel),
    Route("/<id>/retry", "POST", "retry", rest.retry),
    Route("/<id>/events", "GET", "events", streams.task_sse),
    Route("/<id>/events", WEBSOCKET, "events", streams.task_websocket),
)


def blueprint(get_service: Callable[[], Service], prefix: str) -> Blueprint:
    """The blueprint `quart_tasks`."""
    result = Blueprint("quart_tasks", __name__, url_prefix=prefix)

    @result.before_request
    async def guard_request() -> None:
        if request.endpoint != f"quart_tasks.{DASHBOARD}":
            guard(get_service())

    @result.before_websocket
    async def guard_websocket() -> None:
        guard(get_service())

    @result.errorhandler(QuartTasksError)
    @result.errorhandler(HTTPException)
    async def handle(error: Exception) -> Response:
        return respond(problem_of(error), headers_of(error))

    for route in ROUTES:
        endpoint = f"{route.view.__module__.rpartition('.')[2]}_{route.view.__name__}"
        view = _wrapped(route, get_service)
        rules = [route.rule] if route.rule else ["", "/"]  # /tasks/ without a redirect
        for rule in rules:
            result.add_url_rule(
                rule,
                endpoint,
                view,
                methods=None if route.method == WEBSOCKET else [route.method],
                websocket=route.method == WEBSOCKET,
                strict_slashes=False,
            )
    for rule in ("/ui", "/ui/", "/ui/<path:name>"):
        result.add_url_rule(rule, DASHBOARD, dashboard.file, strict_slashes=False)
    return result


def _wrapped(route: Route, get_service: Callable[[], Service]) -> View:
    if "<id>" in route.rule:

        async def of_task(id: str) -> Any:
            service = get_service()
            return await route.view(service, await _allowed(service, route.action, id))

        return of_task
    if route.asks:

        async def asking() -> Any:
            service = get_service()
            try:
                return await route.view(service)
            except (BadRequest, InvalidArguments):
                # Who may not submit is not told what is wrong with a body.
                await ask(service, route.action)
                raise

        return asking

    async def plain() -> Any:
        service = get_service()
        return await route.view(service, await ask(service, route.action))

    return plain


async def _allowed(service: Service, action: str, id: str) -> Task:
    """The task, if the caller may do that to it. Raises TaskNotFound."""
    try:
        task = service.registry.get(id)
    except TaskNotFound:
        await ask(service, action)
        raise
    owner = await ask(service, action, task=task)
    return service.registry.get(id, owner)
