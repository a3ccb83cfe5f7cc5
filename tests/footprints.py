"""What tasks leave in a file when they begin, so that it can be seen whatever becomes of them."""

import os
from collections import defaultdict
from pathlib import Path

from quart_tasks import current_task


def append(path: str | Path) -> int:
    """Write down that this attempt has begun, in one write to the end of a file: the line is whole
    whatever happens to the process. The attempt's number."""
    context = current_task()
    assert context is not None
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{context.id} {context.attempt}\n".encode())
    finally:
        os.close(file)
    return context.attempt


def appended(path: str | Path) -> list[tuple[str, int]]:
    """The ids and numbers of the attempts that were written down; of none there is no file."""
    text = Path(path).read_text() if Path(path).exists() else ""
    return [(id, int(attempt)) for id, attempt in map(str.split, text.splitlines())]


def runs(path: str | Path) -> dict[str, list[int]]:
    """The attempts that were begun, by id."""
    found: dict[str, list[int]] = defaultdict(list)
    for id, attempt in appended(path):
        found[id].append(attempt)
    return found
