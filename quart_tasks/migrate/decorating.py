"""How a project uses the decorators that it defines itself."""

from collections.abc import Iterator
from functools import cached_property

import libcst as cst

from .decorators import Decorator, Decorators
from .flask_names import registers
from .module import Module
from .origin import Origins
from .references import References


class Decorating:
    def __init__(self, origins: Origins, decorators: Decorators, references: References) -> None:
        self._origins = origins
        self._decorators = decorators
        self._references = references

    def decorated(self, decorator: Decorator) -> list[tuple[Module, cst.FunctionDef]]:
        """The functions of the project under this decorator."""
        return self._decorated.get(self._origins.names[decorator.function], [])

    def misused(self, decorator: Decorator) -> str:
        """Why its wrapper cannot become async: it is used in a way that is not known here."""
        for module, node, where in self._applications(decorator):
            if not self._is_decorating(module, node) and not self._is_named(module, node):
                return f"its decorator is used without an @ {where}"
        return ""

    def is_always_above(self, decorator: Decorator) -> bool:
        """Whether it is only ever used with an `@`, above functions of the project."""
        return all(
            isinstance(module.parent(node), cst.Decorator)
            for module, node, _ in self._applications(decorator)
        )

    def applied(self, module: Module, node: cst.CSTNode) -> Decorator | None:
        """The decorator in `decorator(view)`, where `node` is the view."""
        call = module.parent(module.parent(node) or node)
        if not isinstance(call, cst.Call) or module.parent(node) not in call.args[:1]:
            return None
        return self._decorators.named(self._origins.of(module, call.func))

    def _applications(self, decorator: Decorator) -> Iterator[tuple[Module, cst.CSTNode, str]]:
        maker = decorator.function
        outer = decorator.module.place(maker)
        if isinstance(outer, cst.FunctionDef):  # `@allowed("admin")`, which makes the decorator
            maker = outer
        for reference in self._references.of(maker):
            module, node = reference.module, reference.node
            if maker is outer and reference.use == "called":
                node = module.parent(node) or node
            if not isinstance(module.parent(node), cst.Return):
                yield module, node, reference.where

    def _is_named(self, module: Module, node: cst.CSTNode) -> bool:
        """Whether what it makes of a function has a name: `view = decorator(view)`."""
        call = module.parent(node)
        if not isinstance(call, cst.Call) or call.func is not node:
            return False
        match module.parent(call):
            case cst.Assign(targets=[cst.AssignTarget(target=cst.Name())]):
                return True
        return False

    def _is_decorating(self, module: Module, node: cst.CSTNode) -> bool:
        for parent in module.parents(node):
            match parent:
                case cst.Decorator():
                    return isinstance(module.parent(parent), cst.FunctionDef)
                case cst.Call(func=func) if registers(self._origins.of(module, func)):
                    return True
                case cst.Assign(targets=[cst.AssignTarget(target=cst.Name("decorators"))]):
                    return isinstance(module.place(parent), cst.ClassDef)
                case cst.BaseStatement():
                    return False
        return False

    @cached_property
    def _decorated(self) -> dict[str, list[tuple[Module, cst.FunctionDef]]]:
        found: dict[str, list[tuple[Module, cst.FunctionDef]]] = {}
        for module in self._origins.project.modules.values():
            for node in module.all(cst.Decorator):
                function = module.parent(node)
                if isinstance(function, cst.FunctionDef):
                    origin = self._origins.of(module, node.decorator)
                    found.setdefault(origin, []).append((module, function))
        return found
