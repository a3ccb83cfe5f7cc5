"""Where the value of an expression comes from, as a dotted name.

`flask.request.form` of `from flask import request as r; r.form`; `shop.jobs.render` of a function
of the project, however it was imported; a call adds `()`, an index `[]`: `app.test_client` of
`app = Flask(__name__)` is `flask.Flask().test_client`. Unknown is `""`. `canonical.py` names
Flask's own things in one way, and Quart's as Flask's.
"""

import libcst as cst
from libcst.metadata import Assignment, BuiltinAssignment, ImportAssignment

from .canonical import agreed, canonical
from .classes import Classes
from .definitions import Definition, Definitions, decorator_names, is_fixture, is_test, parameters
from .module import Module
from .parameters import Callers
from .project import Project

_AFTER_REQUEST = {"after_request", "after_app_request", "after_this_request"}
_LITERALS: dict[type[cst.CSTNode], str] = {
    cst.Dict: "dict", cst.DictComp: "dict", cst.List: "list", cst.ListComp: "list",
    cst.Set: "set", cst.SetComp: "set", cst.Tuple: "tuple", cst.SimpleString: "str",
    cst.FormattedString: "str", cst.ConcatenatedString: "str", cst.Integer: "int",
    cst.Float: "float",
}  # fmt: skip


