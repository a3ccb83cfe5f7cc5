"""`quart-tasks serve`: the real command, in a process of its own, and real sockets."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import websockets
from hypercorn.protocol import h11
from quart import Quart, websocket
from websockets.sync.client import connect

from quart_tasks.connections import listen, resolve
from quart_tasks.server import serve

from ..sockets import silent_client

ROOT = Path(__file__).parents[2]
COMMAND = ["-m", "quart_tasks", "serve"]
LIMIT = 50  # seconds after which something has hung

SHOP = """
import asyncio, multiprocessing, os, time
from quart import Quart, request, websocket

app = Quart(__name__)
number = 5
stalled = asyncio.Condition()
waiting = set()

def create_app():
    return app

def needs(argument):
    return app

@app.get("/")
async def index():
    return "hello"

@app.websocket("/flood")
async def flood():
    try:
        while True:
            sending = asyncio.ensure_future(websocket.send("x" * 65536))
            if not (await asyncio.wait([sending], timeout=0.1))[0]:
                async with stalled:
                    waiting.add(sending)
                    stalled.notify_all()
            await sending
            waiting.discard(sending)
    finally:
        print("over", flush=True)

@app.get("/stalled/<int:count>")
async def until_stalled(count):
    async with stalled:
        await stalled.wait_for(lambda: len(waiting) >= count)
    return "all"

@app.websocket("/quiet")
async def quiet():
    await websocket.accept()
    await asyncio.Event().wait()

@app.get("/stream")
async def stream():
    async def events():
        while True:
            yield "data: x\\n\\n"
            await asyncio.sleep(0.01)
    return events(), {"Content-Type": "text/event-stream"}

@app.get("/last")
async def last():
    print("begun", flush=True)
    while True:  # until the server listens no more, which only a refused connection tells
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", request.scope["server"][1])
        except OSError:
            return "answered"
        writer.close()
        await asyncio.sleep(0.01)

@app.get("/stuck")
async def stuck():
    print("begun", flush=True)
    time.sleep(3600)

@app.get("/busy")
def busy():
    print("begun", flush=True)
    time.sleep(3600)

def run_child(there):
    there.send("ready")
    time.sleep(3600)

@app.get("/child")
async def child():
    forked = multiprocessing.get_context("fork")
    ready, here = forked.Pipe(duplex=False)
    process = forked.Process(target=run_child, args=(here,))
    process.start()
    await asyncio.to_thread(ready.recv)
    process.terminate()
    await asyncio.to_thread(process.join)
    return str(process.exitcode)

@app.after_serving
async def ended():
    print("ended", flush=True)

