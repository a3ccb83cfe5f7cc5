"""The app behind `quart-tasks demo`, and an example to start from: six tasks and one route.

Two tasks run on the event loop, two in a thread, two in a process. Each is a plain function and
can be called as one: `primes(100)` is 25, with or without a server.
"""

import asyncio
import cmath
import hashlib
import math
import struct
import time
import urllib.error
import urllib.request
import zlib
from itertools import count
from typing import TypedDict

import aiohttp
from quart import Quart, Response, request

from quart_tasks import Blob, QuartTasks, progress, track

app = Quart(__name__)
tasks = QuartTasks(app)

CHUNK = 64 * 1024  # bytes
LINKS_IN_FLIGHT = 20
SEGMENT = 1_000_000  # numbers sieved at a time
MAX_LIMIT = 10**10
MAX_SIDE = 4096  # pixels
MAX_ITERATIONS = 10_000


@app.get("/")
async def index() -> Response:
    """What this is, and what to try first."""
    root = request.url_root
    return Response(
        f"""Background tasks of a Quart app. They are at {root}tasks, and for people at

{root}tasks/ui

Try:

quart-tasks submit mandelbrot --output picture.png
curl {root}tasks/types
curl --json '{{"name": "primes", "args": [1000000000]}}' -H 'Prefer: wait=30' {root}tasks
curl -N {root}tasks/events
""",
        mimetype="text/plain",
    )


@tasks.task
async def countdown(seconds: float, steps: int = 10) -> None:
    """Sleep for `seconds`, in `steps` equal steps."""
    if seconds < 0 or steps < 1:
        raise ValueError(f"seconds is {seconds:g} and steps {steps}: at least 0 and 1, please.")
    for _ in track(range(steps)):
        await asyncio.sleep(seconds / steps)


@tasks.task
def fail(message: str = "as asked") -> None:
    """Raise a RuntimeError with `message`, to see what failure looks like."""
    raise RuntimeError(message)


class Link(TypedDict):
    """What one URL answered. `bytes` counts the body so far as it came, `seconds` to its end."""

    url: str
    status: int | None
    bytes: int
    seconds: float
    error: str | None


@tasks.task
async def check_links(
    urls: list[str],
    timeout: float = 10,
) -> list[Link]:
    """Fetch every URL, at most 20 at once, each within `timeout` seconds.

    The answers are in the order of `urls`. One that cannot be fetched has `error`, a sentence,
    and no `status`.
    """
    if timeout <= 0:
        raise ValueError(f"timeout is {timeout:g}: it must be more than 0 seconds.")
    http, slots, done = tasks.http, asyncio.Semaphore(LINKS_IN_FLIGHT), count(1)

    async def check(url: str) -> Link:
        async with slots:
            link = await _fetch(http, url, timeout)
        progress(next(done), len(urls), url)
        return link

    async with asyncio.TaskGroup() as group:
        checks = [group.create_task(check(url)) for url in urls]
    return [check.result() for check in checks]


async def _fetch(http: aiohttp.ClientSession, url: str, seconds: float) -> Link:
    link = Link(url=url, status=None, bytes=0, seconds=0.0, error=None)
    start = time.perf_counter()
    try:
        _require_http(url)
        async with http.get(url, timeout=aiohttp.ClientTimeout(total=seconds)) as response:
            async for chunk in response.content.iter_chunked(CHUNK):
                link["bytes"] += len(chunk)
            link["status"] = response.status
    except (aiohttp.ClientError, OSError, ValueError) as error:
        link["error"] = _sentence(error)
    link["seconds"] = round(time.perf_counter() - start, 3)
    return link


