"""Where a command prints: colours and columns on a terminal, plain text elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..record import Record
from .records import abbreviated
from .words import to_json

PIPE_WIDTH = 1000  # columns of what is not cut to a screen
WIDEST = 36  # columns of a cell


class Screen:
    """A stream. `live`: a terminal on which lines can be drawn anew."""

    def __init__(self, *, error: bool = False) -> None:
        file = sys.stderr if error else sys.stdout
        if hasattr(file, "reconfigure"):
            file.reconfigure(errors="backslashreplace")  # a name that ASCII cannot write
        self._file = file
        plain = not file.isatty()
        self.console = Console(
            file=file, highlight=False, markup=False, emoji=False,
            width=PIPE_WIDTH if plain else None,
        )  # fmt: skip
        self.live = not plain and not self.console.is_dumb_terminal

    def write(self, text: str = "") -> None:
        self._file.write(f"{text}\n")
        self._file.flush()

    def line(self, *parts: str | Text) -> None:
        """One line, not cut."""
        self.show(Text.assemble(*parts))

    def show(self, what: Any) -> None:
        """Anything that rich draws, without the blanks that it fills lines with."""
        with self.console.capture() as capture:
            self.console.print(what, soft_wrap=isinstance(what, Text))
        self.write("\n".join(each.rstrip(" ") for each in capture.get().splitlines()))

    def json(self, value: Any) -> None:
        """One document; on a terminal with line breaks."""
        self.write(to_json(value, indent=2 if self._file.isatty() else None))

    def id(self, record: Record, among: Sequence[Record] = ()) -> str:
        """An id, on a terminal no longer than it takes to tell it from the others."""
        return abbreviated(record.id, [each.id for each in among]) if self.live else record.id


def table(*columns: str, rest: bool = False) -> Table:
    """A table of nothing but aligned columns; one that ends with `>` is aligned to the right.
    With `rest` there is one more, without a name, for what may be cut to what room is left."""
    result = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0), expand=rest)
    for column in columns:
        right = column.endswith(">")
        result.add_column(
            column.removesuffix(">"), justify="right" if right else "left", no_wrap=True,
            overflow="ellipsis", max_width=WIDEST,
        )  # fmt: skip
    if rest:
        result.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    return result
