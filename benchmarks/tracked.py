"""The same with tracking: the app and the tasks that the questions put to work."""

import asyncio
from collections.abc import AsyncIterator

from quart import Quart

from quart_tasks import QuartTasks

tasks = QuartTasks()
more = asyncio.Semaphore(0)


@tasks.task
async def nothing() -> None:
    pass


@tasks.task
async def outputs(batch: int, batches: int) -> AsyncIterator[int]:
    """Yield `batch` values each time that somebody posts to `/more`."""
    for start in range(0, batch * batches, batch):
        await more.acquire()
        for value in range(start, start + batch):
            yield value


@tasks.task(executor="process")
def spin(limit: int) -> int:
    """Count the primes up to `limit` the slow way, which keeps one processor busy."""
    return sum(all(n % k for k in range(2, int(n**0.5) + 1)) for n in range(2, limit + 1))


def create_app(**config: object) -> Quart:
    app = Quart(__name__)
    app.config.update(config)
    tasks.init_app(app)

    @app.get("/small")
    async def small() -> dict[str, str]:
        return {"hello": "world"}

    @app.post("/more")
    async def release() -> tuple[str, int]:
        more.release()
        return "", 204

    @app.post("/fill/<int:count>")
    async def fill(count: int) -> tuple[str, int]:
        """Leave `count` ended records behind, so that a server is measured as it is after a day."""
        for start in range(0, count, 1000):
            await tasks.submit_many(nothing, [()] * min(1000, count - start))
            await tasks.join()
        return "", 204

    return app
