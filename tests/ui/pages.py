"""Parts of the dashboard's pages, found as people and screen readers find them."""

from __future__ import annotations

from playwright.async_api import Locator, Page, expect


async def live(page: Page) -> None:
    """Wait until the page hears what happens."""
    await expect(page.locator("#link")).to_have_text("Live")


def rows(page: Page) -> Locator:
    """The tasks in the list's page that are in sight."""
    return page.get_by_role("row").filter(has=page.get_by_role("gridcell"))


def row_of(page: Page, id: str) -> Locator:
    """The row of a task in the list."""
    return rows(page).filter(has=page.locator(f'a[href="#/tasks/{id}"]'))
