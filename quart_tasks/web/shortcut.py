"""The plainest submission, answered without Quart: `POST` of JSON that fits, to an app that has
nothing of its own between server and view. For any other request, and for every error, nothing is
done here and it goes the whole way.

It is what clients do most. Through Quart it took 320 µs of a processor, where a route of Quart
that tracks nothing takes 235; this way it takes 190.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from quart import Quart, Request, Response, signals
from quart.sessions import SecureCookieSessionInterface
from werkzeug.exceptions import HTTPException

from ..exceptions import QuartTasksError
from ..service import Service
from .access import is_bearer
from .answers import POLL_AFTER
from .scope import Headers, Scope
from .submissions import TaskBody, accept, decode, prepare_task

# What a page of a browser sends, or asks for something that only the whole way gives.
UNUSUAL = frozenset({b"origin", b"cookie", b"prefer"})
SIGNALS = (
    signals.request_started, signals.request_finished, signals.request_tearing_down,
    signals.appcontext_pushed, signals.appcontext_popped, signals.appcontext_tearing_down,
)  # fmt: skip
# Of an app's hooks and receivers those that we have added, which let this request pass.
OURS = {"quart_tasks.background", "quart_tasks.web.blueprint", "quart_tasks.web.answers"}
# An app whose own dictionary has one of these has put something in the place of Quart's.
METHODS = {name for name, _ in inspect.getmembers(Quart, inspect.isfunction)} - {"asgi_app"}

_encode = msgspec.json.Encoder().encode


class Shortcut:
    """Made once the blueprint is registered; `endpoint` is that of the view whose work is done
    here."""

    def __init__(
        self, app: Quart, get_service: Callable[[], Service], prefix: str, endpoint: str
    ) -> None:
        self._app, self._get_service = app, get_service
        self._prefix, self._endpoint = prefix, endpoint
        self._view = app.view_functions[endpoint]
        self._stock = type(app) is Quart and "asgi_app" not in vars(app)
        self._routed: dict[str, bool] = {}  # paths: known once all routes are there

    async def submit(
        self, scope: Scope, path: str, body: bytes
    ) -> tuple[int, Headers, bytes] | None:
        """The answer, 202; or None, and nothing was accepted."""
        headers = dict(scope["headers"])
        if (
            headers.get(b"content-type") != b"application/json"
            or len(headers) != len(scope["headers"])  # one is there twice
            or not UNUSUAL.isdisjoint(headers)
            or scope.get("root_path")
            or not self._is_open(path)
        ):
            return None
        key = headers.get(b"idempotency-key")
        try:
            service = self._get_service()
            token, given = service.config.token, headers.get(b"authorization", b"")
            if service.catalog.authorize is not None or (
                token is not None and not is_bearer(given.decode("latin1"), token)
            ):
                return None
            submission = await prepare_task(
                service, decode(body, TaskBody), None if key is None else key.decode("latin1")
            )
        except Exception:  # noqa: BLE001 - an argument's own type may want the app's context
            return None
        try:
            task = await accept(service, submission)
        except QuartTasksError:
            return None
        data = _encode(task.record)
        return 202, [
            (b"content-type", b"application/json"), (b"content-length", b"%d" % len(data)),
            (b"cache-control", b"no-cache"), (b"retry-after", POLL_AFTER.encode()),
            (b"location", f"{self._prefix}/{task.record.id}".encode()),
        ], data  # fmt: skip

    def _is_open(self, path: str) -> bool:
        """Whether nobody else has a word in a request to this path."""
        app = self._app
        if path not in self._routed:
            self._routed[path] = self._stock and self._is_routed(path)
        return (
            self._routed[path]
            and app.view_functions.get(self._endpoint) is self._view
            and METHODS.isdisjoint(vars(app))
            and app.request_class is Request
            and app.response_class is Response
            and type(app.session_interface) is SecureCookieSessionInterface
            and not vars(app.session_interface)
            and not app.teardown_appcontext_funcs
            and _are_ours(app.before_request_funcs.values())
            and _are_ours(app.after_request_funcs.values())
            and _are_ours(app.teardown_request_funcs.values())
            and _are_ours(app.url_value_preprocessors.values())
            and _are_ours(each.receivers_for(app) for each in SIGNALS if each.receivers)
        )

    def _is_routed(self, path: str) -> bool:
        if self._app.config["SERVER_NAME"] or self._app.url_map.host_matching:
            return False
        try:
            endpoint, _ = self._app.url_map.bind("").match(path, "POST")
        except HTTPException:
            return False
        return bool(endpoint == self._endpoint)


def _are_ours(functions: Iterable[Iterable[Any]]) -> bool:
    return all(getattr(each, "__module__", None) in OURS for some in functions for each in some)
