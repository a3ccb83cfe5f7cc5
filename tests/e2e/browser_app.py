"""An app with a page that watches a task as browsers do, and counts how often they ask."""

from typing import Any

from quart import Quart, Response, request

from quart_tasks import QuartTasks

app = Quart(__name__)
tasks = QuartTasks(app)
asked: list[int] = []  # the status of each answer to a request for events

PAGE = """<!doctype html><title>Events of a task</title><pre></pre><script>
const story = {received: [], errors: 0, closed: false};
const show = () => document.querySelector("pre").textContent = JSON.stringify(story);
const source = new EventSource("/tasks/%s/events");
for (const type of ["snapshot", "output", "state"])
  source.addEventListener(type, event => {
    story.received.push([type, event.lastEventId, JSON.parse(event.data).cursor]);
    show();
  });
source.onerror = () => {
  story.errors += 1;
  story.closed = source.readyState === EventSource.CLOSED;
  show();
};
</script>"""


@tasks.task
async def greet() -> Any:
    yield "hello"
    yield "world"


@app.get("/page/<id>")
async def page(id: str) -> str:
    return PAGE % id


@app.get("/asked")
async def get_asked() -> list[int]:
    return asked


@app.after_request
async def count(response: Response) -> Response:
    if request.path.endswith("/events"):
        asked.append(response.status_code)
    return response
