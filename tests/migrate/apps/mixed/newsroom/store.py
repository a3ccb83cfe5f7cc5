"""Files under the data directory, one a kind."""

import threading
from pathlib import Path

from flask import current_app

writing = threading.Lock()


def path_of(kind):
    return Path(current_app.config["DATA"]) / f"{kind}.txt"


def add(kind, line):
    with writing, path_of(kind).open("a") as file:
        file.write(line + "\n")


def lines(kind):
    path = path_of(kind)
    return sorted(path.read_text().splitlines()) if path.exists() else []
