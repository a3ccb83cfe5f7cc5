"""What several rules of one plan know together."""

from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from .plan import Plan

Kind = TypeVar("Kind")

_known: WeakKeyDictionary[Plan, dict[type, Any]] = WeakKeyDictionary()


def shared(plan: Plan, kind: type[Kind]) -> Kind:
    """The one object of this class that belongs to a plan; made from the plan when first asked."""
    objects = _known.setdefault(plan, {})
    if kind not in objects:
        objects[kind] = kind(plan)  # type: ignore[call-arg]
    found: Kind = objects[kind]
    return found
