"""An old Flask app behind a Quart app, on real servers: large, slow and broken requests."""

import asyncio
import hashlib
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import ClientSession

from ..waiting import poll
from .fallback_app import PART
from .serving import HANG, ROOT, serving

APP = "tests.e2e.fallback_app:app"
LARGE = 128 * 1024 * 1024 // len(PART)  # parts
KEPT = 48 * 1024  # KiB that the server may grow by while 128 MB go through it


@asynccontextmanager
async def hypercorn() -> AsyncIterator[str]:
    """The app under plain Hypercorn; its URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hypercorn", "--workers", "0", "--bind", "127.0.0.1:0", APP,
        cwd=ROOT, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        async with asyncio.timeout(HANG):
            while not (found := re.search(r" on (http://\S+:\d+)", line := await said(process))):
                assert line
        yield found[1]
        assert process.returncode is None
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def said(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    return (await process.stderr.readline()).decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["ours", "hypercorn"])
async def url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    if request.param == "ours":
        async with serving(APP) as server:
            yield server.url
    else:
        async with hypercorn() as found:
            yield found


@pytest.fixture
async def session(url: str) -> AsyncIterator[ClientSession]:
    async with ClientSession(url, timeout=aiohttp.ClientTimeout(100)) as session:
        yield session


async def peak(session: ClientSession) -> int:
    """The most that the server has held since this was last asked, in KiB."""
    async with session.get("/memory") as response:
        return int((await response.json())["peak"])


async def count(session: ClientSession, what: str) -> int:
    """How many parts have been "made", or generators "closed", since the server's start."""
    async with session.get("/counts") as response:
        return int((await response.json())[what])


async def until_closed(session: ClientSession, number: int) -> None:
    """Wait until so many generators have been closed since the server's start."""
    async with session.get(f"/closed/{number}") as response:
        assert response.status == 200


@pytest.mark.parametrize("sized", [True, False])
async def test_a_large_upload_is_not_collected(session: ClientSession, sized: bool) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(LARGE):
            yield PART

    before = await peak(session)
    headers = {"Content-Length": str(LARGE * len(PART))} if sized else {}
    async with session.post("/digest", data=body(), headers=headers) as response:
        answer = await response.json()
    assert answer["size"] == LARGE * len(PART)
    assert answer["sha256"] == hashlib.sha256(PART * LARGE).hexdigest()
    assert await peak(session) < before + KEPT


async def test_a_large_download_is_not_collected(session: ClientSession) -> None:
    closed = await count(session, "closed")
    before, size = await peak(session), 0
    async with session.get(f"/parts/{LARGE}") as response:
        async for data in response.content.iter_any():
            size += len(data)
    assert size == LARGE * len(PART)
    assert await peak(session) < before + KEPT
    await until_closed(session, closed + 1)


async def test_a_file_and_a_range_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(5_000_000))
    async with (
        serving(APP, FALLBACK_FILE=str(path)) as server,
        ClientSession(server.url) as session,
    ):
        async with session.get("/file") as response:
            assert response.headers["Content-Length"] == "5000000"
            assert await response.read() == path.read_bytes()
        async with session.get("/file", headers={"Range": "bytes=1000000-3999999"}) as response:
            assert response.status == 206
            assert await response.read() == path.read_bytes()[1_000_000:4_000_000]


async def test_the_first_part_arrives_before_the_last_is_made(session: ClientSession) -> None:
    async with session.get("/gated") as response:
        assert await response.content.readany() == b"first"
        async with session.get("/open"):
            pass
        assert await response.content.read() == b"last"


async def test_a_body_is_answered_while_it_is_sent(session: ClientSession) -> None:
    answered = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"one\n"
        await answered.wait()
        yield b"two\n"

    async with session.post("/echo", data=body()) as response:
        assert await response.content.readline() == b"got one\n"
        answered.set()
        assert await response.content.readline() == b"got two\n"


async def test_a_reader_that_does_not_read_holds_the_view_up(
    url: str, session: ClientSession
) -> None:
    closed, made_before = await count(session, "closed"), await count(session, "made")
    before = await peak(session)
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(f"GET /parts/{LARGE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert b"200" in await reader.readline()
    seen = [-1]

    async def is_held_up() -> bool:
        seen.append(await count(session, "made"))
        return seen[-1] == seen[-2] > made_before

    await poll(is_held_up, every=0.2)
    made = seen[-1]
    assert 0 < made - made_before < LARGE // 2
    assert await peak(session) < before + KEPT
    writer.transport.abort()
    await until_closed(session, closed + 1)
    assert await count(session, "made") - made_before < LARGE


async def test_a_client_that_goes_ends_the_generator(session: ClientSession) -> None:
    closed = await count(session, "closed")
    for number in range(1, 41):  # more than there are threads
        response = await session.get("/parts/1000000000")
        await response.content.readany()
        response.close()
        await until_closed(session, closed + number)


async def test_an_answer_that_breaks_off_does_not_look_whole() -> None:
    async with serving(APP) as server, ClientSession(server.url) as session:
        async with session.get("/broken") as response:
            assert response.status == 200
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        async with session.get("/who") as response:
            assert response.status == 200
        assert await server.end() == 0
        assert server.errors.count("LookupError: in the middle") == 1


async def test_where_a_request_comes_from(url: str, session: ClientSession) -> None:
    async with session.get("/who") as response:
        assert await response.json() == {
            "REMOTE_ADDR": "127.0.0.1",
            "SERVER_PORT": url.rpartition(":")[2],
            "wsgi.url_scheme": "http",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "PATH_INFO": "/who",
        }
    async with session.get("/gr%C3%BC%C3%9Fe/a%20b") as response:
        assert await response.text() == "grüße/a b"


async def test_a_server_that_ends_does_not_wait_for_an_endless_answer() -> None:
    async with serving(APP) as server, ClientSession(server.url) as session:
        response = await session.get("/parts/1000000000")
        await response.content.readany()
        assert await server.end() == 0
        response.close()
        assert "Traceback" not in server.errors
        assert "never awaited" not in server.errors
