"""An app in a process of its own, whose workers hang while they import its main module. They print
their process ids."""

import asyncio
import json
import os
from threading import Event

from .sample_tasks import make_app, tasks


async def main() -> None:
    async with make_app(TASKS_PROCESSES=1).test_app():
        await (await tasks.submit("describe_process"))


if __name__ == "__main__":
    asyncio.run(main())
else:
    print(json.dumps(os.getpid()), flush=True)
    Event().wait()
