"""Makes the changes of a plan: one walk over each module, then its imports."""

from typing import Any

import libcst as cst

from .change import Rewrite
from .imports import with_imports
from .module import Module
from .plan import Plan
from .todo import commented

_BYTE_ORDER_MARK = "\ufeff"


def rewritten(plan: Plan) -> dict[Module, str]:
    """The new source of each module that something is changed in."""
    edits: dict[Module, dict[cst.CSTNode, list[Rewrite]]] = {}
    added: dict[Module, list[str]] = {}
    dropped: dict[Module, list[str]] = {}

    def edit(module: Module, node: cst.CSTNode, rewrite: Rewrite) -> None:
        edits.setdefault(module, {}).setdefault(node, []).append(rewrite)

    made = [change for change in plan.changes if not change.blocked]
    for module, statement, comment in commented(plan.todos):
        edit(module, statement, comment)
    for change in made:
        for module, node, rewrite in change.edits:
            edit(module, node, rewrite)
        for module, name in change.imports:
            added.setdefault(module, []).append(name)
        for module, name in change.dropped:
            dropped.setdefault(module, []).append(name)
    waits = dict.fromkeys(spot for change in made for spot in change.waits)
    for module, node in waits:
        edit(module, node, awaited(module, node))
    sources = {}
    for module in dict.fromkeys([*edits, *added, *dropped]):
        tree = module.tree.visit(_Rewriter(edits.get(module, {})))
        if not isinstance(tree, cst.Module):  # an edit took the whole file away
            continue
        source = with_imports(tree, added.get(module, []), dropped.get(module, [])).code
        if module.source.startswith(_BYTE_ORDER_MARK):  # libcst reads over it
            source = _BYTE_ORDER_MARK + source
        if source != module.source:
            sources[module] = source
    return sources


def awaited(module: Module, node: cst.CSTNode) -> Rewrite:
    """Puts `await` before an expression, in parentheses where more of a chain follows it."""
    parent = module.parent(node)
    in_chain = (
        (isinstance(parent, cst.Attribute | cst.Subscript) and parent.value is node)
        or (isinstance(parent, cst.Call) and parent.func is node)
        or isinstance(parent, cst.Await)
    )

    def rewrite(new: cst.BaseExpression) -> cst.Await:
        left, right = list(new.lpar), list(new.rpar)
        if in_chain and not left:
            left, right = [cst.LeftParen()], [cst.RightParen()]
        return cst.Await(new.with_changes(lpar=[], rpar=[]), lpar=left, rpar=right)

    return rewrite


class _Rewriter(cst.CSTTransformer):
    def __init__(self, edits: dict[cst.CSTNode, list[Rewrite]]) -> None:
        super().__init__()
        self._edits = edits

    def on_leave(self, original_node: cst.CSTNode, updated_node: Any) -> Any:
        for rewrite in self._edits.get(original_node, ()):
            updated_node = rewrite(updated_node)
        return updated_node
