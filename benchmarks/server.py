"""Apps under load: each in a process of its own, on a core of its own where there are two.

`python -m benchmarks.server MODULE [uvicorn]` prints its URL, and serves the app that the module
here makes until stdin ends: on Hypercorn, as `quart-tasks serve` does, or on stock uvicorn.
"""

import asyncio
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from quart_tasks.server import serve

from .common import ROOT, environment

CORES = sorted(os.sched_getaffinity(0))


class Server(NamedTuple):
    port: int
    pid: int

    def seconds(self) -> float:
        """The processor time that it has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(app: str, on: str = "hypercorn", *, pinned: bool = True) -> Iterator[Server]:
    """Serve the app of the module `app` here in a child process.

    With `pinned` the child stays on the first core and this process, the client, on the others.
    """
    first, *others = CORES
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.server", app, on],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(),
    )
    with child:
        assert child.stdin is not None
        assert child.stdout is not None
        if pinned and others:
            os.sched_setaffinity(child.pid, [first])
            os.sched_setaffinity(0, others)
        try:
            if not (url := child.stdout.readline().strip()):
                raise RuntimeError(f"The server of {app!r} did not start; it printed why above.")
            yield Server(int(url.rpartition(":")[2]), child.pid)
        finally:
            os.sched_setaffinity(0, CORES)
            child.stdin.close()
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()


def main(name: str, on: str = "hypercorn") -> None:
    app = importlib.import_module(f".{name}", __package__).create_app()
    if on == "uvicorn":
        from .peers import on_uvicorn  # which may not be installed

        on_uvicorn.serve(app)
        return

    async def run() -> None:
        stop = asyncio.Event()
        # Nothing is ever written to it: readable means that it has ended, or the parent has.
        asyncio.get_running_loop().add_reader(sys.stdin, stop.set)
        await serve(app, port=0, stop=stop, on_listening=lambda url: print(url, flush=True))

    asyncio.run(run())


if __name__ == "__main__":
    main(*sys.argv[1:])