async def deaf(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    await asyncio.Event().wait()

quart = app.asgi_app

async def asgi_app(scope, receive, send):
    handler = deaf if scope.get("path") == "/deaf" else quart
    await handler(scope, receive, send)

app.asgi_app = asgi_app
"""

TASKS = """
from quart import Quart
from quart_tasks import QuartTasks

app = Quart(__name__)
tasks = QuartTasks(app)
"""


@dataclass
class Server:
    process: subprocess.Popen[str]
    line: str

    @property
    def url(self) -> str:
        found = re.search(r"http://\S+:\d+", self.line)
        assert found is not None, self.line
        return found[0]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=LIMIT) as response:
            return str(response.read().decode())

    def socket(self, path: str, upgrade: bool = True) -> socket.socket:
        """A client that has asked for a WebSocket (or a stream) and reads nothing."""
        client = silent_client(self.url, path, upgrade=upgrade)
        client.settimeout(LIMIT)
        return client

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip()

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, out, err


def patched(setting: str) -> str:
    """Code that serves with a setting of the package that has no key."""
    return (
        "import sys\n"
        "from quart_tasks import cli, connections, server\n"
        "from quart_tasks.cli import serving\n"
        f"{setting}\n"
        "cli.cli(['serve', *sys.argv[1:]])"
    )


Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `quart-tasks serve` beside a module; its first line tells where it listens."""
    with ExitStack() as stack:

        def start(
            name: str = "shop:app",
            *options: str,
            source: str = SHOP,
            python: list[str] = COMMAND,
            **environment: str,
        ) -> Server:
            (tmp_path / "shop.py").write_text(source)
            process = subprocess.Popen(
                [sys.executable, *python, name, "--port", "0", *options],
                cwd=tmp_path,
                env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout is not None
            return Server(process, process.stdout.readline())

        yield start


def refused(server: Server) -> str:
    """The one sentence on stderr of a server that did not start."""
    code, _, err = server.ended()
    assert (code, server.line, err.count("\n")) == (2, "", 1), err
    return err


# Starting


def test_the_first_line_tells_where_the_app_is(start: Start) -> None:
    server = start()

    assert server.line.startswith(f"Serving shop:app on {server.url} (no QuartTasks on this app);")
    assert server.get("/") == "hello"


@pytest.mark.parametrize("name", ["shop:create_app", "shop:create_app()"])
def test_a_factory_makes_the_app(start: Start, name: str) -> None:
    assert start(name).get("/") == "hello"


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
def test_an_ipv6_address_is_in_brackets(start: Start) -> None:
    server = start("shop:app", "--host", "::1")

    assert server.url.startswith("http://[::1]:")
    assert server.get("/") == "hello"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("shop", "'shop' is not MODULE:APP: name the app as in `shop:app`."),
        ("shop.py:app()x", "'shop.py:app()x' is not MODULE:APP"),
        ("nowhere:app", "There is no module 'nowhere'"),
        ("shop.web:app", "There is no module 'shop.web'"),
        ("shop:nothing", "The module 'shop' has no 'nothing'"),
        ("shop:number", "'shop:number' is not a Quart app but of type 'int'."),
        ("shop:number()", "'shop:number()' cannot be called without arguments"),
        ("shop:needs", "'shop:needs' cannot be called without arguments"),
    ],
)
def test_a_name_of_no_app_is_refused(start: Start, name: str, sentence: str) -> None:
    assert refused(start(name)).startswith(f"Error: {sentence}")


@pytest.mark.parametrize("line", ["1 / 0", "import nowhere", "import shop.nowhere"])
def test_an_error_inside_the_module_shows_where(start: Start, line: str) -> None:
    code, _, err = start(source=f"{line}\n").ended()

    assert code == 1
    assert "Traceback" in err
    assert re.search(r'shop\.py", line 1\b', err)


def test_an_error_at_the_start_of_the_app_ends_it(start: Start) -> None:
    failing = "\n@app.before_serving\nasync def fail():\n    raise ValueError('no stock')\n"
    code, _, err = start(source=SHOP + failing).ended()

    assert code == 1
    assert "ValueError: no stock" in err
    assert "\nError: Lifespan failure in startup. 'no stock'" in err


