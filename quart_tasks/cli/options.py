"""What the commands take: options that many share, and the kinds of their values."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import update_wrapper
from shlex import quote
from typing import Any
from urllib.parse import urlsplit

import click

SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True)
class Server:
    """Where the server is, and how the command was called."""

    url: str
    prefix: str
    token: str | None
    program: str  # `quart-tasks`, or `quart tasks`
    given: tuple[str, ...] = ()  # what of this was said on the command line, to be said again

    def command(self, *words: str) -> str:
        """A command line for the same server, without its token."""
        return " ".join([self.program, *map(quote, (*words, *self.given))])

    @property
    def root(self) -> str | None:
        """The root that may have been meant, if the URL has the prefix in it already."""
        parts = urlsplit(self.url)
        path, found, _ = f"{parts.path.rstrip('/')}/".partition(f"/{self.prefix.strip('/')}/")
        return f"{parts.scheme}://{parts.netloc}{path}" if found else None


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that lead to a server, as a `Server` that comes first."""

    def run(*args: Any, url: str, prefix: str, token: str | None, **kwargs: Any) -> None:
        context = click.get_current_context()
        given = [
            f"--{name}={value}"
            for name, value in (("url", url), ("prefix", prefix))
            if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        ]
        program = context.parent.command_path if context.parent else "quart-tasks"
        root = url if "://" in url else f"http://{url}"
        command(Server(root, prefix, token, program, tuple(given)), *args, **kwargs)

    options = [
        click.option(
            "--url", envvar="TASKS_URL", default="http://127.0.0.1:8000", show_default=True,
            show_envvar=True, help="The server's root.",
        ),
        click.option(
            "--token", envvar="TASKS_TOKEN", show_envvar=True, help="The server's TASKS_TOKEN."
        ),
        click.option(
            "--prefix", envvar="TASKS_URL_PREFIX", default="/tasks", show_default=True,
            show_envvar=True, help="Where the server has its tasks.",
        ),
    ]  # fmt: skip
    update_wrapper(run, command)
    for option in reversed(options):
        option(run)
    return run


as_json = click.option("--json", "as_json", is_flag=True, help="JSON, for machines.")


def examples(*lines: str) -> str:
    """A command's epilog, its lines kept as they are."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def seconds(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """`90`, `90s`, `5m`, `2h`, `1d`: a callback for an option."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(|s|m|min|h|d)", value, re.ASCII)
    if found is None:
        raise click.BadParameter(f"{value!r} is no time: give seconds, or such as 90s, 5m, 2h, 1d.")
    return float(found[1]) * SECONDS[found[2]]


def moment(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> datetime | None:
    """A date and time of ISO 8601; without an offset it is on the clock here."""
    try:
        return None if value is None else datetime.fromisoformat(value).astimezone()
    except ValueError:
        raise click.BadParameter(f"{value!r} is no time: give it as in 2026-11-21T18:30.") from None
