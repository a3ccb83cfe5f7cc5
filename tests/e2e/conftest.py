"""What the tests of the command line share."""

from collections.abc import Iterator

import pytest

from quart_tasks.cli import session

from .serving import HANG
from .shell import Shell, served


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    with pytest.MonkeyPatch.context() as patch, served() as shell:
        for name in ("CONNECT_SECONDS", "ANSWER_SECONDS"):  # of commands in this process
            patch.setattr(session, name, HANG)
        yield shell
