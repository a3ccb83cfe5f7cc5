"""Background tasks native to a Quart app."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import *  # noqa: F403


def __getattr__(name: str) -> Any:
    """The public names. They are imported when one is asked for: the client and the worker
    processes, whose modules are below this one, need no Quart."""
    if name.startswith("__") and name != "__all__":
        raise AttributeError(name)
    if find_spec(f".{name}", __name__) is not None:  # a module, which may be what is being imported
        return import_module(f".{name}", __name__)
    api = import_module(".api", __name__)
    try:
        return getattr(api, name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return [*globals(), *import_module(".api", __name__).__all__]
