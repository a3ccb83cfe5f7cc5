"""An app in a process of its own, which a test may kill: prints what its process tasks say."""

import asyncio
import json

from .sample_tasks import make_app, tasks
from .waiting import until


async def main() -> None:
    async with make_app(TASKS_PROCESSES=1).test_app():
        print(json.dumps(await (await tasks.submit("describe_process"))), flush=True)
        handle = await tasks.submit("spins")
        event = await until(handle, lambda event: event.type == "progress")
        print(json.dumps(event.data["current"]), flush=True)
        await handle


if __name__ == "__main__":
    asyncio.run(main())
