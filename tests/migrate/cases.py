"""What the tests of the rules share: sources in, migrated sources and findings out."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from quart_tasks.migrate.report import Finding
from quart_tasks.migrate.run import Migration, migrate

Sources = Mapping[str, str]


def migrated(files: Sources) -> tuple[dict[str, str], list[Finding]]:
    """The files after a migration, all of them, and what was found.

    Checks what holds for every migration: the output compiles, and a second run changes nothing.
    """
    with TemporaryDirectory() as directory:
        root = Path(directory)
        for name, source in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(textwrap.dedent(source))
        first = migrate(root)
        first.write()
        after = {name: (root / name).read_text() for name in files}
        for name, source in after.items():
            compile(source, name, "exec")
        second = migrate(root)
        changed = {str(path): text for path, (_, text) in second.sources.items()}
        assert not changed, f"a second run changed {changed}"
        assert _left(second) == _left(first), "a second run left something else"
        return after, first.findings


def check(before: str, after: str, *codes: str) -> None:
    """One file, exactly as expected; `codes` are those of what is left to a person."""
    sources, findings = migrated({"app.py": before})
    assert sources["app.py"] == textwrap.dedent(after)
    assert [finding.code for finding in findings if finding.kind == "left"] == list(codes)


def unchanged(source: str, *codes: str) -> None:
    check(source, source, *codes)


def _left(migration: Migration) -> list[tuple[str, str]]:
    return [(f.code, f.message) for f in migration.findings if f.kind == "left"]
