"""An app whose tasks do not end."""

import time
from asyncio import CancelledError
from contextlib import suppress

from quart import Quart

from quart_tasks import progress

from ..faulty_tasks import tasks

app = Quart(__name__)
tasks.init_app(app)


def begin() -> None:
    """Say so, and go on also where that was too late for the task's timeout."""
    with suppress(CancelledError):
        progress(1)


@tasks.task
def sleeps_in_a_thread() -> None:
    begin()
    time.sleep(1_000_000)


@tasks.task
def spins_in_a_thread() -> None:
    begin()
    while True:
        pass


@tasks.task
def ignores_its_end() -> None:
    """Goes on whatever is raised in it."""
    begin()
    while True:
        try:
            time.sleep(0.01)
            progress(2)
        except BaseException:  # noqa: BLE001 - that is the fault
            continue
