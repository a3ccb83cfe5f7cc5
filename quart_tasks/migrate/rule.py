"""What a rule is. Each enters `RULES` by being defined; `rules/__init__.py` imports them all."""

from typing import ClassVar

import libcst as cst

from .change import Change
from .module import Module
from .plan import Plan

RULES: list[type["Rule"]] = []


class Rule:
    """One thing that the codemod knows; the docstring shows it before and after.

    The rules look in the order of their codes, each at all modules. Looking changes nothing:
    it makes changes, which are applied when the functions have their colours.
    """

    code: ClassVar[str]

    def __init_subclass__(cls) -> None:
        RULES.append(cls)
        RULES.sort(key=lambda rule: rule.code)

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.project = plan.project

    def look(self, module: Module) -> None:
        """Look at one module. Another one can be looked up in `self.project.modules`."""

    def coloured(self, module: Module) -> None:
        """Look again when it is known which functions become async (`self.plan.is_async`).

        Changes that are made here may only edit: what they need to be async must be so already.
        """

    def origin(self, module: Module, node: cst.CSTNode) -> str:
        """Where the value of `node` comes from, as a dotted name; see `origin.py`."""
        return self.plan.origins.of(module, node)

    def change(self, module: Module, node: cst.CSTNode, message: str) -> Change:
        """A new change that is reported at `node`; `message` says in the past what was done."""
        return self.plan.add(Change(self.code, module, node, message))

    def leave(self, module: Module, node: cst.CSTNode, why: str) -> None:
        """Leave `node` to a person: a finding, and a TODO comment above its statement."""
        self.plan.leave(self.code, module, node, why)

    def note(self, module: Module, node: cst.CSTNode, message: str) -> None:
        """Tell something that nobody must act on."""
        self.plan.note(self.code, module, node, message)

    def is_claimed(self, node: cst.CSTNode) -> bool:
        return self.plan.is_claimed(node)
