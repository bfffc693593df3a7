"""Take a picture of every page of a running sandbox, as a new account sees it with one cutout of the demo clip.

    make run                                    # in another terminal, until it says "ready"
    python docs/images/make_pictures.py http://127.0.0.1:8000 docs/images/pages

A page is taken as on a desk in daylight, the ones people meet most also as on a phone at night. --all takes every page
in both ways and with day and night exchanged, for somebody to look at: too much to keep.
"""

from __future__ import annotations

import argparse
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, sync_playwright

CLIP = Path(__file__).parents[1] / "demo" / "demo.mp4"
DESK: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}, "device_scale_factor": 0.75}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
KEPT = {"desk": {**DESK, "color_scheme": "light"}, "phone": {**PHONE, "color_scheme": "dark"}}
ON_PHONES = ("home", "new", "job-running", "job", "jobs", "credits", "account")
LONG = ("api",)
"""Pages of which the first screen tells enough."""
OTHER_WAY_ROUND = {"desk-dark": {**DESK, "color_scheme": "dark"}, "phone-light": {**PHONE, "color_scheme": "light"}}
SOFTWARE_GL = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
SETTLED_MS = 1000
DONE_MS = 600_000
JPEG_QUALITY = 70
BEFORE = {
    "home": "/", "pricing": "/pricing", "sign-up": "/accounts/signup/", "sign-in": "/accounts/login/",
    "forgotten": "/accounts/password/reset/", "api": "/docs", "not-found": "/nowhere",
}  # fmt: skip
AFTER = {
    "new-empty": "/new", "jobs": "/jobs", "projects": "/projects", "usage": "/usage", "credits": "/credits",
    "keys": "/keys", "webhooks": "/webhooks", "deliveries": "/webhooks/deliveries", "notices": "/notices",
    "account": "/account", "email": "/accounts/email/", "password": "/accounts/password/change/",
    "two-factor": "/accounts/2fa/", "sessions": "/accounts/sessions/", "export": "/account/export",
    "account-delete": "/account/delete", "mail": "/dev/mail",
}  # fmt: skip


@dataclass(frozen=True)
class Album:
    """The pictures of one look, and the window they are taken from."""

    page: Page
    site: str
    folder: Path
    look: str
    only: tuple[str, ...] = ()
    """The pages to take; all, where it does not say."""

    def open(self, path: str) -> Page:
        self.page.goto(f"{self.site}{path}")
        return self.page

    def take(self, name: str, path: str = "") -> None:
        if self.only and name not in self.only:
            return
        if path:
            self.open(path)
        self.page.wait_for_timeout(SETTLED_MS)
        target = self.folder / f"{name}.{self.look}.jpg"
        self.page.screenshot(path=target, type="jpeg", quality=JPEG_QUALITY, full_page=name not in LONG)


def sign_up(album: Album) -> None:
    page = album.open("/accounts/signup/")
    page.get_by_label("Email").fill(f"{uuid.uuid4().hex[:8]}@example.org")
    page.get_by_label("Password").fill("correct horse battery staple")
    page.get_by_role("button", name="Sign up").click()
    page.wait_for_url("**/new")


def fill_account(album: Album) -> None:
    """A key and a receiver, so that their pages show what they are for."""
    page = album.open("/keys")
    page.get_by_label("Name", exact=True).fill("Shop import")
    page.get_by_role("button", name="Make the key").click()
    page = album.open("/webhooks")
    page.get_by_label("Address", exact=True).fill("https://example.org/clearmatte")
    page.get_by_role("button", name="Make the endpoint").click()


def cut_out(album: Album, others: list[Album]) -> dict[str, str]:
    """The pages that tell of the clip, once it is done; the busy ones are taken on the way."""
    page = album.open("/new")
    page.set_input_files("#id_file", CLIP)
    start = page.get_by_role("button", name=re.compile("^Start for"))
    start.wait_for()
    page.locator("input[name=model][value=light]").check(force=True)
    page.wait_for_timeout(SETTLED_MS)
    paths = {"new": f"{urlsplit(page.url).path}?{urlsplit(page.url).query}"}
    everywhere([album, *others], paths)
    start.click()
    page.wait_for_url("**/jobs/*")
    job = urlsplit(page.url).path
    for one in (album, *others):
        shown = one.open(job)
        shown.locator("#newest img").wait_for(timeout=DONE_MS)
        one.take("job-running")
    page.locator(".result video").wait_for(timeout=DONE_MS)
    project = album.open("/projects").locator("a[href^='/projects/']").first.get_attribute("href") or ""
    return {"job": job, "project": project, "project-settings": f"{project}/settings"}


def everywhere(albums: list[Album], paths: dict[str, str]) -> None:
    for name, path in paths.items():
        for album in albums:
            album.take(name, path)


def take_all(browser: Browser, site: str, folder: Path, *, is_all: bool) -> None:
    looks = {**KEPT, **OTHER_WAY_ROUND} if is_all else KEPT

    def album(look: str, **known: Any) -> Album:
        context = browser.new_context(**looks[look], **known)
        context.set_default_timeout(120_000)
        return Album(context.new_page(), site, folder, look, ON_PHONES if look == "phone" and not is_all else ())

    first, *rest = [album(look) for look in looks]
    everywhere([first, *rest], BEFORE)
    sign_up(first)
    known = first.page.context.storage_state()
    others = [album(one.look, storage_state=known) for one in rest]
    pages = cut_out(first, others)
    fill_account(first)
    everywhere([first, *others], {**pages, **AFTER})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=given.chromium, args=SOFTWARE_GL)
        take_all(browser, given.site, given.folder, is_all=given.all)


if __name__ == "__main__":
    main()
