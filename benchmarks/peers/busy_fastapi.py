"""FastAPI whose BackgroundTasks compute, on uvicorn."""

# mypy: ignore-errors
# What it imports may be missing where types are checked.

from fastapi import BackgroundTasks, FastAPI

from .busy import spin
from .on_uvicorn import serve

app = FastAPI()


@app.get("/small")
async def small() -> dict[str, str]:
    return {"hello": "world"}


@app.post("/busy", status_code=202)
async def busy(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(spin)
    return {"state": "queued"}


if __name__ == "__main__":
    serve(app)
