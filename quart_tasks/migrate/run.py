"""The whole way: read, let the rules look, colour, rewrite."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import rules  # noqa: F401 — each rule enters RULES when it is imported
from .coloring import Coloring
from .deployment import told_about
from .plan import Plan
from .project import read_project
from .report import Finding
from .rewriting import rewritten
from .rule import RULES
from .todo import STANDING, as_written, standing

# The rules of imports: a project in which they find nothing has no Flask.
_IMPORTS = {"QT201", "QT205"}
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Migration:
    """`sources` has the text before and after of each file that changes, `findings` all of them.

    Paths are relative to `root`, lines those of the files as they are. In `written`, what is left
    has the lines where its comments stand when the files are written.
    """

    root: Path
    sources: dict[Path, tuple[str, str]]
    findings: list[Finding]
    written: list[Finding]

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to a person."""
        return all(finding.kind != "left" for finding in self.findings)

    def write(self) -> None:
        for path, (_, after) in self.sources.items():
            with (self.root / path).open("w", encoding="utf-8", newline="") as file:
                file.write(after)


def migrate(path: Path, on_progress: Progress | None = None) -> Migration:
    """Migrate the file, or all files under the directory `path`, in memory.

    `on_progress(step, done, total)` is called as each step goes on.
    """
    with _without_collections():
        return _migrate(path, on_progress or (lambda step, done, total: None))


@contextmanager
def _without_collections() -> Iterator[None]:
    """A million nodes that live to the end: looking for garbage took 4 of 10 seconds."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _migrate(path: Path, tell: Progress) -> Migration:
    project = read_project(path, lambda done, total: tell("reading", done, total))
    plan = Plan(project)
    looking = [rule(plan) for rule in RULES]
    modules = list(project.modules.values())
    for number, rule in enumerate(looking):
        tell("looking", number, len(looking))
        for module in modules:
            rule.look(module)
    tell("colouring", 0, 1)
    Coloring(plan).run()
    for rule in looking:
        for module in modules:
            rule.coloured(module)
    plan.conclude()
    for module, comment, text in standing(modules, plan.todos):
        plan.find_left(STANDING, module, comment, text)
    tell("writing", 0, 1)
    sources = {
        module.path.relative_to(project.root): (module.source, source)
        for module, source in rewritten(plan).items()
    }
    for file, source in plan.created.items():
        sources[file.relative_to(project.root)] = ("", source)
    for file, why in project.unread.items():
        text = f"This file was not read: {why}"
        plan.add_finding(Finding(file.relative_to(project.root), 1, "QT001", text, "left"))
    if any(finding.code in _IMPORTS for finding in plan.findings):
        for finding in told_about(project.root):
            plan.add_finding(finding)
    after = {path: text for path, (_, text) in sources.items()}
    written = as_written(plan.findings, plan.statements, after)
    return Migration(project.root, sources, plan.findings, written)
