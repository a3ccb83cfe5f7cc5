"""Two revisions of the package beside each other, by turns: is one slower?

Both are asked the same, present questions: a copy of this folder is put beside the package of the
other revision. A turn is a quick run in a process of its own, without peers. Whether a difference
is more than noise says a rank test: how often would luck alone part the turns' figures as far?
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from io import BytesIO
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

from .common import ROOT, Figure, environment, figure
from .table import aligned, number

QUESTIONS = ["inprocess", "accept", "stream", "listing"]  # the quick ones, and the steady
TURNS, QUICK = 7, 5
LUCK = 0.01  # with 5 turns each: all of one before all of the other, which luck does in 0.008

Row = tuple[str, str]  # its name and its unit
Taken = dict[Row, list[float]]  # a figure a turn


def main(revision: str, names: list[str] | None, quick: bool) -> int:
    """Print how the package here compares with that of `revision`; 1 where it is slower."""
    turns = QUICK if quick else TURNS
    here: Taken = {}
    there: Taken = {}
    with TemporaryDirectory() as folder:
        commit = check_out(revision, Path(folder))
        print(f"The package here against that of {commit}, {turns} turns each.\n", flush=True)
        sides = [(ROOT, here), (Path(folder), there)]
        for turn in range(turns):
            for name in names or QUESTIONS:
                for tree, taken in sides:
                    ask(name, tree, taken)
            sides.reverse()  # whoever comes second finds a warmer machine, or a slower one
            print(f"turn {turn + 1} of {turns}", file=sys.stderr)
    rows = [compared(row, here[row], there[row]) for row in here if row in there]
    head = ("", "unit", "here", commit, "ratio", "beyond noise?")
    print(aligned(head, rows))
    return int(any(row[-1].startswith("slower") for row in rows))


def check_out(revision: str, folder: Path) -> str:
    """Put the package of `revision` and the questions of today into `folder`."""
    git = ("git", "-C", str(ROOT))
    try:
        archive = subprocess.check_output([*git, "archive", revision, "quart_tasks"])
        commit = subprocess.check_output([*git, "rev-parse", "--short", revision], text=True)
    except (OSError, subprocess.CalledProcessError):
        sys.exit(f"{revision!r} is no revision of a git clone in {ROOT}: name a commit or a tag.")
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    shutil.copytree(
        Path(__file__).parent, folder / "benchmarks", ignore=shutil.ignore_patterns("__pycache__")
    )
    return commit.strip()


def ask(name: str, tree: Path, taken: Taken) -> None:
    """Have the package in `tree` measured once, and add its figures."""
    path = os.pathsep.join([str(tree), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    done = subprocess.run(
        [sys.executable, "-m", __package__, "--only", name, "--quick", "--no-peers", "--json"],
        stdout=subprocess.PIPE, cwd=tree, env=environment() | {"PYTHONPATH": path},
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"The question {name!r} failed in {tree}, see above: leave it out with --only.")
    results = json.loads(done.stdout)["results"]
    for index, result in enumerate(results, 1):
        # Where a question has several answers they are numbered, as it prints them.
        label = f"{name} {index}" if len(results) > 1 else name
        ours = [row for row in result["peers"] if row["name"].startswith("quart_tasks")]
        for row in [{"name": result["ours_name"], "figure": result["ours"]}, *ours]:
            way = row["name"].removeprefix("quart_tasks").strip(", ")
            if (found := (row["figure"] or {}).get("median")) is not None:
                taken.setdefault((f"{label} {way}".strip(), result["unit"]), []).append(found)


def compared(row: Row, here: list[float], there: list[float]) -> tuple[str, ...]:
    """Its line of the table."""
    ours, theirs = figure(here), figure(there)
    luck = by_luck(here, there)
    verdict = "no"
    if luck < LUCK:
        more_is_better = row[1].endswith("/s")
        verdict = "quicker" if (ours.median > theirs.median) == more_is_better else "slower"
    ratio = f"{ours.median / theirs.median:.2f}"
    return *row, _spread(ours), _spread(theirs), ratio, f"{verdict} ({luck:.1g})"


def by_luck(here: list[float], there: list[float]) -> float:
    """The share of all ways to deal these figures to two sides that part them as far as they
    are, by the sum of the ranks: Wilcoxon's test."""
    both = here + there
    ranks = [
        sum(each < one for each in both) + sum(each == one for each in both) / 2 for one in both
    ]
    middle = sum(ranks) / len(both) * len(here)
    # The first way is how they were dealt.
    apart = [abs(sum(dealt) - middle) for dealt in combinations(ranks, len(here))]
    return sum(each >= apart[0] for each in apart) / len(apart)


def _spread(one: Figure) -> str:
    return f"{number(one.median)} ±{(one.high - one.low) / 2 / one.median:.0%}"
