"""Where the value of an expression comes from, as a dotted name.

`flask.request.form` of `from flask import request as r; r.form`; `shop.jobs.render` of a function
of the project, however it was imported; a call adds `()`, an index `[]`: `app.test_client` of
`app = Flask(__name__)` is `flask.Flask().test_client`. Unknown is `""`. `canonical.py` names
Flask's own things in one way, and Quart's as Flask's.
"""

import libcst as cst
from libcst.metadata import Assignment, ImportAssignment

from .bindings import Bindings
from .canonical import agreed, canonical, with_suffix
from .classes import Classes
from .definitions import Definition, Definitions
from .module import Module
from .project import Project

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
        self.bindings = Bindings(self)
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
                return self.bindings.of_name(module, node)
            case cst.Attribute(value=value, attr=attr):
                return self.attribute(self.of(module, value), attr.value)
            case cst.Call(func=cst.Name("super")):
                return self.classes.base_of(module, node)
            case cst.Call(func=func):
                return self._called(self.of(module, func))
            case cst.Subscript(value=value):
                return canonical(with_suffix(self.of(module, value), "[]"))
            case cst.Await(expression=value) | cst.NamedExpr(value=value):
                return self.of(module, value)
            case cst.IfExp(body=left, orelse=right):
                return agreed([self.of(module, left), self.of(module, right)])
            case cst.BooleanOperation(left=left, right=right):  # `given or {}`
                return self.of(module, left) or self.of(module, right)
        literal = _LITERALS.get(type(node))
        return f"builtins.{literal}()" if literal else ""

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
        return agreed(self.bindings.assigned(module, name, found) for found in founds)

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
        return canonical(with_suffix(origin, "()"))

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
