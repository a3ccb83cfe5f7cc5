"""Fixtures that many test modules use."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from quart.testing.app import TestApp

from quart_tasks import database, figures, journal

from .waiting import HANG, Gate


@pytest.fixture(autouse=True, scope="session")
def patient_apps() -> Iterator[None]:
    """Quart gives a test's app six seconds to start and six to end; a busy machine takes more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TestApp.__init__, "__defaults__", (HANG, HANG))
        yield


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_is_heard() -> None:
    """A shell that starts the tests in the background has them, and all that they start, ignore
    Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """For tasks to wait at; whoever still does is let go at the end of the test."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.close()


@pytest.fixture
def quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dashboard's figures come as often as they can, and not once a second."""
    monkeypatch.setattr(figures, "EVERY", 0.05)


@pytest.fixture
def hasty_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that another program holds is soon given up, and soon tried again."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    monkeypatch.setattr(journal, "RETRY_SECONDS", 0.1)
