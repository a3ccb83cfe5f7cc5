"""Extensions of Flask."""

import libcst as cst
from libcst.helpers import get_full_name_for_node as full_name

from ..extensions import advice, extension
from ..module import Module
from ..plan import Plan
from ..rule import Rule


class Extensions(Rule):
    """An extension is named to a person, with what does the same for Quart.

    Before:

        from flask_cors import CORS

    After:

        # TODO[quart-tasks]: Replace `flask_cors` with quart_cors: it is made for Quart.
        from flask_cors import CORS
    """

    code = "QT601"

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._told: set[str] = set()

    def look(self, module: Module) -> None:
        for node in module.all(cst.ImportFrom):
            if not node.relative and node.module is not None:
                self._tell(module, node, full_name(node.module) or "")
        for alias in module.all(cst.ImportAlias):
            if isinstance(module.parent(alias), cst.Import):
                self._tell(module, alias, full_name(alias.name) or "")

    def _tell(self, module: Module, node: cst.CSTNode, name: str) -> None:
        found = extension(name)
        if found and found not in self._told and self.project.split(name) is None:
            self._told.add(found)  # where it is imported first; the others are found by its name
            self.leave(module, node, advice(found))
