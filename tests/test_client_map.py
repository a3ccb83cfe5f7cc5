"""The HTTP client's `map`."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from quart_tasks import (
    InvalidArguments,
    TaskFailed,
)
from quart_tasks.client import Refused, TasksClient

from .client_tasks import (  # noqa: F401 - fixtures are used by name
    HANG,
    client_fixture,
    open_gate,
    running,
    serving,
    someone_came,
    tasks,
    url_fixture,
)


async def test_map_gives_results_in_order(client: TasksClient) -> None:
    assert [value async for value in client.map("echo", range(333))] == list(range(333))
    assert [value async for value in client.map("echo", [])] == []
    values = client.with_options(priority=2).map("echo", "abc")
    assert [value async for value in values] == ["a", "b", "c"]
    assert {record.priority for record in await client.list(limit=3)} == {2}


async def test_map_takes_asynchronous_items_as_they_come(client: TasksClient) -> None:
    async def items() -> AsyncIterator[str]:
        yield "a"
        handle = (await client.list(name="echo"))[0]
        yield handle.args[0] + "b"

    assert [value async for value in client.map("echo", items())] == ["a", "ab"]


async def test_map_is_bounded(client: TasksClient) -> None:
    asked = []

    def items() -> Iterator[str]:
        for number in range(300):
            asked.append(number)
            yield "a"

    values = client.map("gated", items())
    first = asyncio.ensure_future(anext(values))
    while running["now"] < 100:
        await someone_came.wait()
        someone_came.clear()
    assert not first.done()
    assert len(asked) == 100
    open_gate("a")
    await first
    assert [value async for value in values] == ["a"] * 299
    assert running["most"] == 100


async def test_map_ends_with_the_first_failure_and_cancels_the_rest(client: TasksClient) -> None:
    values = client.map("waits_or_fails", range(60))
    assert await anext(values) == 0
    with pytest.raises(TaskFailed, match="1"):
        await anext(values)
    await tasks.join(HANG)
    assert len(await client.list(name="waits_or_fails", state="cancelled", limit=100)) == 58


async def test_leaving_map_cancels_what_is_in_flight(client: TasksClient) -> None:
    open_gate("open")
    values = client.map("gated", ["open", *["never"] * 30])
    assert await anext(values) == "open"
    await values.aclose()
    await tasks.join(HANG)
    assert len(await client.list(state="cancelled", limit=100)) == 30


async def test_map_with_items_that_do_not_fit_one_message(client: TasksClient) -> None:
    items = ["x" * 100_000 + str(number) for number in range(30)]
    assert [value async for value in client.map("echo", items)] == items
    with pytest.raises(InvalidArguments, match="Expected `int`, got `str`"):
        [value async for value in client.map("add", ["one"])]
    with pytest.raises(InvalidArguments, match="'nothing'"):
        [value async for value in client.map("nothing", [1])]


async def test_map_to_a_server_that_takes_small_messages_only() -> None:
    async with serving(TASKS_MAX_BODY_SIZE=3000) as url, TasksClient(url) as client:
        items = ["x" * 1000 + str(number) for number in range(10)]
        assert [value async for value in client.map("echo", items)] == items
        with pytest.raises(Refused, match="TASKS_MAX_BODY_SIZE") as refused:
            [value async for value in client.map("echo", ["x", "x" * 3000])]
        assert refused.value.status == 413
        with pytest.raises(Refused, match="TASKS_MAX_BODY_SIZE"):
            await client.submit("echo", "x" * 3000)


async def test_map_with_a_key_is_one_task(client: TasksClient) -> None:
    values = client.with_options(key="k", delay=0.1).map("echo", ["a", "b", "c"])
    assert [value async for value in values] == ["a"] * 3
    assert len(await client.list()) == 1


async def test_maps_at_once(client: TasksClient) -> None:
    async def total(name: str, count: int) -> int:
        return sum([value async for value in client.map(name, range(count))])

    totals = await asyncio.gather(total("echo", 150), total("add", 150), total("echo", 75))
    assert totals == [11175, 11325, 2775]
