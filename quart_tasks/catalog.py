"""What the user has declared: definitions by name, and who may do what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from .definition import Definition
from .exceptions import UnknownTask

if TYPE_CHECKING:
    from .record import Record

AuthorizeHook = Callable[[str, str | None, "Record | None"], Awaitable[str | None]]


class Catalog:
    def __init__(self) -> None:
        self.definitions: dict[str, Definition] = {}
        self.authorize: AuthorizeHook | None = None

    def add(self, definition: Definition) -> None:
        known = self.definitions.setdefault(definition.name, definition)
        if _origin(known) != _origin(definition):
            raise ValueError(
                f"There is a task {definition.name!r} already, of another function: pass "
                f"name='…' to one of them."
            )
        self.definitions[definition.name] = definition

    def get(self, name: str) -> Definition:
        """Raises UnknownTask."""
        try:
            return self.definitions[name]
        except KeyError:
            raise UnknownTask(f"There is no task {name!r}; GET /tasks/types lists them.") from None


def _origin(definition: Definition) -> tuple[str, str, bool]:
    function = definition.function
    return function.__module__, function.__qualname__, definition.view
