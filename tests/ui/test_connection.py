"""The server goes and comes back, and the page goes out of sight and comes back."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page, async_playwright, expect

from quart_tasks.client import TasksClient

from ..e2e.serving import serving
from ..proxy import proxy_to
from ..waiting import Gate, poll
from .browser import ARGUMENTS, CHROMIUM, MISSING, PATIENCE, Visits, make_hasty
from .pages import live, row_of, rows
from .site import echo, play_running

pytestmark = pytest.mark.asyncio(loop_scope="session")

APP = "tests.e2e.client_app:app"


@pytest.mark.parametrize("journal", [True, False], ids=["with a journal", "without one"])
async def test_a_server_that_is_killed_and_comes_back(
    visits: Visits, tmp_path: Path, journal: bool
) -> None:
    gate = Gate(tmp_path / "gate")
    config = {"TASKS_JOURNAL": str(tmp_path / "tasks.db")} if journal else {}
    async with serving(APP, **config) as first, proxy_to(first.url) as proxy:
        page = await visits.open(proxy.url, "#/tasks")
        async with TasksClient(first.url) as client:
            ended = [await client.submit("echo", number) for number in range(3)]
            for each in ended:
                await each
            held = await client.submit("gated", gate.path)
        await expect(row_of(page, held.id)).to_contain_text("50 %")
        await expect(rows(page)).to_have_count(4)

        await first.end(signal.SIGKILL)
        banner = page.get_by_role("alert")
        await expect(banner).to_contain_text("goes on by itself")
        await expect(rows(page)).to_have_count(4)

        async with serving(APP, **config) as second:
            proxy.port = int(second.url.rpartition(":")[2])
            await expect(banner).to_be_hidden()
            await live(page)
            async with TasksClient(second.url) as client:
                later = await client.submit("echo", 9)
                await later
                await expect(row_of(page, later.id)).to_contain_text("succeeded")
                await expect(rows(page)).to_have_count(5 if journal else 1)
                if journal:
                    await expect(row_of(page, held.id)).to_contain_text("running")
                    gate.open()
                    await expect(row_of(page, held.id)).to_contain_text("succeeded")
                    for each in ended:
                        await expect(row_of(page, each.id)).to_have_count(1)
    gate.close()


async def test_types_that_could_not_be_asked_for_come_with_the_server(visits: Visits) -> None:
    visits.expected.append("Failed to load resource")
    async with serving(APP) as first, proxy_to(first.url) as proxy:
        page = await visits.open(proxy.url)
        await live(page)
        await first.end(signal.SIGKILL)
        await page.get_by_role("link", name="Types", exact=True).click()
        await expect(page.get_by_role("main")).to_contain_text("Try again")
        async with serving(APP) as second:
            proxy.port = int(second.url.rpartition(":")[2])
            await expect(page.get_by_role("heading", name="echo")).to_be_visible()


async def test_the_log_of_a_task_goes_on_where_the_connection_broke(
    visits: Visits, url: str
) -> None:
    handle, script = await play_running()
    async with proxy_to(url) as proxy:
        page = await visits.open(proxy.url, f"#/tasks/{handle.id}", hasty=True)
        for number in range(5):
            script.say("log", f"line-{number};")
            await expect(page.get_by_role("main")).to_contain_text(f"line-{number};")
            proxy.cut()
        proxy.refuses = True
        proxy.cut()
        await expect(page.get_by_role("alert")).to_be_visible()
        script.say("log", "line-5;")
        script.say("output", "output-5;")
        proxy.refuses = False
        for last in ("output-5;", "line-5;"):
            await expect(page.get_by_role("main")).to_contain_text(last)
        shown = await page.get_by_role("main").inner_text()
        assert re.findall(r"line-\d;", shown) == [f"line-{number};" for number in range(6)]
        script.say("end")
        await handle


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return tmp_path / "profile"


@asynccontextmanager
async def window(profile: Path) -> AsyncIterator[BrowserContext]:
    """A browser's window whose tabs hide one another: those that Playwright starts never do."""
    if CHROMIUM is None:
        pytest.skip(MISSING)
    process = await asyncio.create_subprocess_exec(
        CHROMIUM, "--headless", *ARGUMENTS, "--remote-debugging-port=0",
        f"--user-data-dir={profile}", "about:blank", stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        found = None
        while found is None:
            line = (await process.stderr.readline()).decode()
            assert line, "The browser has ended before it could be connected to."
            found = re.search(r"ws://\S+", line)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.connect_over_cdp(
                found[0], no_defaults=True, timeout=PATIENCE
            )
            yield browser.contexts[0]
            await browser.close()
    finally:
        process.terminate()
        await process.communicate()


async def streams(url: str, number: int) -> None:
    """Wait until the server has so many streams: it learns of each in its own time."""
    async with TasksClient(url) as client:

        async def are_there() -> bool:
            return bool((await client.stats())["streams"] == number)

        await poll(are_there)


async def test_out_of_sight_it_lets_its_streams_go(visits: Visits, url: str, profile: Path) -> None:
    async with window(profile) as context:
        await visits.watch(context, url.removeprefix("http://"))
        await make_hasty(context)
        page = await context.new_page()
        await page.goto(f"{url}/tasks/ui#/tasks")
        first = await echo.submit()
        await expect(row_of(page, first.id)).to_contain_text("succeeded")
        await streams(url, 1)

        other: Page = await context.new_page()
        await other.bring_to_front()
        await poll(lambda: page.evaluate("document.hidden"))
        await streams(url, 0)
        second = await echo.submit()
        await second

        await page.bring_to_front()
        await expect(row_of(page, second.id)).to_contain_text("succeeded")
        await expect(rows(page)).to_have_count(2)
        await live(page)
        await streams(url, 1)


async def test_a_page_that_is_left_lets_its_streams_go(visits: Visits, url: str) -> None:
    handle, _ = await play_running()
    page = await visits.open(url)
    for address, number in (("", 2), (f"tasks/{handle.id}", 2), ("types/echo", 1), ("tasks", 1)):
        await page.evaluate("address => { location.hash = `#/${address}`; }", address)
        await streams(url, number)
    await page.close()
    await streams(url, 0)
