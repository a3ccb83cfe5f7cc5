"""How worker processes are started: from a fork server that has the app's modules already."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import threading
from multiprocessing import forkserver
from typing import Any

PRELOAD_MODULE = "quart_tasks.executors.preload"
PRELOAD_VARIABLE = "QUART_TASKS_PRELOAD"
PATH_VARIABLES = ("PYTHONPATH", "PYTHONSAFEPATH")

_preload_lock = threading.Lock()


def restore(environ: Any) -> None:
    """Put the environment back as it was before the fork server was started."""
    os.environ.pop(PRELOAD_VARIABLE, None)
    for name, value in environ.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


class Context:
    """A way to start processes that remembers the one it has started: a pool shows it nobody,
    and its exit code says what it died of."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self.process: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def Process(self, *args: Any, **kwargs: Any) -> Any:
        self.process = self._context.Process(*args, **kwargs)
        return self.process


def start_method(modules: list[str], seconds: float) -> Any:
    """The way processes are started: from a fork server that has imported `modules`, or ends if
    that takes more than `seconds`. Never a fork of this process, whose threads may hold locks."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    with _preload_lock:
        # Has no effect when a fork server runs already: workers then import for themselves.
        forkserver.set_forkserver_preload([PRELOAD_MODULE])
        wanted = {
            "path": sys.path,
            "modules": [name for name in modules if name != "__main__"],
            "parent": os.getpid(),
            "seconds": seconds,
            "environ": {name: os.environ.get(name) for name in PATH_VARIABLES},
        }
        os.environ[PRELOAD_VARIABLE] = json.dumps(wanted)
        # It must find this package, and not one in the directory that it is started in.
        os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
        os.environ["PYTHONSAFEPATH"] = "1"
        try:
            forkserver.ensure_running()
        finally:
            restore(wanted["environ"])
    return multiprocessing.get_context("forkserver")
