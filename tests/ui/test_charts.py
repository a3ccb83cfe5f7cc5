"""The overview and the timeline."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from quart_tasks import TaskFailed

from ..waiting import poll
from .browser import Visits
from .pages import rows
from .site import echo, play_running, read

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def count(page: Page, state: str, number: int) -> None:
    """Wait until the overview says that so many tasks are in that state."""
    link = page.get_by_role("list", name="Tasks by state").get_by_role("link", name=state)
    await expect(link).to_contain_text(re.compile(rf"^{number}\D"))


@pytest.mark.usefixtures("quick_figures")
async def test_figures_that_follow_what_happens(visits: Visits, url: str, tmp_path: Path) -> None:
    page = await visits.open(url)
    main = page.get_by_role("main")
    invitation = page.get_by_role("heading", name="Nothing has run here yet")
    await expect(invitation).to_be_visible()
    await expect(main).to_contain_text("The server is well")
    first, script = await play_running()
    await count(page, "running", 1)
    await expect(main).to_contain_text("1 of 1,000")
    script.say("end")
    await first
    await count(page, "running", 0)
    await count(page, "succeeded", 1)
    with pytest.raises(TaskFailed):
        await (await read.submit(str(tmp_path / "nothing")))
    await count(page, "failed", 1)
    await expect(invitation).to_be_hidden()

    by_name = page.get_by_role("region", name="By name").get_by_role("row").filter(has_text="read")
    await by_name.get_by_role("link", name="1", exact=True).press("Enter")
    await expect(page.get_by_role("searchbox")).to_have_value("state:failed name:read")
    await expect(rows(page)).to_have_count(1)


async def test_a_bar_for_each_task(visits: Visits, url: str) -> None:
    before = await echo.submit("before")
    await before
    page = await visits.open(url, "#/timeline")
    handle, script = await play_running()
    # By its key: a lane that comes just now would move it away from under a pointer.
    await page.get_by_text("The lanes as a table").press("Enter")
    lanes = page.get_by_role("row").filter(has=page.get_by_role("rowheader"))
    await expect(lanes.filter(has_text="async 1")).to_be_visible()

    async def both_are_there() -> bool:  # in one lane or in two, as the page has heard of them
        return sum(map(int, await lanes.locator("td:nth-child(3)").all_text_contents())) == 2

    await poll(both_are_there)
    canvas = page.get_by_role("application", name="Timeline")
    await canvas.focus()
    said = page.locator("#said")
    heard = set()

    async def both_are_heard() -> bool:  # though two lanes may become one on the way
        for key in ("ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp"):
            await page.keyboard.press(key)
            heard.add((await said.text_content() or "").split(",")[0])
        return {"echo", "play"} <= heard

    await poll(both_are_heard)
    assert heard <= {"echo", "play", ""}
    script.say("end")
    await handle
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(rf"#/tasks/({handle.id}|{before.id})$"))


async def test_a_picture_of_time_that_moves_and_stands_still(visits: Visits, url: str) -> None:
    page = await visits.open(url, "#/timeline")
    await echo.submit()
    canvas = page.get_by_role("application", name="Timeline")
    await page.get_by_role("button", name="1 min").click()
    shots = [await canvas.screenshot()]

    async def it_moves() -> bool:
        shots.append(await canvas.screenshot())
        return shots[-1] != shots[-2]

    async def it_stands() -> bool:
        before = await canvas.screenshot()
        # In that time it would move by ten pixels and more.
        await page.wait_for_function("then => Date.now() > then + 600", arg=await now(page))
        return await canvas.screenshot() == before

    await poll(it_moves)
    await page.get_by_role("button", name="Pause").click()
    await page.get_by_role("heading", level=1).click()
    await poll(it_stands)  # what was on its way to the page may be drawn even now


async def now(page: Page) -> int:
    return int(await page.evaluate("Date.now()"))
