"""Requests to one URL from the tasks of ours and of others, each in a process of its own (see
`asking`). Each question is how many requests, the answer the seconds until all have theirs, by the
clock and of the processor. Where there is a loop, so many are made at once as is said when it
starts.
"""

import asyncio
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from time import perf_counter, process_time

import aiohttp
from quart import Quart

from quart_tasks import QuartTasks
from quart_tasks.server import serve

from .asking import answer, answer_async
from .slow import BODY

THREADS = 100
CELERY_THREADS = 32

Taken = tuple[float, ...]

tasks = QuartTasks()


@tasks.task
async def fetch(url: str) -> int:
    async with tasks.http.get(url) as response:
        return len(await response.read())


async def ours(url: str, together: int) -> None:
    """In the server that `quart-tasks serve` runs."""
    app = Quart(__name__)
    app.config["TASKS_ASYNC_CONCURRENCY"] = together
    tasks.init_app(app)
    listening, stop = asyncio.Event(), asyncio.Event()

    async def all_of(number: int) -> list[int]:
        async with app.app_context():
            handles = [await fetch.submit(url) for _ in range(number)]
            return [await handle for handle in handles]

    async def measure() -> None:
        await listening.wait()
        await answer_async(timed_async(all_of))
        stop.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(measure())
        await serve(app, "127.0.0.1", 0, stop=stop, on_listening=lambda _: listening.set())


async def bare(url: str, together: int) -> None:
    connector = aiohttp.TCPConnector(limit=together)
    turn = asyncio.Semaphore(together)

    async def get(session: aiohttp.ClientSession) -> int:
        async with turn, session.get(url) as response:
            return len(await response.read())

    async with aiohttp.ClientSession(connector=connector) as session:

        async def all_of(number: int) -> list[int]:
            return await asyncio.gather(*(get(session) for _ in range(number)))

        await answer_async(timed_async(all_of))


def flask(get: Callable[[str], int], url: str) -> None:
    """A view that hands each request to a pool of threads, and waits for all."""
    app = import_module("flask").Flask(__name__)
    pool = ThreadPoolExecutor(THREADS)

    @app.post("/<int:number>")  # type: ignore[untyped-decorator]
    def all_of(number: int) -> list[int]:
        return list(pool.map(get, [url] * number))

    client = app.test_client()
    answer(timed(lambda number: client.post(f"/{number}").get_json()))


def blocking(url: str) -> int:
    with urllib.request.urlopen(url) as response:
        return len(response.read())


def in_own_loop(url: str) -> int:
    async def get() -> int:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return len(await response.read())

    return asyncio.run(get())


def celery(url: str) -> None:
    celery_worker = import_module("benchmarks.peers.celery_worker")
    group = import_module("celery").group
    with celery_worker.running("--pool=threads", f"--concurrency={CELERY_THREADS}"):
        answer(timed(lambda n: group(celery_worker.fetch.s(url) for _ in range(n))().get(120)))


def timed(all_of: Callable[[int], list[int]]) -> Callable[[int], Taken]:
    def measure(number: int) -> Taken:
        start, used = perf_counter(), process_time()
        sizes = all_of(number)
        return check(sizes, number, perf_counter() - start, process_time() - used)

    return measure


def timed_async(all_of: Callable[[int], Awaitable[list[int]]]) -> Callable[[int], Awaitable[Taken]]:
    async def measure(number: int) -> Taken:
        start, used = perf_counter(), process_time()
        sizes = await all_of(number)
        return check(sizes, number, perf_counter() - start, process_time() - used)

    return measure


def check(sizes: Sequence[int], number: int, *taken: float) -> Taken:
    if list(sizes) != [len(BODY)] * number:
        raise RuntimeError(f"Not all of {number} requests were answered with {len(BODY)} bytes.")
    return taken


SIDES: dict[str, Callable[[str, int], None]] = {
    "ours": lambda url, together: asyncio.run(ours(url, together)),
    "bare": lambda url, together: asyncio.run(bare(url, together)),
    "threads": lambda url, _: flask(blocking, url),
    "loops": lambda url, _: flask(in_own_loop, url),
    "celery": lambda url, _: celery(url),
}
