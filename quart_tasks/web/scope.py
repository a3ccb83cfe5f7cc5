"""ASGI's shapes, and what our parts tell each other in a scope."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

Headers = list[tuple[bytes, bytes]]

SEND = "quart_tasks.send"  # in a socket's scope: the way to the client without Quart's
ROOM = "quart_tasks.room"  # in a socket's scope: its Room
BODY = "quart_tasks.body"  # in a request's scope: its body
AS_IS = "quart_tasks.as_is"  # in a request's scope: the headers of a stored response
