"""Made Flask apps answer the same after their migration."""

import asyncio
import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from .asking import Ask, same_answers
from .made import apps

# To explain a failure takes hypothesis minutes here.
PHASES = [Phase.explicit, Phase.generate, Phase.shrink]
QUICK = settings(
    max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES,
    derandomize=True, database=None,
)  # fmt: skip
BODIES = [{"a": 1}, [], "stop", 0]


def check(made: tuple[str, list[str]]) -> None:
    source, paths = made
    asks = [Ask(f"{path}?a=b", "POST", json=body) for path in paths for body in BODIES]
    asyncio.run(same_answers(source, asks))


@settings(QUICK)
@given(apps())
def test_made_apps_answer_the_same(made: tuple[str, list[str]]) -> None:
    check(made)


@pytest.mark.long
@pytest.mark.timeout(1200)
# Others at each run, but for CI, where what fails has to fail again.
@settings(QUICK, max_examples=500, derandomize="CI" in os.environ, print_blob=True)
@given(apps())
def test_many_made_apps_answer_the_same(made: tuple[str, list[str]]) -> None:
    check(made)
