"""Defaults of dataclasses that a caller leaves out: a task's result has them, wherever it ran."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
import pytest
from quart import Quart

from quart_tasks import InvalidArguments, QuartTasks

from .sample_tasks import make_app
from .web import client_of, ended, submit

T = TypeVar("T")


@dataclass
class Line:
    item: str
    count: int = 1


@dataclass(frozen=True)
class Address:
    street: str
    zip: int = 12345


@dataclass(slots=True)
class Slotted:
    line: Line
    number: int = 2


class Box(msgspec.Struct):
    line: Line
    sealed: bool = False


class Pair(NamedTuple):
    line: Line
    rank: int = 1


@dataclass
class Parcel(Generic[T]):
    inside: T
    weight: float = 0.5


@dataclass
class Order:
    customer: str
    address: Address
    lines: list[Line] = field(default_factory=list)
    by_name: dict[str, Line] = field(default_factory=dict)
    first: tuple[Line, int] | None = None
    either: Line | int = 0
    places: set[Address] = field(default_factory=set)
    pair: Pair | None = None
    box: Box | None = None
    slotted: Slotted | None = None
    parcel: Parcel[Line] | None = None
    parts: list[Order] = field(default_factory=list)
    anything: Any = None
    gift: bool = False
    note: str | None = None


# What is given, and what Python makes of the same.
GIVEN: list[tuple[dict[str, Any], Order]] = [
    ({}, Order("Ada", Address("Mill Lane"))),
    ({"gift": True}, Order("Ada", Address("Mill Lane"), gift=True)),
    (
        {
            "lines": [{"item": "ink"}], "by_name": {"a": {"item": "pen"}},
            "first": [{"item": "cap"}, 3], "either": {"item": "nib"},
            "places": [{"street": "Quay"}], "pair": [{"item": "cup"}],
            "box": {"line": {"item": "lid"}}, "slotted": {"line": {"item": "rod"}},
            "parcel": {"inside": {"item": "map"}}, "anything": {"item": "as it is"},
            "parts": [{"customer": "Bob", "address": {"street": "Quay"}}],
        },
        Order(
            "Ada", Address("Mill Lane"), [Line("ink")], {"a": Line("pen")}, (Line("cap"), 3),
            Line("nib"), {Address("Quay")}, Pair(Line("cup")), Box(Line("lid")),
            Slotted(Line("rod")), Parcel(Line("map")), [Order("Bob", Address("Quay"))],
            {"item": "as it is"},
        ),
    ),
]  # fmt: skip

tasks = QuartTasks()


@tasks.task(name="ship-async")
async def ship(order: Order) -> Order:
    return order


@tasks.task(name="ship-thread")
def ship_in_thread(order: Order) -> Order:
    return order


@tasks.task(name="ship-process", executor="process")
def ship_in_process(order: Order) -> Order:
    return order


@tasks.task
async def all_of(*orders: Order, **named: Order) -> list[Any]:
    return [*orders, named]


@tasks.task
async def careless(order: dict[str, Any]) -> Order:
    return order  # type: ignore[return-value]


@pytest.fixture
async def app() -> AsyncIterator[Quart]:
    app = make_app(tasks)
    async with app.test_app():
        yield app


@pytest.fixture(params=["async", "thread", "process"])
def executor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def as_json(value: Any) -> Any:
    return json.loads(msgspec.json.encode(value))


def partial(more: dict[str, Any]) -> dict[str, Any]:
    return {"customer": "Ada", "address": {"street": "Mill Lane"}, **more}


async def test_over_http_they_are_in_the_result_as_python_has_them(
    app: Quart, executor: str
) -> None:
    client = client_of(app)
    for more, whole in GIVEN:
        task = await submit(client, f"ship-{executor}", partial(more))
        record = await ended(client, task["id"])
        assert record["result"] == as_json(whole)
        assert record["args"] == [partial(more)]


async def test_in_python_they_are_in_the_result_and_in_its_json(app: Quart, executor: str) -> None:
    for more, whole in GIVEN:
        result = await (await tasks.submit(f"ship-{executor}", partial(more)))
        assert result == whole
        assert as_json(result) == as_json(whole)
        again = await (await tasks.submit(f"ship-{executor}", order=result))
        assert as_json(again) == as_json(whole)


async def test_they_are_in_each_of_many(app: Quart) -> None:
    more, whole = GIVEN[0]
    result = await (await tasks.submit("all_of", *[partial(more)] * 2, other=partial(more)))
    each = as_json(whole)
    assert result == [each, each, {"other": each}]


async def test_a_result_that_leaves_them_out_has_them_once_it_is_read(app: Quart) -> None:
    for more, whole in GIVEN:
        result = await (await careless.submit(partial(more)))
        assert as_json(result) == as_json(whole)


async def test_what_is_its_own_part_is_refused(app: Quart) -> None:
    order = Order("Ada", Address("Mill Lane"))
    order.parts.append(order)
    with pytest.raises(InvalidArguments):
        await tasks.submit("ship-async", order)
