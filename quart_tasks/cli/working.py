"""`quart-tasks submit`, `watch`, `result`, `cancel` and `retry`."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.text import Text

from ..client import TaskHandle, TasksClient
from ..exceptions import InvalidArguments, UnknownTask
from ..record import Record
from . import values
from .definitions import unknown_task
from .errors import Refused
from .records import LONG_ID, name_of, stage, trace
from .results import check_output, deliver, show_record
from .screen import Screen
from .session import Session, find, in_words
from .watching import Watch
from .words import clean


async def submit(
    session: Session, name: str, kwargs: dict[str, Any], options: dict[str, Any], *,
    watch: bool, output: str | None, as_json: bool,
) -> int:  # fmt: skip
    check_output(output, as_json)
    async with session.client() as client:
        try:
            handle = await client.with_options(**options).submit(name, **kwargs)
        except UnknownTask:
            raise await unknown_task(session.server, client, name) from None
        except InvalidArguments as error:
            raise _misfit(session, name, kwargs, error) from None
    return await _after(session, handle, watch=watch, output=output, as_json=as_json)


def _misfit(
    session: Session, name: str, kwargs: dict[str, Any], error: InvalidArguments
) -> Refused:
    hint = ""
    for pointer, detail in error.errors:
        key = pointer.removeprefix("#/kwargs/")
        if key in kwargs:
            hint = values.hint(key, kwargs[key], detail) or hint
    command = session.server.command("types", clean(name))
    return Refused(f"{in_words(error)}.{hint} `{command}` shows what it takes.".replace("..", "."))


async def retry(session: Session, id: str, *, watch: bool, as_json: bool) -> int:
    async with session.client() as client:
        handle = await (await find(session, client, id)).retry()
    return await _after(session, handle, watch=watch, output=None, as_json=as_json)


async def _after(
    session: Session, handle: TaskHandle, *, watch: bool, output: str | None, as_json: bool
) -> int:
    """What is left to do with a task that was accepted."""
    if watch or output is not None:
        return await _to_the_end(
            session, handle.record, output, as_json=as_json, events=watch and as_json
        )
    screen = Screen()
    if as_json:
        show_record(handle)
    elif screen.live:
        record = handle.record
        screen.line(Text(name_of(record), style="bold"), f" {record.id} ", stage(record))
        screen.line(
            Text(f"Watch it: {session.server.command('watch', record.id[:LONG_ID])}", style="dim")
        )
    else:
        screen.write(handle.id)
    return 0


async def _to_the_end(
    session: Session, record: Record, output: str | None, *, as_json: bool, events: bool
) -> int:
    """Watch a task, and write its result. With `events` they are all that is on stdout."""
    server, id = session.server, record.id
    back = None
    if output is not None:
        back = server.command("result", id[:LONG_ID], "--wait", "--output", output)
    watch = Watch(session, [record], Screen(error=True), as_json=events, back=back, delivers=True)
    code = await watch.run()
    if code == 1:
        watch.show_failures()
    async with session.steady_client(watch.tell_away) as client:
        if code == 0 and not (as_json and output is None):
            value = await (await client.get(id)).result()
            if value is not None or output is not None or not Screen().live:
                deliver(server, id, value, output)
        if code < 2 and as_json and not events:
            handle = await client.get(id)
            await handle.refresh()
            show_record(handle)
    return code


async def watch(session: Session, ids: tuple[str, ...], as_json: bool) -> int:
    async with session.client() as client:
        if ids:
            handles = [await find(session, client, id) for id in ids]
        else:
            handles = []
            await client.list(limit=1)  # is there a server, and does it let us in?
    records = {handle.id: handle.record for handle in handles}
    watch = Watch(session, list(records.values()), Screen(), as_json=as_json)
    code = await watch.run()
    if code == 1:
        watch.show_failures()
    return code


async def result(
    session: Session, id: str, *, output: str | None, wait: bool, as_json: bool
) -> int:
    check_output(output, as_json)
    async with session.client() as client:
        handle = await find(session, client, id)
        if wait and not handle.done():
            return await _to_the_end(session, handle.record, output, as_json=as_json, events=False)
        await handle.refresh()
        record = handle.record
        if as_json:
            show_record(handle)
        if not record.ended:
            command = session.server.command("result", record.id[:LONG_ID], "--wait")
            raise Refused(f"{name_of(record)} is {record.state}, without a result yet: {command}")
        if record.state != "succeeded":
            _tell_failure(record)
            return 1
        if not as_json or output is not None:
            deliver(session.server, handle.id, await handle.result(), output)
    return 0


def _tell_failure(record: Record) -> None:
    errors = Screen(error=True)
    if record.state == "failed":
        errors.write(clean(trace(record), lines=True))
    errors.line(Text(name_of(record), style="bold"), f" {record.id} ", stage(record))


async def cancel(session: Session, ids: tuple[str, ...], as_json: bool) -> None:
    async with session.client() as client:
        handles = await _all(session, client, list(dict.fromkeys(ids)))
        ended = [handle.done() for handle in handles]
        for handle in handles:
            await _cancel(client, handle)
    screen = Screen()
    if as_json:
        screen.json({"tasks": [msgspec.to_builtins(handle.record) for handle in handles]})
        return
    for handle, before in zip(handles, ended, strict=True):
        record = handle.record
        prefix = "had ended already: " if before else ""
        name = Text(name_of(record), style="bold")
        screen.line(name, f" {screen.id(record)} {prefix}", stage(record))


async def _all(session: Session, client: TasksClient, ids: list[str]) -> list[TaskHandle]:
    """The tasks of these ids. Raises Refused."""
    try:
        return [await find(session, client, id) for id in ids]
    except Refused as refusal:
        if len(ids) > 1:
            raise Refused(f"{refusal.message} Nothing was cancelled.") from None
        raise


async def _cancel(client: TasksClient, handle: TaskHandle) -> None:
    if not handle.done():
        await handle.cancel()
