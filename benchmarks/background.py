"""What does a background view cost, against a route that submits a task, and a plain one?

All three are sent the same JSON and make the same answer of it: the plain route at once, the
others in a task, behind a 202. A background view's request is handled twice, so it cannot be as
quick as a task of its own. One core serves and another asks.
"""

import asyncio
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

from quart import Quart, Response, request

from quart_tasks import QuartTasks

from . import client
from .common import Peer, Result, figure, ratio
from .server import Server, serving

CONNECTIONS = 32
AIM = 0.8
BODY = {"name": "world", "numbers": [1, 2, 3]}
ROUTES = ("plain", "plain-sync", "submitted", "submitted-sync", "background", "background-sync")

tasks = QuartTasks()


def answer(body: Any) -> dict[str, Any]:
    return {"hello": body["name"], "sum": sum(body["numbers"])}


@tasks.task
async def greet(body: Any) -> dict[str, Any]:
    return answer(body)


@tasks.task
def greet_in_thread(body: Any) -> dict[str, Any]:
    return answer(body)


def create_app() -> Quart:
    app = Quart(__name__)
    tasks.init_app(app)

    @app.post("/plain")
    async def plain() -> dict[str, Any]:
        return answer(await request.get_json())

    @app.post("/plain-sync")
    def plain_sync() -> dict[str, Any]:
        return answer(BODY)  # a sync view cannot await the request's

    @app.post("/submitted")
    async def submitted() -> Response:
        return (await greet.submit(await request.get_json())).accepted()

    @app.post("/submitted-sync")
    async def submitted_sync() -> Response:
        return (await greet_in_thread.submit(await request.get_json())).accepted()

    @app.post("/background")
    @tasks.background
    async def background() -> dict[str, Any]:
        return answer(await request.get_json())

    @app.post("/background-sync")
    @tasks.background
    def background_sync() -> dict[str, Any]:
        return answer(BODY)

    return app


class Round(NamedTuple):
    rate: float  # requests a second, to the end of the last task
    work: float  # microseconds of the server's processor for each


async def measure(server: Server, quick: bool) -> list[Result]:
    seconds, repeats = (0.5, 3) if quick else (2.0, 7)
    rounds: dict[str, list[Round]] = {route: [] for route in ROUTES}
    for route in ROUTES:
        await ask(server, route, 0.5)
    start, served = perf_counter(), server.seconds()
    for _ in range(repeats):
        for route, taken in rounds.items():
            taken.append(await ask(server, route, seconds))
    # A server that mostly waits, for the processor say, is as quick whatever it does.
    at_work = (server.seconds() - served) / (perf_counter() - start) > 0.8
    return [
        result("async view", "task", "", rounds, at_work),
        result("sync view", "thread task", "-sync", rounds, at_work),
    ]


async def ask(server: Server, route: str, seconds: float) -> Round:
    what = client.request("POST", f"/{route}", BODY)
    start, served = perf_counter(), server.seconds()
    rate = await client.rate(server.port, what, connections=CONNECTIONS, seconds=seconds)
    count = rate * (perf_counter() - start)
    async with client.http(server.port) as connection:
        while not idle((await connection.ask("GET", "/tasks/stats")).json()):
            pass
    return Round(count / (perf_counter() - start), (server.seconds() - served) / count * 1e6)


def idle(stats: Any) -> bool:
    states: dict[str, int] = stats["states"]
    return not (states["scheduled"] or states["queued"] or states["running"])


def result(
    view: str, task: str, suffix: str, rounds: dict[str, list[Round]], at_work: bool
) -> Result:
    plain, theirs, ours = (
        figure([each.rate for each in rounds[kind + suffix]])
        for kind in ("plain", "submitted", "background")
    )
    work = [
        median(each.work for each in rounds[kind + suffix]) for kind in ("background", "submitted")
    ]
    return Result(
        name="background",
        question=f"requests and their tasks, of {CONNECTIONS} connections that ask for {view}s",
        ours=ours,
        baseline=theirs,
        ratio=ratio(ours, theirs),
        unit="requests/s",
        aim=f"at least {AIM:g}",
        met=ratio(ours, theirs) >= AIM if at_work else None,
        notes=f"a request and its task take {work[0]:.0f} µs of the processor, where one is "
        f"submitted {work[1]:.0f}"
        + ("" if at_work else "; not judged: the server mostly waited for the processor"),
        baseline_name=f"a route that submits a {task}",
        ours_name=f"a background {view}",
        peers=[Peer(name=f"a plain {view}", figure=plain, ratio=ratio(plain, theirs))],
    )


def run(quick: bool) -> list[Result]:
    with serving("background") as server:
        return asyncio.run(measure(server, quick))
