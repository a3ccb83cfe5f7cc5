"""The README's examples of the six ways are what the command makes of them."""

from __future__ import annotations

import re
from pathlib import Path

from tests.migrate.cases import check

README = Path(__file__).parents[2] / "README.md"
PAIR = re.compile(r"```python\n# before\n(.*?)```\n\n```python\n# after: .*?\n(.*?)```", re.DOTALL)


def test_each_example_is_what_the_command_makes_of_it() -> None:
    pairs = PAIR.findall(README.read_text())
    assert len(pairs) == 6
    for before, after in pairs:
        check(before, after)
