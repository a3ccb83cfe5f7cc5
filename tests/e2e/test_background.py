"""Background views behind a real server: uploads, clients that go away, kills and shutdowns."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from quart_tasks import Blob
from quart_tasks.client import TasksClient

from ..footprints import runs
from ..waiting import Gate, poll
from .serving import HANG, Server, serving

APP = "tests.e2e.background_app:app"
OF_THE_CONNECTION = ("date", "server", "task-state")

LONG = [pytest.mark.long, pytest.mark.timeout(600)]


@dataclass
class Site:
    http: aiohttp.ClientSession
    place: Path

    def start(self, **environment: str) -> AbstractAsyncContextManager[Server]:
        return serving(APP, RAN=str(self.place / "ran"), **environment)

    def with_journal(self, **environment: str) -> AbstractAsyncContextManager[Server]:
        return self.start(TASKS_JOURNAL=str(self.place / "tasks.db"), **environment)

    async def post(self, server: Server, path: str, data: Any = b"", **given: Any) -> Any:
        """The record of a request that was accepted."""
        if isinstance(data, bytes):
            data = BytesIO(data)  # of large bytes aiohttp warns
        async with self.http.post(server.url + path, data=data, **given) as response:
            assert response.status == 202, await response.text()
            return await response.json()

    async def get(self, server: Server, path: str) -> Any:
        async with self.http.get(server.url + path) as response:
            return await response.json(content_type=None)

    async def ended(self, server: Server, id: str) -> Any:
        record = await self.get(server, f"/tasks/{id}?wait=60")
        assert record["finished_at"], record
        return record

    async def result(self, server: Server, id: str) -> tuple[int, dict[str, str], bytes]:
        async with self.http.get(f"{server.url}/tasks/{id}/result?wait=60") as response:
            headers = {
                name.lower(): value for name, value in response.headers.items()
                if name.lower() not in OF_THE_CONNECTION
            }  # fmt: skip
            return response.status, headers, await response.read()

    async def until(self, server: Server, path: str, wanted: Callable[[Any], bool]) -> Any:
        """The first answer that is as wanted."""

        async def look() -> Any:
            answer = await self.get(server, path)
            return [answer] if wanted(answer) else []

        return (await poll(look))[0]

    async def running(self, server: Server, id: str) -> None:
        await self.until(server, f"/tasks/{id}", lambda record: bool(record["progress"]))

    async def loaded(self, server: Server) -> None:
        await self.until(server, "/tasks/health", lambda answer: answer["status"] == "ok")

    def runs(self) -> dict[str, list[int]]:
        return runs(self.place / "ran")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        yield Site(http, tmp_path)


async def kill(server: Server) -> None:
    server.process.kill()
    await server.process.communicate()


# -- requests ----------------------------------------------------------------------------------


async def pieces(number: int, size: int) -> AsyncIterator[bytes]:
    for each in range(number):
        yield bytes([each % 256]) * size


async def test_bodies_of_all_kinds_come_whole(site: Site) -> None:
    large = random.randbytes(8_000_000)

    async def one_too_many() -> AsyncIterator[bytes]:
        async for piece in pieces(2000, 10_000):
            yield piece
        yield b"x"  # and no more: who still sends may be cut off before it has read the answer

    async with site.start() as server:
        for path in ("/once", "/consumed"):
            for body, given, expected in [
                (b"", {}, b""),
                (large, {}, large),
                (large, {"expect100": True}, large),
                (pieces(1, 1), {}, b"\0"),
                (pieces(300, 10_000), {}, b"".join([each async for each in pieces(300, 10_000)])),
            ]:
                record = await site.post(server, path, body, **given)
                _, headers, data = await site.result(server, record["id"])
                assert data == expected
                assert headers["content-type"] == "application/x-own"
        async with site.http.post(f"{server.url}/once", data=one_too_many()) as response:
            assert response.status == 413
        with suppress(aiohttp.ClientError):  # it may be told while it still sends
            body = BytesIO(bytes(20_000_001))
            async with site.http.post(f"{server.url}/once", data=body) as response:
                assert response.status == 413
        assert len((await site.get(server, "/tasks?limit=500"))["tasks"]) == 10


def form() -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("name", "ä & ö")
    for number in range(3):
        form.add_field("file", bytes(number * 500_000), filename=f"f{number}.bin")
    form.add_field("other", b"x", filename="ä.txt", content_type="text/x-own")
    return form


async def test_request_is_as_the_server_gave_it(site: Site) -> None:
    async with site.start() as server:
        for body in (lambda: None, lambda: {"a": "1"}, form):
            url, query = f"{server.url}/about", "?q=%C3%A4"
            headers = {"X-Own": "1", "Cookie": "a=b"}
            async with site.http.post(url + query, data=body(), headers=headers) as response:
                expected = await response.json()
            record = await site.post(server, f"/about-background{query}", body(), headers=headers)
            _, _, data = await site.result(server, record["id"])
            assert without_boundary(json.loads(data)) == without_boundary(expected)


def without_boundary(about: dict[str, Any]) -> dict[str, Any]:
    headers = [
        [name, value.partition("boundary=")[0]]
        for name, value in about["headers"]
        if name != "Content-Length"
    ]
    url = about["url"].replace("/about-background", "/about")
    return about | {"headers": headers, "url": url}


async def test_client_library_gives_the_body_whatever_the_status(site: Site) -> None:
    async with site.start() as server, TasksClient(server.url) as client:
        for status in (200, 201, 204, 302, 401, 404, 409, 429, 500, 503):
            record = await site.post(server, f"/once?status={status}", b"body")
            async with asyncio.timeout(HANG):
                result = await (await client.get(record["id"]))
            body = b"" if status == 204 else b"body"
            assert (status, result) == (status, Blob(body, "application/x-own"))


# -- clients that go away ----------------------------------------------------------------------


def request_of(path: str, body: bytes = b"body", **headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: test", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def address(server: Server) -> tuple[str, int]:
    host, port = server.url.removeprefix("http://").split(":")
    return host, int(port)


def connected(server: Server) -> socket.socket:
    client = socket.socket()
    client.connect(address(server))
    return client


def reset(client: socket.socket) -> None:
    """Close so that the server gets an RST."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@pytest.mark.parametrize("name", ["once", "once-in-a-thread"])
