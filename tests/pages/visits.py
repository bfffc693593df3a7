"""A person at a browser's window, and what every visit has in common."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, expect

ARGUMENTS = (
    "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip
PASSWORD = "correct horse battery"
A_MINUTE = 60_000
"""Milliseconds; a machine that does much else at the same time still gets there."""
PAGE_LEFT = ("htmx:afterRequest", "htmx:sendAbort")
"""What htmx says of a poll that was under way when its page was left. One that failed says `htmx:sendError` besides."""


class Visitor:
    """One person at one window. Each act runs in the browser's own thread, which has no database.

    Playwright keeps an event loop running in its thread; queries made beside
    it would go to another connection than the tests'.
    """

    def __init__(self, thread: ThreadPoolExecutor, window: BrowserContext, page: Page) -> None:
        self.thread, self.window, self.page = thread, window, page
        self.complaints: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def does(self, act: Callable[..., Any], *what: Any) -> Any:
        return self.thread.submit(act, self.page, *what).result()

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(PAGE_LEFT):
            self.complaints.append(f"{message.location.get('url')}: {message.text}")


def sign_up(page: Page) -> None:
    page.goto("/")
    # What the product does is seen at once, not after scrolling.
    expect(page.locator(".show video")).to_be_in_viewport(ratio=1)
    page.get_by_role("link", name="Sign up").first.click()
    page.get_by_label("Email").fill("new@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    page.wait_for_url("**/new")


def sign_in(page: Page, email: str) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/new")


def faults(page: Page, path: str) -> list[str]:
    page.goto(path, wait_until="load")
    return faults_here(page, path)


def faults_here(page: Page, path: str) -> list[str]:
    """What is wider than the window, and what axe-core calls serious, in the state that the page is in."""
    is_too_wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    violations = Axe().run(page).response["violations"]
    serious = [
        f"{path}: {fault['id']} at {fault['nodes'][0]['target']}"
        for fault in violations
        if fault["impact"] in ("serious", "critical")
    ]
    return [*serious, *([f"{path}: too wide"] if is_too_wide else [])]
