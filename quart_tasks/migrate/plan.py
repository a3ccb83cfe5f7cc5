"""All that the rules want done to a project, before it is done."""

from pathlib import Path

import libcst as cst

from .change import Change, Claims
from .module import Module
from .origin import Origins
from .project import Project
from .report import Finding, Kind

# A comment to put above the statement of a node.
Todo = tuple[Module, cst.CSTNode, str]


class Plan:
    def __init__(self, project: Project) -> None:
        self.project = project
        self.origins = Origins(project)
        self.changes: list[Change] = []
        self._claims: Claims = {}
        self._left: list[tuple[str, Module, cst.CSTNode, str]] = []
        self._findings: dict[Finding, None] = {}
        self.todos: list[Todo] = []
        # What is left, with the number of its statement in its file.
        self.statements: dict[Finding, int] = {}
        self.async_functions: set[cst.FunctionDef] = set()
        # Files that an edit wants made, with their text.
        self.created: dict[Path, str] = {}

    def add(self, change: Change) -> Change:
        change.claims = self._claims
        self.changes.append(change)
        return change

    @property
    def findings(self) -> list[Finding]:
        """All that was found, by file and line."""
        return sorted(self._findings)

    def add_finding(self, finding: Finding) -> None:
        self._findings[finding] = None

    def leave(self, code: str, module: Module, node: cst.CSTNode, why: str) -> None:
        self._left.append((code, module, node, why))

    def note(self, code: str, module: Module, node: cst.CSTNode, message: str) -> None:
        self._find(code, module, node, message, "note")

    def is_claimed(self, node: cst.CSTNode) -> bool:
        return any(not change.blocked for change in self._claims.get(node, ()))

    def is_async(self, function: cst.FunctionDef) -> bool:
        """Whether a function is async in the end: asked by edits when they are made."""
        return function.asynchronous is not None or function in self.async_functions

    def conclude(self) -> None:
        """Turn the changes into findings; those that are not made are left to a person."""
        for change in self.changes:
            if change.blocked:
                why = f"{change.blocked} {change.advice}".strip()
                self.leave(change.code, change.module, change.node, why)
                if change.barred is not None:
                    self._leave_elsewhere(change, *change.barred, why)
            else:
                self._find(change.code, change.module, change.node, change.message, "changed")
        for code, module, node, why in self._left:
            if not self.is_claimed(node):
                self.todos.append((module, node, why))
                self.find_left(code, module, node, why)

    def find_left(self, code: str, module: Module, node: cst.CSTNode, why: str) -> None:
        finding = self._find(code, module, node, why, "left")
        self.statements[finding] = module.order(module.statement(node))

    def _leave_elsewhere(self, change: Change, module: Module, node: cst.CSTNode, why: str) -> None:
        """Say it also at what cannot await, if that is another statement than the change's."""
        if module.statement(node) is not change.module.statement(change.node):
            self.leave(change.code, module, node, why)

    def _find(self, code: str, module: Module, node: cst.CSTNode, text: str, kind: Kind) -> Finding:
        path = module.path.relative_to(self.project.root)
        finding = Finding(path, module.line(node), code, text, kind)
        self.add_finding(finding)
        return finding
