"""The functions and classes of a project, by their origins."""

from collections.abc import Iterator

import libcst as cst

from .module import Module
from .project import Project

Definition = tuple[Module, cst.FunctionDef | cst.ClassDef]


class Definitions:
    """`names` has the origin of each definition, `by_name` the other way round, `fixtures` those
    of pytest by their names."""

    def __init__(self, project: Project) -> None:
        self.by_name: dict[str, Definition] = {}
        self.names: dict[cst.CSTNode, str] = {}
        self.fixtures: dict[str, list[tuple[Module, cst.FunctionDef]]] = {}
        for module in project.modules.values():
            self._define(module)

    def function(self, name: str) -> tuple[Module, cst.FunctionDef] | None:
        found = self.by_name.get(name)
        if found is None or not isinstance(found[1], cst.FunctionDef):
            return None
        return found[0], found[1]

    def owner(self, name: str) -> tuple[Module, cst.ClassDef] | None:
        """The class that has this origin."""
        found = self.by_name.get(name)
        if found is None or not isinstance(found[1], cst.ClassDef):
            return None
        return found[0], found[1]

    def classes(self) -> Iterator[tuple[Module, cst.ClassDef]]:
        for module, node in self.by_name.values():
            if isinstance(node, cst.ClassDef):
                yield module, node

    def _define(self, module: Module) -> None:
        nodes: list[cst.FunctionDef | cst.ClassDef] = [
            *module.all(cst.FunctionDef), *module.all(cst.ClassDef),
        ]  # fmt: skip
        for node in sorted(nodes, key=module.order):
            name = node.name.value
            for parent in module.parents(node):
                if isinstance(parent, cst.ClassDef):
                    name = f"{parent.name.value}.{name}"
                elif isinstance(parent, cst.FunctionDef):
                    name = f"{parent.name.value}.<locals>.{name}"
            name = f"{module.name}.{name}"
            if name in self.by_name:  # an overload, or one for each branch of an `if`
                name = f"{name}@{module.order(node)}"
            self.names[node] = name
            self.by_name[name] = module, node
            if isinstance(node, cst.FunctionDef) and is_fixture(node):
                self.fixtures.setdefault(node.name.value, []).append((module, node))


def is_tests(module: Module) -> bool:
    """Whether a module has tests, or what tests share."""
    *folders, name = module.name.split(".")
    is_named = name.startswith("test") or name.endswith("_test") or name == "conftest"
    return is_named or bool({"tests", "test"}.intersection(folders))


def decorator_names(function: cst.FunctionDef) -> set[str]:
    """The last part of each decorator's name: `{"fixture"}` for `@pytest.fixture()`."""
    names = set()
    for decorator in function.decorators:
        node = decorator.decorator
        while isinstance(node, cst.Call):
            node = node.func
        if isinstance(node, cst.Attribute):
            names.add(node.attr.value)
        elif isinstance(node, cst.Name):
            names.add(node.value)
    return names


def is_fixture(function: cst.FunctionDef) -> bool:
    return "fixture" in decorator_names(function)


def is_property(function: cst.FunctionDef) -> bool:
    return bool(decorator_names(function) & {"property", "cached_property"})


def is_test(function: cst.FunctionDef) -> bool:
    return function.name.value.startswith("test")


def parameters(function: cst.FunctionDef) -> list[cst.Param]:
    """The positional parameters."""
    return [*function.params.posonly_params, *function.params.params]
