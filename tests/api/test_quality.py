"""The quality report over the API: there once the job is completed, refused with the reason until then."""

from __future__ import annotations

import pytest

from apps.jobs import serializers
from tests.api.calls import refusal
from tests.factories import make_job, make_quality

pytestmark = pytest.mark.django_db


def test_a_completed_job_tells_its_quality(api, alice):
    job = make_job(alice, status="completed", quality=make_quality())

    response = api.get(f"/v1/jobs/{job.pk}/quality")

    assert response.status_code == 200
    assert response.json() == make_quality()


def test_the_schema_describes_the_whole_report():
    report = make_quality()

    shape = serializers.QualityJson(report).data

    assert shape == report


@pytest.mark.parametrize("status", ["created", "queued", "processing"])
def test_before_the_end_it_is_a_conflict(api, alice, status):
    response = api.get(f"/v1/jobs/{make_job(alice, status=status).pk}/quality")

    assert refusal(response) == (409, "conflict", None)
    assert status in response.json()["error"]["message"]


@pytest.mark.parametrize(("status", "told"), [("failed", "failed"), ("canceled", "canceled"), ("completed", "older")])
def test_a_job_without_a_report_says_why(api, alice, status, told):
    response = api.get(f"/v1/jobs/{make_job(alice, status=status).pk}/quality")

    assert refusal(response) == (404, "not_found", None)
    assert told in response.json()["error"]["message"]


def test_the_job_itself_and_lists_do_not_carry_it(api, alice):
    job = make_job(alice, status="completed", quality=make_quality())

    assert "quality" not in api.get(f"/v1/jobs/{job.pk}").json()
    assert "quality" not in api.get("/v1/jobs").json()["data"][0]


def test_it_takes_no_parameters(api, alice):
    job = make_job(alice, status="completed", quality=make_quality())

    assert refusal(api.get(f"/v1/jobs/{job.pk}/quality?page=2")) == (422, "invalid_request", "page")
