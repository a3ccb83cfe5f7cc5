"""`@tasks.background(prefer=True)`: in the foreground, unless the client prefers otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from quart import Response, abort, request

from .background import Site, multipart, which
from .waiting import HANG
from .web import problem


async def pieces_of_a_stream() -> AsyncIterator[str]:
    yield "x"


class Prefers:
    """A site with views that run in the foreground unless the client prefers otherwise."""

    def __init__(self) -> None:
        self.site = site = Site()
        self.runs: list[str] = []

        @site.app.route("/page", methods=["GET", "POST"])
        @site.tasks.background(prefer=True)
        async def page() -> Any:
            self.runs.append(which())
            return await request.get_data() or b"page", 201, {"X-Own": "1"}

        @site.app.get("/page-sync")
        @site.tasks.background(prefer=True)
        def page_sync() -> str:
            self.runs.append(which())
            return "page"

        @site.app.get("/slow")
        @site.tasks.background(prefer=True)
        async def slow() -> str:
            await site.gate.wait()
            return "slow"

        @site.app.get("/broken")
        @site.tasks.background(prefer=True)
        async def broken() -> str:
            raise ValueError("as asked")

        @site.app.get("/missing")
        @site.tasks.background(prefer=True)
        async def missing() -> str:
            abort(404)

        @site.app.post("/pieces")
        @site.tasks.background(prefer=True)
        async def pieces() -> bytes:
            return b"".join([piece async for piece in request.body])

        @site.app.post("/files")
        @site.tasks.background(prefer=True)
        async def files() -> list[str]:
            return [*(await request.form), *(await request.files)]

        @site.app.get("/stream")
        @site.tasks.background(prefer=True)
        async def stream() -> Any:
            return pieces_of_a_stream()

    async def ask(self, path: str, prefer: str | None = None, **given: Any) -> Response:
        headers = {} if prefer is None else {"Prefer": prefer}
        method = given.pop("method", "GET")
        return await self.site.client.open(path, method=method, headers=headers, **given)


FOREGROUND = [None, "", "handling=lenient", "respond-asynchronous", "wait=x", 'a="respond-async"']


@pytest.mark.parametrize("prefer", FOREGROUND)
@pytest.mark.parametrize("path", ["/page", "/page-sync"])
async def test_without_the_preference_it_runs_in_the_foreground(
    path: str, prefer: str | None
) -> None:
    prefers = Prefers()
    async with prefers.site:
        answer = await prefers.ask(path, prefer)
        assert answer.status_code in (200, 201)
        assert await answer.get_data() == b"page"
        assert "Preference-Applied" not in answer.headers
        assert "Prefer" in ", ".join(answer.headers.getlist("Vary"))
        assert prefers.runs == ["first"]
        assert prefers.site.tasks.list() == []


ASYNC = ["respond-async", "Respond-Async", "foo, respond-async", "respond-async; x=1, bar=1"]


@pytest.mark.parametrize("prefer", ASYNC)
@pytest.mark.parametrize("path", ["/page", "/page-sync"])
async def test_preferred_in_the_background(path: str, prefer: str) -> None:
    prefers = Prefers()
    async with prefers.site:
        answer = await prefers.ask(path, prefer)
        assert answer.status_code == 202
        assert answer.headers["Preference-Applied"] == "respond-async"
        assert "Prefer" in ", ".join(answer.headers.getlist("Vary"))
        ran = await prefers.site.finish(answer, await answer.get_json())
        assert ran.data == b"page"
        assert prefers.runs == ["second"]


@pytest.mark.parametrize("prefer", ["wait=60", "respond-async, wait=60", "wait=60, respond-async"])
async def test_preferred_within_a_time(prefer: str) -> None:
    prefers = Prefers()
    async with prefers.site:
        answer = await prefers.ask("/page", prefer, method="POST", data=b"body")
        assert (answer.status_code, await answer.get_data()) == (201, b"body")
        assert answer.headers["X-Own"] == "1"
        assert answer.headers["Preference-Applied"] == "wait=60"
        assert answer.headers["Task-State"] == "succeeded"
        assert "Prefer" in ", ".join(answer.headers.getlist("Vary"))
        assert prefers.runs == ["second"]
        assert len(prefers.site.tasks.list()) == 1


@pytest.mark.parametrize("prefer", ["wait=0", "wait=0, respond-async", "respond-async, wait=0"])
async def test_view_that_takes_longer_is_accepted(prefer: str) -> None:
    prefers = Prefers()
    async with prefers.site:
        answer = await prefers.ask("/slow", prefer)
        assert answer.status_code == 202
        assert answer.headers["Location"]
        assert "Prefer" in ", ".join(answer.headers.getlist("Vary"))
        prefers.site.gate.set()
        ran = await prefers.site.finish(answer, await answer.get_json())
        assert ran.data == b"slow"


async def test_same_key_gives_the_same_answer() -> None:
    prefers = Prefers()
    async with prefers.site as site:
        headers = {"Prefer": "wait=60", "Idempotency-Key": "one"}
        for _ in range(2):
            answer = await site.client.post("/page", data=b"body", headers=headers)
            assert (answer.status_code, await answer.get_data()) == (201, b"body")
        assert prefers.runs == ["second"]


async def test_preferences_in_two_lines_are_read_as_one() -> None:
    prefers = Prefers()
    async with prefers.site:
        headers = [("Prefer", "handling=strict"), ("Prefer", "respond-async")]
        answer = await prefers.site.client.get("/page", headers=headers)
        assert answer.status_code == 202
        headers = [("Prefer", "respond-async"), ("Prefer", "wait=60")]
        answer = await prefers.site.client.get("/page", headers=headers)
        assert answer.status_code == 201


async def test_view_that_fails_while_the_client_waits() -> None:
    prefers = Prefers()
    async with prefers.site:
        answer = await prefers.ask("/broken", "wait=60")
        failure = await problem(answer, 500, "task-failed")
        assert "as asked" in failure["detail"]
        assert answer.headers["Task-State"] == "failed"
        answer = await prefers.ask("/missing", "wait=60")
        assert (answer.status_code, answer.headers["Task-State"]) == (404, "succeeded")
        assert (await prefers.ask("/missing")).status_code == 404
        assert (await prefers.ask("/broken")).status_code == 500
        assert len(prefers.site.tasks.list()) == 2


async def test_view_that_is_cancelled_while_the_client_waits() -> None:
    prefers = Prefers()
    async with prefers.site as site:
        asking = asyncio.create_task(prefers.ask("/slow", "wait=60"))
        await site.tasks.cancel(await site.until_running())
        answer = await asking
        await problem(answer, 500)
        assert answer.headers["Task-State"] == "cancelled"


async def test_foreground_finds_the_whole_body() -> None:
    prefers = Prefers()
    parts = multipart(("a", None, b"1"), ("f", "name", b"content"))
    async with prefers.site:
        answer = await prefers.ask("/pieces", method="POST", data=b"some")
        assert await answer.get_data() == b"some"
        answer = await prefers.site.client.post("/files", **parts)
        assert await answer.get_json() == ["a", "f"]


async def test_foreground_gets_the_body_as_it_comes() -> None:
    prefers = Prefers()
    got: asyncio.Queue[bytes] = asyncio.Queue()

    @prefers.site.app.post("/upload")
    @prefers.site.tasks.background(prefer=True)
    async def upload() -> str:
        async for piece in request.body:
            got.put_nowait(piece)
        return "all"

    async with prefers.site as site:
        connection: Any = site.client.request("/upload", method="POST")
        async with connection, asyncio.timeout(HANG):
            for piece in (b"one", b"two"):
                await connection.send(piece)
                assert await got.get() == piece
            await connection.send_complete()
        answer = await connection.as_response()
        assert (answer.status_code, await answer.get_data()) == (200, b"all")


async def test_foreground_may_stream() -> None:
    prefers = Prefers()
    async with prefers.site:
        answer = await prefers.ask("/stream")
        assert (answer.status_code, await answer.get_data()) == (200, b"x")
        answer = await prefers.ask("/stream", "wait=60")
        failure = await problem(answer, 500, "task-failed")
        assert "stream" in failure["detail"]
