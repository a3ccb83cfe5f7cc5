"""Text from tasks is only ever text: none of the corpus runs, and all of it can be read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from quart_tasks import TaskHandle

from ..waiting import poll
from . import hostile
from .browser import Visits
from .corpus import CORPUS
from .pages import live, rows
from .site import make_app, served

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.long]

Handles = dict[str, list[TaskHandle[Any]]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site() -> AsyncIterator[tuple[str, Handles]]:
    async with served(make_app(hostile.tasks)) as url:
        yield url, await hostile.submit_all()


async def go(page: Page, address: str) -> None:
    """To another address of the page, without loading it again; nothing of the last is left."""
    await page.evaluate(GO, address)


async def said(page: Page) -> str:
    """All text of the page, as it is."""
    return str(await page.evaluate("document.querySelector('main').textContent"))


async def check(page: Page, visits: Visits) -> None:
    """Nothing has run, and the page is the one that it was."""
    await page.evaluate("new Promise(done => setTimeout(done, 50))")  # `onerror` comes later
    assert await page.evaluate("globalThis.pwned") is None
    assert await page.locator("header nav a").count() == 4
    assert visits.unexpected() == []


async def test_the_list(visits: Visits, site: tuple[str, Handles]) -> None:
    url, handles = site
    page = await visits.open(url, "#/tasks")
    await expect(rows(page).first).to_be_visible()
    unseen = {handle.record.name for handle in handles["named"]}
    await page.get_by_role("grid").focus()

    async def all_are_seen() -> bool:
        for key in ("Home", *["PageDown"] * 20):
            await page.keyboard.press(key)
            await page.evaluate("new Promise(requestAnimationFrame)")
            names = page.locator(".row .name a")
            unseen.difference_update(
                await names.evaluate_all("all => all.map(each => each.textContent)")
            )
        return not unseen

    await poll(all_are_seen)  # a page may be drawn only when the next key is pressed
    await check(page, visits)


async def test_queries_for_each_name(visits: Visits, site: tuple[str, Handles]) -> None:
    """As the overview writes them, and as a reader does, in the address."""
    url, _ = site
    page = await visits.open(url)
    main = page.get_by_role("main")
    await expect(main).to_contain_text("__proto__")
    shown = await said(page)
    links = main.get_by_role("rowheader").get_by_role("link")
    addresses = await links.evaluate_all("all => all.map(e => [e.textContent, e.hash])")
    assert {name for name, _ in addresses} >= set(CORPUS.values())
    assert all(name in shown for name, _ in addresses)
    await check(page, visits)
    for name, address in addresses:
        await go(page, address)
        if name in ("tell", "paint"):
            continue
        await expect(rows(page)).to_have_count(1)
        assert await rows(page).locator(".name a").text_content() == name
    await page.evaluate(GO_THROUGH, [f"#/tasks?q={quote(text)}" for text in CORPUS.values()])
    await check(page, visits)


async def test_each_task(visits: Visits, site: tuple[str, Handles]) -> None:
    url, handles = site
    page = await visits.open(url, "#/tasks")
    for handle in handles["named"]:
        await go(page, f"#/tasks/{handle.id}")
        name = handle.record.name
        await expect(page.get_by_role("heading", level=1)).to_have_js_property("textContent", name)
        await expect(page.get_by_role("main")).to_contain_text("Traceback")
        assert (await said(page)).count(name) >= 3  # the name, the error, the progress
    await check(page, visits)


async def test_what_tasks_tell_and_return(visits: Visits, site: tuple[str, Handles]) -> None:
    url, handles = site
    [handle] = handles["telling"]
    page = await visits.open(url, f"#/tasks/{handle.id}")
    await expect(page.get_by_role("main")).to_contain_text(CORPUS["formula"])

    async def all_is_said() -> bool:
        await page.evaluate(UNFOLD)
        shown = await said(page)
        return all(text in shown for text in CORPUS.values())

    await poll(all_is_said)  # it comes in several frames
    await check(page, visits)


async def test_blobs_are_no_pages(visits: Visits, site: tuple[str, Handles]) -> None:
    url, handles = site
    for handle in handles["painted"]:
        # A page each: the browser drops the eleventh file that one saves in a second.
        page = await visits.open(url, f"#/tasks/{handle.id}")
        result = page.get_by_role("region", name="Result")
        kind, _, _ = (handle.record.result_type or "").partition(";")
        await expect(result).to_contain_text(kind.lower())
        for link in await result.get_by_role("link").all():
            assert await link.get_attribute("download") is not None
        async with page.expect_download() as download:
            await result.get_by_role("button", name="Download").click()
        assert (await (await download.value).path()).stat().st_size == handle.record.result_size
        await check(page, visits)


async def test_a_result_opened_by_its_address(visits: Visits, site: tuple[str, Handles]) -> None:
    url, handles = site
    visits.expected += ["sandbox", "violat", "Content Security Policy", "evil.example/x.png"]
    page = await visits.open(url)
    failures: dict[str, str | None] = {}
    page.on("requestfailed", lambda request: failures.update({request.url: request.failure}))
    for handle in handles["painted"]:
        if handle.record.result_type in ("text/html", "image/svg+xml", "application/xhtml+xml"):
            await page.goto(f"{url}/tasks/{handle.id}/result")
            assert await page.evaluate("globalThis.pwned") is None
    why = await poll(lambda: failures.get("http://evil.example/x.png"))
    assert why == "csp"  # it never left the browser


async def test_types_and_their_forms(visits: Visits, site: tuple[str, Handles]) -> None:
    url, _ = site
    page = await visits.open(url, "#/types")
    await expect(page.get_by_role("main")).to_contain_text("__proto__")
    shown = await said(page)
    for name in CORPUS.values():
        assert name in shown
    await check(page, visits)
    for number, name in enumerate(CORPUS.values()):
        await go(page, f"#/types/{quote(name, safe='')}")
        button = page.get_by_role("main").get_by_role("button", name="Submit", exact=True)
        await expect(button).to_be_visible()
        assert (await said(page)).count(name) >= 3
        if number % 8 == 0:
            await button.click()
            await expect(page.get_by_role("article")).to_contain_text("failed")
            assert (await said(page)).count(name) >= 5
    await check(page, visits)


async def test_the_timeline(visits: Visits, site: tuple[str, Handles]) -> None:
    url, _ = site
    page = await visits.open(url, "#/timeline")
    await live(page)
    await page.get_by_label("Colour by").select_option("name")
    legend = page.get_by_role("list", name="Colours")
    await expect(legend.get_by_role("listitem")).not_to_have_count(0)
    await page.get_by_role("button", name="15 min").click()
    await page.get_by_role("application", name="Timeline").focus()
    while not await page.locator("#said").text_content():  # until there are bars
        await page.keyboard.press("ArrowDown")

    async def a_name_is_heard() -> bool:
        """On a walk through all lanes. Those that ran in the same millisecond are beside each
        other, and some may not be there yet: how many are met differs."""
        heard = ""
        for key in (*["ArrowUp"] * 20, *("ArrowDown", *["ArrowLeft"] * 9) * 12):
            await page.keyboard.press(key)
            heard += await page.evaluate("document.getElementById('said').textContent")
        return any(name in heard for name in CORPUS.values())

    await poll(a_name_is_heard)
    await page.get_by_text("The lanes as a table").press("Enter")
    await expect(page.get_by_role("row").first).to_be_visible()
    await check(page, visits)


async def test_addresses(visits: Visits, site: tuple[str, Handles]) -> None:
    """Whatever a link to the page may have behind the `#`, the page is still a page."""
    url, _ = site
    visits.expected.append("status of 404")
    page = await visits.open(url)
    for path in ("tasks/", "types/", ""):
        texts = ["%", "/", "?", "%2F", "a/b?c#d", *(CORPUS.values() if path else ())]
        await page.evaluate(GO_THROUGH, [f"#/{path}{text}" for text in texts])
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
    await check(page, visits)


GO = """address => new Promise(done => {
  addEventListener("hashchange", done, { once: true });
  location.hash = address;
})"""

GO_THROUGH = """async addresses => {
  for (const address of addresses) {
    location.hash = address;
    await new Promise(requestAnimationFrame);
  }
}"""

UNFOLD = """async () => {
  for (let folded; (folded = document.querySelectorAll("details:not([open])")).length;) {
    for (const each of folded) each.open = true;
    await new Promise(requestAnimationFrame); // what is in it is made when it opens
  }
}"""
