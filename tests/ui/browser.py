"""A real browser, and visits of it that notice all that a page must never do."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    Route,
    WebError,
    expect,
)

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
MISSING = (
    f"There is no browser, so this is skipped: install one of {', '.join(NAMES)}, such as "
    f"Debian's package chromium."
)
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    # As on a machine without a network: no name means anything.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
PATIENCE = 60_000  # ms, for a machine that is busy with something else
SIZE = {"width": 1280, "height": 800}

# What a browser says of a server that is gone, as each is when its test is over.
GONE = (
    r"net::ERR_((CONNECTION|SOCKET)_\w+|EMPTY_RESPONSE|INCOMPLETE_CHUNKED_ENCODING"
    r"|CONTENT_LENGTH_MISMATCH)"
)

TELL_OF_VIOLATIONS = """addEventListener("securitypolicyviolation", event => console.error(
  `violation of ${event.violatedDirective} by ${event.blockedURI} ${event.sample}`));"""

expect.set_options(timeout=PATIENCE)


class Visits:
    """Pages in a context of their own, and the faults of all of them.

    A fault is an error on the console or in the page, a violation of the Content-Security-Policy,
    a dialog, a window that opens, and a request to another host. `expected` are regular
    expressions of errors that the test itself causes.
    """

    def __init__(self, browser: Browser) -> None:
        self.faults: list[str] = []
        self.expected = [GONE]
        self.requests: list[str] = []  # paths with their queries
        self._browser = browser
        self._contexts: list[BrowserContext] = []

    async def open(
        self,
        url: str,
        address: str = "",
        ui: str = "/tasks/ui",
        hasty: bool = False,
        **options: Any,
    ) -> Page:
        """The dashboard of a server at an address such as `#/tasks`, in a context of its own.

        `options` are those of the context.
        """
        context = await self._browser.new_context(**{"viewport": SIZE, **options})
        self._contexts.append(context)
        await self.watch(context, urlsplit(url).netloc)
        if hasty:
            await make_hasty(context)
        page = await context.new_page()
        context.on("page", self._on_page)
        await page.goto(f"{url}{ui}{address}")
        return page

    async def watch(self, context: BrowserContext, host: str) -> None:
        """Note the faults of a context whose pages may ask that host."""
        context.set_default_timeout(PATIENCE)

        def on_request(request: Request) -> None:
            parts = urlsplit(request.url)
            if parts.scheme not in ("blob", "data") and parts.netloc != host:
                self.faults.append(f"It asked for {request.url}.")
            self.requests.append(parts._replace(scheme="", netloc="").geturl())

        context.on("request", on_request)
        context.on("console", self._on_console)
        context.on("weberror", self._on_error)
        context.on("dialog", self._on_dialog)
        await context.add_init_script(TELL_OF_VIOLATIONS)

    async def close(self) -> None:
        for context in self._contexts:
            await context.close()

    def unexpected(self) -> list[str]:
        return [fault for fault in self.faults if not _any_fits(self.expected, fault)]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.text} ({message.location.get('url')})")

    def _on_error(self, error: WebError) -> None:
        self.faults.append(f"{error.error.stack or error.error}")

    async def _on_dialog(self, dialog: Dialog) -> None:
        self.faults.append(f"A dialog: {dialog.message}")
        await dialog.dismiss()

    def _on_page(self, page: Page) -> None:
        self.faults.append(f"A window: {page.url}")


async def make_hasty(context: BrowserContext) -> None:
    """Let its pages wait a tenth as long before they ask for a broken stream again, and before
    they let go of one that nobody looks at."""

    async def answer(route: Route) -> None:
        response = await route.fetch()
        source = await response.text()
        for name, milliseconds in (("FIRST_PAUSE", 50), ("HIDDEN", 500)):
            source, found = re.subn(rf"(const {name} =) [\d_]+", rf"\1 {milliseconds}", source)
            assert found == 1, name
        await route.fulfill(response=response, body=source)

    await context.route("**/stream.js", answer)


def _any_fits(patterns: Iterable[str], text: str) -> bool:
    return any(re.search(pattern, text) for pattern in patterns)
