"""An app whose views run in the background, and say in the file RAN that they begin."""

from __future__ import annotations

import os
from typing import Any

from quart import Quart, Response, current_app, request

from quart_tasks import QuartTasks, current_task, progress

from ..background import whole_body
from ..footprints import append
from ..waiting import pass_gate, pass_gate_on_loop

app = Quart(__name__)
app.config["MAX_CONTENT_LENGTH"] = 20_000_000
tasks = QuartTasks(app)


@app.before_request
async def consume() -> None:
    """In the first handling, leave nothing of a body to those that come after."""
    if request.path == "/consumed" and current_task() is None:
        async for _ in request.body:
            pass


def begin() -> None:
    progress(append(os.environ["RAN"]))


def answer(data: bytes) -> Response:
    context = current_task()
    assert context is not None
    return Response(
        data, int(request.args.get("status", 200)),
        {"X-Attempt": str(context.attempt), "X-Query": request.query_string.decode()},
        content_type="application/x-own",
    )  # fmt: skip


async def on_loop() -> Any:
    begin()
    if gate := request.args.get("gate"):
        await pass_gate_on_loop(gate)
    return answer(await whole_body())


def in_thread() -> Any:
    begin()
    if gate := request.args.get("gate"):
        pass_gate(gate)
    return answer(request.args.get("echo", "").encode())


for name, view, options in (
    ("once", on_loop, {}),
    ("again", on_loop, {"idempotent": True}),
    ("once-in-a-thread", in_thread, {}),
    ("again-in-a-thread", in_thread, {"idempotent": True}),
    ("one-at-a-time", on_loop, {"concurrency": 1}),
    ("prefers", on_loop, {"prefer": True}),
    ("consumed", on_loop, {}),
):
    in_background = tasks.background(name=name, **options)(view)
    app.add_url_rule(f"/{name}", name, in_background, methods=["GET", "POST"])


async def about() -> dict[str, Any]:
    return {
        "url": request.url, "method": request.method, "version": request.http_version,
        "remote": request.remote_addr, "client": (request.scope["client"] or ("",))[0],
        "server": list(request.scope["server"] or ()), "scheme": request.scheme,
        "headers": request.headers.to_wsgi_list(),
        "form": (await request.form).to_dict(),
        "files": {
            name: [(each.filename, each.content_type, len(each.read())) for each in files]
            for name, files in (await request.files).lists()
        },
        "size": len(await request.get_data()), "app": current_app.name,
    }  # fmt: skip


app.add_url_rule("/about", "about", about, methods=["GET", "POST"])
app.add_url_rule(
    "/about-background", "about-background", tasks.background(name="about")(about),
    methods=["GET", "POST"],
)  # fmt: skip
