"""Jobs over the API: the contract's answers, and a stranger learns nothing."""

from __future__ import annotations

import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.credits.models import Hold, Wallet
from apps.engine.options import MODELS
from apps.jobs import api as jobs_api
from apps.jobs import options, serializers
from apps.jobs.models import Job, Output
from apps.projects import services as projects
from apps.projects.models import Asset
from tests.api.conftest import JSON
from tests.factories import make_asset, make_job, make_output, make_project

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("weights_here")]


def post(client, path: str, body: object = None, **headers: str):
    return client.post(f"/v1/jobs{path}", {} if body is None else body, content_type=JSON, headers=headers)


def refusal(response) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    return response.status_code, error["code"], error["param"]


# Create


def test_a_job_on_an_upload_is_priced_and_held_at_once(api, alice):
    asset = make_asset(alice)
    url = projects.asset_url(asset)

    response = post(api, "", {"video_url": url, "model": "light", "metadata": {"shot": 7}})

    body = response.json()
    job = Job.objects.get()
    assert response.status_code == 201
    assert (body["success"], body["id"], body["job_id"]) == (True, str(job.pk), str(job.pk))
    assert (body["status"], body["stage"], body["queue_position"]) == ("queued", "waiting", 1)
    assert body["credits"] == {"estimated": 7.5, "held": 7.5, "charged": 0}
    assert body["video_url"] == url
    assert body["metadata"] == {"shot": 7}
    assert body["message"]
    assert job.request_id == response["X-Request-Id"]
    assert api.get("/v1/credits").json() == {"balance": 100, "held": 7.5, "available": 92.5}


def test_the_id_of_an_upload_will_do(api, alice):
    body = post(api, "", {"video_id": str(make_asset(alice).pk), "model": "light"}).json()

    assert body["status"] == "queued"


def test_a_job_on_another_url_waits_to_be_fetched(api):
    body = post(api, "", {"video_url": "https://example.org/clip.mp4"}).json()

    assert (body["status"], body["stage"]) == ("queued", "fetching")
    assert body["credits"] == {"estimated": 0, "held": 0, "charged": 0}


def test_without_enough_credits_there_is_no_job(bob, caller):
    asset = make_asset(bob)

    response = post(caller(bob), "", {"video_id": str(asset.pk), "model": "light"})

    assert refusal(response) == (402, "insufficient_credits", None)
    error = response.json()["error"]
    assert (error["needed"], error["available"]) == (7.5, 0)
    assert Job.objects.count() == 0
    assert Hold.objects.count() == 0


def test_a_refusal_leaves_no_new_project_either(bob, caller):
    asset = make_asset(bob)

    response = post(caller(bob), "", {"video_id": str(asset.pk), "model": "light", "project": "new-one"})

    assert response.status_code == 402
    assert not bob.projects.filter(external_id="new-one").exists()


