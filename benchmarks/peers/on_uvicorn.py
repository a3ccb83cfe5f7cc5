"""uvicorn, as `uvicorn MODULE:APP --no-access-log` runs it, until stdin ends."""

# mypy: ignore-errors
# What it imports may be missing where types are checked.

import sys
import threading
from typing import Any

import uvicorn

from . import listening


def serve(app: Any) -> None:
    """Print the URL and serve. With the extra `standard` it has uvloop and httptools."""
    listener, url = listening()
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))

    def stop() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=stop, daemon=True).start()
    print(url, flush=True)
    server.run([listener])
