"""API keys in the browser: made, shown once, limited, changed, rotated, disabled and enabled."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import SCOPES
from apps.accounts.services import issue_key
from tests.factories import make_job

KEYS = "/keys"
FIELDS = {"name": "laptop", "scopes": list(SCOPES)}


def shown(page) -> str | None:
    found = re.search(r'<code id="secret">(cm_[\w-]+)</code>', page.text)
    return found and found[1]


def opens(browser, secret: str) -> bool:
    return browser.get("/v1/credits", headers={"x-api-key": secret}).status_code == 200


def test_a_key_is_shown_once_and_a_reload_makes_no_other(alice, browser):
    made = browser.post(KEYS, FIELDS)
    page = browser.get(made["Location"])
    again = browser.get(made["Location"])

    secret = shown(page)
    assert (made.status_code, made["Location"]) == (302, KEYS)
    assert opens(browser, secret)
    assert "no-store" in page["Cache-Control"]
    assert (shown(again), alice.api_keys.count()) == (None, 1)
    assert browser.cookies["shown_once"].value == ""


def test_the_secret_travels_where_no_script_can_read_it(alice, browser):
    cookie = browser.post(KEYS, FIELDS).cookies["shown_once"]

    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["max-age"]) == (True, "Strict", KEYS, 60)


def test_nobody_is_shown_a_key_that_is_not_theirs(alice, charlie, browser, client):
    cookie = browser.post(KEYS, FIELDS).cookies["shown_once"]
    client.force_login(charlie)
    client.cookies["shown_once"] = cookie.value

    assert shown(client.get(KEYS)) is None


def test_a_key_gets_the_limits_it_was_made_with(alice, browser):
    today = timezone.now().date()

    browser.post(KEYS, {**FIELDS, "scopes": ["jobs:read"], "monthly_cap": "12.50", "expires_on": today.isoformat()})

    key = alice.api_keys.get()
    midnight = datetime.combine(today + timedelta(days=1), datetime.min.time(), UTC)
    assert (key.scopes, key.monthly_cap, key.expires_at) == (["jobs:read"], 12_50, midnight)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": " "}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["admin"]}, "scopes"),
        ({"monthly_cap": "-1"}, "monthly_cap"),
        ({"monthly_cap": "1.001"}, "monthly_cap"),
        ({"expires_on": "2020-01-01"}, "expires_on"),
    ],
)
def test_what_makes_no_sense_is_said_beside_the_field(alice, browser, fields, field):
    page = browser.post(KEYS, {**FIELDS, **fields})

    assert (page.status_code, list(page.context["form"].errors)) == (200, [field])
    assert page.context["form"].errors[field][0] in page.text
    assert alice.api_keys.count() == 0


def test_a_key_is_changed(alice, browser):
    key, secret = issue_key(alice, name="old", monthly_cap=5_00, expires_at=datetime(2999, 1, 1, tzinfo=UTC))
    address = reverse("web:key", args=[key.pk])
    page = browser.get(address)
    assert ('value="5"' in page.text or 'value="5.00"' in page.text, "2998-12-31" in page.text) == (True, True)

    answer = browser.post(address, {**FIELDS, "name": "new", "monthly_cap": ""})

    key.refresh_from_db()
    assert (answer["Location"], key.name, key.monthly_cap, key.expires_at) == (KEYS, "new", None, None)
    assert opens(browser, secret)


@pytest.mark.parametrize(("hours", "old_opens"), [("0", False), ("1", True)])
def test_a_rotated_key_shows_its_new_secret_once(alice, browser, hours, old_opens):
    key, old = issue_key(alice, name="k")

    browser.post(reverse("web:key-rotate", args=[key.pk]), {"hours": hours})
    new = shown(browser.get(KEYS))

    assert (opens(browser, new), opens(browser, old)) == (True, old_opens)
    assert alice.api_keys.count() == 1


def test_a_key_is_disabled_and_enabled(alice, browser):
    key, secret = issue_key(alice, name="k")

    browser.post(reverse("web:key-disable", args=[key.pk]))
    assert not opens(browser, secret)
    browser.post(reverse("web:key-enable", args=[key.pk]))

    assert opens(browser, secret)


@pytest.mark.parametrize("name", ["web:key", "web:key-disable", "web:key-enable", "web:key-rotate"])
def test_a_strangers_key_is_not_there(alice, charlie, browser, name):
    key, secret = issue_key(charlie, name="his")

    assert browser.post(reverse(name, args=[key.pk]), {**FIELDS, "hours": "0"}).status_code == 404
    assert opens(browser, secret)


def test_the_page_says_what_a_key_has_spent_this_month(alice, browser):
    key, _ = issue_key(alice, name="k", monthly_cap=50_00)
    make_job(alice, status="completed", api_key=key)

    assert "7.50 of 50" in browser.get(KEYS).text
