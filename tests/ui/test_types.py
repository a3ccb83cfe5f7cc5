"""The page of types: forms made from schemas, and what is submitted with them."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import expect

from quart_tasks import QuartTasks, demo, progress

from .browser import Visits
from .pages import live
from .site import make_app, served

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOTE_VALUES = """bar => {
  globalThis.values = [Number(bar.ariaValueNow)];
  const note = () => values.push(Number(bar.ariaValueNow));
  new MutationObserver(note).observe(bar, { attributes: true });
}"""


async def test_a_newcomer_draws_a_picture(visits: Visits) -> None:
    async with served(make_app(demo.tasks)) as url:
        page = await visits.open(url)
        await page.get_by_role("link", name="Try mandelbrot").click()
        form = page.get_by_role("form", name="Submit mandelbrot")
        for name, value in (("width", "300"), ("height", "200"), ("iterations", "200")):
            await form.get_by_label(name, exact=True).fill(value)
        await form.get_by_role("button", name="Submit").click()

        task = page.get_by_role("article", name="mandelbrot")
        bar = task.get_by_role("progressbar")
        await bar.evaluate(NOTE_VALUES)
        picture = task.get_by_role("img")
        await expect(picture).to_be_visible()
        await expect(picture).to_have_js_property("naturalWidth", 300)
        await expect(task).to_contain_text("succeeded")
        values = await page.evaluate("values")
        assert values == sorted(values)
        assert values[-1] == 100
        assert [path for path in visits.requests if path.endswith("/ui")] == ["/tasks/ui"]

        await task.get_by_role("link", name="Open").click()
        picture = page.get_by_role("region", name="Result").get_by_role("img")
        await expect(picture).to_have_js_property("naturalWidth", 300)


async def test_the_bar_of_what_was_submitted_here(visits: Visits) -> None:
    site = QuartTasks()
    steps: asyncio.Queue[int] = asyncio.Queue()

    @site.task
    async def walk() -> None:
        while (step := await steps.get()) < 10:
            progress(step, 10, f"step {step}")

    async with served(make_app(site)) as url:
        page = await visits.open(url, "#/types/walk")
        await page.get_by_role("button", name="Submit", exact=True).click()
        task = page.get_by_role("article", name="walk")
        bar = task.get_by_role("progressbar")
        for step in (1, 4, 9):
            steps.put_nowait(step)
            await expect(bar).to_have_attribute("aria-valuenow", f"{step}0")
            await expect(task).to_contain_text(f"{step} of 10 · step {step}")
        steps.put_nowait(10)
        await expect(task).to_contain_text("succeeded")
        await expect(bar).to_have_attribute("aria-valuenow", "100")


async def test_all_types_and_what_they_say(visits: Visits) -> None:
    async with served(make_app(demo.tasks)) as url:
        page = await visits.open(url, "#/types")
        for name, said in (
            ("primes", "How many primes there are"), ("fail", "to see what failure looks like"),
            ("check_links", "Fetch every URL"), ("countdown", "in steps equal steps"),
        ):  # fmt: skip
            entry = page.get_by_role("listitem").filter(has_text=name)
            await expect(entry.first).to_contain_text(said)


async def test_a_value_that_does_not_fit(visits: Visits, url: str) -> None:
    visits.expected.append("status of 422")
    page = await visits.open(url, "#/types/book")
    await live(page)
    form = page.get_by_role("form", name="Submit book")
    guest, code = form.get_by_label("guest", exact=True), form.get_by_label("code", exact=True)
    await form.get_by_role("button", name="Submit").click()
    await expect(form.get_by_role("alert")).to_contain_text("Fill this in.")
    await expect(guest).to_have_attribute("aria-invalid", "true")
    assert not [path for path in visits.requests if path == "/tasks"]

    await guest.fill("Ada")
    await code.fill("lower case")
    await form.get_by_role("button", name="Submit").click()
    await expect(code).to_have_attribute("aria-invalid", "true")
    await expect(guest).not_to_have_attribute("aria-invalid", "true")
    said = await code.get_attribute("aria-describedby")
    await expect(page.locator(f"#{said}")).to_be_visible()

    await code.fill("AB-1")
    await code.press("Enter")
    task = page.get_by_role("article", name="book")
    await expect(task).to_contain_text("succeeded")
    await expect(task).to_contain_text('"Ada"')


async def test_options_are_sent_too(visits: Visits, url: str) -> None:
    page = await visits.open(url, "#/types/echo")
    form = page.get_by_role("form", name="Submit echo")
    await form.get_by_text("Options", exact=True).click()
    await form.get_by_label("delay", exact=True).fill("3600")
    await form.get_by_label("key", exact=True).fill("later")
    await form.get_by_role("button", name="Submit").click()
    task = page.get_by_role("article", name="echo")
    await expect(task).to_contain_text("scheduled")
    await task.get_by_role("button", name="Cancel").click()
    await expect(task).to_contain_text("cancelled")
