"""`quart-tasks types`."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from rich.table import Table
from rich.text import Text

from ..client import TasksClient
from .errors import Refused
from .options import Server
from .screen import Screen, table
from .session import Session
from .words import clean, duration, short

Definition = dict[str, Any]
WORDS = {"integer": "int", "number": "float", "string": "str", "boolean": "bool", "null": "None"}
SAMPLES = {"int": "10", "float": "1.5", "str": "text", "bool": "true"}


async def show_types(session: Session, name: str | None, as_json: bool) -> None:
    async with session.client() as client:
        types = await client.types()
    screen = Screen()
    if name is None:
        if as_json:
            screen.json({"types": types})
        else:
            _show_all(screen, types)
        return
    found = next((each for each in types if each["name"] == name), None)
    if found is None:
        raise unknown(session.server, name, types)
    if as_json:
        screen.json(found)
    else:
        _show_one(screen, session.server, found)


def _show_all(screen: Screen, types: list[Definition]) -> None:
    rows = table("NAME", "TAKES", rest=True)
    for each in types:
        name, summary = Text(clean(each["name"]), style="bold"), Text(_summary(each), style="dim")
        rows.add_row(name, _takes(each["parameters"]), summary)
    screen.show(rows)


def _summary(definition: Definition) -> str:
    return clean((definition["doc"] or "").strip().partition("\n")[0])


def _takes(schema: dict[str, Any]) -> str:
    """`limit` for what must be given, `[width]` for what may."""
    names = schema["properties"]
    return " ".join(clean(each if each in schema["required"] else f"[{each}]") for each in names)


def _arguments(schema: dict[str, Any], known: dict[str, Any]) -> Table:
    rows = table("ARGUMENT", "TYPE", "DEFAULT")
    for key, each in schema["properties"].items():
        default = "required" if key in schema["required"] else _default(each)
        rows.add_row(Text(clean(key), style="bold"), kind(each, known), default)
    return rows


def _default(schema: dict[str, Any]) -> str:
    return short(schema["default"], 40) if "default" in schema else ""


def _show_one(screen: Screen, server: Server, definition: Definition) -> None:
    name = clean(definition["name"])
    executor = clean(definition["executor"])
    screen.line(Text(name, style="bold"), "  ", Text(f"runs in: {executor}", style="dim"))
    if definition["doc"]:
        screen.write()
        screen.line(clean(definition["doc"].strip(), lines=True))
    schema = definition["parameters"]
    known = schema.get("$defs", {})
    if schema["properties"]:
        screen.write()
        screen.show(_arguments(schema, known))
    if options := _options(definition["options"]):
        screen.write()
        screen.line(Text(options, style="dim"))
    screen.write()
    kinds = {key: kind(each, known) for key, each in schema["properties"].items()}
    words = [f"{clean(key)}={_sample(kinds[key])}" for key in schema["required"]]
    command = server.command("submit", name, *words, "--watch")
    screen.line(Text(f"Submit it: {command}", style="dim"))


def kind(schema: dict[str, Any], known: dict[str, Any]) -> str:
    """A JSON Schema in few words: `int`, `list[str]`, `str or None`, `{x, y}`. `known`: what its
    references stand for."""
    if "anyOf" in schema:
        return " or ".join(kind(each, known) for each in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(short(each, 20) for each in schema["enum"])
    if "$ref" in schema:
        return kind(known.get(schema["$ref"].rpartition("/")[2], {}), known)
    word = schema.get("type", "anything")
    if word == "array":
        return f"list[{kind(schema['items'], known)}]" if schema.get("items") else "list"
    if word == "object":
        inside = schema.get("additionalProperties")
        if "properties" in schema:
            return f"{{{', '.join(map(clean, schema['properties']))}}}"
        return (
            f"dict[str, {kind(inside, known)}]" if isinstance(inside, dict) and inside else "dict"
        )
    form = schema.get("format") or schema.get("contentEncoding")
    return f"{WORDS.get(word, clean(str(word)))}{f' ({clean(form)})' if form else ''}"


def _sample(word: str) -> str:
    """What a value of this kind looks like."""
    if word.startswith("list"):
        return "[…]"
    return "{…}" if word.startswith(("dict", "{")) else SAMPLES.get(word, "…")


def _options(options: dict[str, Any]) -> str:
    words = []
    if options.get("timeout") is not None:
        words.append(f"at most {duration(options['timeout'])} an attempt")
    if options.get("retries"):
        words.append(f"retried up to {options['retries']} times")
    if options.get("concurrency") is not None:
        words.append(f"at most {options['concurrency']} at once")
    if options.get("priority"):
        words.append(f"priority {options['priority']}")
    return ", ".join(words).capitalize()


async def unknown_task(server: Server, client: TasksClient, name: str) -> Refused:
    return unknown(server, name, await client.types())


def unknown(server: Server, name: str, types: list[Definition]) -> Refused:
    """That there is no such task, and what may have been meant."""
    meant = similar(name, [each["name"] for each in types])
    return Refused(
        f"There is no task {clean(name)!r}.{meant} `{server.command('types')}` lists them all."
    )


def similar(name: str, names: list[str]) -> str:
    """A question after those that may have been meant."""
    close = get_close_matches(name, names, cutoff=0.65) or [
        each for each in names if name.lower() in each.lower()
    ]
    return f" Did you mean {' or '.join(map(clean, close[:3]))}?" if close else ""
