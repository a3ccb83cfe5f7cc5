"""Values of a type, with the defaults of their dataclasses.

msgspec (0.22) leaves a simple default to the class and does not write it into the instance; but it
encodes what is in the instance. A task that returns its argument would lose what was left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, get_origin

import msgspec
from msgspec.inspect import DataclassType, Field, StructType, Type, type_info

# Of a class: its defaults by name, and the fields that have dataclasses in them.
_Parts = tuple[dict[str, Any], set[str]]


def converter(hint: Any) -> Callable[[Any, Any], Any]:
    """What turns JSON into `hint`: where that has no dataclass, `msgspec.convert` itself."""
    fill = _filler(hint)
    if fill is None:
        return msgspec.convert

    def convert(value: Any, kind: Any) -> Any:
        made = msgspec.convert(value, kind)
        fill(made)
        return made

    return convert


def decoder(hint: Any) -> Callable[[bytes], Any]:
    """What reads a text of JSON as `hint`."""
    read = msgspec.json.Decoder(hint).decode
    fill = _filler(hint)
    if fill is None:
        return read

    def decode(data: bytes) -> Any:
        made = read(data)
        fill(made)
        return made

    return decode


def _filler(hint: Any) -> Callable[[Any], None] | None:
    """What writes the defaults into a value of the type `hint`, if there are any in it."""
    found = _types_in(type_info(hint))
    if not _has_dataclass(found):
        return None
    known: dict[Any, _Parts] = {}
    for each in found:
        if isinstance(each, (DataclassType, StructType)):
            kind = get_origin(each.cls) or each.cls
            _, inside = known.setdefault(kind, (_defaults(kind), set()))
            inside.update(one.name for one in each.fields if _has_dataclass(_types_in(one.type)))

    def fill(value: Any) -> None:
        parts = known.get(type(value))
        if parts is not None:
            defaults, inside = parts
            for name, default in defaults.items():
                vars(value).setdefault(name, default)  # also of a frozen one
            for name in inside:
                fill(getattr(value, name, None))
        elif isinstance(value, (list, tuple, set, frozenset)):
            for item in value:
                fill(item)
        elif isinstance(value, dict):
            for item in value.values():
                fill(item)

    return fill


def _has_dataclass(found: list[Type]) -> bool:
    return any(isinstance(each, DataclassType) for each in found)


def _types_in(whole: Type) -> list[Type]:
    """A type and all that it is made of, each once: it may have itself in it."""
    found: dict[int, Type] = {}
    todo: list[Any] = [whole]
    while todo:
        each = todo.pop()
        if isinstance(each, Field):
            todo.append(each.type)
        elif isinstance(each, tuple):
            todo += each
        elif isinstance(each, Type) and id(each) not in found:
            found[id(each)] = each
            todo += msgspec.structs.astuple(each)
    return list(found.values())


def _defaults(kind: Any) -> dict[str, Any]:
    """Those that `__init__` writes and that the class has too; with slots it cannot have them."""
    if not hasattr(kind, "__dataclass_fields__"):  # of attrs, or a Struct
        return {}
    return {
        each.name: each.default
        for each in fields(kind)
        if each.init and each.default is not MISSING and getattr(kind, each.name) is each.default
    }
