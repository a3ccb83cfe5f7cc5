"""Results as text: Markdown tables of at most 100 columns, and what there is to know about them."""

import textwrap
from collections.abc import Iterable, Sequence
from math import isnan

from .common import Figure, Peer, Result

COLUMNS = 100
AHEAD = "ours is ahead"
VERDICT = {True: ": met", False: ": missed", None: ""}


def markdown(result: Result) -> str:
    """What was asked, a table of the rows, and the notes."""
    rows = [
        (row.name, *_figures(row.figure), _ratio(row.ratio), _aim(row)) for row in result.rows()
    ]
    of_peers: dict[str, list[str]] = {}
    for peer in result.peers:
        of_peers.setdefault(peer.notes, []).append(peer.name)
    notes = [result.notes, *(note and f"{'; '.join(by)}: {note}" for note, by in of_peers.items())]
    items = [textwrap.fill(f"- {note}", COLUMNS, subsequent_indent="  ") for note in notes if note]
    return "\n".join(
        [
            textwrap.fill(f"**{result.name}**: {result.question} ({result.unit})", COLUMNS),
            "",
            aligned(("", "median", "low to high", "ratio", "aim"), rows),
            "",
            *items,
            *([""] if items else []),
        ]
    )


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that is one as plain text, too: all but the first and the last column are
    figures, and stand on the right of theirs."""
    widths = [max(3, *map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        (first, *middle, last), (left, *inner, right) = cells, widths
        figures = [cell.rjust(width) for cell, width in zip(middle, inner, strict=True)]
        return "| " + " | ".join([first.ljust(left), *figures, last.ljust(right)]) + " |"

    rules = ["-" * width for width in widths]
    rules[1:-1] = [rule[:-1] + ":" for rule in rules[1:-1]]
    return "\n".join(map(line, [head, rules, *rows]))


def aims(results: Iterable[Result]) -> str:
    """Each figure that has an aim, in one table: beside its limit, or beside the peer that it is
    to be ahead of."""
    rows = []
    for result in results:
        what = f"{result.name}: {result.question}"
        for row in result.rows():
            if row.met is None:
                continue
            ahead = row.aim == AHEAD
            ours, limit = (result.ours, row.figure) if ahead else (row.figure, result.baseline)
            against = row.name if ahead else result.baseline_name
            of = "" if ahead or row.name == result.ours_name else f", {row.name}"
            share = result.ours.median / row.figure.median if ahead and row.figure else row.ratio
            rows.append(
                (
                    f"{what} ({result.unit}){of}", _figures(ours)[0],
                    f"{against.removeprefix('limit: ')}: {_figures(limit)[0]}", _ratio(share),
                    _aim(row),
                )
            )  # fmt: skip
    lines = ["| question | ours | beside | ratio | aim |", "| --- | ---: | :--- | ---: | :--- |"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) if rows else ""


def missing(results: Iterable[Result]) -> list[str]:
    """A sentence for each row without a figure."""
    sentences = [
        f"{result.name}: {row.name}: {row.notes or result.notes or 'not measured'}"
        for result in results
        for row in result.rows()
        if not there(row.figure)
    ]
    return list(dict.fromkeys(sentences))


def there(figure: Figure | None) -> bool:
    return figure is not None and not isnan(figure.median)


def number(value: float) -> str:
    """Three figures that say something, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _figures(figure: Figure | None) -> tuple[str, str]:
    if figure is None or isnan(figure.median):
        return "missing", ""
    if figure.low == figure.high:
        return number(figure.median), ""
    return number(figure.median), f"{number(figure.low)} to {number(figure.high)}"


def _ratio(value: float | None) -> str:
    return "" if value is None or isnan(value) else f"{value:.2f}"


def _aim(row: Peer) -> str:
    return "" if row.aim in ("", "none") else row.aim + VERDICT[row.met]
