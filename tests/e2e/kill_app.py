"""An app whose tasks do not end."""

import os
import subprocess
import time

from quart import Quart

from quart_tasks import QuartTasks, progress

app = Quart(__name__)
tasks = QuartTasks(app)


@tasks.task(executor="process")
def spins() -> None:
    progress(os.getpid())
    while True:
        pass


@tasks.task(executor="process")
def holds_the_gil() -> None:
    """One call of C code, for days, in which no signal handler and no other thread runs."""
    progress(os.getpid())
    sum(range(10**15))


@tasks.task(executor="process")
def has_a_child() -> None:
    script = "trap '' TERM HUP; sleep 1000 & echo; wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        progress(os.getpid())


@tasks.task
def sleeps_in_a_thread() -> None:
    progress(1)
    time.sleep(1_000_000)


@tasks.task
def spins_in_a_thread() -> None:
    progress(1)
    while True:
        pass


@tasks.task
def ignores_its_end() -> None:
    """Goes on whatever is raised in it."""
    progress(1)
    while True:
        try:
            time.sleep(0.01)
            progress(2)
        except BaseException:  # noqa: BLE001 - that is the fault
            continue
