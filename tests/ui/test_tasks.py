"""The page of all tasks: live rows, the query box, the keyboard, one and many at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from quart_tasks import TaskFailed, TaskHandle

from .browser import Visits
from .pages import live, row_of, rows
from .site import at, echo, play_running, read, tasks

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def failed(path: Path) -> TaskHandle[str]:
    """A task that has failed, and will not once the file is there."""
    handle = await read.submit(str(path))
    with pytest.raises(TaskFailed):
        await handle
    return handle


async def echoes(count: int, key: str) -> list[str]:
    """Ids of so many tasks that have ended, whose keys begin with that."""
    handles = [
        await echo.with_options(key=f"{key}-{number}").submit(number) for number in range(count)
    ]
    for handle in handles:
        await handle
    return [handle.id for handle in handles]


async def test_a_task_from_its_first_moment_to_its_last(visits: Visits, url: str) -> None:
    page = await visits.open(url, "#/tasks")
    await expect(page.get_by_role("main")).to_contain_text("No tasks yet.")
    handle, script = await play_running()
    row = row_of(page, handle.id)
    await expect(row).to_contain_text("running")
    widths = []
    for current, message in ((30, "reading"), (70, "writing")):
        await at(handle, script, current, message)
        await expect(row).to_contain_text(f"{current} %")
        await expect(row).to_contain_text(message)
        bar = await row.locator(".meter > div").bounding_box()
        assert bar is not None
        widths.append(bar["width"])
    assert widths[1] > widths[0] > 0
    script.say("end")
    await expect(row).to_contain_text("succeeded")
    await expect(row).not_to_contain_text("%")
    assert [path for path in visits.requests if path.endswith("/ui")] == ["/tasks/ui"]


async def test_cancel_and_retry_of_one(visits: Visits, url: str, tmp_path: Path) -> None:
    handle, _ = await play_running()
    wrong = await failed(tmp_path / "text")
    (tmp_path / "text").write_text("here now")
    page = await visits.open(url, "#/tasks")
    await expect(rows(page)).to_have_count(2)  # what comes to a row that is pointed at waits

    await row_of(page, handle.id).get_by_role("button", name="Cancel").click()
    await expect(row_of(page, handle.id)).to_contain_text("cancelled")
    await expect(row_of(page, wrong.id)).to_contain_text("FileNotFoundError")
    await row_of(page, wrong.id).get_by_role("button", name="Retry").click()
    await page.get_by_role("heading", level=1).hover()  # under the pointer no row moves
    again = rows(page).filter(has_text="read").filter(has_text="succeeded")
    await expect(again).to_contain_text("here now")
    await expect(row_of(page, wrong.id)).to_contain_text("failed")


async def test_cancel_of_all_that_match(visits: Visits, url: str) -> None:
    going = [(await play_running(key=f"report-{number}"))[0] for number in range(3)]
    other, _ = await play_running(key="other")
    page = await visits.open(url, "#/tasks")
    everything = page.get_by_role("button", name="Cancel all that match")
    await expect(everything).to_be_disabled()
    await page.get_by_role("searchbox").fill("state:running report")
    await expect(rows(page)).to_have_count(3)

    await everything.click()
    dialog = page.get_by_role("dialog", name="Cancel 3 tasks?")
    await dialog.get_by_role("button", name="No").click()
    await expect(dialog).to_have_count(0)
    await everything.click()
    await dialog.get_by_role("button", name="Cancel them").click()
    await expect(page.get_by_role("main")).to_contain_text("3 tasks were asked to end.")
    await expect(rows(page)).to_have_count(0)  # none of them runs
    assert [handle.state for handle in going] == ["cancelled"] * 3
    assert other.state == "running"


async def test_retry_of_the_selected(visits: Visits, url: str, tmp_path: Path) -> None:
    wrong = [await failed(tmp_path / f"text-{number}") for number in range(3)]
    page = await visits.open(url, "#/tasks")
    for handle in wrong[:2]:
        await row_of(page, handle.id).get_by_role("checkbox").click()
    await page.get_by_role("button", name="Retry 2 selected").click()
    await page.get_by_role("button", name="Retry them").click()
    await page.get_by_role("heading", level=1).hover()  # under the pointer no row moves
    await expect(rows(page)).to_have_count(5)
    assert {record.retry_of for record in tasks.list(limit=2)} == {
        handle.id for handle in wrong[:2]
    }


async def test_a_query_as_it_is_typed(visits: Visits, url: str) -> None:
    await echoes(2, "pear")
    handle, script = await play_running(key="pearl")
    page = await visits.open(url, "#/tasks")
    box = page.get_by_role("searchbox")
    for line, count in (
        ("pear", 3), ("pearl", 1), ("name:echo", 2), ("state:running", 1), ("name:ech", 0),
        ("state:succeeded pear-1", 1), ('"pear" name:echo', 2), (handle.id, 1), ("plum", 0),
    ):  # fmt: skip
        await box.fill(line)
        await expect(rows(page)).to_have_count(count)
    await expect(page.get_by_role("main")).to_contain_text("No task matches.")
    await box.fill("state:runing")
    await expect(page.get_by_role("main")).to_contain_text("There is no state “runing”")

    await box.fill("state:running")
    await expect(rows(page)).to_have_count(1)
    second, _ = await play_running()
    await expect(row_of(page, second.id)).to_have_count(1)
    script.say("end")
    await expect(rows(page)).to_have_count(1)


async def test_the_address_holds_the_query(visits: Visits, url: str) -> None:
    [one, two] = await echoes(2, "pear")
    page = await visits.open(url, "#/tasks?q=pear-0")
    await expect(page.get_by_role("searchbox")).to_have_value("pear-0")
    await expect(rows(page)).to_have_count(1)
    await page.get_by_role("button", name="succeeded").click()
    await expect(page.get_by_role("searchbox")).to_have_value("state:succeeded pear-0")
    await page.get_by_role("searchbox").fill("pear-1")
    await page.get_by_role("searchbox").press("Enter")
    await expect(row_of(page, two)).to_have_count(1)
    await row_of(page, two).get_by_role("link").click()
    await expect(page).to_have_url(re.compile(f"#/tasks/{two}$"))
    for value, id in (("pear-1", two), ("state:succeeded pear-0", one), ("pear-0", one)):
        await page.go_back()
        await expect(page.get_by_role("searchbox")).to_have_value(value)
        await expect(row_of(page, id)).to_have_count(1)
        await expect(rows(page)).to_have_count(1)
    await page.go_forward()
    await page.reload()
    await expect(page.get_by_role("searchbox")).to_have_value("state:succeeded pear-0")
    await expect(rows(page)).to_have_count(1)


async def test_older_tasks_come_as_one_scrolls(visits: Visits, url: str) -> None:
    ids = await echoes(1300, "pear")
    page = await visits.open(url, "#/tasks")
    await expect(row_of(page, ids[-1])).to_have_count(1)
    assert await rows(page).count() < 100
    await page.get_by_role("grid").focus()
    oldest = row_of(page, ids[0])
    while not await oldest.count():
        await page.keyboard.press("End")
    await expect(oldest).to_be_in_viewport()
    await expect(page.get_by_role("main")).to_contain_text("1,300 tasks")

    await page.get_by_role("searchbox").fill("pear-7")
    await expect(page.get_by_role("main")).to_contain_text("111 tasks")
    await page.get_by_role("searchbox").fill("pear-77")
    await expect(rows(page)).to_have_count(11)


async def test_what_comes_does_not_move_what_is_read(visits: Visits, url: str) -> None:
    ids = await echoes(200, "pear")
    page = await visits.open(url, "#/tasks")
    await expect(row_of(page, ids[-1])).to_have_count(1)
    await page.get_by_role("grid").hover()
    await page.mouse.wheel(0, 1500)
    await expect(page.get_by_role("grid")).to_have_js_property("scrollTop", 1500)
    read_now = row_of(page, ids[-50])
    await expect(read_now).to_be_in_viewport()
    before = await read_now.bounding_box()
    await echoes(30, "plum")
    news = page.get_by_role("button", name="30 new")
    await expect(news).to_be_visible()
    assert await read_now.bounding_box() == before
    await news.click()
    await expect(rows(page).first).to_contain_text("plum-29")


async def active(page: Page) -> str | None:
    """What the active row says, as a screen reader learns of it."""
    id = await page.get_by_role("grid").get_attribute("aria-activedescendant")
    return None if id is None else await page.locator(f"#{id}").inner_text()


async def test_the_keyboard_alone(visits: Visits, url: str) -> None:
    ids = await echoes(3, "pear")
    page = await visits.open(url, "#/tasks")
    await expect(rows(page)).to_have_count(3)
    press = page.keyboard.press
    await press("/")
    await expect(page.get_by_role("searchbox")).to_be_focused()
    await page.keyboard.type("pear")
    await expect(page).to_have_url(re.compile("q=pear"))
    await press("ArrowDown")
    await expect(page.get_by_role("grid")).to_be_focused()
    for key, name in (("ArrowDown", "pear-1"), ("End", "pear-0"), ("ArrowUp", "pear-1")):
        await press(key)
        await expect(page.locator(".row.active")).to_contain_text(name)
        assert name in (await active(page) or "")
    await press("Space")
    await expect(row_of(page, ids[1])).to_have_attribute("aria-selected", "true")
    await press("Escape")
    await expect(row_of(page, ids[1])).to_have_attribute("aria-selected", "false")
    await press("Enter")
    await expect(page).to_have_url(re.compile(f"#/tasks/{ids[1]}$"))
    await page.go_back()
    await expect(rows(page)).to_have_count(3)
    await press("/")
    await press("Escape")
    await expect(page.get_by_role("searchbox")).to_have_value("")
    await expect(page).to_have_url(re.compile("#/tasks$"))


async def test_many_at_once_and_all_of_them_seen(visits: Visits, url: str) -> None:
    page = await visits.open(url, "#/tasks")
    await live(page)
    await expect(page.get_by_role("main")).to_contain_text("No tasks yet.")
    handles = await tasks.submit_many(echo, [(number,) for number in range(3000)])
    for handle in handles:
        await handle
    await expect(page.get_by_role("main")).to_contain_text("3,000 tasks")
    await expect(rows(page).filter(has_text="succeeded").first).to_be_visible()
    await expect(rows(page).filter(has_text="queued")).to_have_count(0)
