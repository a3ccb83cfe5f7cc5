"""Pieces of a change that are found in several places, before it is known whether it is made."""

from dataclasses import dataclass, field

import libcst as cst

from .change import Change, Rewrite, Spot
from .module import Module
from .plan import Plan
from .shared import shared
from .task_home import TaskHome


@dataclass
class Parts:
    """`needs` are nodes whose function becomes async without being awaited themselves, `homes`
    those that use the extension, `frees` names that go away."""

    edits: list[tuple[Module, cst.CSTNode, Rewrite]] = field(default_factory=list)
    waits: list[Spot] = field(default_factory=list)
    needs: list[Spot] = field(default_factory=list)
    homes: list[Spot] = field(default_factory=list)
    claims: list[cst.CSTNode] = field(default_factory=list)
    frees: list[cst.CSTNode] = field(default_factory=list)
    imports: list[tuple[Module, str]] = field(default_factory=list)
    drops: list[tuple[Module, str]] = field(default_factory=list)

    def edit(self, module: Module, node: cst.CSTNode, rewrite: Rewrite) -> None:
        self.edits.append((module, node, rewrite))

    def remove(self, module: Module, statement: cst.CSTNode) -> None:
        self.edits.append((module, statement, lambda new: cst.RemoveFromParent()))

    def enter(self, change: Change, plan: Plan) -> None:
        """Make these parts of a change."""
        home = shared(plan, TaskHome)
        for module, node, rewrite in self.edits:
            change.edit(node, rewrite, module)
        for module, node in self.waits:
            change.wait(node, module)
        for module, node in self.needs:
            change.needs_async(node, module)
        for module, node in self.homes:
            home.use(change, module, node)
        for module, name in self.imports:
            change.add_import(name, module)
        for module, name in self.drops:
            change.drop_import(name, module)
        change.claim(*self.claims)
        home.free(*self.frees)
