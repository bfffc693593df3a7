"""The whole admin in a real browser under the site's own policy: nothing in it is refused, by day or by night."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings as site
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from playwright.sync_api import sync_playwright
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from apps.accounts.models import User
from apps.accounts.services import issue_key
from apps.jobs.models import Job, Output
from tests.admin.pressing import page
from tests.factories import make_job, make_project, make_quality

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)

MISSING_FILM = "net::ERR"
"""The films of these jobs are none, which a browser notes too."""


BROKEN_NUMBERS = """() => [...document.querySelectorAll("td.number")].filter(cell => {
    const text = document.createRange();
    text.selectNodeContents(cell);
    return new Set([...text.getClientRects()].map(box => box.top)).size > 1;
}).map(cell => `in two lines: ${cell.innerText}`)"""
"""Nobody reads 8771, 05 as a number of bytes."""


def visit(chromium: str, url: str, session: str, addresses: list[str], job_id: str) -> list[str]:
    """What the console says on each page, and after the story of a job was found from the front page and canceled."""
    said: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            context = browser.new_context(color_scheme=scheme)
            context.add_cookies([{"name": site.SESSION_COOKIE_NAME, "value": session, "url": url}])
            tab = context.new_page()
            tab.on("console", lambda message: said.append(message.text + str(message.location)))
            tab.on("pageerror", lambda error: said.append(str(error)))
            for address in addresses if scheme == "light" else addresses[:1]:
                tab.goto(url + address)
                said.extend(tab.evaluate(BROKEN_NUMBERS))
        tab.goto(f"{url}/admin/")
        tab.get_by_role("searchbox").locator("visible=true").fill(job_id[:8])
        tab.keyboard.press("Enter")
        tab.get_by_text("Cancel…").click()
        tab.locator("#cancel textarea").fill("asked by mail")
        tab.get_by_role("button", name="Cancel", exact=True).click()
        tab.get_by_text("credits are free again").wait_for()
        browser.close()
    return [line for line in said if MISSING_FILM not in line]


def test_no_page_of_the_admin_breaks_the_policy(
    chromium: str, live_server: LiveServer, settings: Settings, client: Client, sue: User, alice: User
) -> None:
    settings.SITE_URL = live_server.url
    project = make_project(alice, external_id="shop-7")
    job = make_job(alice, project=project, status="completed", quality=make_quality())
    Output.objects.filter(job=job).update(size=123_456_789, sha256="0123456789abcdef" * 4)
    waiting = make_job(alice, asset=job.asset, project=project)
    key, _ = issue_key(alice, name="laptop")
    lists = [f"admin:{kind.opts.app_label}_{kind.opts.model_name}_changelist" for kind in admin.site._registry.values()]
    client.force_login(sue)
    addresses = [
        page(job), "/admin/", "/admin/find/?q=shop-7", page(alice), page(alice.wallet), page(project), page(key),
        reverse("admin:credits_pricelist_add"), f"{reverse('admin:jobs_job_changelist')}?q=alice@example.org",
        *map(reverse, lists),
    ]  # fmt: skip

    with ThreadPoolExecutor(1) as thread:
        session = client.cookies[site.SESSION_COOKIE_NAME].value
        said = thread.submit(visit, chromium, live_server.url, session, addresses, str(waiting.pk)).result()

    assert said == []
    assert Job.objects.get(pk=waiting.pk).status == "canceled"
