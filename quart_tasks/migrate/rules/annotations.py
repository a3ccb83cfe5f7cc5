"""Annotations that are written as strings."""

import libcst as cst

from ..edits import renamed
from ..flask_imports import dotted, is_flask
from ..module import Module
from ..quart_api import RENAMED
from ..rule import Rule


class Annotations(Rule):
    """A class of Flask's that an annotation names as a string has Quart's name.

    Before:

        def register(app: "Flask") -> None: ...

    After:

        def register(app: "Quart") -> None: ...
    """

    code = "QT204"

    def look(self, module: Module) -> None:
        names = self._imported(module)
        if not names:
            return
        for annotation in module.all(cst.Annotation):
            node = annotation.annotation
            if isinstance(node, cst.SimpleString) and node.raw_value in names:
                new = f"{node.quote}{RENAMED[node.raw_value]}{node.quote}"
                change = self.change(module, node, f"`{node.value}` became `{new}`.")
                change.edit(node, renamed(new))

    def _imported(self, module: Module) -> set[str]:
        """The names of classes that have another name in Quart, and come from Flask here."""
        return {
            name
            for statement in module.all(cst.ImportFrom)
            if is_flask(dotted(statement.module))
            and not isinstance(statement.names, cst.ImportStar)
            for alias in statement.names
            if alias.asname is None and (name := dotted(alias.name)) in RENAMED
        }
