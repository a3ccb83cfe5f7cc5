"""Where names get their values: imports, assignments, loops, `with`, parameters."""

from typing import TYPE_CHECKING

import libcst as cst
from libcst.metadata import Assignment, BuiltinAssignment, ImportAssignment

from .canonical import agreed, canonical, with_suffix
from .definitions import decorator_names, is_fixture, is_test, parameters
from .module import Module
from .parameters import Callers

if TYPE_CHECKING:
    from .origin import Origins

_AFTER_REQUEST = {"after_request", "after_app_request", "after_this_request"}


class Bindings:
    """The origins of names, by what is bound to them."""

    def __init__(self, origins: "Origins") -> None:
        self._origins = origins
        self._callers = Callers(origins)

    def of_name(self, module: Module, node: cst.Name) -> str:
        scope = module.scope(node)
        if scope is None or node.value == "None":
            return ""
        before: list[Assignment | ImportAssignment] = []
        after: list[Assignment | ImportAssignment] = []
        for found in scope[node.value]:
            if isinstance(found, BuiltinAssignment):
                return f"builtins.{node.value}"
            if isinstance(found, Assignment | ImportAssignment):
                if _assigns_from(module, found.node, node):
                    continue
                is_past = found.scope is scope and module.order(found.node) < module.order(node)
                (before if is_past else after).append(found)
        # In one scope the last one above counts, as it does where code runs straight on.
        for assignment in sorted(before, key=lambda one: module.order(one.node), reverse=True):
            if origin := self.assigned(module, node.value, assignment):
                return origin
        return agreed(self.assigned(module, node.value, found) for found in after)

    def assigned(self, module: Module, name: str, found: Assignment | ImportAssignment) -> str:
        if isinstance(found, ImportAssignment):
            names = found.get_qualified_names_for(name)
            return self._origins.named(_absolute(module, next(iter(names)).name)) if names else ""
        if found.node in self._origins.names:
            return self._origins.names[found.node]
        return self.bound(module, found.node)

    def bound(self, module: Module, target: cst.CSTNode) -> str:
        """The origin of what is given to a name (or an attribute) where it is bound."""
        if isinstance(target, cst.Param):
            return self._parameter(module, target)
        parent = module.parent(target)
        match parent:
            case cst.AssignTarget():
                statement = module.parent(parent)
                return (
                    self._origins.of(module, statement.value)
                    if isinstance(statement, cst.Assign)
                    else ""
                )
            case cst.AnnAssign(annotation=annotation, value=value):
                given = self._origins.of(module, value) if value is not None else ""
                return given or canonical(
                    with_suffix(self._origins.of(module, annotation.annotation), "()")
                )
            case cst.NamedExpr(value=value):
                return self._origins.of(module, value)
            case cst.AsName():
                item = module.parent(parent)
                if isinstance(item, cst.WithItem):
                    return canonical(
                        with_suffix(self._origins.of(module, item.item), ".__enter__()")
                    )
            case cst.For(iter=iterable) | cst.CompFor(iter=iterable):
                return canonical(with_suffix(self._origins.of(module, iterable), "[]"))
            case cst.Element():
                row = module.parent(parent)
                if isinstance(row, cst.Tuple | cst.List):
                    place = f"[{row.elements.index(parent)}]"
                    return canonical(with_suffix(self.bound(module, row), place))
        return ""

    def _parameter(self, module: Module, param: cst.Param) -> str:
        function = module.parent(module.parent(param) or param)
        if param.annotation is not None:
            given = agreed(self._callers.given(function, param))
            if given.startswith("flask."):  # Quart's upload may be annotated as Werkzeug's
                return given
            return canonical(
                with_suffix(self._origins.of(module, param.annotation.annotation), "()")
            )
        if not isinstance(function, cst.FunctionDef):
            return ""
        if param in parameters(function)[:1]:
            owner = module.place(function)
            if isinstance(owner, cst.ClassDef) and "staticmethod" not in decorator_names(function):
                return f"{self._origins.names[owner]}()"
            if decorator_names(function) & _AFTER_REQUEST:
                return "flask.Response()"
        fixtures = self._origins.known.fixtures.get(param.name.value, [])
        if fixtures and (is_test(function) or is_fixture(function)):
            near = [one for one in fixtures if one[0] is module]
            near = near or [one for one in fixtures if one[0].path.parent in module.path.parents]
            near = near or fixtures
            return agreed(self._origins.returned(self._origins.names[node]) for _, node in near)
        return agreed(self._callers.given(function, param))


def _assigns_from(module: Module, target: cst.CSTNode, node: cst.CSTNode) -> bool:
    """Whether `node` is part of what is assigned to `target`: `view = logged(view)`."""
    statement = module.parent(module.parent(target) or target)
    return isinstance(statement, cst.Assign) and statement in module.parents(node)


def _absolute(module: Module, name: str) -> str:
    dots = len(name) - len(name.lstrip("."))
    if not dots:
        return name
    parts = module.package.split(".")
    return ".".join([*parts[: len(parts) - dots + 1], name.lstrip(".")])