def test_a_refusal_under_a_key_leaves_no_job_either_and_is_given_again(bob, caller):
    asset, client = make_asset(bob), caller(bob)
    body = {"video_id": str(asset.pk), "model": "light", "project": "new-one"}

    answers = [post(client, "", body, **{"idempotency-key": "k"}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [402, 402]
    assert answers[0].json() == answers[1].json()
    assert Job.objects.count() == 0
    assert bob.projects.filter(external_id="new-one").count() == 0


def test_a_key_sent_twice_makes_one_job_and_one_hold(api, alice):
    body = {"video_id": str(make_asset(alice).pk), "model": "light"}

    answers = [post(api, "", body, **{"idempotency-key": "k"}) for _ in range(3)]

    assert {answer.json()["id"] for answer in answers} == {str(Job.objects.get().pk)}
    assert [answer.get("Idempotent-Replayed") for answer in answers] == [None, "true", "true"]
    assert Wallet.objects.get(user=alice).held == 7_50


def test_someone_elses_upload_is_no_source(api, bob):
    theirs = make_asset(bob)

    for body in ({"video_id": str(theirs.pk)}, {"video_url": projects.asset_url(theirs)}):
        assert refusal(post(api, "", body))[:2] == (422, "invalid_request")
    assert Job.objects.count() == 0


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"video_url": None}, "invalid_request", "video_url"),
        ({"video_url": 5}, "invalid_request", "video_url"),
        ({"video_url": "ftp://example.org/a"}, "invalid_request", "video_url"),
        ({"model": "huge"}, "invalid_request", "model"),
        ({"model": ["light"]}, "invalid_request", "model"),
        ({"output_format": "avi"}, "invalid_request", "output_format"),
        ({"output_format": "mp4"}, "invalid_request", "output_format"),
        ({"bg_type": "color"}, "invalid_request", "bg_color"),
        ({"bg_type": "color", "bg_color": "#12"}, "invalid_request", "bg_color"),
        ({"background": {"type": "color", "hue": 1}}, "invalid_request", "background.hue"),
        ({"trim": {"start": 5, "end": 1}}, "invalid_request", "trim.end"),
        ({"trim": {"start": 99}}, "invalid_request", "trim.start"),
        ({"metadata": []}, "invalid_request", "metadata"),
        ({"auto_start": "yes"}, "invalid_request", "auto_start"),
        ({"webhook_url": "nowhere"}, "invalid_request", "webhook_url"),
        ({"colour": "red"}, "invalid_request", "colour"),
        ({"colour": None}, "invalid_request", "colour"),
        ({"job": "x"}, "invalid_request", "job"),
        ({"text_prompt": "the dog"}, "unsupported_parameter", "text_prompt"),
    ],
)
def test_a_wrong_field_is_named(api, alice, fields, code, param):
    body = {"video_url": projects.asset_url(make_asset(alice)), **fields}

    assert refusal(post(api, "", body)) == (422, code, param)
    assert Job.objects.count() == 0


def test_a_model_that_is_not_installed_is_a_503(api, alice, monkeypatch, settings, tmp_path):
    monkeypatch.undo()
    settings.MODELS_DIR = tmp_path

    response = post(api, "", {"video_id": str(make_asset(alice).pk), "model": "pro"})

    assert refusal(response) == (503, "model_not_installed", "model")


# Read


def test_a_job_answers_every_field_of_the_contract(api, alice):
    job = make_job(alice, status="completed")

    body = api.get(f"/v1/jobs/{job.pk}").json()

    assert set(body) == set(serializers.JobJson().fields)
    assert set(body["outputs"][0]) == set(serializers.OutputJson().fields)
    assert set(body["credits"]) == set(serializers.JobCredits().fields)
    assert set(body["background"]) == set(serializers.JobBackground().fields)
    assert body["status"] == "completed"
    assert body["error"] is None
    assert body["output_url"].startswith("http://testserver/media/jobs/")
    assert body["output_url"] == body["outputs"][0]["url"]
    assert body["credits"] == {"estimated": 7.5, "held": 0, "charged": 7.5}


def test_a_failed_job_says_why_in_a_string(api, alice):
    body = api.get(f"/v1/jobs/{make_job(alice, status='failed').pk}").json()

    assert isinstance(body["error"], str)
    assert body["error_code"] == "internal_error"


STRANGERS = [
    ("get", ""),
    ("delete", ""),
    ("get", "/events"),
    ("post", "/start"),
    ("post", "/cancel"),
    ("post", "/retry"),
]


@pytest.mark.parametrize(("method", "path"), STRANGERS)
def test_a_stranger_gets_404_for_someone_elses_job(alice, charlie, caller, method, path):
    """Not 403: charlie must not learn that the job exists."""
    job = make_job(alice, status="queued")
    client = caller(charlie)

    theirs = getattr(client, method)(f"/v1/jobs/{job.pk}{path}", content_type=JSON)
    unknown = getattr(client, method)(f"/v1/jobs/{uuid.uuid4()}{path}", content_type=JSON)

    assert refusal(theirs) == refusal(unknown) == (404, "not_found", None)
    assert theirs.json()["error"]["message"] == unknown.json()["error"]["message"]
    assert Job.objects.get().status == "queued"


@pytest.mark.parametrize("job_id", ["1", "job_123", "x" * 500, "%00", "..", "00000000-0000-0000-0000-00000000000"])
def test_an_id_that_is_none_is_a_404(api, job_id):
    assert refusal(api.get(f"/v1/jobs/{job_id}")) == (404, "not_found", None)


