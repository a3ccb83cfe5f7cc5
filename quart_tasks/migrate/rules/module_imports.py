"""`import flask`, and what is named by it."""

import libcst as cst

from ..edits import renamed
from ..flask_imports import as_node, as_quart, dotted, is_flask, is_import
from ..module import Module
from ..quart_api import RENAMED, has
from ..rule import Rule


class ModuleImports(Rule):
    """The module is Quart's.

    Before:

        import flask

        app = flask.Flask(__name__)

    After:

        import quart

        app = quart.Quart(__name__)
    """

    code = "QT205"

    def look(self, module: Module) -> None:
        for statement in module.all(cst.Import):
            for alias in statement.names:
                if is_flask(dotted(alias.name)):
                    self._import(module, statement, alias)

    def _import(self, module: Module, statement: cst.Import, alias: cst.ImportAlias) -> None:
        name = dotted(alias.name)
        if not has(name):
            self.leave(module, statement, f"Quart has no `{name}`.")
            return
        uses = self._uses(module, alias)
        lacking = [use for use, member in uses.items() if not has(f"flask.{member}")]
        for use in lacking:
            self.leave(module, use, f"Quart has no `flask.{uses[use]}`.")
        if lacking and len(lacking) == len(uses):
            return
        change = self.change(module, statement, f"`{name}` became `{as_quart(name)}`.")
        change.edit(alias, lambda new: new.with_changes(name=as_node(as_quart(name))))
        if lacking and alias.asname is None:
            change.add_import("flask")
        for use, member in uses.items():
            attribute = module.parent(use)
            if isinstance(attribute, cst.Attribute) and member in RENAMED:
                change.edit(attribute.attr, renamed(RENAMED[member]))
            if alias.asname is None and use not in lacking:
                change.edit(use, renamed("quart"))

    def _uses(self, module: Module, alias: cst.ImportAlias) -> dict[cst.Name, str]:
        """Where the module is named, and which of its members there."""
        bound = dotted(alias.asname.name) if alias.asname is not None else "flask"
        return {
            node: _member(module.parent(node))
            for node in module.all(cst.Name)
            if node.value == bound
            and self.origin(module, node) == "flask"
            and not is_import(module, node)
        }


def _member(parent: cst.CSTNode | None) -> str:
    return parent.attr.value if isinstance(parent, cst.Attribute) else "Flask"
