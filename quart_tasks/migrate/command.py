"""`quart-tasks migrate PATH [--write] [--json]`."""

import json
import sys
from collections import Counter
from pathlib import Path

import click

from .report import Kind, difference
from .run import Migration, migrate

STEPS = ["reading", "looking", "colouring", "writing"]


def run(path: Path, write: bool, as_json: bool) -> int:
    """Migrate and tell; the exit code: 1 if something is left to a person, else 0."""
    migration = _with_bar(path)
    if write:
        migration.write()
    if as_json:
        click.echo(json.dumps(_document(migration, write), indent=2))
    else:
        _tell(migration, write)
    return 0 if migration.is_complete else 1


def _with_bar(path: Path) -> Migration:
    if not sys.stderr.isatty():
        return migrate(path)
    with click.progressbar(length=1000, label="Migrating", file=sys.stderr) as bar:

        def move(step: str, done: int, total: int) -> None:
            position = (STEPS.index(step) + done / max(total, 1)) / len(STEPS)
            bar.update(int(position * 1000) - bar.pos)

        migration = migrate(path, move)
        bar.update(1000 - bar.pos)
        return migration


def _tell(migration: Migration, write: bool) -> None:
    if not write:
        for path, (before, after) in migration.sources.items():
            click.echo(difference(path, before, after), nl=False)
    findings = migration.written if write else migration.findings
    counts = Counter(finding.kind for finding in findings)
    titles: dict[Kind, str] = {"note": "Good to know", "left": "Left to you"}
    for kind, title in titles.items():
        if counts[kind]:
            click.echo(f"\n{title}:")
            for finding in findings:
                if finding.kind == kind:
                    click.echo(f"  {finding}")
    files = len(migration.sources)
    verb = "changed" if write else "would change"
    click.echo(
        f"\n{counts['changed']} changes in {files} files {verb}; {counts['left']} left to you."
        if files or counts["left"]
        else "\nNothing to change."
    )
    if files and not write:
        click.echo("Nothing was written: run it again with --write.")


def _document(migration: Migration, write: bool) -> dict[str, object]:
    findings = migration.written if write else migration.findings
    return {
        "written": write,
        "files": [
            {"path": str(path), "diff": difference(path, before, after)}
            for path, (before, after) in migration.sources.items()
        ],
        "findings": [finding.as_json() for finding in findings],
    }
