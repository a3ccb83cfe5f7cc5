"""CPU-bound work that lasts for as long as a file is there, for apps that answer beside it."""

import os
import threading
from pathlib import Path

FOLDER = "BENCHMARK_BUSY"  # the variable with the folder of that file
RUN = "run"  # its name; each who works puts one of its own beside it


def spin() -> None:
    folder = Path(os.environ[FOLDER])
    mine = folder / f"{os.getpid()}-{threading.get_ident()}"
    mine.touch()
    while (folder / RUN).exists():
        for _ in range(100_000):
            pass
    mine.unlink()
