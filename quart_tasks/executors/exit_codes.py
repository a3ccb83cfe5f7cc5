"""What a worker's exit code says about its end."""

import signal
from contextlib import suppress

CRASHES = {"SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE"}


def in_words(code: int | None) -> str:
    """Of "The process that ran the task …", the rest."""
    # 255 is also what multiprocessing says when another thread, which starts a process and
    # looks at all others by the way, has fetched the code at the same moment.
    if code is None or code == 255:
        return "died, it is not known of what."
    if code >= 0:
        return f"ended itself with exit code {code}, as `os._exit({code})` does."
    with suppress(ValueError):
        name = signal.Signals(-code).name
        if name == "SIGKILL":
            return "was killed by SIGKILL, as the system does when memory has run out."
        if name in CRASHES:
            return f"died of {name}: it crashed in native code, which stderr may tell more of."
        return f"was killed by {name}."
    return f"was killed by signal {-code}."
