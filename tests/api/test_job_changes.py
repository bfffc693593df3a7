"""Jobs changed, estimated and waited for over the API."""

from __future__ import annotations

from uuid import UUID

import pytest

from apps.credits.models import Wallet
from apps.engine.options import MODELS
from apps.jobs import options, serializers
from apps.jobs.models import Job, Output
from apps.projects import services as projects
from apps.projects.models import Asset
from tests.api.calls import post, refusal
from tests.factories import make_asset, make_job

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("weights_here")]


# Whose call it was
def test_a_job_remembers_the_key_that_asked_for_it(alice, caller):
    """Of a draft the key that started it, because that is the one that spent; none for the browser."""
    first, second = caller(alice), caller(alice)
    one, other = alice.api_keys.order_by("created_at")
    asset = make_asset(alice)

    made = post(first, "", {"video_id": str(asset.pk), "model": "light"}).json()["id"]
    draft = post(first, "", {"video_id": str(asset.pk), "model": "light", "auto_start": False}).json()["id"]
    post(second, f"/{draft}/start")
    post(first, f"/{made}/cancel")
    again = post(second, f"/{made}/retry").json()["id"]

    assert dict(Job.objects.values_list("pk", "api_key")) == {
        UUID(made): one.pk,
        UUID(draft): other.pk,
        UUID(again): other.pk,
    }


def test_a_job_outlives_its_key(api, alice):
    made = post(api, "", {"video_id": str(make_asset(alice).pk), "model": "light"}).json()["id"]

    alice.api_keys.all().delete()

    assert Job.objects.get(pk=made).api_key is None


# Change
def test_a_draft_is_started_with_other_wishes(api, alice):
    asset = make_asset(alice)
    draft = post(api, "", {"video_id": str(asset.pk), "auto_start": False}).json()
    assert (draft["status"], draft["credits"]["held"]) == ("created", 0)

    started = post(api, f"/{draft['id']}/start", {"model": "light", "output_format": "mov"})

    body = started.json()
    assert started.status_code == 200
    assert (body["success"], body["id"], body["status"]) == (True, draft["id"], "queued")
    assert (body["model"], body["output_format"], body["credits"]["held"]) == ("light", "mov", 7.5)
    assert refusal(post(api, f"/{draft['id']}/start")) == (409, "conflict", None)


@pytest.mark.parametrize("body", [{"colour": "red"}, {"job": 1}, {"self": None}, {"model": "huge"}])
def test_a_wrong_wish_at_the_start_is_named_and_the_draft_stays(api, alice, body):
    draft = post(api, "", {"video_id": str(make_asset(alice).pk), "auto_start": False}).json()

    assert refusal(post(api, f"/{draft['id']}/start", body)) == (422, "invalid_request", next(iter(body)))
    assert Job.objects.get().status == "created"


def test_a_job_is_canceled_and_costs_nothing(api, alice):
    job = make_job(alice, status="queued")

    body = post(api, f"/{job.pk}/cancel").json()

    assert (body["success"], body["status"], body["credits"]["charged"]) == (True, "canceled", 0)
    assert api.get("/v1/credits").json() == {"balance": 100, "held": 0, "available": 100}
    assert post(api, f"/{job.pk}/cancel").status_code == 200


def test_a_finished_job_cannot_be_canceled(api, alice):
    job = make_job(alice, status="completed")

    assert refusal(post(api, f"/{job.pk}/cancel")) == (409, "conflict", None)


@pytest.mark.parametrize("path", ["/cancel", "/retry"])
def test_cancel_and_retry_take_no_fields(api, alice, path):
    job = make_job(alice, status="failed")

    assert refusal(post(api, f"/{job.pk}{path}", {"model": "light"})) == (422, "invalid_request", "model")


def test_a_retry_is_a_new_job(api, alice):
    job = make_job(alice, status="failed")

    response = post(api, f"/{job.pk}/retry")

    body = response.json()
    assert response.status_code == 201
    assert body["id"] != str(job.pk)
    assert (body["retried_from"], body["status"], body["credits"]["held"]) == (str(job.pk), "queued", 7.5)


def test_a_retry_without_its_source_is_a_409(api, alice):
    job = make_job(alice, status="failed")
    assert job.asset is not None
    projects.delete_file(job.asset)

    assert refusal(post(api, f"/{job.pk}/retry"))[:2] == (409, "source_expired")


def test_delete_takes_the_media_now_and_leaves_the_record(api, alice):
    job = make_job(alice, status="completed")
    file = job.outputs.get().file

    response = api.delete(f"/v1/jobs/{job.pk}")

    body = response.json()
    assert (response.status_code, body["success"], body["status"]) == (200, True, "completed")
    assert (body["output_url"], body["outputs"][0]["url"]) == (None, None)
    assert body["outputs"][0]["sha256"] == Output.objects.get().sha256
    assert not file.storage.exists(file.name)
    assert api.get(f"/v1/jobs/{job.pk}").status_code == 200


def test_delete_cancels_what_is_not_final(api, alice):
    job = make_job(alice, status="processing")

    assert api.delete(f"/v1/jobs/{job.pk}").json()["status"] == "canceled"
    assert Wallet.objects.get(user=alice).held == 0


def test_events_tell_what_happened(api, alice):
    job = post(api, "", {"video_id": str(make_asset(alice).pk), "model": "light"}).json()
    post(api, f"/{job['id']}/cancel")

    body = api.get(f"/v1/jobs/{job['id']}/events").json()

    assert [event["name"] for event in body["data"]] == ["created", "queued", "canceled"]
    assert set(body["data"][0]) == {"name", "attempt", "detail", "created_at"}
    assert body["total"] == 3


# Estimate
def test_an_estimate_makes_nothing(api, alice):
    asset = make_asset(alice)
    body = {"video_id": str(asset.pk), "model": "light", "trim": {"start": 0, "end": 4}}

    response = post(api, "/estimate", body)

    assert response.status_code == 200
    told = response.json()
    assert (told["credits"], told["billed_seconds"], told["balance_after"]) == (3, 4, 97)
    assert set(serializers.Estimate().fields) == set(told)
    assert Job.objects.count() == 0
    assert Wallet.objects.get(user=alice).held == 0


def test_an_estimate_needs_an_upload_of_ones_own(api, bob):
    theirs = make_asset(bob)

    assert refusal(post(api, "/estimate", {"video_id": str(theirs.pk)})) == (422, "invalid_request", "video_id")
    assert refusal(post(api, "/estimate", {"video_url": "https://example.org/a.mp4"})) == (
        422,
        "invalid_request",
        "video_url",
    )
    assert Asset.objects.count() == 1


# Wait
@pytest.mark.parametrize("wait", ["31", "-1", "soon", ""])
def test_a_wrong_wait_is_named(api, alice, wait):
    job = make_job(alice, status="completed")

    assert refusal(api.get(f"/v1/jobs/{job.pk}?wait={wait}")) == (422, "invalid_request", "wait")


# Shapes
def test_the_described_request_is_what_is_read():
    assert set(serializers.JobFields().fields) == set(options.FIELDS)
    assert tuple(serializers.JobFields().fields["model"].choices) == MODELS
