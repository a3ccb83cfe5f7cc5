"""What the tests of the command line share."""

from collections.abc import Iterator

import pytest

from .shell import Shell, served


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    with served() as shell:
        yield shell
