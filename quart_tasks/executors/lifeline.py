"""What ends a worker with its server, however that ends: a pipe of which the server holds the
writing end, and never writes to it."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from multiprocessing.connection import Connection

if os.name == "posix":
    import fcntl


def kill_at_its_end(lifeline: Connection, whom: int) -> None:
    """Have the kernel kill a process, or with a negative number a process group, once the
    writing end is closed. See fcntl(2), F_SETSIG.

    A thread that waits for that would need the GIL, which C code may hold for long, and
    PR_SET_PDEATHSIG is about the fork server. The server can ask for it, as this is a matter of
    the pipe and not of who has it: so it holds while the worker is still busy with its imports.
    """
    if hasattr(fcntl, "F_SETSIG"):
        fd = lifeline.fileno()
        with suppress(ProcessLookupError):  # it has died already
            fcntl.fcntl(fd, fcntl.F_SETOWN, whom)
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)


def die_with_server(lifeline: Connection) -> None:
    """The same from within a worker, which leads its process group: where the kernel cannot, where
    the server went before it asked for it, and where a task has left the group."""
    threading.Thread(target=_watch, args=(lifeline, os.getpid()), daemon=True).start()


def _watch(lifeline: Connection, pid: int) -> None:
    try:
        lifeline.poll(None)
    finally:
        # By its number: a task may have gone over to another group, that of the server even.
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
