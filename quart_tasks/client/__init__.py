"""The tasks of a server, from another process: over HTTP, on aiohttp.

    async with TasksClient("http://127.0.0.1:8000") as client:
        task = await client.submit("primes", 1000)
        print(await task)

`quart_tasks.client.sync` is the same with blocking calls. Neither imports anything of the server.
"""

from ..events import TaskEvent
from .errors import Refused, Unreachable
from .handle import TaskHandle
from .tasks import TasksClient

__all__ = ["Refused", "TaskEvent", "TaskHandle", "TasksClient", "Unreachable"]
