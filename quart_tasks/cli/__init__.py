"""The command line: `quart-tasks`, also `quart tasks` and `python -m quart_tasks`.

A command's module is light and says what it takes; what it does is imported when it runs, so that
a client needs nothing of the server, and `--help` neither.
"""

import signal
import sys
from typing import Any

import click

from . import commands, completion, server_commands

__all__ = ["cli"]


class Commands(click.Group):
    """Shows its commands in the order in which one gets to know them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # while it imports what it needs; click would exit with 1
            sys.exit(128 + signal.SIGINT)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="quart-tasks-server")
def cli() -> None:
    """Background tasks native to a Quart app."""


for command in (
    server_commands.demo,
    server_commands.serve,
    commands.submit,
    commands.list_command,
    commands.show,
    commands.watch,
    commands.result,
    commands.cancel,
    commands.retry,
    commands.types,
    commands.stats,
    completion.completion,
    server_commands.migrate,
):
    cli.add_command(command)
