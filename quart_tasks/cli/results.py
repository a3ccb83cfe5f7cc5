"""What tasks have returned, written where it was asked for."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from ..client import TaskHandle
from ..encoding import Blob
from .errors import Refused
from .options import Server
from .records import LONG_ID
from .screen import Screen
from .words import clean, size, to_json

STDOUT = "-"


def check_output(output: str | None, as_json: bool) -> None:
    """Refuse early what could not be written in the end."""
    if output is None:
        return
    if output == STDOUT:
        if as_json:
            raise Refused("--json and --output - would both be on stdout: give one of them.")
        return
    file = Path(output)
    if not file.parent.is_dir():
        raise Refused(f"There is no directory {str(file.parent)!r} for {file.name!r}: make it.")
    if file.is_dir():
        raise Refused(f"{output!r} is a directory: name the file in it.")
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise Refused(f"{output!r} may not be written: choose another place.")


def deliver(server: Server, id: str, value: Any, output: str | None) -> None:
    """Write a result: a blob's bytes as they are, all else as JSON."""
    if output is None or output == STDOUT:
        _print(server, id, value, forced=output is not None)
        return
    blob = value if isinstance(value, Blob) else Blob(_as_json(value), "application/json")
    try:
        Path(output).write_bytes(blob.data)
    except OSError as error:
        raise Refused(f"{output!r} cannot be written: {error.strerror}.") from None
    words = f"Wrote {output} ({clean(blob.mimetype)}, {size(len(blob.data))})."
    Screen(error=True).line(words)


def _print(server: Server, id: str, value: Any, *, forced: bool) -> None:
    if not isinstance(value, Blob):
        Screen().json(value)
        return
    if sys.stdout.isatty() and not forced:
        command = server.command("result", id[:LONG_ID], "--output", "FILE")
        kind = clean(value.mimetype)
        words = f"It is {kind}, {size(len(value.data))}. Write it to a file:\n  {command}"
        Screen(error=True).line(words)
        return
    sys.stdout.buffer.write(value.data)
    sys.stdout.buffer.flush()


def _as_json(value: Any) -> bytes:
    return f"{to_json(value, indent=2)}\n".encode()


def show_record(handle: TaskHandle) -> None:
    Screen().json(msgspec.to_builtins(handle.record))
