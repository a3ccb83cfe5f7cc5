"""Shell completion: what the server knows, if it answers at once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import BashComplete, CompletionItem, FishComplete, ZshComplete

from .options import examples
from .words import clean

if TYPE_CHECKING:
    from ..client import TasksClient

SECONDS = 0.5  # a person has pressed a key and waits
MOST = 50
SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


def _ask(context: click.Context, question: Callable[[TasksClient], Awaitable[Any]]) -> Any:
    """The server's answer, or nothing: a completion has no place for errors."""
    from ..client import TasksClient

    async def ask() -> Any:
        url = context.params.get("url") or ""
        root = url if "://" in url else f"http://{url}"
        prefix, token = context.params.get("prefix") or "", context.params.get("token")
        client = TasksClient(root, prefix=prefix, token=token, patience=0.0)
        seconds = float(os.environ.get("TASKS_COMPLETION_TIMEOUT", SECONDS))
        async with asyncio.timeout(seconds), client:
            return await question(client)

    try:
        return asyncio.run(ask())
    except Exception:  # noqa: BLE001 - whatever it is, there is nothing to complete
        return []


def _items(found: list[tuple[str, str]], incomplete: str) -> list[CompletionItem[str]]:
    return [
        CompletionItem(value, help=clean(help) or None)
        for value, help in found
        if value.startswith(incomplete) and value.isprintable()
    ]


def complete_names(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    types = _ask(context, lambda client: client.types())
    found = [(each["name"], (each["doc"] or "").strip().partition("\n")[0]) for each in types]
    return _items(found, incomplete)


def complete_arguments(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """`limit=` for each parameter of the task that is not given yet."""
    types = _ask(context, lambda client: client.types())
    name = context.params.get("name")
    definition = next((each for each in types if each["name"] == name), None)
    known = definition["parameters"]["properties"] if definition else {}
    given = {word.partition("=")[0] for word in context.params.get("arguments") or ()}
    return _items([(f"{key}=", "") for key in known if key not in given], incomplete)


def complete_ids(which: str = "all") -> Callable[..., list[CompletionItem[str]]]:
    """Ids of tasks: of `all`, of those that are `unfinished` or those that have `ended`."""

    def complete(
        context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        records = _ask(context, lambda client: client.list(q=incomplete or None, limit=MOST))
        given = context.params.get("ids") or ()
        found = [
            (record.id, f"{record.name} {record.state}")
            for record in records
            if (which == "all" or record.ended == (which == "ended")) and record.id not in given
        ]
        return _items(found, incomplete)

    return complete


# A shell puts a blank after what it has completed, which would part `limit=` from its value. fish
# knows that; zsh is told in its script, and for bash there is another function around its own.
NO_BLANK = """
{function}_of_arguments() {{
    {function} "$@"
    [[ ${{COMPREPLY[0]}} == *= ]] && compopt -o nospace
    return 0
}}

complete -o nosort -F {function}_of_arguments {program}
"""


@click.command(
    short_help="Print a script for the shell's own completion.",
    epilog=examples("source <(quart-tasks completion bash)"),
)
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that lets a shell complete commands, tasks' names, their arguments and ids.

    \b
    Put it where the shell looks, and start a new one:
      bash  echo 'eval "$(quart-tasks completion bash)"' >> ~/.bashrc
      zsh   echo 'eval "$(quart-tasks completion zsh)"' >> ~/.zshrc  (below compinit)
      fish  quart-tasks completion fish > ~/.config/fish/completions/quart-tasks.fish

    It asks the server of TASKS_URL, or of --url if that is given before, for half a second, or as
    many seconds as TASKS_COMPLETION_TIMEOUT says.
    """
    root = context.find_root()
    program = root.info_name or "quart-tasks"
    variable = f"_{program}_complete".replace("-", "_").replace(".", "_").upper()
    made = SHELLS[shell](root.command, {}, program, variable)
    script = made.source()
    if shell == "bash":
        script += NO_BLANK.format(function=made.func_name, program=program)
    if shell == "zsh":
        script = script.replace("compadd -U", "compadd -S '' -U")
    click.echo(script)
