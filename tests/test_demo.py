"""The demo's tasks: called as functions, then through the app that serves them."""

import asyncio
import hashlib
import io
import math
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from PIL import Image
from quart.testing import QuartClient as Client

from quart_tasks import Blob, demo

from .waiting import HANG
from .web import Record, client_of, ended, submit

BODY = bytes(range(256)) * 1000  # four reads of 64 KiB
LINKS_IN_FLIGHT = 20


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with demo.app.test_app():
        yield client_of(demo.app)


class Site:
    """A web server; `peak` is how many requests to /together it has had at once."""

    def __init__(self) -> None:
        self.present = self.peak = 0
        self.together = asyncio.Barrier(LINKS_IN_FLIGHT)

    async def get_body(self, request: web.Request) -> web.Response:
        return web.Response(body=BODY)

    async def get_chunked(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(BODY)
        return response

    async def get_together(self, request: web.Request) -> web.Response:
        """Answers once 20 requests are here together."""
        self.present += 1
        self.peak = max(self.peak, self.present)
        await self.together.wait()
        self.present -= 1
        return web.Response(text=request.query["n"])

    async def get_never(self, request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async def get_elsewhere(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(request.query["to"])

    async def get_again(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(request.path)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        application = web.Application()
        for name in ("body", "chunked", "together", "never", "elsewhere", "again"):
            application.router.add_get(f"/{name}", getattr(self, f"get_{name}"))
        runner = web.AppRunner(application, handler_cancellation=True)  # ends `get_never`
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0]
            yield f"http://{host}:{port}"
        finally:
            await runner.cleanup()


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with Site().serve() as url:
        yield url


@pytest.fixture
def refused() -> Iterator[str]:
    """The URL of a port that is taken, so that nobody else listens there, and not listened on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/"


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """The URL of a server that gives this answer, whatever it is asked, and hangs up."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


BROKEN_OFF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"


def is_prime(n: int) -> bool:
    return n > 1 and all(n % divisor for divisor in range(2, math.isqrt(n) + 1))


class TestPrimes:
    def test_counts_as_trial_division_does(self) -> None:
        count = 0
        for limit in range(-3, 500):
            count += is_prime(limit)
            assert demo.primes(limit) == count

    @pytest.mark.parametrize(
        ("limit", "count"),
        [(10**6, 78_498), (2**20, 82_025), (10**7, 664_579), (2**24, 1_077_871)],
    )
    def test_published_counts(self, limit: int, count: int) -> None:
        """From https://oeis.org/A006880 and https://oeis.org/A007053."""
        assert demo.primes(limit) == count

    @pytest.mark.parametrize("edge", [1_000_000, 2_000_000])
    def test_no_prime_is_lost_or_counted_twice_between_two_sieves(self, edge: int) -> None:
        before = demo.primes(edge - 20)
        for limit in range(edge - 19, edge + 40):
            before += is_prime(limit)
            assert demo.primes(limit) == before

    def test_too_large_a_limit_is_refused(self) -> None:
        with pytest.raises(ValueError, match="at most 10000000000"):
            demo.primes(10**10 + 1)


class TestMandelbrot:
    def draw(self, *args: int) -> Image.Image:
        blob = demo.mandelbrot(*args)
        assert isinstance(blob, Blob)
        assert blob.mimetype == "image/png"
        with Image.open(io.BytesIO(blob.data), formats=["PNG"]) as image:
            image.load()
            return image.convert("RGB")

    @pytest.mark.parametrize("size", [(120, 90), (90, 120), (33, 1), (1, 33), (1, 1)])
    def test_is_a_png_of_that_size(self, size: tuple[int, int]) -> None:
        assert self.draw(*size).size == size

    def test_shows_the_set_in_black_in_a_coloured_plane(self) -> None:
        image = self.draw(160, 120, 100)
        inside, outside = image.getpixel((80, 60)), image.getpixel((0, 0))
        assert inside == (0, 0, 0)
        assert outside != (0, 0, 0)
        assert len(image.getcolors() or ()) > 20

    def test_its_area(self) -> None:
        """The area of the set is 1.5066 (Förstemann, 2012), the picture is 3.2 by 2.4."""

        def area(iterations: int) -> float:
            colours = self.draw(160, 120, iterations).getcolors() or []
            black = sum(count for count, colour in colours if colour == (0, 0, 0))
            return 3.2 * 2.4 * black / (160 * 120)

        assert area(500) == pytest.approx(1.5066, rel=0.02)
        assert area(10) > 1.1 * area(500)

    @pytest.mark.parametrize("name", ["width", "height", "iterations"])
    @pytest.mark.parametrize("value", [-1, 0, 10_001])
    def test_sizes_out_of_bounds_are_refused(self, name: str, value: int) -> None:
        with pytest.raises(ValueError, match=f"{name} is {value}: it must be between 1 and"):
            demo.mandelbrot(**{name: value})


class TestChecksum:
    @pytest.mark.parametrize("path", ["body", "chunked", "elsewhere?to=/body"])
    async def test_tells_size_and_digest(self, url: str, path: str) -> None:
        assert await asyncio.to_thread(demo.checksum, f"{url}/{path}") == {
            "url": f"{url}/{path}",
            "bytes": len(BODY),
            "sha256": hashlib.sha256(BODY).hexdigest(),
        }

    async def test_a_download_that_breaks_off_has_no_checksum(self) -> None:
        async with answering(BROKEN_OFF) as url:
            with pytest.raises(ConnectionError, match="after 4 of 10 bytes"):
                await asyncio.to_thread(demo.checksum, url)

    async def test_an_error_of_the_server_is_raised(self, url: str) -> None:
        with pytest.raises(OSError, match="404"):
            await asyncio.to_thread(demo.checksum, f"{url}/nothing")

    @pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/x", "x", ""])
    def test_only_http(self, url: str) -> None:
        with pytest.raises(ValueError, match="not an http or https URL"):
            demo.checksum(url)


@pytest.mark.usefixtures("client")
class TestCheckLinks:
    async def check(self, url: str, timeout: float = HANG) -> demo.Link:
        [link] = await demo.check_links([url], timeout)
        assert link["url"] == url
        assert link["seconds"] >= 0
        return link

    async def fails(self, url: str, timeout: float = HANG) -> str:
        link = await self.check(url, timeout)
        assert link["status"] is None
        assert link["error"] is not None
        return link["error"]

    async def test_no_links(self) -> None:
        assert await demo.check_links([]) == []

    async def test_a_link_that_answers(self, url: str) -> None:
        link = await self.check(f"{url}/body")
        assert (link["status"], link["bytes"], link["error"]) == (200, len(BODY), None)

    async def test_an_error_status_is_an_answer(self, url: str) -> None:
        link = await self.check(f"{url}/nothing")
        assert (link["status"], link["error"]) == (404, None)

    async def test_a_link_that_takes_too_long(self, url: str) -> None:
        assert "timeout" in await self.fails(f"{url}/never", 0.1)

    async def test_a_refused_connection(self, refused: str) -> None:
        assert "could not be reached" in await self.fails(refused)

    @pytest.mark.parametrize("answer", [BROKEN_OFF, b"this is not HTTP\r\n\r\n"])
    async def test_a_broken_answer(self, answer: bytes) -> None:
        async with answering(answer) as url:
            assert "broke" in await self.fails(url)

    @pytest.mark.parametrize(
        "bad",
        [
            "",
            "not a URL",
            "ftp://127.0.0.1/",
            "ws://127.0.0.1/",
            "file:///etc/hostname",
            "http://",
            "http://[",
            "http://127.0.0.1:99999/",
        ],
    )
    async def test_not_a_url(self, bad: str) -> None:
        assert "not a valid http or https URL" in await self.fails(bad)

    async def test_a_redirect_to_a_file(self, url: str) -> None:
        assert "redirects" in await self.fails(f"{url}/elsewhere?to=file:///etc/hostname")

    async def test_a_redirect_without_end(self, url: str) -> None:
        assert "redirects too often" in await self.fails(f"{url}/again")

    async def test_twenty_at_once_and_in_order(self) -> None:
        site = Site()
        async with site.serve() as url:
            links = [f"{url}/together?n={n}" for n in range(2 * LINKS_IN_FLIGHT)]
            answers = await demo.check_links(links, HANG)
        assert [answer["url"] for answer in answers] == links
        assert [answer["bytes"] for answer in answers] == [1] * 10 + [2] * 30
        assert site.peak == LINKS_IN_FLIGHT

    async def test_a_timeout_that_is_none_is_refused(self, url: str) -> None:
        with pytest.raises(ValueError, match="more than 0 seconds"):
            await demo.check_links([url], timeout=0)


class TestCountdownAndFail:
    @pytest.mark.parametrize(("seconds", "steps"), [(-1, 1), (1, 0)])
    async def test_countdown_refuses(self, seconds: float, steps: int) -> None:
        with pytest.raises(ValueError, match=f"seconds is {seconds} and steps {steps}"):
            await demo.countdown(seconds, steps)

    def test_fail_fails(self) -> None:
        with pytest.raises(RuntimeError, match="as asked"):
            demo.fail()


async def run(client: Client, name: str, **kwargs: Any) -> Record:
    """Submit a task over HTTP and wait; its record."""
    return await ended(client, (await submit(client, name, kwargs=kwargs))["id"])


class TestThroughTheApp:
    async def test_types(self, client: Client) -> None:
        response = await client.get("/tasks/types")
        types = {each["name"]: each for each in (await response.get_json())["types"]}
        assert {name: each["executor"] for name, each in types.items()} == {
            "check_links": "async",
            "checksum": "thread",
            "primes": "process",
            "mandelbrot": "process",
            "countdown": "async",
            "fail": "thread",
        }
        assert all(each["doc"] for each in types.values())
        parameters = types["mandelbrot"]["parameters"]["properties"]
        defaults = {name: schema["default"] for name, schema in parameters.items()}
        assert defaults == {"width": 800, "height": 600, "iterations": 256}

    async def test_primes(self, client: Client) -> None:
        record = await run(client, "primes", limit=2_500_000)
        assert record["result"] == 183_072
        assert record["progress"] == {"current": 3, "total": 3, "message": None}

    async def test_mandelbrot(self, client: Client) -> None:
        record = await run(client, "mandelbrot", width=80, height=60)
        assert record["progress"] == {"current": 60, "total": 60, "message": None}
        response = await client.get(f"/tasks/{record['id']}/result")
        assert response.mimetype == "image/png"
        assert await response.get_data(as_text=False) == demo.mandelbrot(80, 60).data

    async def test_checksum(self, client: Client, url: str) -> None:
        record = await run(client, "checksum", url=f"{url}/body")
        assert record["result"]["sha256"] == hashlib.sha256(BODY).hexdigest()
        assert record["progress"]["current"] == record["progress"]["total"] == len(BODY)

    async def test_check_links(self, client: Client, url: str, refused: str) -> None:
        urls = [f"{url}/body", refused, f"{url}/nothing", "not a URL"]
        record = await run(client, "check_links", urls=urls, timeout=HANG)
        assert [link["url"] for link in record["result"]] == urls
        assert [link["status"] for link in record["result"]] == [200, None, 404, None]
        assert set(record["result"][0]) == {"url", "status", "bytes", "seconds", "error"}
        assert record["progress"]["current"] == record["progress"]["total"] == 4
        assert record["progress"]["message"] in urls

    async def test_countdown(self, client: Client) -> None:
        record = await run(client, "countdown", seconds=0.01, steps=4)
        assert (record["state"], record["result"]) == ("succeeded", None)
        assert record["progress"] == {"current": 4, "total": 4, "message": None}

    async def test_fail(self, client: Client) -> None:
        record = await run(client, "fail", message="on purpose")
        assert record["state"] == "failed"
        assert record["error"]["type"] == "RuntimeError"
        assert record["error"]["message"] == "on purpose"

    async def test_bounds_are_told_by_the_task(self, client: Client) -> None:
        record = await run(client, "mandelbrot", width=5000)
        assert record["error"]["type"] == "ValueError"
        assert record["error"]["message"] == "width is 5000: it must be between 1 and 4096."

    async def test_the_root_says_what_to_try(self, client: Client) -> None:
        response = await client.get("/")
        assert response.mimetype == "text/plain"
        text = await response.get_data(as_text=True)
        assert sum(line.startswith("curl ") for line in text.splitlines()) == 3
