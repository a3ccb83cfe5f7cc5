"""The page of one task: what it does, as it does it, and what came of it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, Route, expect

from quart_tasks import TaskFailed

from ..waiting import poll
from ..watching import Script
from .browser import Visits
from .corpus import CORPUS
from .pages import live
from .site import at, blob, echo, family, play_running, read, tasks

pytestmark = pytest.mark.asyncio(loop_scope="session")


NOTE_WORDS = """told => {
  globalThis.words = [];
  const note = () => words.push(told.textContent);
  new MutationObserver(note).observe(told, { childList: true, subtree: true });
}"""


def part(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


async def test_progress_outputs_and_log_as_they_come(visits: Visits, url: str) -> None:
    handle, script = await play_running()
    script.say("log", "said before")
    page = await visits.open(url, f"#/tasks/{handle.id}")
    await expect(part(page, "Log")).to_contain_text("said before")
    await at(handle, script, 25, "reading")
    bar = page.get_by_role("progressbar", name="Progress")
    await expect(bar).to_have_attribute("aria-valuenow", "25")
    await expect(page.get_by_role("main")).to_contain_text("reading")
    for number in range(3):
        script.say("output", {"chapter": number})
        await expect(part(page, "Output")).to_contain_text(f"{number}")
        script.say("log", f"<b>line {number}</b>")
        await expect(part(page, "Log")).to_contain_text(f"<b>line {number}</b>")
    await expect(page).to_have_title(re.compile(r"^play, 25 % · "))
    script.say("end")
    await expect(page.get_by_role("main")).to_contain_text("succeeded")
    await expect(button(page, "Retry")).to_be_visible()


async def test_a_failure(visits: Visits, url: str, tmp_path: Path) -> None:
    file = tmp_path / "text"
    handle = await read.submit(str(file))
    with pytest.raises(TaskFailed):
        await handle
    page = await visits.open(url, f"#/tasks/{handle.id}")
    main = page.get_by_role("main")
    await expect(main).to_contain_text("FileNotFoundError")
    await expect(main).to_contain_text("Traceback (most recent call last)")
    await expect(main).to_contain_text("read_text")
    file.write_text("here now")
    await button(page, "Retry").click()
    await expect(page).not_to_have_url(re.compile(handle.id))
    await expect(part(page, "Result")).to_contain_text("here now")
    await page.go_back()
    await expect(main).to_contain_text("FileNotFoundError")
    await page.get_by_role("link", name="read").click()  # what it was retried as
    await expect(part(page, "Result")).to_contain_text("here now")


async def test_cancel_and_delete(visits: Visits, url: str) -> None:
    handle, _ = await play_running()
    page = await visits.open(url, f"#/tasks/{handle.id}")
    await button(page, "Cancel").click()
    await expect(page.get_by_role("main")).to_contain_text("cancelled")
    await button(page, "Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete it").click()
    await expect(page).to_have_url(re.compile(r"#/tasks$"))
    assert handle.id not in {record.id for record in tasks.list()}


async def test_children_as_a_tree(visits: Visits, url: str) -> None:
    scripts = [Script(), Script()]
    parent = await family.submit(*scripts)
    page = await visits.open(url, f"#/tasks/{parent.id}")
    children = part(page, "Children")
    await expect(children.get_by_role("listitem")).to_have_count(2)
    await expect(children).to_contain_text("2 running")
    scripts[0].say("end")
    await expect(children).to_contain_text("1 running, 1 succeeded")
    await children.get_by_role("link", name="play").first.click()
    await expect(page.get_by_role("heading", level=1, name="play")).to_be_visible()
    await page.get_by_role("link", name="family").click()  # its parent
    await expect(page.get_by_role("heading", level=1, name="family")).to_be_visible()
    await button(page, "Cancel").click()
    await expect(children).to_contain_text("1 succeeded, 1 cancelled")


async def test_a_result_of_json(visits: Visits, url: str) -> None:
    value = {"first": {"deep": {"deeper": [1, 2.5, None, True, "text"]}}, "many": list(range(500))}
    handle = await echo.submit(value)
    page = await visits.open(url, f"#/tasks/{handle.id}")
    result = part(page, "Result")
    await expect(result).to_contain_text("deep")
    folded = result.locator("details:not([open]) > summary:visible")
    await expect(folded.first).to_be_visible()

    async def is_unfolded() -> bool:
        while await folded.count():
            await folded.first.click()
        return "deeper" in await result.inner_text()  # which is made some time after a click

    await poll(is_unfolded)
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await result.get_by_role("button", name="Copy").click()
    await expect(page.locator("#said")).to_have_text("Copied the result.")
    assert json.loads(await page.evaluate("navigator.clipboard.readText()")) == value


async def test_a_result_to_save(visits: Visits, url: str) -> None:
    handle = await blob.submit("a,b\n1,2\n", "application/zip")
    page = await visits.open(url, f"#/tasks/{handle.id}")
    async with page.expect_download() as download:
        await part(page, "Result").get_by_role("button", name="Download").click()
    saved = await download.value
    assert saved.suggested_filename.endswith(".zip")
    assert (await saved.path()).read_bytes() == b"a,b\n1,2\n"


async def test_a_button_stays_under_the_pointer(visits: Visits, url: str) -> None:
    """A click whose two halves have the result's coming between them is a click."""
    handle = await blob.submit("come late", "text/plain")
    pressed = asyncio.Event()

    async def when_pressed(route: Route) -> None:
        await pressed.wait()
        await route.continue_()

    page = await visits.open(url)
    await page.route("**/result", when_pressed)
    await page.goto(f"{url}/tasks/ui#/tasks/{handle.id}")
    await part(page, "Result").get_by_role("button", name="Download").hover()
    await page.mouse.down()
    pressed.set()
    await expect(part(page, "Result").get_by_text("come late")).to_be_visible()
    async with page.expect_download() as download:
        await page.mouse.up()
    assert (await (await download.value).path()).read_text() == "come late"


async def test_an_end_is_no_broken_connection(visits: Visits, url: str) -> None:
    handle, script = await play_running()
    page = await visits.open(url, "#/types")
    # The server has ended the stream before its last frames are drawn.
    await page.add_init_script("requestAnimationFrame = (draw) => setTimeout(draw, 300);")
    await page.reload()
    await page.evaluate("id => { location.hash = `#/tasks/${id}`; }", handle.id)
    await expect(part(page, "Facts")).to_be_visible()
    await page.locator(".told").evaluate(NOTE_WORDS)
    script.say("end")
    await handle
    await expect(button(page, "Retry")).to_be_visible()
    assert "".join(await page.evaluate("words")) == ""


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_the_lines_for_a_shell(visits: Visits, url: str, tmp_path: Path) -> None:
    texts = [*CORPUS.values(), "two words", "it's", "\\", '"', "a\tb"]
    handle = await echo.submit(value=texts)
    await handle
    page = await visits.open(url, f"#/tasks/{handle.id}")
    line = part(page, "In a shell").get_by_role("code").filter(has_text="curl --json")
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", (await line.text_content() or "") + " --silent", cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    answer, errors = await process.communicate()
    assert json.loads(answer)["kwargs"] == {"value": texts}, errors
    assert os.listdir(tmp_path) == []


async def test_one_that_is_not_there(visits: Visits, url: str) -> None:
    visits.expected.append("status of 404")
    page = await visits.open(url, "#/tasks/nothing")
    await expect(page.get_by_role("main")).to_contain_text("There is no such task")
    await live(page)
