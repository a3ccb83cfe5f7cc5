"""Those who report, in rounds: on the loop, in threads or in processes, each once a round.

Threads and processes wait in a read of a named pipe, so that to wake them costs alike whoever
they report to.
"""

import asyncio
import os
import tempfile
from collections.abc import Callable
from itertools import count


class Rounds:
    """Wakes all that wait for the next round; `close` ends those in threads and processes."""

    def __init__(self) -> None:
        self._folders: list[tempfile.TemporaryDirectory[str]] = []
        self._pipes: list[int] = []
        self._next = asyncio.Event()

    def pipe(self) -> str:
        """The path of a pipe for one more reporter."""
        folder = tempfile.TemporaryDirectory()
        path = f"{folder.name}/pipe"
        os.mkfifo(path)
        self._folders.append(folder)
        self._pipes.append(os.open(path, os.O_RDWR))
        return path

    async def wait(self) -> None:
        await self._next.wait()

    def begin(self) -> None:
        present, self._next = self._next, asyncio.Event()
        present.set()
        for pipe in self._pipes:
            os.write(pipe, b"n")

    def close(self) -> None:
        for pipe in self._pipes:
            os.write(pipe, b"e")
            os.close(pipe)
        for folder in self._folders:
            folder.cleanup()


def report(path: str, say: Callable[[int], None]) -> None:
    """Say the number of each round, until the end."""
    pipe = os.open(path, os.O_RDONLY)
    for number in count():
        if os.read(pipe, 1) != b"n":
            return
        say(number)
