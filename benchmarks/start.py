"""How long from the command to the first task accepted, and what does the package's import take?

Each time is of a process of its own, by turns, with warm disk caches and compiled modules.
"""

import subprocess
import sys
from contextlib import ExitStack
from socket import create_connection
from statistics import fmean
from time import perf_counter, sleep

from .client import request
from .common import ROOT, Result, environment, figure, ratio
from .peers import free_port
from .peers.processes import start
from .server import Server

MOST = 1.3
PATIENCE = 30  # seconds
SUBMIT = request("POST", "/tasks", {"name": "nothing"})
COMMANDS = {
    # Without a process for the app, as ours has none.
    "bare": "hypercorn --workers 0 --log-level error --bind 127.0.0.1:{} benchmarks.bare:app",
    "ours": "quart_tasks serve --port {} benchmarks.tracked:create_app",
}
IMPORT = (
    "from time import perf_counter, process_time\n"
    "wall, cpu = perf_counter(), process_time()\n"
    "{}\n"
    "print(perf_counter() - wall, process_time() - cpu)"
)
IMPORTS = {"bare": "from quart import Quart", "ours": "from quart_tasks import QuartTasks"}


def to_first_task(which: str) -> tuple[float, float]:
    """The seconds from the command to the first 202, and of the server's processor."""
    port = int(free_port())
    with ExitStack() as stack:
        began = perf_counter()
        command = COMMANDS[which].format(port).split()
        process = start(stack, sys.executable, "-m", *command)
        while True:
            try:
                with create_connection(("127.0.0.1", port), PATIENCE) as connection:
                    connection.sendall(SUBMIT)
                    answer = connection.recv(65_536)
                break
            except ConnectionRefusedError:
                if process.poll() is not None or perf_counter() > began + PATIENCE:
                    raise RuntimeError(f"{COMMANDS[which]} does not serve.") from None
                sleep(0.0005)
        taken = perf_counter() - began
        if not answer.startswith(b"HTTP/1.1 202"):
            raise RuntimeError(f"{COMMANDS[which]} answered {answer[:200]!r}.")
        return taken, Server(port, process.pid).seconds()


def to_import(which: str) -> tuple[float, float]:
    """The seconds that an import takes in a new process, and of its processor."""
    command = [sys.executable, "-c", IMPORT.format(IMPORTS[which])]
    wall, cpu = subprocess.check_output(command, cwd=ROOT, env=environment(), text=True).split()
    return float(wall), float(cpu)


def run(quick: bool) -> list[Result]:
    repeats = 5 if quick else 15
    taken: dict[str, list[tuple[float, float]]] = {}
    for repeat in range(1 + repeats):
        for which in COMMANDS:
            for what, measured in (("start", to_first_task(which)), ("import", to_import(which))):
                if repeat:  # the first ones fill the disk's caches, and compile
                    taken.setdefault(f"{what} {which}", []).append(measured)
    return [
        _result(
            "from the command to the first 202", taken["start bare"], taken["start ours"],
            "limit: bare Quart on Hypercorn", "quart-tasks serve",
        ),
        _result(
            "import of the package, Quart with it, in a new process", taken["import bare"],
            taken["import ours"], f"limit: {IMPORTS['bare']}", IMPORTS["ours"],
        ),
    ]  # fmt: skip


def _result(
    question: str, bare: list[tuple[float, float]], ours: list[tuple[float, float]],
    bare_name: str, ours_name: str,
) -> Result:  # fmt: skip
    passed = [figure([wall * 1e3 for wall, _ in each]) for each in (ours, bare)]
    # A server's come in ticks of 10 ms, which a mean evens out and a median does not.
    worked = [fmean(cpu * 1e3 for _, cpu in each) for each in (ours, bare)]
    return Result(
        name="start",
        question=question,
        ours=passed[0],
        baseline=passed[1],
        ratio=ratio(*passed),
        unit="ms",
        aim=f"at most {MOST}",
        met=ratio(*passed) <= MOST,
        notes=f"of the processor {worked[0]:.0f} ms, bare {worked[1]:.0f}: "
        f"{worked[0] / worked[1]:.2f} times",
        ours_name=ours_name,
        baseline_name=bare_name,
    )
