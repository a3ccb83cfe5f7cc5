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

_preload_lock = threading.Lock()


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


def start_method(modules: list[str]) -> Any:
    """The way processes are started: from a fork server that has imported `modules`. Never a
    fork of this process, whose threads may hold locks."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    with _preload_lock:
        # Has no effect when a fork server runs already: workers then import for themselves.
        forkserver.set_forkserver_preload([PRELOAD_MODULE])
        wanted = [name for name in modules if name != "__main__"]
        os.environ[PRELOAD_VARIABLE] = json.dumps(
            {"path": sys.path, "modules": wanted, "parent": os.getpid()}
        )
        try:
            forkserver.ensure_running()
        finally:
            del os.environ[PRELOAD_VARIABLE]
    return multiprocessing.get_context("forkserver")
