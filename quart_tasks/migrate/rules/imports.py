"""`from flask import …`, and the classes that have another name in Quart."""

from collections.abc import Collection, Sequence

import libcst as cst

from ..change import Change, Rewrite
from ..edits import renamed
from ..flask_imports import as_node, as_quart, dotted, is_flask
from ..module import Module
from ..quart_api import RENAMED, has
from ..rule import Rule


class Imports(Rule):
    """Names come from Quart, and `Flask` is `Quart`.

    Before:

        from flask import Flask, request

        app = Flask(__name__)

    After:

        from quart import Quart, request

        app = Quart(__name__)

    What Quart does not have stays an import of Flask and is left to a person.
    """

    code = "QT201"

    def look(self, module: Module) -> None:
        for statement in module.all(cst.ImportFrom):
            source = dotted(statement.module)
            if isinstance(statement.names, cst.ImportStar):
                if is_flask(source) and not statement.relative:
                    why = "Name what is imported from flask, then migrate again."
                    self.leave(module, statement, why)
            elif is_flask(source) and not statement.relative:
                self._import(module, statement, statement.names, source)
            else:
                self._import_again(module, statement, statement.names)

    def _import(
        self,
        module: Module,
        statement: cst.ImportFrom,
        aliases: Sequence[cst.ImportAlias],
        source: str,
    ) -> None:
        lacking = [i for i, a in enumerate(aliases) if not has(f"{source}.{dotted(a.name)}")]
        for index in lacking:
            text = f"Quart has no `{source}.{dotted(aliases[index].name)}`."
            self.leave(module, statement, text)
        line = module.parent(statement)
        if len(lacking) == len(aliases) or line is None:
            return
        change = self.change(module, statement, f"`{source}` became `{as_quart(source)}`.")
        change.edit(statement, lambda new: new.with_changes(module=as_node(as_quart(source))))
        if lacking:
            change.edit(line, _split(lacking, source))
        for index, alias in enumerate(aliases):
            if index not in lacking:
                self._rename(change, module, alias)

    def _import_again(
        self, module: Module, statement: cst.ImportFrom, aliases: Sequence[cst.ImportAlias]
    ) -> None:
        """`from .web import Flask`, where `.web` is a module that has it from Flask."""
        for alias in aliases:
            name = dotted(alias.name)
            if name in RENAMED and self._uses(module, name):
                change = self.change(module, statement, f"`{name}` became `{RENAMED[name]}`.")
                self._rename(change, module, alias)

    def _rename(self, change: Change, module: Module, alias: cst.ImportAlias) -> None:
        old = dotted(alias.name)
        if old not in RENAMED:
            return
        new, asname = RENAMED[old], alias.asname
        if asname is None and any(name.value == new for name in module.all(cst.Name)):
            asname = cst.AsName(cst.Name(old))  # the new name means something else here
        elif asname is None:
            for name in self._uses(module, old):
                change.edit(name, renamed(new))
        change.edit(alias, lambda node: node.with_changes(name=cst.Name(new), asname=asname))

    def _uses(self, module: Module, name: str) -> list[cst.Name]:
        """Where a class of Flask's is named."""
        return [
            node
            for node in module.all(cst.Name)
            if node.value == name
            and not isinstance(module.parent(node), cst.ImportAlias | cst.Attribute)
            and self.origin(module, node).startswith("flask.")
            and self.origin(module, node).endswith(f".{name}")
        ]


def _split(lacking: Collection[int], source: str) -> Rewrite:
    """Two lines of one import: first what stays Flask's, under the comments, then the rest."""

    def rewrite(line: cst.SimpleStatementLine) -> cst.FlattenSentinel[cst.SimpleStatementLine]:
        statement = cst.ensure_type(line.body[0], cst.ImportFrom)
        aliases = [] if isinstance(statement.names, cst.ImportStar) else [*statement.names]
        old = _without_last_comma([a for i, a in enumerate(aliases) if i in lacking])
        new = _without_last_comma([a for i, a in enumerate(aliases) if i not in lacking])
        stays = statement.with_changes(names=old, module=as_node(source))
        goes = statement.with_changes(names=new)
        return cst.FlattenSentinel(
            [line.with_changes(body=[stays]), line.with_changes(body=[goes], leading_lines=[])]
        )

    return rewrite


def _without_last_comma(aliases: list[cst.ImportAlias]) -> list[cst.ImportAlias]:
    *most, last = aliases
    return [*most, last.with_changes(comma=cst.MaybeSentinel.DEFAULT)]
