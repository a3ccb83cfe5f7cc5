"""What does a socket cost the server: one of 1,000 that are idle, and one into which 300 MB flow?

The flood's client sends as fast as TCP takes it, and never reads. A server that answers each
message soon waits for this client and takes no more; the notes say how much it took. Of its
memory the peak counts, as the kernel keeps it, against what it held before.
"""

import asyncio
import resource
import socket
from contextlib import suppress
from pathlib import Path

from .common import Figure, Result, figure, ratio
from .frames import Frames
from .server import Server, serving

BARE = "/frames/100/1/1"  # says `ready`, and waits without reading
UPGRADE = (
    "GET {} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def memory(server: Server, key: str = "VmRSS") -> int:
    """The bytes that a server holds, or with `VmHWM` the most it held since `forget_peak`."""
    lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def forget_peak(server: Server) -> None:
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")  # proc(5)


def raise_file_limit(sockets: int) -> None:
    """Let this process, and servers that it starts, have so many sockets open."""
    need = sockets + 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < need:
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))


# -- idle ----------------------------------------------------------------------------------

FIRST, IDLE = 100, 1_000


async def idle(server: Server, path: str) -> float:
    """The bytes that each of IDLE sockets holds once its first frame has come. A hundred are
    there before them, to load code and fill caches."""
    loop = asyncio.get_running_loop()
    greeted = asyncio.Event()
    transports = []
    before = 0
    for number in range(FIRST + IDLE):
        if number == FIRST:
            before = memory(server)
        greeted.clear()
        transport, _ = await loop.create_connection(
            lambda: Frames(path, lambda _: greeted.set()), "127.0.0.1", server.port
        )
        transports.append(transport)
        await asyncio.wait_for(greeted.wait(), 30)
    held = (memory(server) - before) / IDLE
    for transport in transports:
        transport.close()
    return held


def idle_result(quick: bool) -> Result:
    held: dict[str, list[float]] = {"tracked": [], "bare": []}
    for _ in range(1 if quick else 3):
        for app, path in (("tracked", "/tasks/events"), ("bare", BARE)):
            with serving(app) as server:
                held[app].append(asyncio.run(idle(server, path)) / 1000)
    ours: Figure = figure(held["tracked"])
    baseline = figure(held["bare"])
    return Result(
        name="sockets",
        question=f"memory of each of {IDLE:,} idle WebSockets of all tasks",
        ours=ours,
        baseline=baseline,
        ratio=ratio(ours, baseline),
        unit="KB",
        aim="at most 40 KB",
        baseline_name="a bare route's",
        met=ours.median <= 40,
    )


# -- flood ---------------------------------------------------------------------------------

FLOOD = 300_000_000
SMALL = "messages of 100 bytes"
QUICK_FLOOD = 10_000_000  # of these: 300 MB of them take more than a minute
MOST = 20  # MB
SILENCE = 2.0  # seconds without room for a byte: the server waits for its client


def head(size: int) -> bytes:
    """What comes before a masked text frame's `size` bytes (RFC 6455, section 5.2)."""
    return b"\x81\xff" + size.to_bytes(8) + bytes(4)


# What is sent first, and what again and again.
FLOODS = {
    "messages of 1 MB": (b"", head(1_000_000) + b"x" * 1_000_000),
    "one message of 300 MB": (head(FLOOD), b"x" * 1_000_000),
    SMALL: (b"", (b"\x81\xe4" + bytes(4) + b"x" * 100) * 10_000),
}


def flood(server: Server, path: str, first: bytes, again: bytes, total: int) -> int:
    """Send `total` bytes; how many of them the server took."""
    sent = 0
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.settimeout(SILENCE)
        client.sendall(UPGRADE.format(path).encode())
        if b" 101 " not in client.recv(100):
            raise ConnectionError(f"{path} is no WebSocket.")
        client.sendall(first)
        with suppress(TimeoutError, ConnectionError):
            while sent < total:
                rest = memoryview(again)
                while rest:
                    done = client.send(rest)
                    sent, rest = sent + done, rest[done:]
    return sent


def growth(app: str, path: str, first: bytes, again: bytes, total: int) -> tuple[float, float]:
    """By how many MB a new server's peak rises in a flood, and how many MB it took."""
    with serving(app) as server:
        before = memory(server)
        forget_peak(server)
        took = flood(server, path, first, again, total)
        return (memory(server, "VmHWM") - before) / 1e6, took / 1e6


def flood_result(kind: str, total: int) -> Result:
    grown = {
        path: growth(app, path, *FLOODS[kind], total)
        for app, path in (
            ("tracked", "/tasks/events"),
            ("tracked", "/tasks/socket"),
            ("bare", BARE),
        )
    }
    baseline = figure([grown.pop(BARE)[0]])
    ours: Figure = figure([max(by for by, _ in grown.values())])
    return Result(
        name="sockets",
        question=f"growth of the server in a flood of {kind}",
        ours=ours,
        baseline=baseline,
        ratio=ratio(ours, baseline),
        unit="MB",
        aim=f"less than {MOST} MB",
        baseline_name="a bare route that reads none",
        met=ours.high < MOST,
        notes="; ".join(f"{path} took {took:,.0f} MB" for path, (_, took) in grown.items()),
    )


def run(quick: bool) -> list[Result]:
    raise_file_limit(FIRST + IDLE)
    totals = dict.fromkeys(FLOODS, FLOOD)
    if quick:
        totals[SMALL] = QUICK_FLOOD
    return [idle_result(quick), *(flood_result(kind, total) for kind, total in totals.items())]
