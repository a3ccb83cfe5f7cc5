"""The server goes and comes back, and the page goes out of sight and comes back."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page, Route, async_playwright, expect

from quart_tasks.client import TasksClient

from ..e2e.serving import serving
from ..proxy import proxy_to
from ..waiting import Gate, poll
from ..watching import Script
from .browser import ARGUMENTS, CHROMIUM, MISSING, PATIENCE, Visits, make_hasty
from .pages import live, row_of, rows
from .site import echo, family, play_running, tasks

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


@pytest.mark.parametrize("is_late", [False, True], ids=["stream is late", "answer is late too"])
async def test_what_ends_before_the_stream_begins(visits: Visits, url: str, is_late: bool) -> None:
    """The stream does not tell of it, and what the answer to a request says of it is over."""
    scripts = [Script(), Script()]
    parent = await family.submit(*scripts)
    await poll(lambda: states().count("running") == 3)
    asked, over, begun = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def begin(route: Route) -> None:
        await over.wait()
        await route.continue_()

    async def answer(route: Route) -> None:
        response = await route.fetch()
        asked.set()
        if is_late:
            await begun.wait()
        await route.fulfill(response=response)

    page = await visits.open(url, "#/types")
    await page.route("**/tasks/events", begin)
    await page.route("**/tasks?parent_id=*", answer)
    await page.reload()
    await page.evaluate("id => { location.hash = `#/tasks/${id}`; }", parent.id)
    children = page.get_by_role("region", name="Children", exact=True)
    await asked.wait()
    if not is_late:
        await expect(children).to_contain_text("2 running")
    scripts[0].say("end")
    await poll(lambda: "succeeded" in states())
    over.set()
    if is_late:
        await expect(children).to_contain_text("1 running")
        begun.set()
    await expect(children).to_contain_text("1 running, 1 succeeded")


def states() -> list[str]:
    return [record.state for record in tasks.list()]


async def test_a_server_that_comes_anew_before_the_stream_begins(visits: Visits) -> None:
    may_begin = asyncio.Event()

    async def begin(route: Route) -> None:
        await may_begin.wait()
        await route.continue_()

    async with serving(APP) as first, proxy_to(first.url) as proxy:
        page = await visits.open(proxy.url, "#/types")
        await page.route("**/tasks/events", begin)
        await page.reload()
        async with TasksClient(first.url) as client:
            await (await client.submit("echo", 1))
        await page.evaluate("location.hash = '#/tasks'")
        await expect(rows(page)).to_have_count(1)
        await first.end(signal.SIGKILL)
        async with serving(APP) as second:
            proxy.port = int(second.url.rpartition(":")[2])
            may_begin.set()
            await expect(page.get_by_role("main")).to_contain_text("No tasks yet.")


@pytest.mark.long
async def test_a_click_while_the_server_is_tried_again(visits: Visits, url: str) -> None:
    async with proxy_to(url) as proxy:
        page = await visits.open(proxy.url, "#/types", hasty=True)
        await live(page)
        proxy.refuses = True
        proxy.cut()
        again = page.get_by_role("alert").get_by_role("button", name="Try now")
        await again.evaluate(
            "it => it.addEventListener('click', () => { globalThis.clicked = 1; })"
        )
        await again.hover()
        await page.mouse.down()
        await proxy.reaches(proxy.connections + 4)
        await page.mouse.up()
        assert await page.evaluate("globalThis.clicked") == 1
        proxy.refuses = False
        await live(page)


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
