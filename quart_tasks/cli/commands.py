"""The commands that talk to a server: what they take. What they do is imported when they run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from .completion import complete_arguments, complete_ids, complete_names
from .errors import Refused
from .options import Server, as_json, connected, examples, moment, seconds

if TYPE_CHECKING:
    from .session import Session

Command = Callable[..., None]

STATES = ("scheduled", "queued", "running", "succeeded", "failed", "cancelled")


def _session(server: Server) -> Session:
    from .session import Session

    return Session(server)


def _output(help: str) -> Callable[[Command], Command]:
    return click.option("-o", "--output", metavar="FILE", type=click.Path(), help=help)


@click.command(
    short_help="Run a task by its name.",
    epilog=examples(
        "quart-tasks submit primes limit=1000000 --watch",
        "quart-tasks submit mandelbrot width=1200 height=900 --output picture.png",
        "quart-tasks submit check_links urls='[\"https://example.org\"]' --watch",
        "quart-tasks submit countdown seconds=5 --delay 10m --key nightly",
    ),
)
@click.argument("name", shell_complete=complete_names)
@click.argument("arguments", metavar="[KEY=VALUE]...", nargs=-1, shell_complete=complete_arguments)
@click.option("-w", "--watch", is_flag=True, help="Wait for its end, with a progress bar.")
@_output("Wait, and write the result there; - is stdout.")
@click.option("--delay", metavar="TIME", callback=seconds, help="Wait so long first: 90, 5m, 2h.")
@click.option("--eta", metavar="WHEN", callback=moment, help="Wait till then: 2026-11-21T18:30.")
@click.option("--expires", metavar="TIME", callback=seconds, help="Fail it if it starts later.")
@click.option("--priority", type=int, metavar="N", help="Higher goes first; 0 by default.")
@click.option(
    "--timeout", metavar="TIME", callback=seconds, help="Of an attempt, if less than its own."
)
@click.option("--retries", type=click.IntRange(0), metavar="N", help="If fewer than its own.")
@click.option("--key", help="Do nothing if an unfinished task of the name has this key.")
@as_json
@connected
def submit(
    server: Server, name: str, arguments: tuple[str, ...], watch: bool, output: str | None,
    delay: float | None, eta: datetime | None, expires: float | None, priority: int | None,
    timeout: float | None, retries: int | None, key: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Run the task NAME with these arguments.

    A VALUE is JSON, or else text: limit=1000, urls='["https://example.org"]', message=hello.
    Prints the new task's id; with --watch or --output its result, and what happens on stderr.
    Exits 1 if the task fails. --json prints the record, with --watch an event a line.
    """
    from . import values, working

    options = {
        "delay": delay, "eta": eta, "expires": expires, "priority": priority, "timeout": timeout,
        "retries": retries, "key": key,
    }  # fmt: skip
    session = _session(server)
    kwargs = values.arguments(arguments)
    session.run(
        working.submit(session, name, kwargs, options, watch=watch, output=output, as_json=as_json)
    )


@click.command(
    "list",
    epilog=examples(
        "quart-tasks list --state failed",
        "quart-tasks list --name primes --limit 5",
        "quart-tasks list --all --json",
    ),
)
@click.option("--state", metavar="STATE", type=click.Choice(STATES), help=", ".join(STATES) + ".")
@click.option("--name", shell_complete=complete_names, help="Only tasks of this name.")
@click.option("-q", "--q", metavar="TEXT", help="In the name, key or error; or an id's beginning.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    show_default="50",
    metavar="N",
    help="At most so many.",
)
@click.option("--all", "everything", is_flag=True, help="Without a limit.")
@as_json
@connected
def list_command(
    server: Server, state: Any, name: str | None, q: str | None, limit: int | None,
    everything: bool, as_json: bool,
) -> None:  # fmt: skip
    """List tasks, the newest first."""
    from .listing import list_tasks

    session = _session(server)
    if everything and limit is not None:
        raise Refused("--all lists without a limit: give it or --limit, not both.")
    most = None if everything else limit or 50
    session.run(list_tasks(session, most, as_json, state=state, name=name, q=q))


