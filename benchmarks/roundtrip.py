"""What does the client cost beside plain aiohttp: one task from submission to result, and many?

Each baseline does the same work by hand: `POST /tasks`, and for a result one `GET …/result?wait=`.
"""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from statistics import median
from time import perf_counter

import aiohttp
from quart import Quart

from quart_tasks import QuartTasks
from quart_tasks.client import TasksClient
from quart_tasks.client import sync as blocking

from .common import Figure, Result, figure, ratio
from .server import serving

MANY = 10_000
IN_FLIGHT = 100  # as `map` has it

tasks = QuartTasks()


@tasks.task
async def echo(value: int) -> int:
    return value


@tasks.task
async def nothing(value: int) -> None:
    pass


def create_app() -> Quart:
    app = Quart(__name__)
    tasks.init_app(app)
    return app


class Raw:
    """What one would write with aiohttp alone."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url, self._session = f"{url}/tasks", session

    async def submit(self, name: str, value: int) -> str:
        body = {"name": name, "args": [value]}
        async with self._session.post(self._url, json=body) as response:
            id: str = (await response.json())["id"]
            return id

    async def result(self, id: str) -> object:
        async with self._session.get(f"{self._url}/{id}/result?wait=30") as response:
            return await response.json()

    async def run(self, name: str, value: int) -> object:
        return await self.result(await self.submit(name, value))


async def one_by_one(run: Callable[[int], Awaitable[object]], count: int) -> float:
    """The median milliseconds of one round trip."""
    taken = []
    for value in range(count):
        start = perf_counter()
        await run(value)
        taken.append(perf_counter() - start)
    return median(taken) * 1e3


def in_thread(client: blocking.TasksClient, count: int) -> float:
    """The same for blocking calls."""
    taken = []
    for value in range(count):
        start = perf_counter()
        client.submit("echo", value).result()
        taken.append(perf_counter() - start)
    return median(taken) * 1e3


async def mapped(client: TasksClient, name: str, count: int) -> float:
    """Tasks a second."""
    start = perf_counter()
    results = [value async for value in client.map(name, range(count))]
    taken = perf_counter() - start
    assert results == (list(range(count)) if name == "echo" else [None] * count)
    return count / taken


async def each(run: Callable[[int], Awaitable[object]], count: int) -> float:
    """Tasks a second when each has requests of its own, IN_FLIGHT at once."""
    values = iter(range(count))

    async def work() -> None:
        for value in values:
            await run(value)

    start = perf_counter()
    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    return count / (perf_counter() - start)


def import_time(statement: str) -> float:
    """Milliseconds of the processor, in a new process."""
    script = f"from time import process_time as now; t = now(); {statement}; print(now() - t)"
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True)
    return float(done.stdout) * 1e3


async def measure(url: str, quick: bool) -> dict[str, Figure]:
    repeats, count, many = (3, 200, 2_000) if quick else (5, 1_000, MANY)
    taken: dict[str, list[float]] = {}
    async with TasksClient(url) as client, aiohttp.ClientSession() as session:
        raw, calls = Raw(url, session), blocking.TasksClient(url)

        async def ours(name: str, value: int) -> object:
            return await (await client.submit(name, value))

        questions: dict[str, Callable[[], Awaitable[float]]] = {
            "echo": lambda: one_by_one(partial(ours, "echo"), count),
            "raw echo": lambda: one_by_one(partial(raw.run, "echo"), count),
            "nothing": lambda: one_by_one(partial(ours, "nothing"), count),
            "raw nothing": lambda: one_by_one(partial(raw.run, "nothing"), count),
            "blocking": lambda: asyncio.to_thread(in_thread, calls, count),
            "map": lambda: mapped(client, "echo", many),
            "map nothing": lambda: mapped(client, "nothing", many),
            "posts": lambda: each(partial(raw.submit, "echo"), many),
            "posts and results": lambda: each(partial(raw.run, "echo"), many),
        }
        for repeat in range(repeats + 1):
            for name, question in questions.items():
                value = await question()
                if repeat:  # in the first, connections are made
                    taken.setdefault(name, []).append(value)
        calls.close()
    return {name: figure(values) for name, values in taken.items()}


def run(quick: bool) -> list[Result]:
    with serving("roundtrip") as server:
        figures = asyncio.run(measure(f"http://127.0.0.1:{server.port}", quick))
    imports: dict[str, list[float]] = {"import aiohttp": [], "import quart_tasks.client": []}
    for _ in range(5 if quick else 15):
        for statement, taken in imports.items():
            taken.append(import_time(statement))
    figures["import aiohttp"], figures["import"] = map(figure, imports.values())

    def result(ours: str, baseline: str, unit: str, question: str) -> Result:
        return Result(
            name="roundtrip", question=question, ours=figures[ours], baseline=figures[baseline],
            ratio=ratio(figures[ours], figures[baseline]), unit=unit, aim="none", met=None,
        )  # fmt: skip

    return [
        result("echo", "raw echo", "ms", "submit to result, one at a time, against raw aiohttp"),
        result("nothing", "raw nothing", "ms", "the same of a task that returns None"),
        result("blocking", "raw echo", "ms", "the same with blocking calls"),
        result(
            "map", "posts", "tasks/s", "`map` over one socket, results too, against a POST each"
        ),
        result("map", "posts and results", "tasks/s", "the same against a POST and a GET each"),
        result("map nothing", "posts", "tasks/s", "`map` of tasks that return None, likewise"),
        result("import", "import aiohttp", "ms", "importing the client, against importing aiohttp"),
    ]
