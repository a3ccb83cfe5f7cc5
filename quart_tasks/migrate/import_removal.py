"""Takes away imports that nothing uses any more."""

from collections.abc import Sequence
from itertools import takewhile

import libcst as cst

from .flask_imports import dotted


def without_imports(tree: cst.Module, dropped: set[str]) -> cst.Module:
    """`tree` without the imports of the `dropped` names, where nothing names them."""
    names = _Used()
    tree.visit(names)
    new = tree.visit(_Removal(dropped, names.used))
    if not isinstance(new, cst.Module) or not new.body or len(new.body) == len(tree.body):
        return new if isinstance(new, cst.Module) else tree
    # The blank lines between the first import, which is gone, and the next one go with it.
    first = new.body[0]
    blank = takewhile(lambda line: line.comment is None, first.leading_lines)
    first = first.with_changes(leading_lines=first.leading_lines[len(list(blank)) :])
    return new.with_changes(body=[first, *new.body[1:]])


class _Used(cst.CSTVisitor):
    def __init__(self) -> None:
        self.used: set[str] = set()

    def visit_Import(self, node: cst.Import) -> bool:
        return False

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        return False

    def visit_Attribute(self, node: cst.Attribute) -> bool:
        node.value.visit(self)  # `executor.name` uses no `name`
        return False

    def visit_Arg(self, node: cst.Arg) -> bool:
        node.value.visit(self)  # nor does `name=executor`
        return False

    def visit_Name(self, node: cst.Name) -> None:
        self.used.add(node.value)


class _Removal(cst.CSTTransformer):
    def __init__(self, dropped: set[str], used: set[str]) -> None:
        super().__init__()
        self._dropped, self._used = dropped, used

    def leave_Import(
        self, original_node: cst.Import, updated_node: cst.Import
    ) -> cst.Import | cst.RemovalSentinel:
        kept = self._kept("", updated_node.names)
        return updated_node.with_changes(names=kept) if kept else cst.RemoveFromParent()

    def leave_ImportFrom(
        self, original_node: cst.ImportFrom, updated_node: cst.ImportFrom
    ) -> cst.ImportFrom | cst.RemovalSentinel:
        if isinstance(updated_node.names, cst.ImportStar):
            return updated_node
        kept = self._kept(imported_from(updated_node) + ".", updated_node.names)
        return updated_node.with_changes(names=kept) if kept else cst.RemoveFromParent()

    def _kept(self, prefix: str, aliases: Sequence[cst.ImportAlias]) -> list[cst.ImportAlias]:
        kept = [
            alias
            for alias in aliases
            if f"{prefix}{dotted(alias.name)}" not in self._dropped
            or bound_name(alias) in self._used
        ]
        if kept:
            kept[-1] = kept[-1].with_changes(comma=aliases[-1].comma)
        return kept


def imported_from(node: cst.ImportFrom) -> str:
    """The module of a `from`, with its dots."""
    return "." * len(node.relative) + dotted(node.module)


def bound_name(alias: cst.ImportAlias) -> str:
    """The name that an import gives: `a` for `import a.b`, `c` for `import a.b as c`."""
    name = alias.asname.name if alias.asname is not None else alias.name
    return dotted(name).partition(".")[0]