@click.command(
    short_help="Show all there is to know about a task.",
    epilog=examples("quart-tasks show 01a1fdb4-af84", "quart-tasks show 01a1 --json"),
)
@click.argument("id", shell_complete=complete_ids())
@as_json
@connected
def show(server: Server, id: str, as_json: bool) -> None:
    """Show all there is to know about a task: its arguments, times, log lines, error.

    An ID may be given by its beginning.
    """
    from .showing import show_task

    session = _session(server)
    session.run(show_task(session, id, as_json))


@click.command(
    short_help="Watch tasks live, with progress bars.",
    epilog=examples(
        "quart-tasks watch",
        "quart-tasks watch 01a1fdb4-af84 01a1fdb4-b467",
        "quart-tasks watch --json | jq .type",
    ),
)
@click.argument("ids", metavar="[ID]...", nargs=-1, shell_complete=complete_ids("unfinished"))
@as_json
@connected
def watch(server: Server, ids: tuple[str, ...], as_json: bool) -> None:
    """Watch tasks to their end, or without an ID all tasks until Ctrl-C.

    On a terminal there are progress bars, and above them what the tasks say; elsewhere a line
    an event, with --json as JSON. Ctrl-C stops watching; once more within two seconds it cancels
    the tasks. Exits 1 if one of them has not succeeded. A server that restarts is waited for.
    """
    from . import working

    session = _session(server)
    session.run(working.watch(session, ids, as_json))


@click.command(
    short_help="Print or write what a task has returned.",
    epilog=examples(
        "quart-tasks result 01a1fdb4-af84",
        "quart-tasks result 01a1fdb4-af84 --wait --output picture.png",
        "quart-tasks result 01a1fdb4-af84 --output - | file -",
    ),
)
@click.argument("id", shell_complete=complete_ids())
@_output("Write it there, a blob's bytes as they are; - is stdout.")
@click.option("-w", "--wait", is_flag=True, help="Wait for its end, with a progress bar.")
@as_json
@connected
def result(server: Server, id: str, output: str | None, wait: bool, as_json: bool) -> None:
    """Print what a task has returned, as JSON or as the bytes that it is.

    With --json it is the whole record. Exits 1 if the task has failed or was cancelled.
    """
    from . import working

    session = _session(server)
    session.run(working.result(session, id, output=output, wait=wait, as_json=as_json))


@click.command(
    short_help="Cancel tasks.", epilog=examples("quart-tasks cancel 01a1fdb4-af84 01a1fdb4-b467")
)
@click.argument("ids", metavar="ID...", nargs=-1, required=True,
                shell_complete=complete_ids("unfinished"))  # fmt: skip
@as_json
@connected
def cancel(server: Server, ids: tuple[str, ...], as_json: bool) -> None:
    """Cancel tasks. What waits ends at once; what runs is asked to, or its process is killed."""
    from . import working

    session = _session(server)
    session.run(working.cancel(session, ids, as_json))


@click.command(
    short_help="Run a task that has ended again.",
    epilog=examples("quart-tasks retry 01a1fdb4-af84 --watch"),
)
@click.argument("id", shell_complete=complete_ids("ended"))
@click.option("-w", "--watch", is_flag=True, help="Wait for its end, with a progress bar.")
@as_json
@connected
def retry(server: Server, id: str, watch: bool, as_json: bool) -> None:
    """Run a task that has ended again: a new task with the same arguments and options."""
    from . import working

    session = _session(server)
    session.run(working.retry(session, id, watch=watch, as_json=as_json))


@click.command(
    short_help="Show which tasks there are and what they take.",
    epilog=examples("quart-tasks types", "quart-tasks types mandelbrot"),
)
@click.argument("name", required=False, shell_complete=complete_names)
@as_json
@connected
def types(server: Server, name: str | None, as_json: bool) -> None:
    """List the tasks that can be submitted, or show what one of them takes."""
    from .definitions import show_types

    session = _session(server)
    session.run(show_types(session, name, as_json))


@click.command(
    short_help="Show how busy the server is.",
    epilog=examples("quart-tasks stats", "quart-tasks stats --json | jq .states"),
)
@as_json
@connected
def stats(server: Server, as_json: bool) -> None:
    """Show how many tasks there are, how busy the server is and how long tasks take."""
    from .figures import show_stats

    session = _session(server)
    session.run(show_stats(session, as_json))
