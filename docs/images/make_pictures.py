"""Take a picture of every page of a running sandbox, as a new account sees it with one cutout of the demo clip.

    make run                                    # in another terminal, until it says "ready"
    python docs/images/make_pictures.py http://127.0.0.1:8000 docs/images/pages

A signed-in page is taken as on a desk in daylight, the ones people see most also as on a phone at night.
"""

from __future__ import annotations

import argparse
import re
import uuid
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, sync_playwright

CLIP = Path(__file__).parents[1] / "demo" / "demo.mp4"
DESK = {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"}
PHONE = {
    "viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "is_mobile": True, "has_touch": True,
    "device_scale_factor": 2,
}  # fmt: skip
SOFTWARE_GL = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
SETTLED_MS = 800
DONE_MS = 600_000
JPEG_QUALITY = 82


class Album:
    def __init__(self, page: Page, site: str, folder: Path, suffix: str = "") -> None:
        self.page, self._site, self._folder, self._suffix = page, site, folder, suffix

    def open(self, path: str) -> Page:
        self.page.goto(f"{self._site}{path}")
        return self.page

    def take(self, name: str, path: str = "") -> None:
        if path:
            self.open(path)
        self.page.wait_for_timeout(SETTLED_MS)
        target = self._folder / f"{name}{self._suffix}.jpg"
        self.page.screenshot(path=target, type="jpeg", quality=JPEG_QUALITY, full_page=True)


def before_signing_in(album: Album) -> None:
    for name, path in (
        ("home", "/"), ("pricing", "/pricing"), ("sign-up", "/accounts/signup/"), ("sign-in", "/accounts/login/"),
        ("api", "/docs"), ("not-found", "/nowhere"),
    ):  # fmt: skip
        album.take(name, path)


def sign_up(album: Album) -> None:
    page = album.open("/accounts/signup/")
    page.get_by_label("Email").fill(f"{uuid.uuid4().hex[:8]}@example.org")
    page.get_by_label("Password").fill("correct horse battery staple")
    page.get_by_role("button", name="Sign up").click()
    page.wait_for_url("**/new")


def cut_out(album: Album) -> str:
    """The address of the job's page, once the job is done."""
    page = album.open("/new")
    album.take("new-empty")
    page.set_input_files("#id_file", CLIP)
    page.locator("#bill").get_by_text("credits").first.wait_for()
    page.locator("input[name=model][value=light]").check()
    album.take("new")
    page.get_by_role("button", name=re.compile("^Start")).click()
    page.wait_for_url("**/jobs/*")
    album.take("job-running")
    page.locator(".result video, .result img").first.wait_for(timeout=DONE_MS)
    page.wait_for_timeout(3000)
    album.take("job")
    return urlsplit(page.url).path


def signed_in(album: Album) -> None:
    for name, path in (
        ("jobs", "/jobs"), ("projects", "/projects"), ("usage", "/usage"), ("credits", "/credits"), ("keys", "/keys"),
        ("webhooks", "/webhooks"), ("deliveries", "/webhooks/deliveries"), ("notices", "/notices"),
        ("account", "/account"), ("account-delete", "/account/delete"), ("password", "/accounts/password/change/"),
        ("two-factor", "/accounts/2fa/"), ("mail", "/dev/mail"),
    ):  # fmt: skip
        album.take(name, path)
    page = album.open("/projects")
    project = page.locator("a[href^='/projects/']").first.get_attribute("href") or ""
    album.take("project", project)
    album.take("project-settings", f"{project}/settings")


def on_a_phone(browser: Browser, desk: Album, site: str, folder: Path, job: str) -> None:
    context = browser.new_context(**PHONE, storage_state=desk.page.context.storage_state())  # type: ignore[arg-type]
    album = Album(context.new_page(), site, folder, "-phone")
    for name, path in (
        ("new", "/new"),
        ("job", job),
        ("jobs", "/jobs"),
        ("account", "/account"),
        ("credits", "/credits"),
    ):
        album.take(name, path)
    context.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=given.chromium, args=SOFTWARE_GL)
        page = browser.new_context(**DESK).new_page()  # type: ignore[arg-type]
        page.set_default_timeout(120_000)
        desk = Album(page, given.site, given.folder)
        before_signing_in(desk)
        sign_up(desk)
        job = cut_out(desk)
        signed_in(desk)
        on_a_phone(browser, desk, given.site, given.folder, job)


if __name__ == "__main__":
    main()
