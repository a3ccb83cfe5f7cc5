"""A busy server as a shop might have it, for the eye: every state, errors, logs, children."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

from quart_tasks import QuartTasks, RetryPolicy, demo, progress, track

from .site import make_app, served

tasks = QuartTasks()
log = logging.getLogger("shop")
log.setLevel(logging.INFO)

mandelbrot = tasks.task(executor="process")(demo.mandelbrot.__wrapped__)  # type: ignore[attr-defined]


@tasks.task(retries=RetryPolicy(3, delay=20))
async def send_mail(to: str, subject: str = "Your order") -> None:
    """Send one mail. It is tried again where the mail server is not there."""
    await asyncio.sleep(random.uniform(0.02, 0.3))
    if to.startswith("j"):
        raise ConnectionRefusedError("mail.shop.example:25 refused the connection")


@tasks.task
def resize_image(path: str, width: int = 1200) -> dict[str, Any]:
    """Make a picture of a product smaller, for the shop's pages."""
    pause = random.uniform(0.05, 0.4)
    for _ in track(range(20)):
        time.sleep(pause)
    return {"path": path.replace("raw", "web"), "width": width, "bytes": width * 111}


@tasks.task
async def import_prices(supplier: str, day: str = "2026-11-21", dry_run: bool = False) -> int:
    """Read a supplier's price list, line by line, and take over what has changed.

    Lines that cannot be read are told in the log. More than ten of them fail the import.
    """
    log.info("reading the list of %s for %s", supplier, day)
    async for number in _paced(40, random.uniform(4, 9)):
        progress(number * 30, 1200, f"line {number * 30}")
        if number == 22:
            log.warning("line 652: the price has no currency, EUR is taken")
        if number == 31 and supplier == "Northwind":
            raise ValueError("line 913: '12,4o' is not a price")
    return 1200


@tasks.task
async def build_report(month: str, kind: Literal["sales", "stock", "returns"] = "sales") -> Any:
    """Put a month's report together, a chapter after the other."""
    chapters = ["Turnover", "Best sellers", "Returns", "Stock", "Outlook"]
    async for number in _paced(5, random.uniform(12, 20)):
        log.info("writing %r", chapters[number])
        progress(number, 5, chapters[number])
        yield {"chapter": chapters[number], "pages": 3 + number, "kind": kind, "month": month}


@tasks.task
async def close_month(month: str) -> list[str]:
    """Build every report of a month, and mail them."""
    reports = [await build_report.submit(month, kind) for kind in ("sales", "stock", "returns")]
    for report in reports:
        await report
    await send_mail.submit("office@shop.example", f"Reports of {month}")
    return [report.id for report in reports]


@tasks.task
async def back_up(target: str = "s3://shop-backups") -> None:
    """Write tonight's backup."""
    await asyncio.sleep(1)


async def _paced(count: int, seconds: float) -> AsyncIterator[int]:
    for number in range(count):
        await asyncio.sleep(seconds / count)
        yield number


async def be_busy() -> None:
    """Submit tasks as a day brings them, in waves, until cancelled."""
    chance = random.Random(7)
    suppliers = ["Contoso", "Fabrikam", "Northwind", "Tailspin"]
    await back_up.with_options(delay=4 * 3600, key="tonight").submit()
    for second in range(10**6):
        wave = 1 + math.sin(second / 9)
        for number in range(chance.randint(0, 1 + int(3 * wave))):
            name = chance.choice("abcdefghijklmnopqrstuvw")
            await send_mail.submit(f"{name}{second}{number}@example.org")
        for number in range(chance.randint(0, 1 + int(2 * wave))):
            await resize_image.submit(f"raw/chair-{second}-{number}.jpg")
        if second % 3 == 0:
            supplier = chance.choice(suppliers)
            await import_prices.with_options(key=supplier.lower()).submit(supplier)
        if second % 5 == 0:
            await mandelbrot.submit(160, 120)
        if second % 25 == 0:
            await close_month.submit("2026-10")
        if second % 31 == 11:
            await (await import_prices.submit("Tailspin", "2026-11-20")).cancel()
        await asyncio.sleep(1)


@asynccontextmanager
async def busy_shop() -> AsyncIterator[str]:
    """Its URL."""
    random.seed(7)
    async with served(make_app(tasks, TASKS_PROCESSES=2)) as url:
        busy = asyncio.create_task(be_busy())
        try:
            yield url
        finally:
            busy.cancel()
            with suppress(asyncio.CancelledError):
                await busy