def _sentence(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "It took longer than the timeout."
        case aiohttp.TooManyRedirects():
            return "It redirects too often."
        case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
            return "It answered with broken HTTP, or broke off."
        case aiohttp.NonHttpUrlClientError() | ValueError():
            return "It is not a valid http or https URL, or redirects to none."
        case OSError(strerror=str(reason)):
            return f"It could not be reached: {reason}."
        case _:
            return f"It could not be reached: {error}."


def _require_http(url: str) -> None:
    if not url.lower().startswith(("http://", "https://")):
        raise ValueError(f"{url!r} is not an http or https URL.")


class Checksum(TypedDict):
    """`bytes` is the size of the body, `sha256` its digest in hex."""

    url: str
    bytes: int
    sha256: str


@tasks.task
def checksum(url: str) -> Checksum:
    """Download a file and tell its size and SHA-256. An http or https URL; any error fails it."""
    _require_http(url)
    size, digest = 0, hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            total: int | None = response.length
            while chunk := response.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                progress(size, total)
    except urllib.error.HTTPError as error:
        error.close()  # it is the response too: whoever keeps it keeps a socket
        raise
    # A connection that breaks ends `read(n)` as the end of the body does.
    if total is not None and size != total:
        raise ConnectionError(f"The download broke off after {size} of {total} bytes: try again.")
    return Checksum(url=url, bytes=size, sha256=digest.hexdigest())


@tasks.task(executor="process")
def primes(limit: int) -> int:
    """How many primes there are up to `limit`, inclusive; `limit` is at most 10 ** 10.

    A sieve of Eratosthenes, a million numbers at a time, so that any limit takes some megabytes.
    """
    if limit > MAX_LIMIT:
        raise ValueError(f"limit is {limit}: it must be at most {MAX_LIMIT}.")
    if limit < 2:
        return 0
    factors = [n for n in range(2, math.isqrt(limit) + 1) if _is_prime(n)]
    found = 0
    for start in track(range(2, limit + 1, SEGMENT)):
        sieve = bytearray(b"\1") * min(SEGMENT, limit + 1 - start)
        for factor in factors:
            first = max(factor, -(-start // factor)) * factor - start
            sieve[first::factor] = bytes(len(range(first, len(sieve), factor)))
        found += sieve.count(1)
    return found


def _is_prime(n: int) -> bool:
    return all(n % divisor for divisor in range(2, math.isqrt(n) + 1))


@tasks.task(executor="process")
def mandelbrot(width: int = 800, height: int = 600, iterations: int = 256) -> Blob:
    """Draw the Mandelbrot set as a PNG of `width` by `height` pixels, each at most 4096.

    A point belongs to the set that has not escaped after `iterations` steps, at most 10,000.
    """
    _require_between("width", width, MAX_SIDE)
    _require_between("height", height, MAX_SIDE)
    _require_between("iterations", iterations, MAX_ITERATIONS)
    step = max(3.2 / width, 2.4 / height)
    left, top = -0.65 - step * (width - 1) / 2, step * (height - 1) / 2
    rows = []
    for y in track(range(height)):
        points = (complex(left + step * x, top - step * y) for x in range(width))
        rows.append(bytes(_colour(point, iterations) for point in points))
    return Blob(_png(width, height, rows), "image/png")


def _require_between(name: str, value: int, greatest: int) -> None:
    if not 1 <= value <= greatest:
        raise ValueError(f"{name} is {value}: it must be between 1 and {greatest}.")


def _colour(c: complex, iterations: int) -> int:
    """The point's place in the palette: 0 in the set, else 1 to 255 by how soon it escapes."""
    # The two largest parts of the set, where every point would take all iterations.
    if abs(1 - cmath.sqrt(1 - 4 * c)) <= 1 or abs(1 + c) <= 0.25:
        return 0
    z = 0j
    for n in range(iterations):
        z = z * z + c
        if abs(z) > 16:
            # How far it got beyond 16 is the fraction of a step that smooths the bands away.
            escape = n + 2 - math.log2(math.log(abs(z)))
            return 1 + int(42 * math.sqrt(max(escape, 0))) % 255
    return 0


def _png(width: int, height: int, rows: list[bytes]) -> bytes:
    """A PNG of one palette index a pixel: ISO/IEC 15948, sections 5 (chunks), 11.2 and 9."""
    waves = (0.28, 0.34, 0.47)  # red, green and blue round the same circle, one after the other
    colours = [math.cos(math.tau * (n / 255 + wave)) for n in range(255) for wave in waves]
    palette = bytes(3) + bytes(round(127.5 + 127.5 * colour) for colour in colours)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)  # 8 bits, with a palette
    unfiltered = b"".join(b"\0" + row for row in rows)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (
            (b"IHDR", header),
            (b"PLTE", palette),
            (b"IDAT", zlib.compress(unfiltered)),
            (b"IEND", b""),
        )
    )