@pytest.mark.parametrize("leave", [socket.socket.close, reset], ids=["closes", "resets"])
async def test_client_that_leaves_does_not_end_it(
    leave: Callable[[socket.socket], None], name: str, site: Site, gate: Gate
) -> None:
    async with site.start() as server:
        client = connected(server)
        client.sendall(request_of(f"/{name}?gate={gate.path}"))
        found = await site.until(server, f"/tasks?name={name}", lambda page: bool(page["tasks"]))
        id = found["tasks"][0]["id"]
        await site.running(server, id)
        leave(client)
        gate.open()
        assert (await site.ended(server, id))["state"] == "succeeded"


@pytest.mark.parametrize("leave", [socket.socket.close, reset], ids=["closes", "resets"])
async def test_clients_that_leave_at_once(
    leave: Callable[[socket.socket], None], site: Site
) -> None:
    """Each is a task that goes to its end, or none."""
    async with site.with_journal() as server:
        for number in range(40):
            client = connected(server)
            name = ("once", "once-in-a-thread")[number % 2]
            client.sendall(request_of(f"/{name}", b"x" * number * 1000))
            if number % 3:
                await site.get(server, "/tasks/health")
            leave(client)
        last = await site.post(server, "/once", b"last")
        assert (await site.ended(server, last["id"]))["state"] == "succeeded"
        page = await site.until(
            server, "/tasks?limit=500",
            lambda page: all(each["finished_at"] for each in page["tasks"]),
        )  # fmt: skip
        assert {each["state"] for each in page["tasks"]} == {"succeeded"}