def test_a_port_in_use_is_refused(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        sentence = refused(start("shop:app", "--port", str(port)))

    assert sentence.startswith(f"Error: Port {port} of 127.0.0.1 is in use")


def test_a_host_without_an_address_is_refused(start: Start) -> None:
    sentence = refused(start("shop:app", "--host", "256.0.0.1"))

    assert sentence.startswith("Error: The host '256.0.0.1' has no address")


def test_an_app_without_tasks_may_listen_everywhere(start: Start) -> None:
    assert start("shop:app", "--host", "0.0.0.0").url.startswith("http://0.0.0.0:")


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_tasks_that_others_could_reach_need_a_guard(start: Start, host: str) -> None:
    sentence = refused(start("shop:app", "--host", host, source=TASKS))

    assert sentence.startswith(f"Error: On {host} others could reach the tasks of this app")
    assert "TASKS_TOKEN" in sentence


@pytest.mark.parametrize(
    ("guard", "environment"),
    [
        ("", {"TASKS_TOKEN": "secret"}),
        ("app.config['TASKS_TOKEN'] = 'secret'", {}),
        ("@tasks.authorize\nasync def guard(action, name, record): return None", {}),
    ],
)
def test_guarded_tasks_are_served_everywhere(
    start: Start, guard: str, environment: dict[str, str]
) -> None:
    server = start("shop:app", "--host", "0.0.0.0", source=TASKS + guard, **environment)

    assert f" on {server.url} (tasks: {server.url}/tasks);" in server.line
    assert server.end() == (0, "", "")


def test_a_bad_key_is_refused(start: Start) -> None:
    sentence = refused(start(source=TASKS, TASKS_DRAIN_TIMEOUT="soon"))

    assert sentence.startswith("Error: TASKS_DRAIN_TIMEOUT is 'soon'")


def test_the_journal_is_named_to_the_app(start: Start) -> None:
    source = f"import os\nprint(os.environ['TASKS_JOURNAL'], flush=True)\n{SHOP}"

    assert start("shop:app", "--journal", "tasks.db", source=source).line == "tasks.db\n"


# Serving


def test_permessage_deflate_is_declined(start: Start) -> None:
    url = f"{start().url.replace('http', 'ws')}/quiet"
    with connect(url, compression="deflate", open_timeout=LIMIT) as client:
        assert client.protocol.extensions == []


@pytest.mark.parametrize("before", ["", "app.logger.debug('makes the logger')\n"])
def test_an_error_of_the_app_is_on_stderr_once(start: Start, before: str) -> None:
    failing = f"\n{before}@app.get('/fail')\nasync def fail():\n    raise ValueError('no stock')\n"
    server = start(source=SHOP + failing)
    with pytest.raises(urllib.error.HTTPError) as caught:
        server.get("/fail")
    caught.value.close()
    code, _, err = server.end()

    assert code == 0
    assert err.count("Traceback") == 1
    assert err.count("\nValueError: no stock") == 1


def test_the_logging_that_the_app_sets_up_stays(start: Start, tmp_path: Path) -> None:
    log = """
import logging
app.logger.warning("made")  # Quart gives the logger a handler that writes to stderr
logging.basicConfig(level="INFO", filename="shop.log")

@app.before_serving
async def log():
    app.logger.info("open")
"""
    _, _, err = start(source=SHOP + log).end()

    assert err.endswith("INFO in shop: open\n")
    assert (tmp_path / "shop.log").read_text().startswith("INFO:shop:open\n")


def test_a_forked_child_still_ends_by_sigterm(start: Start) -> None:
    assert start().get("/child") == str(-signal.SIGTERM)


def test_an_accepted_connection_sends_at_once() -> None:
    listener = listen(*resolve("127.0.0.1", 0))
    with listener, socket.create_connection(listener.getsockname()), listener.accept()[0] as end:
        assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="needs TCP_USER_TIMEOUT")
def test_a_peer_that_is_gone_is_dropped_without_a_traceback(start: Start) -> None:
    server = start(python=["-c", patched("connections.USER_TIMEOUT_SECONDS = 1")])
    with server.socket("/flood"):
        assert server.says() == "over"
        assert server.end() == (0, "ended\n", "")


# Ending


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_in_order(start: Start, number: int) -> None:
    assert start().end(number) == (0, "ended\n", "")


def test_no_open_connection_holds_up_the_end(start: Start) -> None:
    # A slow server needs more than a second to cut them all.
    cutting = f"server._Config.graceful_timeout = property(lambda self: {LIMIT}, lambda *_: None)"
    server = start(python=["-c", patched(cutting)])
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(server.socket("/flood"))
        for _ in range(40):
            client = stack.enter_context(server.socket("/quiet"))
            assert client.recv(12) == b"HTTP/1.1 101"
            client = stack.enter_context(server.socket("/stream", upgrade=False))
            assert client.recv(12) == b"HTTP/1.1 200"
        stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        assert server.get("/stalled/20") == "all"
        code, out, err = server.end()

    assert (code, err) == (0, "")
    assert out.splitlines() == ["over"] * 20 + ["ended"]


def test_a_handler_that_receives_nothing_does_not_hold_up_the_end(start: Start) -> None:
    server = start()
    frame = b"\x82\xfe\x40\x00" + bytes(4) + bytes(0x4000)  # binary, masked, 16 KiB
    with server.socket("/deaf") as client:
        assert client.recv(12) == b"HTTP/1.1 101"
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):  # the server has stopped reading
            client.sendall(frame * 4096)
        assert server.end() == (0, "ended\n", "")


def test_a_request_on_its_way_is_answered(start: Start) -> None:
    grace = f"server.serve.__kwdefaults__['grace'] = {LIMIT}"
    server = start(python=["-c", patched(grace)])
    with server.socket("/last", upgrade=False) as client:
        assert server.says() == "begun"
        server.process.send_signal(signal.SIGTERM)
        with client.makefile("rb") as answer:
            assert answer.read().endswith(b"\r\n\r\nanswered")
    assert server.ended() == (0, "ended\n", "")


