"""Imported once in the fork server, so that workers are born with the app's modules.

`set_forkserver_preload` alone does not do it: the fork server does not get the parent's
`sys.path` (python/cpython, `forkserver.main` takes and ignores it up to 3.13), and an import
that raises anything but ImportError ends it. The names come in an environment variable, the
only way into that process. Nothing imports this module: the app's modules import the package, so it
must be whole when they are imported here.
"""

import importlib
import json
import os
import sys
import threading
import time
from contextlib import suppress

from quart_tasks.executors.fork_server import PRELOAD_VARIABLE, restore


def watch(parent: int, seconds: float, imported: threading.Event) -> None:
    """End with the parent while the imports last; afterwards the fork server does by itself. And
    end if they last too long, unless they hold the GIL: a start would wait for ever."""
    until = time.monotonic() + seconds
    while not imported.wait(0.1):
        if os.getppid() != parent:
            os._exit(0)
        if time.monotonic() > until:
            # Not through `sys.stderr`: what is imported may hold its lock.
            os.write(2, f"The app's modules were not imported after {seconds:g} s.\n".encode())
            os._exit(1)


if PRELOAD_VARIABLE in os.environ:
    wanted = json.loads(os.environ[PRELOAD_VARIABLE])
    restore(wanted["environ"])  # a task's own programs must not get them
    sys.path[:] = wanted["path"]
    imported = threading.Event()
    watcher = threading.Thread(
        target=watch, args=(wanted["parent"], wanted["seconds"], imported), daemon=True
    )
    watcher.start()
    for name in wanted["modules"]:
        with suppress(Exception, SystemExit):  # the worker imports it again, and says why not
            importlib.import_module(name)
    imported.set()
    watcher.join()  # no thread may be running where workers are forked
