"""What a rule wants done: edits that are made all together, or not at all."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import libcst as cst

from .module import Module

# Takes the node as the edits inside of it have left it, gives what stands in its place.
Rewrite = Callable[[Any], Any]
Spot = tuple[Module, cst.CSTNode]
# The changes of a plan that take care of a node.
Claims = dict[cst.CSTNode, "list[Change]"]


@dataclass(eq=False)
class Change:
    """`module` and `node` say where it is reported, `message` what was done."""

    code: str
    module: Module
    node: cst.CSTNode
    message: str
    edits: list[tuple[Module, cst.CSTNode, Rewrite]] = field(default_factory=list)
    async_spots: list[Spot] = field(default_factory=list)
    waits: list[Spot] = field(default_factory=list)
    claims: Claims = field(default_factory=dict)
    imports: list[tuple[Module, str]] = field(default_factory=list)
    dropped: list[tuple[Module, str]] = field(default_factory=list)
    # Why it is not made after all, and what a person can do then.
    blocked: str = ""
    advice: str = ""
    # What cannot await, if that is why.
    barred: Spot | None = None

    def edit(self, node: cst.CSTNode, rewrite: Rewrite, module: Module | None = None) -> None:
        """Put `rewrite(node)` in the place of `node`.

        Called when all rules have looked and all functions have their colour, with the node as
        the edits inside of it have left it. Several edits of one node follow each other. It may
        return `cst.RemoveFromParent()` or a `cst.FlattenSentinel` as in libcst's transformers.
        """
        self.edits.append((module or self.module, node, rewrite))

    def wait(self, expression: cst.CSTNode, module: Module | None = None) -> None:
        """Put `await` before `expression`, after all edits of it; its function becomes async."""
        self.waits.append((module or self.module, expression))
        self.needs_async(expression, module)

    def needs_async(self, node: cst.CSTNode, module: Module | None = None) -> None:
        """The function that runs `node` becomes async; if it cannot, nothing of this is made."""
        self.async_spots.append((module or self.module, node))

    def claim(self, *nodes: cst.CSTNode) -> None:
        """These references to functions are taken care of: they keep no function from its colour.

        Later rules leave these nodes alone too, if they ask `Rule.is_claimed`, and what they
        leave to a person there is not told.
        """
        for node in nodes:
            self.claims.setdefault(node, []).append(self)

    def add_import(self, name: str, module: Module | None = None) -> None:
        """Import `name`, as `quart_tasks.QuartTasks` or `asyncio`, where it is not imported."""
        self.imports.append((module or self.module, name))

    def drop_import(self, name: str, module: Module | None = None) -> None:
        """Take the import of `name` away if nothing uses it after the edits."""
        self.dropped.append((module or self.module, name))
