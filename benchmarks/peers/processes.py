"""The processes that a peer consists of, and gunicorn, which serves those of WSGI."""

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec

from ..common import ROOT, environment
from . import listening

START_SECONDS = 30
THREADS = 32  # as many as there are connections


def start(
    stack: ExitStack,
    *command: str,
    variables: dict[str, str] | None = None,
    pass_fds: tuple[int, ...] = (),
) -> "subprocess.Popen[bytes]":
    """Start a process, which is told to end when the stack is closed."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=pass_fds,
        cwd=ROOT, env=environment() | (variables or {}),
    )  # fmt: skip
    stack.callback(_end, process)
    return process


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(ping: Callable[[], object], *not_yet: type[Exception]) -> None:
    """Until `ping` gives something; `not_yet` are errors that may pass."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            if ping():
                return
        except not_yet:
            pass
        time.sleep(0.05)
    raise TimeoutError(f"{ping} had no answer within {START_SECONDS} s.")


def gunicorn(stack: ExitStack, app: str) -> str:
    """Serve the WSGI app `module:name` with threads, in one process; gives its URL."""
    if not find_spec("gunicorn"):
        sys.exit("No module named 'gunicorn'")
    listener, url = listening()
    fd = listener.fileno()
    start(
        stack, sys.executable, "-m", "gunicorn", app, f"--bind=fd://{fd}", f"--threads={THREADS}",
        "--keep-alive=60", "--log-level=error", pass_fds=(fd,),
    )  # fmt: skip
    listener.close()
    return url


def until_stdin_ends(url: str) -> None:
    print(url, flush=True)
    sys.stdin.read()
