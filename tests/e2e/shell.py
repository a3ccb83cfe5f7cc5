"""The command line as people and scripts have it: in a process, through pipes or on a terminal."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from click.testing import CliRunner, Result

from quart_tasks.cli import cli

from .serving import HANG, ROOT, serving

APP = "tests.e2e.cli_app:app"
COMMAND = [sys.executable, "-m", "quart_tasks"]
AGAIN = (
    "import sys\n"
    "from quart_tasks.cli import cli, watching\n"
    "watching.AGAIN_SECONDS = float(sys.argv.pop(1))\n"
    "cli(prog_name='quart-tasks')"
)
CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")  # what is written for the terminal itself
CTRL_C = b"\x03"


def environment(url: str, **more: str) -> dict[str, str]:
    foreign = ("TASKS_", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    patient = {"TASKS_COMPLETION_TIMEOUT": str(HANG)}
    return kept | patient | {"TASKS_URL": url, "PYTHONPATH": str(ROOT)} | more


def command(again: float | None = None) -> list[str]:
    """`quart-tasks`; a second Ctrl-C cancels within `again` seconds, or as many as it has."""
    return COMMAND if again is None else [sys.executable, "-c", AGAIN, str(again)]


@contextmanager
def served(app: str = APP, **variables: str) -> Iterator[Shell]:
    """A server for commands that are run from ordinary functions."""
    with asyncio.Runner() as runner:
        context = serving(app, **variables)
        server = runner.run(context.__aenter__())
        try:
            yield Shell(server.url)
        finally:
            runner.run(context.__aexit__(None, None, None))


class Shell:
    """Runs commands against one server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *words], env=environment(self.url, **variables), capture_output=True,
            text=True, timeout=HANG,
        )  # fmt: skip

    def call(self, *words: str, **variables: str) -> Result:
        """The same in this process, which is quicker."""
        known = {key: None for key in os.environ if key.startswith("TASKS_")}
        runner = CliRunner(env={**known, "TASKS_URL": self.url, **variables})
        return runner.invoke(cli, words, prog_name="quart-tasks")

    def out(self, *words: str, code: int = 0) -> str:
        """What a command prints that ends with this exit code."""
        done = self.call(*words)
        assert done.exit_code == code, done.stderr
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.out(*words, "--json"))

    def refused(self, *words: str, **variables: str) -> str:
        """The one line on stderr of a command that is refused."""
        done = self.call(*words, **variables)
        assert (done.exit_code, done.stdout) == (2, ""), done.output
        assert done.stderr.startswith("Error: ")
        assert done.stderr.count("\n") == 1
        return done.stderr

    def terminal(
        self, *words: str, rows: int = 24, columns: int = 80, again: float | None = None,
        **more: str,
    ) -> Terminal:  # fmt: skip
        variables = environment(self.url, **more)
        return Terminal([*command(again), *words], variables, rows, columns)


class Terminal:
    """A command on a terminal of its own, whose Ctrl-C is the real one."""

    def __init__(
        self, command: list[str], variables: dict[str, str], rows: int, columns: int
    ) -> None:
        self._fd, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._process = subprocess.Popen(
            ["setsid", "--ctty", *command], env={"TERM": "xterm-256color", **variables},
            stdin=inside, stdout=inside, stderr=inside,
        )  # fmt: skip
        os.close(inside)
        self.raw = b""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._fd)

    @property
    def text(self) -> str:
        """All that was written, without the terminal's own codes."""
        return CODES.sub("", self.raw.decode(errors="replace")).replace("\r\n", "\n")

    def press(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def until(self, text: str, after: int = 0) -> int:
        """Read until this is there, behind `after`; where it ends."""
        end = time.monotonic() + HANG
        while (found := self.text.find(text, after)) < 0:
            if time.monotonic() > end or not self._read():
                raise AssertionError(f"{text!r} was not written:\n{self.text}")
        return found + len(text)

    def end(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        return self._process.wait(HANG)

    def _read(self) -> bool:
        if not select.select([self._fd], [], [], HANG)[0]:
            raise AssertionError(f"Nothing more is written:\n{self.text}")
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # the other end is closed
            return False
        self.raw += data
        return bool(data)
