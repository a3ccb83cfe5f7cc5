"""Tasks for the tests of the command line."""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

from quart import Quart

from quart_tasks import Blob, QuartTasks, RetryPolicy, current_task, progress, track

from ..waiting import pass_gate, pass_gate_on_loop

EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m[red]x[/red]\u202e\r\nnext"

app = Quart(__name__)
tasks = QuartTasks(app)
logger = logging.getLogger("shop")
logging.getLogger("quart_tasks").setLevel(logging.CRITICAL)  # failures are what is tested


@tasks.task
async def same(value: Any = None) -> Any:
    """Give back what it got."""
    return value


@tasks.task(idempotent=True)
async def opened(gate: str, steps: int = 2) -> str:
    """Come half of the way, then wait at a gate."""
    progress(steps / 2, steps, "waiting")
    await pass_gate_on_loop(gate)
    return "opened"


@tasks.task
def stubborn(gate: str) -> None:
    """A thread that does not look whether it is cancelled, until a gate opens."""
    pass_gate(gate)


@tasks.task
async def talk(words: list[str]) -> AsyncIterator[str]:
    """Log a warning and yield each word."""
    for word in track(words):
        logger.warning("now %s", word)
        yield word


@tasks.task(retries=RetryPolicy(1, delay=0.01))
def flaky(gate: str) -> int:
    """Fail at the first attempt, when the gate opens."""
    pass_gate(gate)
    attempt = current_task().attempt  # type: ignore[union-attr]
    if attempt == 1:
        raise ValueError("not yet")
    return attempt


@dataclass
class Point:
    x: int
    y: int


@tasks.task(timeout=90, concurrency=1)
async def draw(
    point: Point, colour: Literal["red", "blue"] = "red", size: int | None = None
) -> None:
    """Draw a point."""


@tasks.task
async def report(rows: int) -> str:
    """A result of so many rows, as text."""
    return "row\n" * rows


@tasks.task
def letter(text: str) -> Blob:
    """A blob of text."""
    return Blob(text.encode(), "text/plain; charset=utf-8")


@tasks.task
async def evil() -> AsyncIterator[str]:
    """Say what a terminal must never see."""
    progress(1, 2, EVIL)
    logger.error(EVIL)
    yield EVIL
    raise RuntimeError(EVIL)


@tasks.task(name="[red]evil\x1b[2J[/red]")
async def evil_name(value: str = EVIL) -> str:
    """\x1b[2J[red]"""
    return value


@tasks.task
def broken() -> None:
    """Fail."""
    raise ValueError("as asked")
