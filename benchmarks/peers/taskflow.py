"""fastapi-taskflow with SQLite, on uvicorn."""

# mypy: ignore-errors
# What it imports has no types, and may be missing where they are checked.

import sys
import tempfile
import threading

import uvicorn
from fastapi import FastAPI
from fastapi_taskflow import ManagedBackgroundTasks, TaskAdmin, TaskManager

from . import listening


def create_app(path: str) -> FastAPI:
    manager = TaskManager(snapshot_db=path, requeue_pending=True)
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


def main() -> None:
    listener, url = listening()
    with tempfile.TemporaryDirectory() as folder:
        config = uvicorn.Config(create_app(f"{folder}/tasks.db"), log_level="error")
        server = uvicorn.Server(config)

        def stop() -> None:
            sys.stdin.read()
            server.should_exit = True

        threading.Thread(target=stop, daemon=True).start()
        print(url, flush=True)
        server.run([listener])


if __name__ == "__main__":
    main()
