"""Which functions run while a request is answered."""

import libcst as cst

from .flask_names import registers, seems_to_register
from .module import Module
from .plan import Plan

_VIEWS = ("flask.views.", "flask_restful.", "flask_restx.")


class Serving:
    """Views, hooks and methods of class views, and all that they name of the project.

    Too much rather than too little: what is only mentioned counts as called.
    """

    def __init__(self, plan: Plan) -> None:
        self._origins = plan.origins
        self._mentions: dict[cst.FunctionDef, set[cst.FunctionDef]] = {}
        self._functions: set[cst.FunctionDef] = set()
        waiting: list[cst.FunctionDef] = []
        for module in plan.project.modules.values():
            self._note_mentions(module)
            waiting += [node for node in module.all(cst.FunctionDef) if self.is_view(module, node)]
            waiting += self._registered(module)
        while waiting:
            function = waiting.pop()
            if function not in self._functions:
                self._functions.add(function)
                waiting += self._mentions.get(function, ())

    def runs(self, module: Module, node: cst.CSTNode) -> bool:
        """Whether `node` is in such a function, or in one that is made there."""
        return any(parent in self._functions for parent in module.parents(node))

    def _note_mentions(self, module: Module) -> None:
        known = {name.rpartition(".")[2] for name in self._origins.definitions}
        nodes: list[tuple[cst.CSTNode, str]] = [
            *((node, node.value) for node in module.all(cst.Name)),
            *((node, node.attr.value) for node in module.all(cst.Attribute)),
        ]
        for node, name in nodes:
            if name not in known:
                continue
            found = self._origins.definition(self._origins.of(module, node))
            if found is None:
                continue
            for parent in module.parents(node):
                if isinstance(parent, cst.FunctionDef):
                    self._mentions.setdefault(parent, set()).update(_functions(*found))

    def is_view(self, module: Module, function: cst.FunctionDef) -> bool:
        """Whether Flask calls it: by a decorator, or as a method of a class view."""
        for decorator in function.decorators:
            node = decorator.decorator
            origin = self._origins.of(module, node)
            called = node.func if isinstance(node, cst.Call) else node
            name = called.attr.value if isinstance(called, cst.Attribute) else ""
            if registers(origin) or (not origin and seems_to_register(name)):
                return True
        owner = module.place(function)
        return isinstance(owner, cst.ClassDef) and any(
            self._origins.of(module, base.value).startswith(_VIEWS) for base in owner.bases
        )

    def _registered(self, module: Module) -> list[cst.FunctionDef]:
        """Functions that are passed to `add_url_rule` and the like."""
        found = []
        for call in module.all(cst.Call):
            if isinstance(call.func, cst.Attribute) and seems_to_register(call.func.attr.value):
                for arg in call.args:
                    definition = self._origins.definition(self._origins.of(module, arg.value))
                    if definition is not None and isinstance(definition[1], cst.FunctionDef):
                        found.append(definition[1])
        return found


def _functions(module: Module, node: cst.FunctionDef | cst.ClassDef) -> list[cst.FunctionDef]:
    """A function, or the methods of a class."""
    if isinstance(node, cst.FunctionDef):
        return [node]
    return [method for method in module.all(cst.FunctionDef) if module.place(method) is node]