@pytest.mark.parametrize("leave", [socket.socket.close, reset], ids=["closes", "resets"])
async def test_client_that_leaves_while_it_waits(
    leave: Callable[[socket.socket], None], site: Site, gate: Gate
) -> None:
    async with site.start() as server:
        client = connected(server)
        client.sendall(request_of(f"/prefers?gate={gate.path}", Prefer="wait=60"))
        page = await site.until(server, "/tasks", lambda page: bool(page["tasks"]))
        id = page["tasks"][0]["id"]
        await site.running(server, id)
        leave(client)
        await site.until(server, "/tasks/health", lambda answer: answer["status"] == "ok")
        gate.open()
        assert (await site.ended(server, id))["state"] == "succeeded"


async def test_client_that_leaves_in_the_middle_of_its_body(site: Site) -> None:
    async with site.start() as server:
        for leave in (socket.socket.close, reset):
            client = connected(server)
            client.sendall(request_of("/once", b"x" * 100_000)[:-1])
            await site.get(server, "/tasks/health")
            leave(client)
        await site.post(server, "/once")
        page = await site.get(server, "/tasks")
        assert len(page["tasks"]) == 1


# -- kill -9 -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["", "-in-a-thread"])
async def test_view_cut_off_by_a_kill_is_run_again_or_interrupted(
    kind: str, site: Site, gate: Gate
) -> None:
    query = f"?gate={gate.path}&echo=body&status=201&x=%C3%A4"
    async with site.with_journal() as server:
        once = await site.post(server, f"/once{kind}{query}", b"body")
        again = await site.post(server, f"/again{kind}{query}", b"body")
        for each in (once, again):
            await site.running(server, each["id"])
        await kill(server)
    gate.open()
    async with site.with_journal() as server:
        await site.loaded(server)
        record = await site.ended(server, once["id"])
        assert (record["state"], record["error"]["type"]) == ("failed", "Interrupted")
        status, _, data = await site.result(server, once["id"])
        assert (status, b"urn:quart-tasks:interrupted" in data) == (409, True)
        record = await site.ended(server, again["id"])
        assert (record["state"], record["attempt"]) == ("succeeded", 2)
        status, headers, data = await site.result(server, again["id"])
        assert (status, data) == (201, b"body")
        assert headers["x-attempt"] == "2"
        assert headers["x-query"] == query.removeprefix("?")
        retried = await site.post(server, f"/tasks/{once['id']}/retry")
        assert (await site.result(server, retried["id"]))[::2] == (201, b"body")
    assert site.runs() == {once["id"]: [1], again["id"]: [1, 2], retried["id"]: [1]}


async def test_queued_views_are_run_after_a_kill(site: Site, gate: Gate) -> None:
    bodies = [random.randbytes(size) for size in (0, 1, 100_000, 3_000_000)]
    async with site.with_journal() as server:
        first = await site.post(server, f"/one-at-a-time?gate={gate.path}")
        await site.running(server, first["id"])
        waiting = [await site.post(server, "/one-at-a-time", body) for body in bodies]
        await kill(server)
    gate.open()
    async with site.with_journal() as server:
        await site.loaded(server)
        for record, body in zip(waiting, bodies, strict=True):
            status, headers, data = await site.result(server, record["id"])
            assert (status, data == body, headers["x-attempt"]) == (200, True, "1")
        shown = await site.ended(server, waiting[0]["id"])
        assert shown["kwargs"] == {"method": "POST", "path": "/one-at-a-time"}


async def test_result_is_the_same_after_a_kill(site: Site) -> None:
    body = random.randbytes(1_000_000)
    asked = [
        ("/once?status=200", body), ("/again?status=404", b"not there"), ("/once?status=204", b""),
        ("/once-in-a-thread?status=503&echo=sorry", b""),
    ]  # fmt: skip
    async with site.with_journal() as server:
        ids = [(await site.post(server, path, data))["id"] for path, data in asked]
        before = [await site.result(server, id) for id in ids]
        records = [await site.ended(server, id) for id in ids]
        assert [status for status, _, _ in before] == [200, 404, 204, 503]
        await kill(server)
    async with site.with_journal() as server:
        await site.loaded(server)
        assert [await site.result(server, id) for id in ids] == before
        left_out = {"cursor": None, "progress": None}  # which are not in the journal
        assert [await site.ended(server, id) | left_out for id in ids] == [
            each | left_out for each in records
        ]


