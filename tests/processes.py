"""Other processes: whom one has started, and when one ends."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path


def descendants(pid: int) -> set[int]:
    """The processes that one has started, and those that they have."""
    found: set[int] = set()
    with suppress(FileNotFoundError):  # it has just ended
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, read_proc(path).split()):
                found |= {child} | descendants(child)
    return found


def read_proc(path: Path) -> str:
    """A file in /proc; empty if its process or thread has just ended."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


class Watched:
    """A process, not necessarily a child, whose end can be awaited."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._fd = os.pidfd_open(pid)  # readable once it has ended
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._fd, self._ended.set)

    async def ended(self) -> None:
        await self._ended.wait()
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
