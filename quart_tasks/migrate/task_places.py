"""The Flask apps of a project, and where its tasks may stand."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
from libcst.helpers import get_full_name_for_node as full_name

from .module import Module
from .plan import Plan
from .project import _imported_as as imported_as
from .variables import absolute

EXTENSION = "quart_tasks.QuartTasks"
HOME = "extensions"


@dataclass(frozen=True)
class App:
    """`app = Flask(__name__)`, wherever it stands."""

    module: Module
    statement: cst.SimpleStatementLine
    name: str

    @property
    def is_global(self) -> bool:
        return isinstance(self.module.place(self.statement), cst.Module)


@dataclass(frozen=True)
class Place:
    """`module` is None if it is a file to be made at `path`."""

    module: Module | None
    path: Path
    name: str
    is_new: bool = True


def find_apps(plan: Plan) -> list[App]:
    """All that are made outside of tests, in statements of their own."""
    found = []
    for module in plan.project.modules.values():
        for assign in [] if is_test(module) else module.all(cst.Assign):
            line = module.parent(assign)
            match assign.targets[0].target, assign.value:
                case cst.Name(name), cst.Call(func=func):
                    made = plan.origins.of(module, func) == "flask.Flask"
                    if made and isinstance(line, cst.SimpleStatementLine) and len(line.body) == 1:
                        found.append(App(module, line, name))
    return found


def find_existing(plan: Plan) -> Place | None:
    """Where the project has `tasks = QuartTasks()` already."""
    for module in plan.project.modules.values():
        for call in module.all(cst.Call):
            if plan.origins.of(module, call.func) != EXTENSION:
                continue
            match module.parent(call):
                case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(name))]):
                    if isinstance(module.place(call), cst.Module):
                        return Place(module, module.path, name, is_new=False)
    return None


def find_leaf(plan: Plan) -> Module | None:
    """An `extensions.py` that imports nothing of the project, also not in a function."""
    for module in plan.project.modules.values():
        if module.path.stem == HOME:
            names = {_source(module, node) for node in module.all(cst.ImportFrom)}
            names |= {
                full_name(alias.name) or ""
                for node in module.all(cst.Import)
                for alias in node.names
            }
            if not any(plan.project.split(name) for name in names if name):
                return module
    return None


def has_route_under(plan: Plan, prefix: str) -> bool:
    """Whether a route of the project is under `prefix`, as far as that can be seen."""
    return any(
        isinstance(path := text.evaluated_value, str)
        and (path == prefix or path.startswith(f"{prefix}/"))
        and isinstance(module.parent(text), cst.Arg)
        for module in plan.project.modules.values()
        if not is_test(module)
        for text in module.all(cst.SimpleString)
    )


def is_free(
    plan: Plan, name: str, modules: Collection[Module], freed: Collection[cst.CSTNode]
) -> bool:
    """Whether no module of the project is called `name`, and none of `modules` binds it but by
    the nodes that are `freed`."""
    if any(known.rpartition(".")[2] == name for known in plan.project.modules):
        return False
    return not any(
        node.value == name and node not in freed and _is_bound(module, node)
        for module in modules
        for node in module.all(cst.Name)
    )


def is_test(module: Module) -> bool:
    return module.path.stem == "conftest" or module.path.stem.startswith("test_")


def _is_bound(module: Module, node: cst.Name) -> bool:
    match module.parent(node):
        case cst.AssignTarget() | cst.Param() | cst.FunctionDef() | cst.ClassDef() | cst.AsName():
            return True
        case cst.For(target=target) | cst.NamedExpr(target=target) | cst.AnnAssign(target=target):
            return target is node
        case cst.ImportAlias(asname=None):
            return True
    return False


def _source(module: Module, node: cst.ImportFrom) -> str:
    dots = "." * len(node.relative)
    return absolute(module, dots + (full_name(node.module) or "" if node.module else ""))


def path_between(module: Module, place: Place) -> str:
    """What `module` imports the place's module by: relative within one package, unless the module
    imports its neighbours otherwise."""
    folders = [module.path.parent]
    while folders[-1] not in place.path.parents:
        folders.append(folders[-1].parent)
    is_one = all((folder / "__init__.py").exists() for folder in folders)
    if not is_one or not _imports_relatively(module):
        return imported_as(place.path, is_package=False)
    names = place.path.with_suffix("").relative_to(folders[-1]).parts
    return "." * len(folders) + ".".join(names)


def _imports_relatively(module: Module) -> bool:
    """Whether it does, or imports nothing of its package at all."""
    imports = module.all(cst.ImportFrom)
    if any(node.relative for node in imports):
        return True
    package = imported_as(module.path, is_package=False).partition(".")[0]
    names = [node.module for node in imports] + [a.name for a in module.all(cst.ImportAlias)]
    return not any((full_name(name) or "").partition(".")[0] == package for name in names if name)
