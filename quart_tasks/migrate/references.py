"""Where the functions of a project are named, and what is done with them there."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import libcst as cst

from .extensions import extension
from .flask_names import VIEW_METHODS, registers, seems_to_take
from .module import Module
from .origin import Origins

# called: `f(x)`. harmless: `@app.route` and its like take a coroutine function as well.
# escapes: somebody else will call it, and would get a coroutine. maybe: a method of this name.
Use = Literal["called", "harmless", "decorates", "escapes", "maybe"]


@dataclass(frozen=True)
class Reference:
    module: Module
    node: cst.CSTNode
    use: Use

    @property
    def where(self) -> str:
        """Without a line: the comments that say it would not fit any more when they are in."""
        around = (parent for parent in self.module.parents(self.node))
        names = [n.name.value for n in around if isinstance(n, cst.FunctionDef | cst.ClassDef)]
        return f"in `{'.'.join([self.module.name, *reversed(names)])}`"


class References:
    def __init__(self, origins: Origins) -> None:
        self._origins = origins

    def of(self, function: cst.FunctionDef) -> list[Reference]:
        """All references to a function, those that may be one to it among them."""
        wanted = self._origins.names[function]
        name = function.name.value
        found = []
        for module, node in [
            spot for known in {name, *self._aliases.get(name, ())}
            for spot in self._spots.get(known, ())
        ]:  # fmt: skip
            origin = self._origins.of(module, node)
            if origin == wanted:
                found.append(Reference(module, node, self.use(module, node)))
            elif (
                not origin and isinstance(node, cst.Attribute) and self._is_called_by_name(function)
            ):
                found.append(Reference(module, node, "maybe"))
        return found

    def use(self, module: Module, node: cst.CSTNode) -> Use:
        parent = module.parent(node)
        match parent:
            case cst.Call(func=func) if func is node:
                return "called"
            case cst.Decorator():
                return "decorates"
            case cst.Attribute() | cst.Annotation() | cst.Del() | cst.Comparison():
                return "harmless"
            case cst.Arg():
                call = module.parent(parent)
                if isinstance(call, cst.Call) and self._is_taken(module, call):
                    return "harmless"
        return "escapes"

    def _is_taken(self, module: Module, call: cst.Call) -> bool:
        origin = self._origins.of(module, call.func)
        if origin or not isinstance(call.func, cst.Attribute):
            return registers(origin)
        return seems_to_take(call.func.attr.value)

    def _is_called_by_name(self, function: cst.FunctionDef) -> bool:
        """Whether `something.<name>` may be this function: a method that no framework calls."""
        owner = self._origins.known.owner(self._origins.names[function].rpartition(".")[0])
        if owner is None:
            return False
        bases = self._origins.classes.bases(*owner)
        is_view = any(base.startswith("flask.views.") or extension(base) for base in bases)
        return not (is_view and function.name.value in VIEW_METHODS)

    @cached_property
    def _spots(self) -> dict[str, list[tuple[Module, cst.CSTNode]]]:
        spots: dict[str, list[tuple[Module, cst.CSTNode]]] = {}
        for module in self._origins.project.modules.values():
            for name in module.all(cst.Name):
                if _is_read(module, name):
                    spots.setdefault(name.value, []).append((module, name))
            for attribute in module.all(cst.Attribute):
                if not isinstance(module.parent(attribute), cst.AssignTarget | cst.ImportAlias):
                    spots.setdefault(attribute.attr.value, []).append((module, attribute))
        return spots

    @cached_property
    def _aliases(self) -> dict[str, set[str]]:
        aliases: dict[str, set[str]] = {}
        for module in self._origins.project.modules.values():
            for alias in module.all(cst.ImportAlias):
                if alias.asname is not None and isinstance(alias.asname.name, cst.Name):
                    name = alias.name.attr if isinstance(alias.name, cst.Attribute) else alias.name
                    aliases.setdefault(name.value, set()).add(alias.asname.name.value)
        return aliases


def _is_read(module: Module, name: cst.Name) -> bool:
    match module.parent(name):
        case cst.Attribute(attr=attr):
            return attr is not name
        case cst.Arg(keyword=keyword):
            return keyword is not name
        case cst.ImportAlias() | cst.AsName() | cst.AssignTarget() | cst.Param():
            return False
        case cst.FunctionDef() | cst.ClassDef() | cst.ImportFrom() | cst.NameItem():
            return False
    return True
