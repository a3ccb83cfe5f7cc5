"""What is told at the end: findings and differences."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["changed", "left", "note"]


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that was changed, left to a person, or is only told. `line` counts from 1."""

    path: Path
    line: int
    code: str
    message: str
    kind: Kind = "changed"

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.code} {self.message}"

    def as_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "path": str(self.path),
            "line": self.line,
            "kind": self.kind,
            "message": self.message,
        }


def difference(path: Path, before: str, after: str) -> str:
    """The change of one file as `diff -u` shows it."""
    lines: Iterable[str] = difflib.unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        fromfile=f"a/{path}",
        tofile=f"b/{path}",
    )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