# List


def test_a_list_is_newest_first_and_only_ones_own(api, alice, charlie):
    make_job(charlie)
    jobs = [make_job(alice) for _ in range(3)]

    body = api.get("/v1/jobs?limit=2").json()

    assert [row["id"] for row in body["data"]] == [str(jobs[2].pk), str(jobs[1].pk)]
    assert {name: body[name] for name in ("total", "limit", "offset", "has_more")} == {
        "total": 3,
        "limit": 2,
        "offset": 0,
        "has_more": True,
    }
    assert set(body["data"][0]) == set(serializers.JobJson().fields)


def test_a_list_is_filtered_by_status_and_project(api, alice):
    film = make_project(alice, external_id="film-7")
    inside, outside = make_job(alice, project=film), make_job(alice, status="failed")

    def ids(query: str) -> list[str]:
        return [row["id"] for row in api.get(f"/v1/jobs?{query}").json()["data"]]

    assert ids("status=failed") == [str(outside.pk)]
    assert ids(f"project={film.pk}") == [str(inside.pk)]
    assert ids("project=film-7") == [str(inside.pk)]
    assert ids("project=film-7&status=failed") == []
    assert ids("project=unknown") == []


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("status=done", "status"),
        ("status=", "status"),
        ("status=queued,failed", "status"),
        ("project=", "project"),
        ("project=%00", "project"),
        ("limit=0", "limit"),
        ("wait=1", "wait"),
        ("sort=model", "sort"),
    ],
)
def test_a_wrong_filter_is_named(api, query, param):
    assert refusal(api.get(f"/v1/jobs?{query}")) == (422, "invalid_request", param)


def test_a_list_costs_the_same_at_one_row_and_at_three(api, alice):
    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert api.get("/v1/jobs").status_code == 200
        return len(seen)

    def one_of_each() -> None:
        make_job(alice, project=make_project(alice), status="completed")
        make_output(make_job(alice, status="completed"), kind="matte")
        make_job(alice, status="queued")

    one_of_each()
    api.get("/v1/jobs")
    few = queries()
    one_of_each()
    one_of_each()

    assert queries() == few


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


def test_waiting_for_a_final_job_answers_at_once(api, alice, monkeypatch):
    monkeypatch.setattr(jobs_api.time, "sleep", lambda seconds: pytest.fail("slept"))
    job = make_job(alice, status="completed")

    assert api.get(f"/v1/jobs/{job.pk}?wait=30").json()["status"] == "completed"


def test_waiting_answers_as_soon_as_the_job_is_final(api, alice, monkeypatch):
    job = make_job(alice, status="queued")
    naps = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 2:
            Job.objects.filter(pk=job.pk).update(status="canceled")

    monkeypatch.setattr(jobs_api.time, "sleep", nap)

    assert api.get(f"/v1/jobs/{job.pk}?wait=30").json()["status"] == "canceled"
    assert len(naps) == 2


def test_waiting_ends(api, alice):
    job = make_job(alice, status="queued")

    assert api.get(f"/v1/jobs/{job.pk}?wait=1").json()["status"] == "queued"


def test_when_too_many_wait_the_next_is_answered_at_once(api, alice, monkeypatch):
    monkeypatch.setattr(jobs_api.time, "sleep", lambda seconds: pytest.fail("slept"))
    job = make_job(alice, status="queued")
    assert jobs_api.waiting_room.acquire(blocking=False)
    assert jobs_api.waiting_room.acquire(blocking=False)
    try:
        assert api.get(f"/v1/jobs/{job.pk}?wait=30").json()["status"] == "queued"
    finally:
        jobs_api.waiting_room.release(2)


@pytest.mark.parametrize("wait", ["31", "-1", "soon", ""])
def test_a_wrong_wait_is_named(api, alice, wait):
    job = make_job(alice, status="completed")

    assert refusal(api.get(f"/v1/jobs/{job.pk}?wait={wait}")) == (422, "invalid_request", "wait")


# Shapes


def test_the_described_request_is_what_is_read():
    assert set(serializers.JobFields().fields) == set(options.FIELDS) - set(options.NOT_YET)
    assert tuple(serializers.JobFields().fields["model"].choices) == MODELS