def test_without_tasks_a_second_signal_ends_it_at_once(start: Start) -> None:
    forever = """
@app.after_serving
async def forever():
    print("waits", flush=True)
    await asyncio.Event().wait()
"""
    server = start(source=SHOP + forever)
    server.process.send_signal(signal.SIGINT)
    assert [server.says(), server.says()] == ["ended", "waits"]

    assert server.end(signal.SIGINT) == (-signal.SIGINT, "", "")


def forever(call: Callable[[], object]) -> None:
    while True:
        call()


def test_a_second_signal_interrupts_the_tasks(start: Start) -> None:
    source = """
import asyncio
from quart import Quart
from quart_tasks import QuartTasks

app = Quart(__name__)

@app.after_serving
async def ending():
    print("ending", flush=True)

tasks = QuartTasks(app)

@tasks.task
async def forever():
    print("begun", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        print("interrupted", flush=True)

@app.get("/begin")
async def begin():
    await forever.submit()
    return "submitted"
"""
    server = start(source=source, TASKS_DRAIN_TIMEOUT=str(10 * LIMIT))
    assert [server.get("/begin"), server.says()] == ["submitted", "begun"]
    server.process.send_signal(signal.SIGINT)
    with pytest.raises(urllib.error.HTTPError, match="503") as caught:
        forever(lambda: server.get("/tasks/health"))  # it answers until the tasks have ended
    caught.value.close()

    code, out, err = server.end(signal.SIGINT)
    assert (code, out) == (0, "interrupted\nending\n")
    assert "Interrupted" in err
    assert "Traceback" not in err


def test_signals_end_it_while_the_loop_is_stuck(start: Start) -> None:
    server = start()
    with server.socket("/stuck", upgrade=False):
        assert server.says() == "begun"
        while server.process.poll() is None:  # two that come together may count as one
            server.process.send_signal(signal.SIGINT)
    assert server.ended() == (-signal.SIGINT, "", "")


def test_a_sync_view_that_blocks_does_not_hold_up_the_end(start: Start) -> None:
    server = start(python=["-c", patched("cli.serving.LEAVE_SECONDS = 0.2")])
    with server.socket("/busy", upgrade=False):
        assert server.says() == "begun"
        code, out, err = server.end()

    assert (code, out) == (1, "ended\n")
    assert err == "A thread is still busy, perhaps in a sync view; leaving without it.\n"


BROKEN_END = (
    SHOP
    + """
import asyncio

async def goes_on():
    while True:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            pass

@app.before_serving
async def begin():
    app.going_on = asyncio.create_task(goes_on())

@app.after_serving
async def fail():
    raise ValueError("at the end")
"""
)


def test_an_end_that_fails_is_not_held_up_by_what_goes_on(start: Start) -> None:
    server = start(source=BROKEN_END, python=["-c", patched("cli.serving.LEAVE_SECONDS = 0.1")])
    code, _, err = server.end()
    assert (code, err.splitlines()[-1]) == (1, "What was cancelled goes on; leaving without it.")


def test_an_end_that_takes_time_is_waited_for(start: Start) -> None:
    """A busy machine's, or what the app has registered with `atexit`: no thread is at fault."""
    slow = "cli.serving.LEAVE_SECONDS = 0.1; import atexit, time; atexit.register(time.sleep, 0.5)"
    assert start(python=["-c", patched(slow)]).end() == (0, "ended\n", "")


# From Python


async def test_serve_leaves_the_process_as_it_was() -> None:
    app = Quart(__name__)

    @app.websocket("/echo")
    async def echo() -> None:
        while True:
            await websocket.send(await websocket.receive())

    def state() -> list[Any]:
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        return [*handlers, sys.getswitchinterval(), vars(h11)["WSStream"]]

    before = state()
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(app, port=0, stop=stop, on_listening=url.set_result))
    address = f"{(await url).replace('http', 'ws')}/echo"
    async with websockets.connect(address, open_timeout=None) as client:
        await client.send("hello")
        assert await client.recv() == "hello"
    during = state()
    stop.set()
    await serving

    assert not set(during) & set(before)
    assert state() == before
