"""The frame around the pages: the way between them, the connection, the token."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import expect
from quart import abort, request

from quart_tasks import QuartTasks

from .browser import Visits
from .pages import live, rows
from .proxy import proxied
from .site import make_app, served

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_all_pages_are_a_click_away(visits: Visits, url: str) -> None:
    page = await visits.open(url)
    for name in ("Overview", "Tasks", "Timeline", "Types"):
        link = page.get_by_role("navigation").get_by_role("link", name=name)
        await link.click()
        await expect(page.get_by_role("heading", level=1, name=name)).to_be_attached()
        await expect(link).to_have_attribute("aria-current", "page")
        await expect(page).to_have_title(f"{name} · {url.removeprefix('http://')}")
    await live(page)


async def test_a_wrong_token_is_asked_for_again(visits: Visits) -> None:
    async with served(make_app(TASKS_TOKEN="secret")) as url:
        visits.expected.append("status of 401")
        page = await visits.open(url, "#/tasks")
        dialog = page.get_by_role("dialog", name="token")
        field, go_on = dialog.get_by_label("Token", exact=True), dialog.get_by_role("button")
        await field.fill("guess")
        await go_on.click()
        await expect(dialog).to_contain_text("That was not the one.")
        await field.fill("secret")
        await go_on.click()
        await expect(dialog).to_have_count(0)
        await live(page)
        await page.reload()
        await live(page)
        await expect(dialog).to_have_count(0)


@pytest.mark.parametrize("prefix", ["/jobs", "/jobs/of/mine"])
async def test_under_another_prefix(visits: Visits, prefix: str) -> None:
    async with served(make_app(TASKS_URL_PREFIX=prefix)) as url:
        page = await visits.open(url, "#/tasks", f"{prefix}/ui")
        await live(page)
        assert {path.removesuffix("/events") for path in visits.requests} > {prefix}


async def test_behind_a_proxy_that_takes_a_part_of_the_path_away(visits: Visits) -> None:
    async with served(make_app()) as inner, proxied(inner, "/app") as url:
        page = await visits.open(url, ui="/app/tasks/ui/")
        await live(page)
        assert page.url == f"{url}/app/tasks/ui"
        await page.goto(f"{url}/app/tasks/ui#/types/echo")
        await page.get_by_role("button", name="Submit", exact=True).click()
        await page.get_by_role("article").get_by_role("link", name="Open").click()
        await expect(page.get_by_role("main")).to_contain_text("succeeded")
        await expect(page.get_by_role("main")).to_contain_text(f"curl {url}/app/tasks/")
        assert all(path.startswith("/app/tasks") for path in visits.requests)


async def test_below_a_root_path(visits: Visits) -> None:
    app = make_app()
    inner: Any = app.asgi_app

    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await inner({**scope, "root_path": "/app"}, receive, send)

    app.asgi_app = mounted  # type: ignore[method-assign]
    async with served(app) as url:
        page = await visits.open(url, ui="/app/tasks/ui/")
        await live(page)
        assert page.url == f"{url}/app/tasks/ui"


async def test_each_owner_sees_their_own(visits: Visits) -> None:
    site = QuartTasks()

    @site.task
    async def note(text: str) -> str:
        return text

    @site.authorize
    async def owner(action: str, name: str | None, record: Any) -> str | None:
        return request.headers.get("X-User") or abort(403)

    async with served(make_app(site)) as url:
        pages = {}
        for user in ("ada", "ben"):
            page = pages[user] = await visits.open(
                url, "#/types/note", extra_http_headers={"X-User": user}
            )
            await page.get_by_label("text", exact=True).fill(f"of {user}")
            await page.get_by_role("button", name="Submit", exact=True).click()
            await expect(page.get_by_role("article")).to_contain_text("succeeded")
        for user, page in pages.items():
            await page.get_by_role("navigation").get_by_role("link", name="Tasks").click()
            await expect(rows(page)).to_have_count(1)
            await expect(rows(page)).to_contain_text(f"of {user}")
        [ada] = [record.id for record in site.list() if record.owner == "ada"]
        visits.expected.append("status of 404")
        await pages["ben"].evaluate("id => { location.hash = `#/tasks/${id}`; }", ada)
        await expect(pages["ben"].get_by_role("main")).to_contain_text("There is no such task")


async def test_who_may_not_look_is_told(visits: Visits) -> None:
    site = QuartTasks()

    @site.authorize
    async def nobody(action: str, name: str | None, record: Any) -> str | None:
        abort(403)

    async with served(make_app(site)) as url:
        visits.expected.append("status of 403")
        page = await visits.open(url, "#/tasks")
        await expect(page.get_by_role("alert")).to_contain_text("403")
        await expect(page.locator("#link")).to_have_text("Refused")
