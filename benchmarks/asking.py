"""Sides of a comparison, each in a process of its own that measures when it is asked.

They stay ready between two questions, so that they can be asked by turns: a slow minute of the
machine then falls on all alike, and none pays for another's start.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .common import ROOT, Figure, Peer, environment, figure, ratio
from .peers import Missing


class Side:
    """The parent's view of such a process."""

    def __init__(self, child: subprocess.Popen[str], errors: Any) -> None:
        self._child = child
        self._errors = errors

    def ask(self, *question: Any) -> Any:
        """Its answer. Raises Missing, with the last line that it said, if it has ended."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            self._child.stdin.write(json.dumps(question) + "\n")
            self._child.stdin.flush()
            line = self._child.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._errors.seek(0)
            said = self._errors.read().strip()
            raise Missing(said.splitlines()[-1] if said else "it ended and said nothing")
        return json.loads(line)


@contextmanager
def side(module: str, *arguments: object, cores: Collection[int] | None = None) -> Iterator[Side]:
    """`python -m module …`, which calls `answer` or `answer_async`, with all that it starts on
    these cores; ended by the end of its input. Raises Missing where it does not start."""
    with tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT, env=environment(),
        )  # fmt: skip
        try:
            if cores is not None:  # before it starts others, which inherit this
                os.sched_setaffinity(child.pid, cores)
            ready = Side(child, errors)
            ready.ask()
            yield ready
        finally:
            child.communicate()
            if child.returncode:
                errors.seek(0)
                sys.stderr.write(errors.read())


def answer(measure: Callable[..., Any]) -> None:
    """In the child: print what `measure` gives for each question; the first, empty one only
    asks whether it is there."""
    for line in sys.stdin:
        question = json.loads(line)
        print(json.dumps(measure(*question) if question else None), flush=True)


async def answer_async(measure: Callable[..., Awaitable[Any]]) -> None:
    """The same on an event loop, which goes on while there is no question."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        question = json.loads(line)
        print(json.dumps(await measure(*question) if question else None), flush=True)


def peer(name: str, values: Sequence[float] | None, baseline: Figure, notes: str = "") -> Peer:
    """The row of one peer; without values it is missing, and the notes say why."""
    if not values:
        return Peer(name=name, figure=None, notes=notes)
    measured = figure(values)
    return Peer(name=name, figure=measured, ratio=ratio(measured, baseline), notes=notes)
