"""What the dashboard's page is made of, and the figures that it is sent."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from quart import Quart

from quart_tasks import QuartTasks, TaskFailed

from .waiting import HANG
from .watching import Frame, Script, Site, messages, play, run_to_end, serving, tasks
from .web import PROBLEM, client_of

FILES = {"index.html": "text/html", "main.js": "text/javascript", "style.css": "text/css"}


pytestmark = pytest.mark.usefixtures("quick_figures")


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as site:
        yield site


# The files


@pytest.mark.parametrize("name", FILES)
async def test_a_file_and_its_second_time(site: Site, name: str) -> None:
    async with site.http.get(f"{site.url}/tasks/ui/{name}") as response:
        assert (response.status, response.content_type) == (200, FILES[name])
        assert len(await response.read()) > 100
        tag = response.headers["ETag"]
    async with site.http.get(
        f"{site.url}/tasks/ui/{name}", headers={"If-None-Match": tag}
    ) as response:
        assert (response.status, await response.read()) == (304, b"")


async def test_the_page_may_load_nothing_but_its_own_files(site: Site) -> None:
    async with site.http.get(f"{site.url}/tasks/ui") as response:
        page = await response.text()
        rules = dict(
            rule.split(" ", 1) for rule in response.headers["Content-Security-Policy"].split("; ")
        )
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert rules["default-src"] == rules["base-uri"] == rules["frame-ancestors"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert "unsafe" not in str(rules)
    for link in re.findall(r'(?:src|href)="([^"#]+)"', page):
        async with site.http.get(f"{site.url}/tasks/{link}") as response:
            assert response.status == 200, link


async def test_with_a_slash_it_is_the_same_page(site: Site) -> None:
    async with site.http.get(f"{site.url}/tasks/ui/") as response:
        assert response.status == 200
        assert (str(response.url), len(response.history)) == (f"{site.url}/tasks/ui", 1)


@pytest.mark.parametrize(
    "path", ["nothing.js", "__init__.py", "..%2Fconfig.py", "%2E%2E/config.py", "%2Fetc%2Fpasswd"]
)
async def test_there_is_nothing_else(site: Site, path: str) -> None:
    async with site.http.get(f"{site.url}/tasks/ui/{path}") as response:
        assert (response.status, response.content_type) == (404, PROBLEM)


async def test_the_page_is_open_and_its_figures_are_not() -> None:
    app = Quart(__name__)
    app.config["TASKS_TOKEN"] = "secret"
    QuartTasks(app)
    async with app.test_app():
        client = client_of(app)
        assert (await client.get("/tasks/ui")).status_code == 200
        assert (await client.get("/tasks/ui/main.js")).status_code == 200
        assert (await client.get("/tasks/ui/stats")).status_code == 401


# The figures


async def frames(site: Site) -> AsyncIterator[Frame]:
    async with site.sse("/ui/stats") as response:
        assert response.content_type == "text/event-stream"
        async for message in messages(response):
            if "data" in message.fields:
                yield message.frame


def total(samples: list[dict[str, Any]], name: str) -> int:
    return sum(sample[name] for sample in samples)


async def test_samples_count_what_happened(site: Site) -> None:
    samples: list[dict[str, Any]] = []
    began = time.monotonic()
    async with aclosing(frames(site)) as stream:  # type: ignore[type-var]
        first = await anext(stream)
        assert (first["type"], first["task_id"]) == ("stats", None)
        await run_to_end(1, 2, 3)
        going, waiting, bad = Script(), Script(), Script()
        bad.say("raise", "as asked")
        with pytest.raises(TaskFailed):
            await (await play.with_options(retries=0).submit(bad))
        running = await play.submit(going)
        later = await play.with_options(delay=3600).submit(waiting)
        await later.cancel()
        async for frame in stream:
            samples += frame["data"]["samples"]
            if total(samples, "cancelled") and samples[-1]["running"]:  # the last of it all
                break
        assert frame["data"]["stats"]["states"] == tasks.stats()["states"]
        assert frame["data"]["health"] is None

    names = ("submitted", "succeeded", "failed", "cancelled")
    assert [total(samples, name) for name in names] == [6, 3, 1, 1]
    assert [samples[-1][name] for name in ("running", "queued", "scheduled")] == [1, 0, 0]
    with_ends = [sample for sample in samples if sample["succeeded"]]
    for name in ("wait", "run"):
        p50, p95, p99 = with_ends[0][name]
        assert 0 <= p50 <= p95 <= p99 <= time.monotonic() - began
    going.say("end")
    await running


async def test_who_comes_later_gets_what_was_before(site: Site) -> None:
    await run_to_end(1, 2, 3)
    async with aclosing(frames(site)) as stream:  # type: ignore[type-var]
        for _ in range(3):  # what was before, and two samples
            await anext(stream)
    async with aclosing(frames(site)) as stream:  # type: ignore[type-var]
        samples = (await anext(stream))["data"]["samples"]
    assert len(samples) > 1
    assert total(samples, "succeeded") == 3
    assert sorted(samples, key=lambda sample: sample["time"]) == samples


async def test_no_figures_where_nothing_ends(site: Site) -> None:
    async with aclosing(frames(site)) as stream:  # type: ignore[type-var]
        await anext(stream)
        sample = (await anext(stream))["data"]["samples"][-1]
    assert (sample["wait"], sample["run"], sample["submitted"]) == (None, None, 0)


async def test_the_end_of_the_server_ends_them(site: Site) -> None:
    async with aclosing(frames(site)) as stream:  # type: ignore[type-var]
        await anext(stream)
        await site.streams(1)
        site.stop.set()
        rest = [frame["type"] async for frame in stream]
    assert rest[-1] == "bye"


async def test_a_reader_that_has_gone_is_no_stream(site: Site) -> None:
    async with aclosing(frames(site)) as stream:  # type: ignore[type-var]
        await anext(stream)
        await site.streams(1)
    async with asyncio.timeout(HANG):
        await site.streams(0)


async def test_the_figures_are_json_without_holes(site: Site) -> None:
    async with site.sse("/ui/stats") as response:
        async for message in messages(response):
            if "data" in message.fields:
                json.loads(message.fields["data"], parse_constant=pytest.fail)
                break
