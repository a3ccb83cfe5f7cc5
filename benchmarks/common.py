"""What every question shares: figures, results, the machine, the child process."""

import gc
import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

ROOT = Path(__file__).parent.parent
BESIDE = (
    "aiojobs", "celery", "fastapi", "fastapi-taskflow", "flask", "gunicorn", "loky", "pebble",
    "taskiq", "uvicorn", "uvloop",
)  # fmt: skip


class Figure(msgspec.Struct, frozen=True):
    """The median of the repeats, and the lowest and highest of them."""

    median: float
    low: float
    high: float


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """One more row of a result: another project, or another way of ours.

    `figure` is None for what is missing or failed, and `notes` says why. `ratio` is to the
    baseline unless the notes say otherwise; `met` is None without an aim.
    """

    name: str
    figure: Figure | None
    ratio: float | None = None
    aim: str = ""
    met: bool | None = None
    notes: str = ""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. `ratio` is `ours` by `baseline`, both in `unit`; `met` is None without an aim.

    `name` is the question's, as `--only` takes it. The baseline is the limit, where there is one.
    """

    name: str
    question: str
    ours: Figure
    baseline: Figure
    ratio: float
    unit: str
    aim: str
    met: bool | None
    notes: str = ""
    ours_name: str = "quart_tasks"
    baseline_name: str = "baseline"
    peers: list[Peer] = []

    def rows(self) -> list[Peer]:
        """Everything that was measured, as rows of one kind: the baseline, ours, the peers."""
        ours = Peer(
            name=self.ours_name, figure=self.ours, ratio=self.ratio, aim=self.aim, met=self.met
        )
        return [Peer(name=self.baseline_name, figure=self.baseline), ours, *self.peers]


def figure(values: Sequence[float]) -> Figure:
    return Figure(median(values), min(values), max(values))


def ratio(ours: Figure, baseline: Figure) -> float:
    return ours.median / baseline.median


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
        "kernel": platform.release(),
    }


def versions() -> dict[str, str]:
    """The peers that are installed, and what serves them."""
    found = {}
    for name in BESIDE:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def rss() -> int:
    """The bytes of memory that this process holds, after a full collection."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def environment() -> dict[str, str]:
    """The environment without `TASKS_…`, which would win over a benchmark's own settings; and
    without what has Python compile our modules, which are a checkout's, at each start, where pip
    has compiled all others': an import takes 1.64 times a bare one's instructions so, and 1.13
    when both are compiled, as they are once installed."""
    unwanted = ("TASKS_", "PYTHONDONTWRITEBYTECODE")
    return {key: value for key, value in os.environ.items() if not key.startswith(unwanted)}


def in_child(module: str, *arguments: object) -> Any:
    """Run `python -m module …` in a process of its own; what it prints is the JSON returned.

    Memory is measured there: this process has a past, and its free lists would hide the growth.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, cwd=ROOT, env=environment(), check=True)
    return json.loads(done.stdout)
