"""The comments that stay in the code where a person must decide."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import libcst as cst

from .change import Rewrite
from .module import Module
from .plan import Todo
from .report import Finding

MARK = "# TODO[quart-tasks]: "
# Of a comment that an earlier run has put, and this one would not.
STANDING = "QT002"


def commented(
    todos: Iterable[Todo],
) -> Iterator[tuple[Module, cst.CSTNode, Rewrite]]:
    """The edits that put the comments above the statements of their nodes, each only once."""
    wanted: dict[tuple[Module, cst.CSTNode, str], None] = {}
    for module, node, why in todos:
        wanted[module, module.statement(node), MARK + why] = None
    for module, statement, comment in wanted:
        if comment not in _above(module, statement):
            yield module, statement, _adding(comment)


def standing(modules: Iterable[Module], todos: Iterable[Todo]) -> Iterator[Todo]:
    """The comments that stand in the code though none of these `todos` asks for them."""
    known = {(module.statement(node), why) for module, node, why in todos}
    for module in modules:
        for comment in module.all(cst.Comment) if MARK in module.source else ():
            why = comment.value.removeprefix(MARK).strip()
            owner = module.statement(comment)
            owners = {owner, *module.tree.body[:1]} if owner is module.tree else {owner}
            if comment.value.startswith(MARK) and not any((one, why) in known for one in owners):
                yield module, comment, why


def as_written(
    findings: Iterable[Finding], statements: Mapping[Finding, int], sources: Mapping[Path, str]
) -> list[Finding]:
    """The findings with the lines where their comments stand in the new `sources`.

    `statements` numbers what each is about: those of the same text share one comment there.
    """
    found: dict[tuple[Path, str], dict[int, list[Finding]]] = defaultdict(dict)
    for finding, number in statements.items():
        if finding.path in sources:
            groups = found[finding.path, finding.message]
            groups.setdefault(number, []).append(finding)
    places = {path: _lines(source) for path, source in sources.items()}
    moved: dict[Finding, int] = {}
    for (path, text), groups in found.items():
        lines = places[path].get(text, [])
        if len(lines) == len(groups):
            for number, line in zip(sorted(groups), lines, strict=True):
                moved.update(dict.fromkeys(groups[number], line))
    return sorted(replace(each, line=moved.get(each, each.line)) for each in findings)


def _lines(source: str) -> dict[str, list[int]]:
    """The lines of each comment, by its text."""
    lines: dict[str, list[int]] = defaultdict(list)
    for number, line in enumerate(source.splitlines(), 1):
        before, mark, text = line.partition(MARK)
        if mark and not before.strip():
            lines[text.strip()].append(number)
    return lines


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
