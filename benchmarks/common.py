"""What every question shares: figures, results, the table, the machine, the child process."""

import gc
import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

ROOT = Path(__file__).parent.parent


class Figure(msgspec.Struct, frozen=True):
    """The median of the repeats, and the lowest and highest of them."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{self.median:,.4g}"
        return f"{_short(self.median)} ({_short(self.low)} to {_short(self.high)})"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. `ratio` is `ours` by `baseline`, both in `unit`; `met` is None without an aim."""

    name: str
    question: str
    ours: Figure
    baseline: Figure
    ratio: float
    unit: str
    aim: str
    met: bool | None
    notes: str = ""


def figure(values: Sequence[float]) -> Figure:
    return Figure(median(values), min(values), max(values))


def ratio(ours: Figure, baseline: Figure) -> float:
    return ours.median / baseline.median


def line(result: Result) -> str:
    verdict = {True: ": met", False: ": missed", None: ""}[result.met]
    text = (
        f"{result.name}: {result.question}\n"
        f"  ours      {result.ours} {result.unit}\n"
        f"  baseline  {result.baseline} {result.unit}\n"
        f"  ratio     {result.ratio:.2f}, aim {result.aim}{verdict}\n"
    )
    return text + (f"  {result.notes}\n" if result.notes else "")


def machine() -> dict[str, str]:
    cpu = next(
        (
            text.partition(":")[2].strip()
            for text in Path("/proc/cpuinfo").read_text().splitlines()
            if text.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "cpu": cpu,
        "cores": str(len(os.sched_getaffinity(0))),
        "python": platform.python_version(),
        "quart": version("quart"),
        "hypercorn": version("hypercorn"),
    }


def rss() -> int:
    """The bytes of memory that this process holds, after a full collection."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def environment() -> dict[str, str]:
    """The environment without `TASKS_…`, which would win over a benchmark's own settings."""
    return {key: value for key, value in os.environ.items() if not key.startswith("TASKS_")}


def in_child(module: str, *arguments: object) -> Any:
    """Run `python -m module …` in a process of its own; what it prints is the JSON returned.

    Memory is measured there: this process has a past, and its free lists would hide the growth.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, cwd=ROOT, env=environment(), check=True)
    return json.loads(done.stdout)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
