"""fastapi-taskflow, in memory or with SQLite, on uvicorn."""

# mypy: ignore-errors
# What it imports has no types, and may be missing where they are checked.

import sys
import tempfile

from fastapi import FastAPI
from fastapi_taskflow import ManagedBackgroundTasks, TaskAdmin, TaskManager

from .on_uvicorn import serve


def create_app(manager: TaskManager) -> FastAPI:
    app = FastAPI()
    TaskAdmin(app, manager, auto_install=True, path="/admin")

    @manager.task()
    async def nothing() -> None:
        pass

    @app.post("/tasks", status_code=202)
    async def create(background_tasks: ManagedBackgroundTasks) -> dict[str, str]:
        return {"id": background_tasks.add_task(nothing)}

    @app.post("/forget")
    async def forget() -> None:
        """Nothing waits: a connection's next request is read when its task has ended."""

    return app


def main(where: str) -> None:
    if where == "memory":
        serve(create_app(TaskManager()))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/tasks.db"
        serve(create_app(TaskManager(snapshot_db=path, requeue_pending=True)))


if __name__ == "__main__":
    main(sys.argv[1])