@pytest.mark.parametrize("times", [2, pytest.param(30, marks=LONG)])
async def test_kill_at_random_moments_loses_no_202(times: int, site: Site) -> None:
    """Each 202 stands, with its body, and a view that is not idempotent is begun once."""
    accepted: dict[str, tuple[str, bytes]] = {}

    async def work(server: Server) -> None:
        with suppress(aiohttp.ClientError, OSError):
            while True:
                name = random.choice(["once", "again", "again-in-a-thread"])
                body = random.randbytes(random.choice([0, 10, 10_000]))
                path = f"/{name}?echo={body[:10].hex()}"
                async with site.http.post(server.url + path, data=body) as response:
                    if response.status == 202:
                        id = response.headers["Location"].rpartition("/")[2]
                        accepted[id] = (name, body)

    for number in range(times):
        async with site.with_journal() as server:
            crowd = [asyncio.create_task(work(server)) for _ in range(6)]
            if number == 0:  # a slow machine may need longer for the first than it has below
                await poll(lambda: accepted)
            await asyncio.sleep(random.uniform(0.1, 0.6))
            await kill(server)
            await asyncio.gather(*crowd)
    async with site.with_journal() as server:
        await site.loaded(server)
        assert accepted
        for id, (name, body) in accepted.items():
            record = await site.ended(server, id)
            if record["state"] == "failed":
                assert record["error"]["type"] == "Interrupted"
                assert name == "once" or record["attempt"] == 4  # cut off in each
                continue
            _, _, data = await site.result(server, id)
            assert data == (body[:10].hex().encode() if name.endswith("thread") else body)
    runs = site.runs()
    for id, (name, _) in accepted.items():
        assert runs[id] == sorted(set(runs[id]))
        assert name != "once" or runs[id] in ([], [1])


# -- shutdown ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["once", "once-in-a-thread"])
async def test_shutdown_waits_for_a_view(name: str, site: Site, gate: Gate) -> None:
    async with site.start(TASKS_DRAIN_TIMEOUT="100") as server, asyncio.timeout(2 * HANG):
        record = await site.post(server, f"/{name}?gate={gate.path}&echo=body", b"body")
        await site.running(server, record["id"])
        reader, writer = await asyncio.open_connection(*address(server))
        path = f"/tasks/{record['id']}/result?wait=60"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
        server.process.send_signal(signal.SIGTERM)
        status = 202
        while status == 202:  # and by then the server has read what was sent before
            async with site.http.post(f"{server.url}/once") as response:
                status = response.status
        assert status == 503
        gate.open()
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"\r\n\r\nbody")
        _, errors = await server.process.communicate()
        assert server.process.returncode == 0
        assert b"Traceback" not in errors


@pytest.mark.parametrize("name", ["once", "again", "once-in-a-thread", "again-in-a-thread"])
async def test_shutdown_cuts_a_view_off(name: str, site: Site, gate: Gate) -> None:
    async with site.with_journal(TASKS_DRAIN_TIMEOUT="0") as server:
        record = await site.post(server, f"/{name}?gate={gate.path}&echo=body", b"body")
        await site.running(server, record["id"])
        assert await server.end() == 0
        assert "Traceback" not in server.errors
    gate.open()
    async with site.with_journal() as server:
        await site.loaded(server)
        ended = await site.ended(server, record["id"])
        if name.startswith("once"):
            assert (ended["state"], ended["error"]["type"]) == ("failed", "Interrupted")
        else:
            assert ended["state"] == "succeeded"
            assert (await site.result(server, record["id"]))[2] == b"body"
