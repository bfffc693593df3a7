"""Jobs over the API: the contract's answers, and a stranger learns nothing."""

from __future__ import annotations

import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.credits.models import Hold, Wallet
from apps.jobs import serializers
from apps.jobs.models import Job
from apps.projects import services as projects
from tests.api.calls import post, refusal
from tests.api.conftest import JSON
from tests.factories import make_asset, make_job, make_output, make_project

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("weights_here")]


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


def test_a_scheme_is_the_same_in_either_case(api, alice, settings):
    there = post(api, "", {"video_url": "HTTPS://EXAMPLE.org/clip.mp4"})
    here = post(api, "", {"video_url": projects.address(make_asset(alice)).replace("http://", "HTTP://")})

    assert (there.status_code, there.json()["stage"], there.json()["video_url"]) == (
        201,
        "fetching",
        "HTTPS://EXAMPLE.org/clip.mp4",
    )
    assert (here.status_code, here.json()["stage"]) == (201, "waiting")


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
    ("fields", "param"),
    [
        ({"video_id": "nope"}, "video_id"),
        ({"video_url": "http://testserver/media/assets/nope/source"}, "video_url"),
        ({"bg_type": "image", "bg_image_id": "nope"}, "bg_image_id"),
        ({"background": {"type": "image", "image_id": "nope"}}, "background.image_id"),
    ],
)
@pytest.mark.parametrize("door", ["create", "start"])
def test_a_source_that_is_none_is_refused_by_the_field_that_named_it(api, alice, settings, fields, param, door):
    settings.SITE_URL = "http://testserver"
    mine = {} if {"video_id", "video_url"} & set(fields) else {"video_id": str(make_asset(alice).pk)}
    if door == "start":
        draft = post(api, "", {"video_id": str(make_asset(alice).pk), "auto_start": False}).json()["id"]

    response = post(api, "", {**mine, **fields}) if door == "create" else post(api, f"/{draft}/start", fields)

    assert refusal(response) == (422, "invalid_request", param)
    assert response.json()["error"]["message"].startswith(param)


@pytest.mark.parametrize("name", ["video_url", "model", "output_format", "bg_type", "project", "webhook_url", "trim"])
def test_an_empty_string_is_no_way_to_leave_a_field_out(api, alice, name):
    body = {"video_url": projects.asset_url(make_asset(alice)), name: ""}

    assert refusal(post(api, "/estimate", body)) == (422, "invalid_request", name)
    assert refusal(post(api, "", body)) == (422, "invalid_request", name)


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
        ({"trim": {"start": "1"}}, "invalid_request", "trim.start"),
        ({"trim": {"start": 1, "stop": 2}}, "invalid_request", "trim.stop"),
        ({"composition": {"canvas": {"width": 8, "height": 90}}}, "invalid_request", "composition.canvas.width"),
        ({"composition": {"canvas": {"width": 90}}}, "invalid_request", "composition.canvas.height"),
        ({"composition": {"foreground": {"scale": "2"}}}, "invalid_request", "composition.foreground.scale"),
        ({"composition": {"layers": None}}, "invalid_request", "composition.layers"),
        ({"edge": {"feather_px": 20.5}}, "invalid_request", "edge.feather_px"),
        ({"edge": {"despill": True}}, "invalid_request", "edge.despill"),
        ({"on_limit": "shrink"}, "invalid_request", "on_limit"),
        (
            {"output_format": "gif", "composition": {"canvas": {"width": 999, "height": 999}}},
            "limit_exceeded",
            "output_format",
        ),
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


def test_place_edge_and_limits_are_frozen_with_the_job(api, alice):
    asset = make_asset(alice, duration=60.0, frames=1500)
    body = {
        "video_id": str(asset.pk), "model": "light", "output_format": "gif", "on_limit": "reduce",
        "composition": {"canvas": {"width": 1440, "height": 1440}, "foreground": {"anchor": "top-left"}},
        "edge": {"choke_px": 1},
    }  # fmt: skip

    estimate = post(api, "/estimate", body).json()
    told = post(api, "", body).json()

    asked = Job.objects.get().options
    assert (estimate["credits"], estimate["billed_seconds"]) == (15, 20)
    assert (told["credits"]["held"], told["frames_total"]) == (15, 500)
    assert asked["composition"]["canvas"] == {"width": 1440, "height": 1440}
    assert asked["composition"]["foreground"] == {"anchor": "top-left", "scale": 1, "offset": {"x": 0, "y": 0}}
    assert asked["edge"] == {"feather_px": 0, "choke_px": 1, "despill": 1}
    assert asked["on_limit"] == "reduce"


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
    ("get", "/quality"),
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


def test_an_estimate_refuses_a_background_picture_that_is_not_there(api, alice):
    body = {
        "video_id": str(make_asset(alice).pk),
        "model": "light",
        "bg_type": "image",
        "bg_image_id": str(uuid.uuid4()),
    }

    assert refusal(post(api, "/estimate", body)) == (422, "invalid_request", "bg_image_id")


@pytest.mark.parametrize(
    "url", ["https://me:secret@example.org/a.mp4", "https://example.org:99999/a.mp4", "https:///a.mp4", "file:///a.mp4"]
)
def test_an_address_that_no_honest_caller_writes_is_refused_at_once(api, url):
    response = post(api, "", {"video_url": url, "model": "light"})

    assert refusal(response) == (422, "invalid_request", "video_url")
    assert "secret" not in response.content.decode()
    assert not Job.objects.exists()


def test_an_id_may_be_written_in_capitals(api, alice):
    job = make_job(alice)

    assert api.get(f"/v1/jobs/{str(job.pk).upper()}").json()["id"] == str(job.pk)


def test_a_status_that_there_is_not_is_refused_with_those_there_are(api):
    answer = api.get("/v1/jobs?status=done")

    assert refusal(answer) == (422, "invalid_request", "status")
    assert "created, queued, processing" in answer.json()["error"]["message"]