class Origins:
    """The origin of each expression of a project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.known = Definitions(project)
        self.classes = Classes(self)
        self._callers = Callers(self)
        self._found: dict[cst.CSTNode, str] = {}

    @property
    def names(self) -> dict[cst.CSTNode, str]:
        """The origins of the functions and classes of the project, by their definitions."""
        return self.known.names

    @property
    def definitions(self) -> dict[str, Definition]:
        """The functions and classes of the project, by their origins."""
        return self.known.by_name

    def definition(self, name: str) -> Definition | None:
        """The function or class of the project that has this origin."""
        return self.known.by_name.get(name)

    def of(self, module: Module, node: cst.CSTNode) -> str:
        if node not in self._found:
            self._found[node] = ""  # what leads back to itself is unknown
            self._found[node] = self._find(module, node)
        return self._found[node]

    def _find(self, module: Module, node: cst.CSTNode) -> str:
        match node:
            case cst.Name():
                return self._name(module, node)
            case cst.Attribute(value=value, attr=attr):
                return self.attribute(self.of(module, value), attr.value)
            case cst.Call(func=cst.Name("super")):
                return self.classes.base_of(module, node)
            case cst.Call(func=func):
                return self._called(self.of(module, func))
            case cst.Subscript(value=value):
                return canonical(_with(self.of(module, value), "[]"))
            case cst.Await(expression=value) | cst.NamedExpr(value=value):
                return self.of(module, value)
            case cst.IfExp(body=left, orelse=right):
                return agreed([self.of(module, left), self.of(module, right)])
            case cst.BooleanOperation(left=left, right=right):  # `given or {}`
                return self.of(module, left) or self.of(module, right)
        literal = _LITERALS.get(type(node))
        return f"builtins.{literal}()" if literal else ""

    def _name(self, module: Module, node: cst.Name) -> str:
        scope = module.scope(node)
        if scope is None:
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
            if origin := self._assigned(module, node.value, assignment):
                return origin
        return agreed(self._assigned(module, node.value, found) for found in after)

    def _assigned(self, module: Module, name: str, found: Assignment | ImportAssignment) -> str:
        if isinstance(found, ImportAssignment):
            names = found.get_qualified_names_for(name)
            return self.named(_absolute(module, next(iter(names)).name)) if names else ""
        if found.node in self.names:
            return self.names[found.node]
        return self.bound(module, found.node)

    def bound(self, module: Module, target: cst.CSTNode) -> str:
        """The origin of what is given to a name (or an attribute) where it is bound."""
        if isinstance(target, cst.Param):
            return self._parameter(module, target)
        parent = module.parent(target)
        match parent:
            case cst.AssignTarget():
                statement = module.parent(parent)
                return self.of(module, statement.value) if isinstance(statement, cst.Assign) else ""
            case cst.AnnAssign(annotation=annotation, value=value):
                given = self.of(module, value) if value is not None else ""
                return given or canonical(_with(self.of(module, annotation.annotation), "()"))
            case cst.NamedExpr(value=value):
                return self.of(module, value)
            case cst.AsName():
                item = module.parent(parent)
                if isinstance(item, cst.WithItem):
                    return canonical(_with(self.of(module, item.item), ".__enter__()"))
            case cst.For(iter=iterable) | cst.CompFor(iter=iterable):
                return canonical(_with(self.of(module, iterable), "[]"))
            case cst.Element():
                row = module.parent(parent)
                if isinstance(row, cst.Tuple | cst.List):
                    place = f"[{row.elements.index(parent)}]"
                    return canonical(_with(self.bound(module, row), place))
        return ""

    def _parameter(self, module: Module, param: cst.Param) -> str:
        function = module.parent(module.parent(param) or param)
        if param.annotation is not None:
            given = agreed(self._callers.given(function, param))
            if given.startswith("flask."):  # Quart's upload may be annotated as Werkzeug's
                return given
            return canonical(_with(self.of(module, param.annotation.annotation), "()"))
        if not isinstance(function, cst.FunctionDef):
            return ""
        if param in parameters(function)[:1]:
            owner = module.place(function)
            if isinstance(owner, cst.ClassDef):
                return f"{self.names[owner]}()"
            if decorator_names(function) & _AFTER_REQUEST:
                return "flask.Response()"
        fixtures = self.known.fixtures.get(param.name.value, [])
        if fixtures and (is_test(function) or is_fixture(function)):
            near = [one for one in fixtures if one[0] is module] or fixtures
            return agreed(self.returned(self.names[node]) for _, node in near)
        return agreed(self._callers.given(function, param))

    def named(self, name: str) -> str:
        """The origin that an absolute dotted name has: of the project, or of elsewhere."""
        found = self.project.split(name)
        if found is None or not found[1]:
            return canonical(found[0].name if found else name)
        module, rest = found
        first, *others = rest.split(".")
        origin = self._global(module, first)
        for other in others:
            origin = self.attribute(origin, other)
        return origin

    def _global(self, module: Module, name: str) -> str:
        scope = module.scope(module.tree)
        if scope is None or name not in scope:
            return ""
        founds = [f for f in scope[name] if isinstance(f, Assignment | ImportAssignment)]
        return agreed(self._assigned(module, name, found) for found in founds)

    def attribute(self, origin: str, name: str) -> str:
        """The origin of an attribute of what has this origin."""
        if not origin:
            return ""
        if origin in self.project.modules:
            return self.named(f"{origin}.{name}")
        if found := self.known.owner(origin.removesuffix("()")):
            return self.classes.member(*found, name)
        return canonical(f"{origin}.{name}")

    def _called(self, origin: str) -> str:
        if self.known.function(origin) is not None:
            return self.returned(origin) or f"{origin}()"
        return canonical(_with(origin, "()"))

    def returned(self, name: str) -> str:
        """The origin of what a function of the project returns, or of what a fixture yields."""
        found = self.known.function(name)
        if found is None:
            return ""
        module, function = found
        returns: list[cst.Return | cst.Yield] = [*module.all(cst.Return), *module.all(cst.Yield)]
        return agreed(
            self.of(module, node.value)
            for node in returns
            if isinstance(node.value, cst.BaseExpression) and module.function(node) is function
        )


def _assigns_from(module: Module, target: cst.CSTNode, node: cst.CSTNode) -> bool:
    """Whether `node` is part of what is assigned to `target`: `view = logged(view)`."""
    statement = module.parent(module.parent(target) or target)
    return isinstance(statement, cst.Assign) and statement in module.parents(node)


def _with(origin: str, suffix: str) -> str:
    return origin and origin + suffix


def _absolute(module: Module, name: str) -> str:
    dots = len(name) - len(name.lstrip("."))
    if not dots:
        return name
    parts = module.package.split(".")
    return ".".join([*parts[: len(parts) - dots + 1], name.lstrip(".")])
