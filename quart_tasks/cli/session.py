"""The server that a command talks to, and its refusals in sentences."""

from __future__ import annotations

import asyncio
import math
import os
import re
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import unquote

import msgspec

from ..client import Refused as NotAllowed
from ..client import TaskHandle, TasksClient, Unreachable
from ..exceptions import InvalidArguments, QuartTasksError, TaskNotFound
from .errors import Refused
from .options import Server
from .words import clean, plural

CONNECT_SECONDS, ANSWER_SECONDS = 1.5, 10.0
CANDIDATES = 1000  # tasks that are looked through for the beginning of an id
UUID_LENGTH = 36


@dataclass(frozen=True)
class Session:
    """One command's server."""

    server: Server

    def client(self) -> TasksClient:
        """A client that gives up at the first failure: a person waits for it."""
        return self._client(patience=0.0, timeout=ANSWER_SECONDS, connect_timeout=CONNECT_SECONDS)

    def steady_client(self, on_pause: Callable[[Exception], None]) -> TasksClient:
        """A client that waits for the server as long as it takes."""
        return self._client(patience=math.inf, on_pause=on_pause)

    def _client(self, **more: Any) -> TasksClient:
        server = self.server
        try:
            return TasksClient(server.url, prefix=server.prefix, token=server.token, **more)
        except ValueError as error:
            raise Refused(str(error)) from None

    def run(self, command: Coroutine[Any, Any, int | None]) -> NoReturn:
        """Run a command to its end and leave with its exit code (`None`: 0)."""
        try:
            code = asyncio.run(command)
        except QuartTasksError as error:
            raise self.refusal(error) from None
        except msgspec.DecodeError:  # some other site, which has a page for every path
            raise Refused(
                f"What {self.server.url} answers is not of quart_tasks: is --url the server's root?"
            ) from None
        except KeyboardInterrupt:
            code = 128 + signal.SIGINT
        except BrokenPipeError:  # `| head` has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 128 + signal.SIGPIPE
        sys.exit(code)

    def refusal(self, error: QuartTasksError) -> Refused:
        """The sentence for it, with what to do next."""
        text = clean(str(error))
        name, root = self.server.program, self.server.root
        match error:
            case TaskNotFound() | NotAllowed(status=404 | 405) if root is not None:
                return Refused(
                    f"Is {self.server.url} the server's root? The prefix {self.server.prefix} "
                    f"comes on top of it: try --url={root}."
                )
            case Unreachable():
                todo = f"`{name} demo` starts a server; --url or TASKS_URL names another."
                return Refused(f"{text} {todo}")
            case NotAllowed(status=401 | 403):
                return Refused(f"{text} Give the server's token with --token or TASKS_TOKEN.")
            case TaskNotFound():
                return Refused(f"{text} `{name} list` shows those there are.")
            case InvalidArguments():
                return Refused(in_words(error))
        return Refused(text)


async def find(session: Session, client: TasksClient, id: str) -> TaskHandle:
    """The task whose id begins like that. Raises Refused."""
    id, program = id.lower(), session.server.program
    if not re.fullmatch(r"[0-9a-f-]+", id):
        raise Refused(f"{id!r} is no task's id: `{program} list` shows them.")
    if len(id) == UUID_LENGTH:
        try:
            return await client.get(id)
        except TaskNotFound:
            error = TaskNotFound(f"There is no task {id}, or its record is no longer kept.")
            raise session.refusal(error) from None
    records = await client.list(q=id, limit=CANDIDATES)
    found = [record for record in records if record.id.startswith(id)]
    if not found:
        raise Refused(
            f"There is no task whose id begins with {id!r}, or its record is no longer kept: "
            f"`{program} list` shows those there are."
        )
    if len(found) > 1:
        some = ", ".join(f"{record.id} ({clean(record.name)})" for record in found[:3])
        raise Refused(
            f"{plural(len(found), 'task')} have ids that begin with {id!r}, such as {some}: "
            f"give more of it."
        )
    return await client.get(found[0].id)


def in_words(error: InvalidArguments) -> str:
    """`limit is missing; --timeout: must be …`."""
    if not error.errors:
        return clean(str(error))
    return "; ".join(_place(pointer, clean(detail)) for pointer, detail in error.errors)


def _place(pointer: str, detail: str) -> str:
    kind, _, rest = unquote(pointer).removeprefix("#/").partition("/")
    if kind in ("options", "query"):
        place = f"--{rest}"
    else:
        first, *inside = rest.split("/")
        place = "".join([first, *(f"[{each}]" for each in inside)])
    place = clean(place.replace("~1", "/").replace("~0", "~")) or pointer
    return f"{place} {detail}" if detail.startswith(("is ", "must ")) else f"{place}: {detail}"
