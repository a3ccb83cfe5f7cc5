"""The app that the tests of bad input serve with `quart-tasks serve`."""

from typing import Any

from quart import Quart, websocket

from quart_tasks import QuartTasks

app = Quart(__name__)
# No record goes by itself while tests count them, however long all of them take.
app.config.update(TASKS_DRAIN_TIMEOUT=0, TASKS_RETENTION=10**6)
tasks = QuartTasks(app)


@tasks.task
async def echo(value: Any = None) -> Any:
    return value


@app.get("/own")
async def own() -> str:
    return "own"


@app.websocket("/own")
async def own_socket() -> None:
    await websocket.send("own")
