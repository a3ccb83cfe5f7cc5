"""What holds for every rule."""

import inspect
import re
from pathlib import Path

from quart_tasks.migrate import rules, run  # noqa: F401 — the run imports all rules
from quart_tasks.migrate.rule import RULES

FILES = {path.stem for path in Path(rules.__file__).parent.glob("*.py")} - {"__init__"}


def test_each_file_has_one_rule() -> None:
    assert sorted(rule.__module__.rpartition(".")[2] for rule in RULES) == sorted(FILES)


def test_each_rule_has_a_code_of_its_own() -> None:
    codes = [rule.code for rule in RULES]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"QT\d{3}", code) for code in codes)


def test_each_rule_shows_before_and_after() -> None:
    shown = [
        rule.code for rule in RULES if re.search(r"(?is)before.+after", inspect.getdoc(rule) or "")
    ]
    assert shown == [rule.code for rule in RULES]


def test_rules_look_in_the_order_of_their_codes() -> None:
    codes = [rule.code for rule in RULES]
    assert codes == sorted(codes)
