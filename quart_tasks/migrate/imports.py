"""Imports that a change adds, and where they stand."""

import sys
from collections.abc import Sequence
from typing import TypeGuard

import libcst as cst

from .flask_imports import dotted
from .import_removal import bound_name, imported_from, without_imports

Statement = cst.SimpleStatementLine | cst.BaseCompoundStatement


def with_imports(tree: cst.Module, added: list[str], dropped: list[str]) -> cst.Module:
    """`tree` with the `added` names imported, without the `dropped` ones that nothing uses."""
    if dropped:
        tree = without_imports(tree, set(dropped))
    for name in dict.fromkeys(added):
        tree = _with(tree, name)
    return tree


def _with(tree: cst.Module, name: str) -> cst.Module:
    source, _, wanted = name.rpartition(".")
    body = list(tree.body)
    for index, statement in enumerate(body):
        small = _only(statement)
        if not _is_import(small) or _source(small) != source:
            continue
        if isinstance(small.names, cst.ImportStar) or _has(small.names, wanted):
            return tree
        if isinstance(small, cst.ImportFrom):
            body[index] = statement.with_deep_changes(small, names=_extended(small.names, wanted))
            return tree.with_changes(body=body)
    line = f"from {source} import {wanted}" if source else f"import {wanted}"
    body.insert(_place(body, source or wanted, not source), cst.parse_statement(line))
    return tree.with_changes(body=body)


def _has(aliases: Sequence[cst.ImportAlias], name: str) -> bool:
    return any(dotted(alias.name) == name and alias.asname is None for alias in aliases)


def _extended(names: Sequence[cst.ImportAlias], wanted: str) -> list[cst.ImportAlias]:
    *most, last = names
    alias = cst.ImportAlias(cst.Name(wanted), comma=last.comma)
    comma = most[-1].comma if most else cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    return [*most, last.with_changes(comma=comma), alias]


def _place(body: list[Statement], source: str, is_plain: bool) -> int:
    """After the last import of its kind, of the same form if there is one; else by the kinds."""
    place = same = 0
    top = body[: end_of_imports(body)]
    found = [(index, one) for index, one in enumerate(map(_only, top)) if _is_import(one)]
    for index, small in found:
        kind = _kind(_source(small) or _first(small))
        if kind <= _kind(source):
            place = index + 1
        if kind == _kind(source) and isinstance(small, cst.Import) == is_plain:
            same = index + 1
    return same or place or (found[0][0] if found else len(top))


def _kind(source: str) -> int:
    """The order of imports: the future, the standard library, others, the package's own."""
    if source.startswith("."):
        return 3
    first = source.partition(".")[0]
    return 0 if first == "__future__" else 1 if first in sys.stdlib_module_names else 2


def end_of_imports(body: list[Statement]) -> int:
    """After the last import at the top, or after the docstring."""
    end = 0
    for index, statement in enumerate(body):
        small = _only(statement)
        if _is_import(small):
            end = index + 1
        elif index == 0 and isinstance(small, cst.Expr):
            end = 1
        elif not isinstance(statement, cst.If | cst.Try):
            break
    return end


def _only(statement: Statement) -> cst.BaseSmallStatement | None:
    if isinstance(statement, cst.SimpleStatementLine) and len(statement.body) == 1:
        return statement.body[0]
    return None


def _is_import(node: cst.BaseSmallStatement | None) -> TypeGuard[cst.Import | cst.ImportFrom]:
    return isinstance(node, cst.Import | cst.ImportFrom)


def _source(node: cst.Import | cst.ImportFrom) -> str:
    """What a `from` imports from, "" for a plain import."""
    return imported_from(node) if isinstance(node, cst.ImportFrom) else ""


def _first(node: cst.Import | cst.ImportFrom) -> str:
    return "" if isinstance(node.names, cst.ImportStar) else bound_name(node.names[0])
