"""Who may see which page, and what every page keeps to: no inline script or style, whoever looks."""

from __future__ import annotations

import gzip
import re
from functools import cache
from pathlib import Path

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.staticfiles import finders
from django.db import OperationalError
from django.template.loader import get_template
from django.test import Client
from django.urls import reverse

from apps.accounts.services import issue_key
from apps.api.turnstile import TurnstileMiddleware
from apps.credits import buying
from apps.webhooks import services as webhooks
from tests.factories import make_asset, make_job, make_project

PUBLIC = ("web:home", "web:pricing", "account_login", "account_signup", "account_reset_password")
PRIVATE = ("web:new", "web:jobs", "web:projects", "web:credits", "web:keys", "web:webhooks", "web:notices")
INLINE = re.compile(r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?![^>]*\ssrc=)", re.IGNORECASE)


def every_page(user) -> list[str]:
    project = make_project(user)
    jobs = [
        make_job(user, status=status, project=project)
        for status in ("created", "queued", "processing", "failed", "canceled")
    ]
    jobs += [make_job(user, status="completed", output_format=name) for name in ("webm", "gif", "mov")]
    names = (
        "web:home",
        "web:pricing",
        "account_login",
        "account_signup",
        "account_reset_password",
        *PRIVATE,
        "web:mail",
    )
    endpoint, _ = webhooks.create_endpoint(user, url="https://example.org/hook")
    (delivery,) = webhooks.emit(user, "credits.low", body={})
    return [
        *(reverse(name) for name in names),
        reverse("web:webhook", args=[endpoint.pk]),
        reverse("web:webhook-deliveries"),
        reverse("web:webhook-delivery", args=[delivery.pk]),
        *(reverse("web:job", args=[job.pk]) for job in jobs),
        reverse("web:project", args=[project.pk]),
        f"{reverse('web:new')}?asset={make_asset(user).pk}",
        "/no/such/page",
    ]


@pytest.mark.parametrize(
    "name", ["web:home", "web:pricing", "account_login", "account_signup", "account_reset_password"]
)
def test_public_pages_open_for_everybody(client, db, name):
    assert client.get(reverse(name)).status_code == 200


@pytest.mark.parametrize("name", PRIVATE)
def test_private_pages_send_the_anonymous_to_sign_in_and_back(client, db, name):
    response = client.get(reverse(name))

    assert response.status_code == 302
    assert response.url == f"{reverse('account_login')}?next={reverse(name)}"


def test_a_stranger_gets_404_for_everything_that_is_someone_elses(alice, charlie, at):
    """Not 403: charlie must not learn that it exists."""
    job, project = make_job(alice, status="queued"), make_project(alice)
    key, _ = issue_key(alice, name="hers")
    stranger = at(charlie)

    reads = ("web:job", "web:job-status")
    acts = ("web:job-start", "web:job-cancel", "web:job-retry", "web:job-delete-media")
    seen = [stranger.get(reverse(name, args=[job.pk])).status_code for name in reads]
    done = [stranger.post(reverse(name, args=[job.pk])).status_code for name in acts]
    other = [
        stranger.get(reverse("web:project", args=[project.pk])).status_code,
        stranger.post(reverse("web:key-disable", args=[key.pk])).status_code,
    ]

    assert {*seen, *done, *other} == {404}
    job.refresh_from_db()
    key.refresh_from_db()
    assert (job.status, key.is_usable) == ("queued", True)


def test_no_page_carries_inline_script_or_style(alice, at, all_installed):
    signed_in = at(alice)

    found = {path: INLINE.findall(signed_in.get(path).content.decode()) for path in every_page(alice)}

    assert {path: hits for path, hits in found.items() if hits} == {}


@cache
def compressed(name: str) -> int:
    return len(gzip.compress(Path(finders.find(name)).read_bytes()))


def weight(page: str) -> int:
    """Bytes of a page and of what it loads, files compressed as they are served; pictures and films aside."""
    names = re.findall(r'(?:href|src)="/static/([^"]+?\.(?:css|js|woff2|svg))"', page)
    return len(page.encode()) + sum(compressed(name) for name in set(names))


def test_no_page_weighs_more_than_150_kb_with_its_style_scripts_and_font(alice, at, all_installed):
    signed_in = at(alice)

    weights = {path: weight(signed_in.get(path, follow=True).content.decode()) for path in every_page(alice)}

    assert {path: bytes_ for path, bytes_ in weights.items() if bytes_ > 150_000} == {}
    # The font alone has 48.
    assert min(weights.values()) > 48_000


def test_the_policy_allows_nothing_inline_and_no_other_origin(client, db):
    policy = client.get(reverse("web:home")).headers["Content-Security-Policy"]

    said = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert said["default-src"] == "'none'"
    assert said["script-src"] == said["style-src"] == said["connect-src"] == said["form-action"] == "'self'"


def test_an_unknown_address_gets_our_own_page(browser):
    response = browser.get("/no/such/page")

    assert response.status_code == 404
    assert b"Nothing here" in response.content


def test_forms_without_their_token_are_refused_in_our_own_page(alice):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)

    responses = [strict.post(reverse("web:keys"), {"name": "x"}), strict.post(reverse("web:upload"))]

    assert [response.status_code for response in responses] == [403, 403]
    assert b"Not allowed" in responses[0].content
    assert alice.api_keys.count() == 0


def test_the_page_for_our_own_faults_needs_nothing_that_may_be_broken():
    """No request, no user, no database: whatever failed may be one of them."""
    page = get_template("500.html").render()

    assert "This is our fault" in page
    assert INLINE.findall(page) == []


@pytest.mark.parametrize("where", ["view", "session"])
def test_a_database_that_is_away_is_told_as_such_and_not_as_our_fault(browser, alice, monkeypatch, where):
    """Trying again in a moment helps, and caches and monitors must know that."""

    def away(*args: object, **kwargs: object) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    place = {"view": (buying, "checkout"), "session": (SessionStore, "load")}[where]
    monkeypatch.setattr(*place, away)
    browser.raise_request_exception = False

    response = browser.post(reverse("web:buy"), {"pack": "starter"})

    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert b"A part of this site is away" in response.content
    assert INLINE.findall(response.content.decode()) == []


def test_the_api_names_a_database_that_is_away_wherever_that_was_noticed(client, db, monkeypatch):
    def away(*args: object, **kwargs: object) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(TurnstileMiddleware, "__call__", away)
    client.raise_request_exception = False

    response = client.get("/v1/pricing")

    assert (response.status_code, response.json()["error"]["code"]) == (503, "service_unavailable")
