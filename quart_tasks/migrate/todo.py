"""The comments that stay in the code where a person must decide."""

from collections.abc import Iterator

import libcst as cst

from .change import Rewrite
from .module import Module

MARK = "# TODO[quart-tasks]: "


def commented(
    todos: list[tuple[Module, cst.CSTNode, str]],
) -> Iterator[tuple[Module, cst.CSTNode, Rewrite]]:
    """The edits that put the comments above the statements of their nodes, each only once."""
    wanted: dict[tuple[Module, cst.CSTNode, str], None] = {}
    for module, node, why in todos:
        wanted[module, module.statement(node), MARK + why] = None
    for module, statement, comment in wanted:
        if comment not in _above(module, statement):
            yield module, statement, _adding(comment)


def _above(module: Module, statement: cst.CSTNode) -> set[str]:
    lines = list(getattr(statement, "leading_lines", ()))
    if module.tree.body and statement is module.tree.body[0]:
        lines += module.tree.header
    return {line.comment.value for line in lines if line.comment is not None}


def _adding(comment: str) -> Rewrite:
    line = cst.EmptyLine(comment=cst.Comment(comment))

    def rewrite(new: cst.CSTNode) -> cst.CSTNode:
        if isinstance(new, cst.Module):
            return new.with_changes(header=[*new.header, line])
        return new.with_changes(leading_lines=[*new.leading_lines, line])  # type: ignore[attr-defined]

    return rewrite
