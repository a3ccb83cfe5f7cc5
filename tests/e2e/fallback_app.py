"""A Quart app with an old Flask app behind it, for tests of large and slow requests."""

import asyncio
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
from flask import Flask
from quart import Quart

from quart_tasks import FlaskFallback, QuartTasks

PART = b"0123456789abcdef" * 4096  # 64 KiB

app = Quart(__name__, static_folder=None)
tasks = QuartTasks(app)
old = Flask("old", static_folder=None)
FlaskFallback(app, old)

opened = threading.Semaphore(0)
made, closed = [0], [0]
closing = asyncio.Event()
loops: list[asyncio.AbstractEventLoop] = []


@app.before_serving
async def remember_loop() -> None:
    loops.append(asyncio.get_running_loop())


@app.get("/memory")
def memory() -> dict[str, int]:
    """The most that this process has held since the last of these requests, in KiB."""
    status = Path("/proc/self/status").read_text()
    Path("/proc/self/clear_refs").write_text("5")  # proc(5)
    return {"peak": int(status.partition("VmHWM:")[2].split()[0])}


@app.get("/open")
async def open_gate() -> str:
    opened.release()
    return "opened"


@app.get("/counts")
async def counts() -> dict[str, int]:
    return {"made": made[0], "closed": closed[0]}


@app.get("/closed/<int:number>")
async def until_closed(number: int) -> str:
    """Answers when so many generators have been closed."""
    while closed[0] < number:
        closing.clear()
        await closing.wait()
    return "closed"


@old.post("/digest")
def digest() -> dict[str, Any]:
    stream: Any = flask.request.stream
    seen, size = hashlib.sha256(), 0
    while data := stream.read(64 * 1024):
        seen.update(data)
        size += len(data)
    return {"size": size, "sha256": seen.hexdigest()}


@old.get("/parts/<int:count>")
def parts(count: int) -> flask.Response:
    def make() -> Iterator[bytes]:
        try:
            for _ in range(count):
                made[0] += 1
                yield PART
        finally:
            closed[0] += 1
            loops[-1].call_soon_threadsafe(closing.set)

    return flask.Response(make(), mimetype="application/octet-stream")


@old.get("/gated")
def gated() -> flask.Response:
    def make() -> Iterator[bytes]:
        yield b"first"
        opened.acquire()
        yield b"last"

    return flask.Response(make())


@old.get("/broken")
def broken() -> flask.Response:
    def make() -> Iterator[bytes]:
        yield b"first"
        raise LookupError("in the middle")

    return flask.Response(make())


@old.get("/file")
def file() -> flask.Response:
    return flask.send_file(os.environ["FALLBACK_FILE"], conditional=True)


@old.post("/echo")
def echo() -> flask.Response:
    stream: Any = flask.request.stream

    def make() -> Iterator[bytes]:
        while line := stream.readline():
            yield b"got " + line

    return flask.Response(make())


@old.get("/who")
def who() -> dict[str, Any]:
    environ = flask.request.environ
    names = ("REMOTE_ADDR", "SERVER_PORT", "wsgi.url_scheme", "SERVER_PROTOCOL", "PATH_INFO")
    return {name: environ[name] for name in names}


@old.get("/<path:rest>")
def rest(rest: str) -> str:
    return rest
