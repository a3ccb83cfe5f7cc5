"""How the pages look, and whether axe finds fault with them, on a server that is busy.

`SCREENSHOTS=DIRECTORY python -m pytest -m long tests/ui/test_look.py` writes the pictures
there, of a server that has been busy for five minutes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from PIL import Image
from PIL.Image import Dither, Quantize
from playwright.async_api import Page, expect

from quart_tasks import TaskFailed

from .browser import Visits
from .pages import live
from .shop import build_report, busy_shop, import_prices, mandelbrot

FOLDER = os.environ.get("SCREENSHOTS")
BUSY = 290 if FOLDER else 0  # seconds
SIZE = (480, 360) if FOLDER else (160, 120)

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300 + BUSY), pytest.mark.long,
]  # fmt: skip

PAGES = {  # by name: the address, and what is to be seen there before a picture is taken
    "running": ("#/tasks/{running}", "Turnover"),
    "picture": ("#/tasks/{picture}", "mandelbrot"),
    "failure": ("#/tasks/{failure}", "Traceback"),
    "overview": ("", "send_mail"),
    "tasks": ("#/tasks", "send_mail"),
    "timeline": ("#/timeline", "Timeline"),
    "types": ("#/types", "price list"),
    "form": ("#/types/import_prices", "supplier"),
}


class Shop(NamedTuple):
    url: str
    ids: dict[str, str]  # of tasks whose own pages are looked at


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop() -> AsyncIterator[Shop]:
    async with busy_shop() as url:
        await asyncio.sleep(BUSY)
        picture = await mandelbrot.submit(*SIZE)
        failure = await import_prices.submit("Northwind", "2026-11-20")
        await picture
        with suppress(TaskFailed):
            await failure
        running = await build_report.submit("2026-11")
        yield Shop(url, {"picture": picture.id, "failure": failure.id, "running": running.id})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pictures go."""
    if FOLDER is None:
        return tmp_path_factory.mktemp("screenshots")
    Path(FOLDER).mkdir(parents=True, exist_ok=True)
    return Path(FOLDER)


async def findings(page: Page) -> list[str]:
    """What axe calls serious or critical."""
    results = await Axe().run(page)
    assert results.response["passes"]
    return [
        f"{each['id']}: {each['help']}: {node['html']}: {node['failureSummary']}"
        for each in results.response["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("name", PAGES)
async def test_in_light_and_in_dark(visits: Visits, shop: Shop, folder: Path, name: str) -> None:
    address, seen = PAGES[name]
    page = await visits.open(shop.url, address.format(**shop.ids))
    await live(page)
    await expect(page.get_by_role("main")).to_contain_text(seen)
    if name == "picture":
        await expect(page.get_by_role("region", name="Result").get_by_role("img")).to_be_visible()
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        assert await findings(page) == []
        with Image.open(BytesIO(await page.screenshot())) as picture:
            assert picture.size == (1280, 800)
            # A third of the bytes, and no colour further off than the eye sees.
            few = picture.convert("RGB").quantize(256, Quantize.MAXCOVERAGE, dither=Dither.NONE)
            few.save(folder / f"{name}-{scheme}.png", optimize=True)
