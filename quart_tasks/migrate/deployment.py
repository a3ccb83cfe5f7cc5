"""What beside the Python files names Flask or serves WSGI: told, and not changed."""

import re
from collections.abc import Iterator
from pathlib import Path

from .report import Finding

CODE = "QT701"
_PATTERNS = (
    "requirements*.txt", "requirements/*.txt", "Pipfile", "pyproject.toml", "setup.cfg",
    "Procfile", "Dockerfile*", "docker-compose*.y*ml", "compose*.y*ml", "*.service", "*.sh",
    "uwsgi.ini", ".flaskenv", "Makefile",
)  # fmt: skip
_TOLD = {
    r"(?i)^\s*[\"']?flask\s*(?:[\[=<>~!;,\"'#]|$)": "Require Quart here, in Flask's place.",
    r"\b(gunicorn|uwsgi|waitress-serve)\b": "This serves WSGI: Quart needs Hypercorn, or another "
    "ASGI server.",
    r"\bflask\s+(--app|run|shell)\b": "`quart` takes the place of the command `flask`.",
}


def told_about(root: Path) -> Iterator[Finding]:
    """One finding for each file in `root` and each thing to know about it."""
    for pattern in _PATTERNS:
        for path in sorted(root.glob(pattern)):
            if path.is_file():
                yield from _in_file(path, root)


def _in_file(path: Path, root: Path) -> Iterator[Finding]:
    lines = path.read_text("utf-8", "replace").splitlines()
    for pattern, text in _TOLD.items():
        numbers = [number for number, line in enumerate(lines, 1) if re.search(pattern, line)]
        if numbers:
            yield Finding(path.relative_to(root), numbers[0], CODE, text, "note")
