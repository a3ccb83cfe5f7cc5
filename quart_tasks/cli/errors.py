"""What ends a command with a sentence."""

from __future__ import annotations

import click

from .words import clean


class Refused(click.ClickException):
    """A sentence on stderr and exit code 2, without a traceback."""

    exit_code = 2

    def format_message(self) -> str:
        return clean(self.message, lines=True)
