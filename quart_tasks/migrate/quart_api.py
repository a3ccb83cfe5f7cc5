"""What the installed Quart has, and what of it is a coroutine, asked of Quart itself."""

import importlib
import inspect
from functools import cache
from types import FunctionType
from typing import Any

from werkzeug.local import LocalProxy


@cache
def found(name: str) -> Any:
    """The object in Quart that stands for `flask.…`, or None: `flask.Flask` gives `quart.Quart`.

    A class's members are found too: `flask.Request.form`.
    """
    parts = [RENAMED.get(part, part) for part in name.split(".")]
    return _found(".".join(["quart", *parts[1:]]))


def has(name: str) -> bool:
    return found(name) is not None


def is_in_flask(name: str) -> bool:
    """Whether Flask, which Quart is built on, has `flask.…`."""
    return _found(name) is not None


@cache
def is_coroutine(name: str) -> bool:
    """Whether `flask.…` must be awaited in Quart: the call of it, or the property itself."""
    value = found(name)
    if isinstance(value, property):
        value = value.fget
    # Not of a proxy such as `flask.request`, which stands for nothing now and says so by raising.
    return isinstance(value, FunctionType) and inspect.iscoroutinefunction(value)


@cache
def is_property(name: str) -> bool:
    return isinstance(found(name), property)


# Flask's names of classes and methods in Quart's words.
RENAMED = {
    "Flask": "Quart",
    "FlaskClient": "QuartClient",
    "FlaskCliRunner": "QuartCliRunner",
    "FlaskGroup": "QuartGroup",
    "ensure_sync": "ensure_async",
}


@cache
def _found(name: str) -> Any:
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for part in parts[end:]:
            if isinstance(value, LocalProxy):  # `flask.g`: what it stands for is not there now
                return None
            value = inspect.getattr_static(value, part, None)
        return value
    return None
