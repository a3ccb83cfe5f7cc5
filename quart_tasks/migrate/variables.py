"""The names that a module binds at its top, and where they are used in the whole project."""

from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst
import libcst.matchers as m
from libcst.metadata import Assignment, GlobalScope, ImportAssignment

from .change import Spot
from .module import Module
from .plan import Plan
from .quart_api import RENAMED

_NO_USE = (cst.AsName, cst.Param, cst.FunctionDef, cst.ClassDef)


@dataclass(frozen=True)
class Variable:
    """A name at the top of a module, as `executor = ThreadPoolExecutor()` binds it."""

    module: Module
    name: str

    def bindings(self) -> list[cst.CSTNode]:
        """The nodes that give it a value."""
        scope = self.module.scope(self.module.tree)
        found = scope[self.name] if scope is not None else ()
        return [one.node for one in found if isinstance(one, Assignment)]

    def value(self) -> cst.BaseExpression | None:
        """What the module gives it, if that happens once; a function may give it something else,
        with `global`."""
        at_top = [
            node for node in self.bindings() if isinstance(self.module.place(node), cst.Module)
        ]
        return assigned_value(self.module, at_top[0]) if len(at_top) == 1 else None


class Variables:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._named: dict[str, list[Spot]] = {}
        for module in plan.project.modules.values():
            for name in module.all(cst.Name):
                self._named.setdefault(name.value, []).append((module, name))

    def of(self, module: Module, node: cst.CSTNode) -> Variable | None:
        """The variable that a name, or `module.name`, stands for."""
        if isinstance(node, cst.Attribute):
            owner = self._plan.project.modules.get(self._plan.origins.of(module, node.value))
            return None if owner is None else self._at_top(owner, node.attr.value)
        scope = module.scope(node)
        if not isinstance(node, cst.Name) or scope is None:
            return None
        for found in scope[node.value]:
            if isinstance(found, ImportAssignment):
                return self._imported(module, node.value, found)
            if isinstance(found, Assignment) and isinstance(found.scope, GlobalScope):
                return Variable(module, node.value)
        return None

    def uses(self, variable: Variable) -> list[Spot]:
        """The expressions that read it, in all modules."""
        bound = set(variable.bindings())
        found: list[Spot] = []
        names = {variable.name, *self._aliases(variable.name)}
        for module, name in [spot for known in names for spot in self._named.get(known, ())]:
            parent = module.parent(name)
            if name in bound or isinstance(parent, _NO_USE) or _is_imported(module, name):
                continue
            node: cst.CSTNode = name
            if isinstance(parent, cst.Attribute) and parent.attr is name:
                node = parent
            elif isinstance(parent, cst.Arg) and parent.keyword is name:
                continue
            if self.of(module, node) == variable:
                found.append((module, node))
        return found

    def imports(self, variable: Variable) -> list[tuple[Module, str]]:
        """Where it is imported, and from what, as `drop_import` takes it."""
        return [
            (module, f"{source}.{name}")
            for module in self._plan.project.modules.values()
            for source, name in _sources(module, variable.name)
            if source
            and self._split(module, source + "." * (not source.endswith(".")) + name)
            == (variable.module, variable.name)
        ]

    def named(self, name: str) -> list[Spot]:
        """Every name that is spelled like this, whatever it stands for."""
        return self._named.get(name, [])

    def _aliases(self, name: str) -> set[str]:
        return {
            parent.asname.name.value
            for module, node in self._named.get(name, ())
            if isinstance(parent := module.parent(node), cst.ImportAlias)
            and parent.asname is not None
            and isinstance(parent.asname.name, cst.Name)
        }

    def _imported(self, module: Module, name: str, found: ImportAssignment) -> Variable | None:
        names = found.get_qualified_names_for(name)
        if not names:
            return None
        split = self._split(module, next(iter(names)).name)
        if split is None or not split[1] or "." in split[1]:
            return None
        return self._at_top(*split)

    def _split(self, module: Module, source: str) -> tuple[Module, str] | None:
        return self._plan.project.split(absolute(module, source))

    def _at_top(self, module: Module, name: str) -> Variable | None:
        scope = module.scope(module.tree)
        for found in scope[name] if scope is not None else ():
            if isinstance(found, ImportAssignment):
                return self._imported(module, name, found)
            if isinstance(found, Assignment):
                return Variable(module, name)
        return None


def _is_imported(module: Module, name: cst.CSTNode) -> bool:
    """Whether it is a part of what an import names."""
    for parent in module.parents(name):
        if not isinstance(parent, cst.Attribute):
            return isinstance(parent, cst.ImportFrom | cst.ImportAlias)
    return False


def assigned_value(module: Module, target: cst.CSTNode) -> cst.BaseExpression | None:
    """`f()` for the `x` of `x = f()`, and of `with f() as x:`."""
    match module.parent(target):
        case cst.AssignTarget() as parent:
            statement = module.parent(parent)
            if isinstance(statement, cst.Assign) and len(statement.targets) == 1:
                return statement.value
        case cst.AnnAssign(value=value):
            return value
        case cst.AsName() as name:
            item = module.parent(name)
            if isinstance(item, cst.WithItem):
                return item.item
    return None


def is_empty_dict(value: cst.BaseExpression | None) -> bool:
    """Whether it is `{}` or `dict()`."""
    empty = m.Dict(elements=[]) | m.Call(func=m.Name("dict"), args=[])
    return value is not None and m.matches(value, empty)


def absolute(module: Module, name: str) -> str:
    """`shop.jobs.render` for `..jobs.render`, as `module` would import it."""
    dots = len(name) - len(name.lstrip("."))
    if not dots:
        return name
    parts = module.package.split(".")
    return ".".join([*parts[: len(parts) - dots + 1], name.lstrip(".")])


def imported_as(module: Module, name: str) -> list[str]:
    """The sources that a module has `name` from, as `drop_import` takes them: `functools.wraps`
    for `wraps`, `..db` for `from . import db`; of Flask's also what they become."""
    return [
        found
        for source, original in _sources(module, name)
        for found in _with_quart(f"{source}.{original}" if source else original)
    ]


def _with_quart(source: str) -> list[str]:
    if source.startswith("flask."):
        name = source.removeprefix("flask.")
        return [source, f"quart.{name}", f"quart.{RENAMED.get(name, name)}"]
    return [source]


def _sources(module: Module, name: str) -> Iterator[tuple[str, str]]:
    """Where a module imports `name` from, and what it is called there."""
    for alias in module.all(cst.ImportAlias):
        bound = alias.asname.name if alias.asname is not None else alias.name
        if not isinstance(bound, cst.Name) or bound.value != name:
            continue
        statement = module.parent(alias)
        source = ""
        if isinstance(statement, cst.ImportFrom):
            source = "." * len(statement.relative)
            if statement.module is not None:
                source += module.text(statement.module)
        yield source, module.text(alias.name)
