"""FastAPI's BackgroundTasks, on uvicorn."""

# mypy: ignore-errors
# What it imports may be missing where types are checked.

from fastapi import BackgroundTasks, FastAPI

from .on_uvicorn import serve

app = FastAPI()


async def nothing() -> None:
    pass


@app.post("/tasks", status_code=202)
async def create(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(nothing)
    return {"state": "queued"}


@app.post("/forget")
async def forget() -> None:
    """Nothing waits: a connection's next request is read when its task has ended."""


if __name__ == "__main__":
    serve(app)
