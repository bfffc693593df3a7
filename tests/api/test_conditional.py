"""ETag and 304: what a caller has already is not sent again."""

from __future__ import annotations

import pytest

from apps.api import conditional
from apps.jobs.models import Job
from tests.factories import make_job

pytestmark = pytest.mark.django_db


def ask(api, path: str, tag: str):
    return api.get(path, headers={"if-none-match": tag})


@pytest.fixture
def path(alice) -> str:
    return f"/v1/jobs/{make_job(alice, status='completed').pk}"


def test_an_answer_that_is_still_true_is_not_sent_again(api, path):
    first = api.get(path)

    again = ask(api, path, first["ETag"])

    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    assert again["ETag"] == first["ETag"]
    assert again["X-Request-Id"] != first["X-Request-Id"]
    assert again["RateLimit-Remaining"] == "598"
    assert again["Cache-Control"] == first["Cache-Control"] == "private, no-cache"


def test_a_change_is_sent(api, path):
    tag = api.get(path)["ETag"]
    Job.objects.update(metadata={"order": 7})

    answer = ask(api, path, tag)

    assert (answer.status_code, answer.json()["metadata"]) == (200, {"order": 7})
    assert answer["ETag"] != tag


def test_fresh_signatures_are_no_change_until_they_are_half_spent(api, path, settings, monkeypatch):
    monkeypatch.setattr(conditional.time, "time", lambda: 36_000.0)
    first = api.get(path)
    monkeypatch.setattr(conditional.time, "time", lambda: 36_000.0 + settings.MEDIA_URL_SECONDS / 2 - 1)
    assert ask(api, path, first["ETag"]).status_code == 304

    monkeypatch.setattr(conditional.time, "time", lambda: 36_000.0 + settings.MEDIA_URL_SECONDS / 2)

    assert ask(api, path, first["ETag"]).status_code == 200


def test_an_answer_without_signed_addresses_does_not_age(api, alice, monkeypatch):
    path = f"/v1/jobs/{make_job(alice, status='canceled').pk}"
    tag = api.get(path)["ETag"]
    now = conditional.time.time()
    monkeypatch.setattr(conditional.time, "time", lambda: now + 100_000)

    assert ask(api, path, tag).status_code == 304


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/credits", "/v1/projects", "/v1/pricing"])
def test_lists_have_one_too(api, path):
    assert ask(api, path, api.get(path)["ETag"]).status_code == 304


def test_the_description_of_the_api_has_one_too(anonymous):
    first = anonymous.get("/v1/openapi.json")

    again = ask(anonymous, "/v1/openapi.json", first["ETag"])

    assert (again.status_code, again.content) == (304, b"")
    assert (first["RateLimit-Remaining"], again["RateLimit-Remaining"]) == ("599", "598")


def test_refusals_and_writes_have_none(api, alice):
    missing = api.get("/v1/jobs/0b6e3f53-8a55-4f0e-9a2e-0d6f3a9b1c11")
    made = api.post("/v1/projects", {"name": "film"}, content_type="application/json")

    assert (missing.status_code, made.status_code) == (404, 201)
    assert not missing.has_header("ETag")
    assert not made.has_header("ETag")


def test_one_accounts_tag_says_nothing_to_another(api, path, charlie, caller):
    tag = api.get(path)["ETag"]

    assert ask(caller(charlie), path, tag).status_code == 404
