"""A picture of each question: a bar to the median of each row, a whisker from low to high."""

# mypy: ignore-errors
# What it imports may be missing where types are checked.

import textwrap
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from .common import Result
from .table import VERDICT, number, there

OURS, BASELINE, PEER, TEXT = "#2563eb", "#475569", "#b6bfcc", "#334155"
WIDTH = 10  # inches
BAR = 0.3
HEAD = 0.9


def save(name: str, results: list[Result], about: str, folder: Path) -> Path:
    """Write `name`.png, with a part for each of the question's results; gives its path."""
    heights = [HEAD + BAR * len(result.rows()) for result in results]
    picture = Picture(figsize=(WIDTH, sum(heights) + 0.3), dpi=120, layout="constrained")
    parts = picture.subplots(len(results), squeeze=False, height_ratios=heights)[:, 0]
    for axes, result in zip(parts, results, strict=True):
        _draw(axes, result)
    picture.supxlabel(about, fontsize=7, color=TEXT)
    path = folder / f"{name}.png"
    picture.savefig(path)
    return path


def _draw(axes: Axes, result: Result) -> None:
    rows = result.rows()
    most = max([row.figure.high for row in rows if there(row.figure)], default=1.0)
    for place, row in enumerate(rows):
        if not there(row.figure):
            axes.text(0, place, " missing", va="center", fontsize=8, color=TEXT)
            continue
        low, middle, high = row.figure.low, row.figure.median, row.figure.high
        axes.barh(
            place, middle, height=0.7, color=_color(result, row.name), capsize=2, ecolor=TEXT,
            xerr=[[middle - low], [high - middle]], error_kw={"elinewidth": 1},
        )  # fmt: skip
        says = number(middle) + (f" ({row.aim}{VERDICT[row.met]})" if row.met is not None else "")
        axes.text(high + most / 100, place, says, va="center", fontsize=8, color=TEXT)
    axes.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8)
    axes.invert_yaxis()
    # To the right of the longest bar there is room for what it says.
    axes.set_xlim(0, most * 1.35)
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.set_xlabel(result.unit, fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.set_title(
        "\n".join(textwrap.wrap(f"{result.name}: {result.question}", 110)), fontsize=9, loc="left"
    )
    axes.spines[["top", "right"]].set_visible(False)


def _color(result: Result, name: str) -> str:
    if name == result.baseline_name:
        return BASELINE
    return OURS if name == result.ours_name or name.startswith("quart_tasks") else PEER
