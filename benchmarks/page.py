"""Does the dashboard stutter, with 10,000 live rows and 1,000 events a second?

The browser reports how long each of its frames took, for ten seconds, while the list is scrolled
for half of them. The baseline is a page that reads the same stream and shows nothing: its frames
are as long as the machine makes them.
"""

import asyncio
import logging
import random
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Page, async_playwright
from quart import Quart

from quart_tasks import QuartTasks, progress

from .common import Result, figure, ratio
from .server import Server, serving

LIVE = 10_000  # tasks that run, and report progress
RECORDS = 100_000  # in the list: those, and scheduled ones
EVENTS = 1_000  # a second
SHORT = 20  # tasks a second that come and go, which makes three events of each
SECONDS = 10
MOST = 100  # ms

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

# -- the server ----------------------------------------------------------------------------

tasks = QuartTasks()


@tasks.task
async def live() -> None:
    """Report progress so often that all of them together make the events."""
    every = LIVE / (EVENTS - 3 * SHORT)
    await asyncio.sleep(random.random() * every)
    for current in range(1_000_000):
        progress(current % 100, 100, f"step {current}")
        await asyncio.sleep(every)


@tasks.task
async def nothing() -> None:
    pass


async def come_and_go() -> None:
    while True:
        await nothing.submit()
        await asyncio.sleep(1 / SHORT)


def create_app() -> Quart:
    logging.disable()  # each task that is cut off at the end would be told of
    app = Quart(__name__)
    app.config.update(TASKS_ASYNC_CONCURRENCY=LIVE + 100, TASKS_MAX_PENDING=2 * RECORDS)
    tasks.init_app(app)

    @app.get("/blank")
    async def blank() -> str:
        return "<!doctype html><title>Blank</title>"

    @app.post("/fill/<int:count>")
    async def fill(count: int) -> tuple[str, int]:
        """Leave so many tasks in the list that wait for tomorrow."""
        for _ in range(0, count, 1000):
            await tasks.submit_many(nothing.with_options(delay=86_400), [()] * 1000)
        return "", 204

    @app.post("/start")
    async def start() -> tuple[str, int]:
        for _ in range(0, LIVE, 1000):
            await tasks.submit_many(live, [()] * 1000)
        app.add_background_task(come_and_go)
        return "", 204

    return app


# -- the browser ---------------------------------------------------------------------------

READ = """async () => {
  const reader = (await fetch("/tasks/events")).body.getReader();
  window.frames_read = 0;
  void (async () => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      for (let at = 0; at < value.length; at += 1) // each event ends with an empty line
        if (value[at] === 10 && value[at - 1] === 10) window.frames_read += 1;
    }
  })();
}"""

MEASURE = """seconds => new Promise(done => {
  const [begin, deltas, tasks] = [performance.now(), [], []];
  const observer = new PerformanceObserver(list =>
    tasks.push(...list.getEntries().map(entry => entry.duration)));
  observer.observe({ entryTypes: ["longtask"] });
  let last = begin;
  const frame = now => {
    if (now > last) deltas.push(now - last);
    last = now;
    if (now < begin + seconds * 1000) return requestAnimationFrame(frame);
    observer.disconnect();
    done({ longest: Math.max(...deltas), task: Math.max(0, ...tasks), frames: deltas.length });
  };
  requestAnimationFrame(frame);
})"""


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Page]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise RuntimeError("This needs a browser: install chromium.")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(120_000)
        await page.goto(url)
        yield page
        await browser.close()


async def show_all(page: Page, rows: int) -> None:
    """Go to the list's end, which is further away after each time: older tasks come in pages."""
    grid = page.get_by_role("grid")
    await grid.focus()
    while int(await grid.get_attribute("aria-rowcount") or 0) < rows:
        await page.keyboard.press("End")


async def measured(page: Page, *, scrolls: bool) -> dict[str, Any]:
    """The longest frame and the longest task of the page's thread, in ms."""
    report = asyncio.create_task(page.evaluate(MEASURE, SECONDS))
    if scrolls:
        await page.mouse.move(640, 500)
        for _ in range(SECONDS * 5):  # half of the time
            await page.mouse.wheel(0, 400)
            await asyncio.sleep(0.1)
    return dict(await report)


async def measure(server: Server, rows: int, repeats: int) -> Result:
    url = f"http://127.0.0.1:{server.port}"
    ours, baseline = [], []
    async with opened(f"{url}/blank") as page:
        for path in ([f"/fill/{rows - LIVE}"] if rows > LIVE else []) + ["/start"]:
            await page.evaluate("path => fetch(path, { method: 'POST' })", path)
        await page.evaluate(READ)
        before = await page.evaluate("frames_read")
        for _ in range(repeats):
            baseline.append(await measured(page, scrolls=False))
        seen = await page.evaluate("frames_read") - before
    async with opened(f"{url}/tasks/ui#/tasks") as page:
        await show_all(page, rows)
        for _ in range(repeats):
            await page.get_by_role("grid").press("Home")
            ours.append(await measured(page, scrolls=True))
    times = figure([each["longest"] for each in ours])
    blank = figure([each["longest"] for each in baseline])
    blocked = figure([each["task"] for each in ours])
    return Result(
        name="page",
        question=f"longest frame of the list of {rows:,} tasks at 1,000 events a second",
        ours=times,
        baseline=blank,
        ratio=ratio(times, blank),
        unit="ms",
        aim=f"under {MOST} ms",
        met=times.median < MOST,
        baseline_name="a blank page that reads the stream",
        notes=f"{seen / repeats / SECONDS:,.0f} events a second came; the longest task of the "
        f"page's thread took {blocked.median:.0f} ms; {ours[-1]['frames'] / SECONDS:.0f} frames/s.",
    )


def run(quick: bool) -> list[Result]:
    results = []
    for rows in (LIVE, RECORDS):
        with serving("page") as server:
            results.append(asyncio.run(measure(server, rows, 1 if quick else 5)))
    return results
