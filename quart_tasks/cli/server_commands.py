"""The commands that need no server: they are one, or change code."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

import click

from .errors import Refused
from .options import examples


def _address(command: Callable[..., None]) -> Callable[..., None]:
    port = click.IntRange(0, 65535)
    command = click.option(
        "--port", type=port, default=8000, show_default=True, help="0 takes a free one."
    )(command)
    return click.option("--host", default="127.0.0.1", show_default=True)(command)


@click.command(
    epilog=examples(
        "quart-tasks serve shop:app", "quart-tasks serve shop:create_app --journal tasks.db"
    )
)
@click.argument("app", metavar="MODULE:APP")
@_address
@click.option(
    "--journal",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="The journal, an SQLite file: accepted tasks survive a crash.",
)
def serve(app: str, host: str, port: int, journal: str | None) -> None:
    """Serve a Quart app on Hypercorn.

    APP is the name of the app in MODULE, or of a function without arguments that makes it:
    `shop:app`, `shop.web:create_app`. MODULE is looked for in the current directory too.
    """
    if journal is not None:
        os.environ["TASKS_JOURNAL"] = journal
    _run(app, host, port)


@click.command(epilog=examples("quart-tasks demo", "quart-tasks demo --port 8080"))
@_address
def demo(host: str, port: int) -> None:
    """Serve the demo, an app with a task of each kind."""
    _run("quart_tasks.demo:app", host, port)


def _run(app: str, host: str, port: int) -> None:
    # Nothing that the imports make is garbage: looking for some took a fifth of the start.
    gc.disable()
    from .serving import run

    run(app, host, port)


@click.command(
    short_help="Rewrite Flask code to Quart.",
    epilog=examples("quart-tasks migrate shop", "quart-tasks migrate shop --write"),
)
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--write", is_flag=True, help="Write the files; without it, only a diff is shown.")
@click.option("--json", "as_json", is_flag=True, help="One document, for machines.")
def migrate(path: Path, write: bool, as_json: bool) -> None:
    """Rewrite Flask code to Quart: a file, or all Python files under a directory.

    Take the whole project with its tests: of a file alone, it is not seen who calls it.
    Exits 1 if something is left to a person, which is then also told in comments in the code.
    """
    try:
        from ..migrate.command import run
    except ModuleNotFoundError as error:
        if error.name != "libcst":
            raise
        raise Refused("This needs libcst: pip install 'quart-tasks-server[migrate]'.") from None
    sys.exit(run(path, write, as_json))
