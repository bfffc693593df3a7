"""The two pages about all that is held about you: the copy, and the end."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from datetime import timedelta

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import DataRequest
from apps.accounts.services import issue_key
from apps.credits import services as credits
from apps.jobs import account_views
from apps.webhooks import services as webhooks
from tests.factories import make_asset, make_job, make_project

PASSWORD = "correct horse battery"
SURE = {"password": PASSWORD, "sure": "on"}


def copy_of(browser) -> dict[str, bytes]:
    response = browser.post(reverse("web:account-export"))
    archive = zipfile.ZipFile(io.BytesIO(b"".join(response.streaming_content)))
    return {name.removeprefix("clearmatte/"): archive.read(name) for name in archive.namelist()}


@pytest.fixture
def work(alice):
    project = make_project(alice, name="Film", external_id="film-7")
    asset = make_asset(alice, project=project, filename="=holiday.mp4")
    return make_job(alice, status="completed", project=project, asset=asset, metadata={"client": "ACME"})


def test_the_copy_holds_everything_without_secrets_or_media(alice, browser, work):
    _, signing = webhooks.create_endpoint(alice, url="https://example.org/hook")
    webhooks.emit(alice, "credits.low", body={"available": 3})
    _, key = issue_key(alice, name="laptop", monthly_cap=5_00)

    files = copy_of(browser)

    tables = {name: json.loads(content) for name, content in files.items() if name.endswith(".json")}
    (told,) = tables["jobs.json"]
    assert tables["account.json"][0]["email"] == "alice@example.org"
    assert (told["metadata"], told["charged"], told["outputs"][0]["kind"]) == ({"client": "ACME"}, 7.5, "result")
    assert [event["name"] for event in told["events"]] == ["completed"]
    assert tables["files.json"][0]["facts"]["duration"] == 10.0
    assert tables["projects.json"][0]["external_id"] == "film-7"
    assert [(row["name"], row["monthly_cap"]) for row in tables["api_keys.json"]] == [("laptop", 5.0)]
    assert [row["url"] for row in tables["webhooks.json"]] == ["https://example.org/hook"]
    assert [(row["event"], row["attempts"]) for row in tables["deliveries.json"]] == [("credits.low", [])]
    ledger = list(csv.DictReader(io.StringIO(files["ledger.csv"].decode())))
    assert [(row["kind"], row["amount"]) for row in ledger] == [("grant", "100"), ("capture", "-7.5")]
    assert b"are not in here either" in files["README.txt"]
    whole = b"".join(files.values())
    secrets = (key, issue_digest(alice), signing if isinstance(signing, str) else signing.secret, alice.password)
    assert [secret for secret in secrets if secret.encode() in whole] == []
    assert set(files) == {
        "README.txt", "account.json", "api_keys.json", "projects.json", "files.json", "uploads.json", "jobs.json",
        "ledger.csv", "holds.csv", "purchases.csv", "webhooks.json", "deliveries.json", "mails.json", "requests.json",
    }  # fmt: skip
    assert [name for name in files if name != "README.txt" and name not in files["README.txt"].decode()] == []


def issue_digest(user) -> str:
    return user.api_keys.get().digest


def test_the_copy_holds_nothing_of_others_and_is_whole_json_when_empty(alice, charlie, browser):
    make_job(charlie, status="completed", metadata={"client": "his"})

    files = copy_of(browser)

    assert json.loads(files["jobs.json"]) == []
    assert b"his" not in files["files.json"] + files["projects.json"]


def test_no_cell_of_a_table_is_run_as_a_formula(alice, browser):
    credits.grant(alice, 1_00, key="g", note="=HYPERLINK(1)")

    assert "'=HYPERLINK(1)" in copy_of(browser)["ledger.csv"].decode()


def test_copies_are_written_down_and_few_within_an_hour(alice, browser):
    for _ in range(account_views.COPIES):
        copy_of(browser)

    refused = browser.post(reverse("web:account-export"), follow=True)
    DataRequest.objects.filter(user=alice).update(created_at=timezone.now() - timedelta(hours=2))

    assert b"Try again later" in refused.content
    assert DataRequest.objects.filter(user=alice, kind="export").count() == account_views.COPIES
    assert copy_of(browser)


def test_the_page_says_what_goes_and_what_becomes_of_the_credits(alice, browser, work):
    make_job(alice, status="queued")

    page = " ".join(browser.get(reverse("web:account-delete")).content.decode().split())

    assert "1 result and 2 originals" in page
    assert "92.50 lapse" in page
    assert "1, canceled at no cost" in page


@pytest.mark.parametrize("sent", [{}, {"password": PASSWORD}, {"password": "wrong", "sure": "on"}])
def test_without_the_password_and_the_tick_nothing_happens(alice, browser, sent):
    page = browser.post(reverse("web:account-delete"), sent)

    alice.refresh_from_db()
    assert page.status_code == 200
    assert (alice.is_active, DataRequest.objects.count()) == (True, 0)


def test_with_them_the_account_is_shut_and_the_browser_signed_out(alice, browser):
    answer = browser.post(reverse("web:account-delete"), SURE)
    home = browser.get(answer.url).content.decode()

    alice.refresh_from_db()
    assert not alice.is_active
    assert "Your account is deleted" in home
    assert "Sign in" in home
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'


def test_where_a_second_factor_is_on_the_code_is_asked_for_too(alice, browser):
    TOTP.activate(alice, generate_totp_secret())
    (code, *_) = RecoveryCodes.activate(alice).get_unused_codes()

    for wrong in ({}, {"code": "000000"}, {"code": code, "password": "wrong"}):
        browser.post(reverse("web:account-delete"), {**SURE, **wrong})
        alice.refresh_from_db()
        assert alice.is_active
    browser.post(reverse("web:account-delete"), {**SURE, "code": code})

    alice.refresh_from_db()
    assert not alice.is_active
    assert Authenticator.objects.filter(user=alice).exists()  # until the reconciler's round


def test_guessing_the_password_there_is_slowed_down(alice, browser):
    for number in range(10):
        browser.post(reverse("web:account-delete"), {"password": f"guess {number}", "sure": "on"})

    page = browser.post(reverse("web:account-delete"), SURE)

    alice.refresh_from_db()
    assert b"Too many tries" in page.content
    assert alice.is_active


def test_staff_see_that_it_is_not_done_there(sue, at):
    page = at(sue).get(reverse("web:account-delete")).content

    at(sue).post(reverse("web:account-delete"), SURE)

    sue.refresh_from_db()
    assert b"rights in the admin" in page
    assert sue.is_active
