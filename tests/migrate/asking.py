"""Asks an app the same before and after its migration."""

from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from flask import Flask
from quart import Quart
from quart.testing import TestApp

from ..waiting import HANG
from .cases import migrated


@dataclass(frozen=True)
class Ask:
    """One request: `json`, `form` or `data` is its body."""

    path: str
    method: str = "GET"
    json: Any = None
    form: dict[str, str] | None = None
    data: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        given = {"json": self.json, "form": self.form, "data": self.data}
        return {name: value for name, value in given.items() if value is not None}


Answer = tuple[int, str | None, bytes]


def loaded(source: str, name: str) -> ModuleType:
    module = ModuleType(name)
    exec(compile(source, f"{name}.py", "exec"), module.__dict__)
    return module


def answers_of_flask(app: Flask, asks: list[Ask]) -> list[Answer]:
    client = app.test_client()
    found: list[Answer] = []
    for ask in asks:
        body = ask.body()
        if "form" in body:
            body["data"] = body.pop("form")
        response = client.open(ask.path, method=ask.method, headers=ask.headers, **body)
        found.append((response.status_code, response.content_type, response.data))
    return found


async def answers_of_quart(app: Quart, asks: list[Ask]) -> list[Answer]:
    client = app.test_client()
    found: list[Answer] = []
    # Quart's own `test_app()` gives the start and the end six seconds each.
    async with TestApp(app, startup_timeout=HANG, shutdown_timeout=HANG):
        for ask in asks:
            response = await client.open(
                ask.path, method=ask.method, headers=ask.headers, **ask.body()
            )
            found.append((response.status_code, response.content_type, await response.data))
    return found


async def same_answers(source: str, asks: list[Ask]) -> str:
    """Check that the migrated `app` of this source answers as the original; gives its source."""
    before = answers_of_flask(loaded(source, "made").app, asks)
    sources, _ = migrated({"app.py": source})
    after = await answers_of_quart(loaded(sources["app.py"], "made").app, asks)
    assert after == before, sources["app.py"]
    return sources["app.py"]
