"""What the callers of a function give it."""

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import libcst as cst

from .definitions import parameters
from .module import Module

if TYPE_CHECKING:
    from .origin import Origins


class Callers:
    """All calls of a project, by the last part of what is called."""

    def __init__(self, origins: "Origins") -> None:
        self._origins = origins

    def given(self, function: cst.CSTNode | None, param: cst.Param) -> Iterator[str]:
        """The origin of the argument for `param` in each call of `function`."""
        if not isinstance(function, cst.FunctionDef):
            return
        name = self._origins.names[function]
        owner, _, last = name.rpartition(".")
        is_method = self._origins.known.owner(owner) is not None
        if is_method and last == "__init__":  # a call of the class
            name, last = owner, owner.rpartition(".")[2]
        positions = parameters(function)
        position = positions.index(param) if param in positions else -1
        for module, call in self._calls.get(last, ()):
            if self._origins.of(module, call.func) == name:
                given = _argument(call, param.name.value, position - is_method)
                if given is not None:
                    yield self._origins.of(module, given)

    @cached_property
    def _calls(self) -> dict[str, list[tuple[Module, cst.Call]]]:
        calls: dict[str, list[tuple[Module, cst.Call]]] = {}
        for module in self._origins.project.modules.values():
            for call in module.all(cst.Call):
                match call.func:
                    case cst.Name(value=name) | cst.Attribute(attr=cst.Name(value=name)):
                        calls.setdefault(name, []).append((module, call))
        return calls


def _argument(call: cst.Call, name: str, position: int) -> cst.BaseExpression | None:
    for index, arg in enumerate(call.args):
        if arg.star:
            return None
        if arg.keyword is not None and arg.keyword.value == name:
            return arg.value
        if arg.keyword is None and index == position:
            return arg.value
    return None
