"""Code that goes as a whole, and the imports that only it needed."""

import libcst as cst

from .module import Module
from .parts import Parts
from .variables import imported_as


def clear(module: Module, gone: cst.CSTNode, parts: Parts) -> None:
    """Note that `gone` goes away: no rule looks inside, its names and imports are free."""
    inside = [gone, *subtree(gone)]
    names = [node for node in inside if isinstance(node, cst.Name)]
    parts.claims += inside
    parts.frees += names
    for name in {node.value for node in names}:
        parts.drops += [(module, source) for source in imported_as(module, name)]


def subtree(node: cst.CSTNode) -> list[cst.CSTNode]:
    found: list[cst.CSTNode] = []
    waiting = [node]
    while waiting:
        children = waiting.pop().children
        found += children
        waiting += children
    return found
