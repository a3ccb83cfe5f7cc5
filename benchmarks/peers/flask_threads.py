"""Flask that starts a thread for each task, or has a pool of them, on gunicorn with threads."""

# mypy: ignore-errors
# What it imports may be missing where types are checked.

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Thread

from flask import Flask

from .processes import gunicorn, until_stdin_ends

HOW = "BENCHMARK_THREADS"  # the variable that says which of the two, for gunicorn's process

app = Flask(__name__)
pool = ThreadPoolExecutor()


def nothing() -> None:
    pass


if os.environ.get(HOW) == "pool":

    @app.post("/tasks")
    def create() -> tuple[dict[str, str], int]:
        pool.submit(nothing)
        return {"state": "queued"}, 202

else:

    @app.post("/tasks")
    def create() -> tuple[dict[str, str], int]:
        Thread(target=nothing).start()
        return {"state": "queued"}, 202


@app.post("/forget")
def forget() -> tuple[str, int]:
    """What waits has soon ended."""
    return "", 204


def main(how: str) -> None:
    os.environ[HOW] = how
    with ExitStack() as stack:
        until_stdin_ends(gunicorn(stack, f"{__spec__.name}:app"))


if __name__ == "__main__":
    main(sys.argv[1])
