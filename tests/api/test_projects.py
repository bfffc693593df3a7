"""Projects over the API."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.jobs import retention
from apps.jobs.models import Job, Output
from apps.projects import services
from apps.projects.models import Asset, Project
from tests.api.conftest import JSON
from tests.factories import make_asset, make_job, make_project

pytestmark = pytest.mark.django_db


def test_a_project_is_made_and_listed(api, alice):
    made = api.post("/v1/projects", {"name": "Film", "external_id": "f-1"}, content_type=JSON)

    project = Project.objects.get(owner=alice)
    assert made.status_code == 201
    assert made.json() == {
        "id": str(project.pk),
        "name": "Film",
        "external_id": "f-1",
        "is_default": False,
        "result_days": None,
        "source_hours": None,
        "defaults": {},
        "created_at": project.created_at.isoformat().replace("+00:00", "Z"),
    }
    assert api.get("/v1/projects").json() == {
        "data": [made.json()],
        "total": 1,
        "limit": 20,
        "offset": 0,
        "has_more": False,
    }


def test_lists_hold_only_ones_own(api, bob):
    make_project(bob)

    assert api.get("/v1/projects").json()["total"] == 0


def test_an_external_id_is_taken_once(api, caller, bob):
    body = {"name": "Film", "external_id": "f-1"}
    api.post("/v1/projects", body, content_type=JSON)

    again = api.post("/v1/projects", body, content_type=JSON)

    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
    assert again.json()["error"]["param"] == "external_id"
    assert caller(bob).post("/v1/projects", body, content_type=JSON).status_code == 201


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"name": 1}, "name"),
        ({"name": None}, "name"),
        ({"name": ["x"]}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"name": "x", "external_id": 5}, "external_id"),
        ({"name": "x", "external_id": ""}, "external_id"),
        ({"name": "x", "colour": "red"}, "colour"),
        ({"name": "x", "result_days": 8}, "result_days"),
        ({"name": "x", "result_days": 0}, "result_days"),
        ({"name": "x", "result_days": "3"}, "result_days"),
        ({"name": "x", "source_hours": 25}, "source_hours"),
        ({"name": "x", "source_hours": True}, "source_hours"),
        ({"name": "x", "defaults": []}, "defaults"),
        ({"name": "x", "defaults": {"video_url": "https://a.example/"}}, "defaults.video_url"),
        ({"name": "x", "defaults": {"modell": "light"}}, "defaults.modell"),
        ({"name": "x", "defaults": {"model": "dark"}}, "defaults.model"),
        ({"name": "x", "defaults": {"output_format": "mp4"}}, "defaults.output_format"),
    ],
)
def test_a_wrong_field_is_named(api, body, param):
    response = api.post("/v1/projects", body, content_type=JSON)

    assert response.status_code == 422
    assert response.json()["error"]["code"] == "invalid_request"
    assert response.json()["error"]["param"] == param


def test_pages_follow_each_other(api, alice):
    for number in range(5):
        make_project(alice, name=f"p{number}")

    first = api.get("/v1/projects?limit=2").json()
    last = api.get("/v1/projects?limit=2&offset=4").json()
    beyond = api.get("/v1/projects?limit=2&offset=9").json()

    assert [row["name"] for row in first["data"]] == ["p4", "p3"]
    assert (first["total"], first["has_more"]) == (5, True)
    assert [row["name"] for row in last["data"]] == ["p0"]
    assert (last["offset"], last["has_more"]) == (4, False)
    assert (beyond["data"], beyond["has_more"]) == ([], False)


def test_a_list_costs_the_same_at_one_row_and_at_three(api, alice):
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as seen:
            api.get("/v1/projects")
        return len(seen)

    make_project(alice)
    api.get("/v1/projects")
    one = queries()
    make_project(alice)
    make_project(alice)

    assert queries() == one


def test_a_project_is_read_found_and_changed(api, alice):
    path = f"/v1/projects/{make_project(alice, external_id='f-1').pk}"
    make_project(alice, external_id="f-2")

    changed = api.patch(path, {"name": "Spring", "external_id": None, "result_days": 1.5}, content_type=JSON)
    named = api.patch(path, {"external_id": "f-3"}, content_type=JSON)

    assert changed.status_code == 200
    assert [changed.json()[name] for name in ("name", "external_id", "result_days")] == ["Spring", None, 1.5]
    assert api.get(path).json() == named.json()
    assert [row["name"] for row in api.get("/v1/projects?external_id=f-3").json()["data"]] == ["Spring"]
    taken = api.patch(path, {"external_id": "f-2"}, content_type=JSON).json()["error"]
    assert (taken["code"], taken["param"]) == ("conflict", "external_id")
    assert api.patch(path, {"id": "x"}, content_type=JSON).json()["error"]["param"] == "id"


def test_a_stranger_gets_404_and_a_narrow_key_403(api, caller, alice, charlie):
    path = f"/v1/projects/{make_project(alice).pk}"

    for client, status in ((caller(charlie), 404), (caller(alice, scopes=("jobs:read",)), 403)):
        assert client.patch(path, {"name": "Mine"}, content_type=JSON).status_code == status
        assert client.delete(path).status_code == status
    assert caller(charlie).get(path).status_code == 404
    assert caller(alice, scopes=("jobs:read",)).get(path).status_code == 200


def test_a_project_keeps_things_for_a_shorter_time_from_then_on_and_for_what_is_there(api, alice):
    project = make_project(alice)
    job = make_job(alice, project=project, status="completed", expires_at=timezone.now() + timedelta(days=7))
    elsewhere = make_job(alice, status="completed", expires_at=timezone.now() + timedelta(days=7))

    api.patch(f"/v1/projects/{project.pk}", {"result_days": 1, "source_hours": 2}, content_type=JSON)

    assert Job.objects.get(pk=job.pk).expires_at == job.completed_at + timedelta(days=1)
    assert Job.objects.get(pk=elsewhere.pk).expires_at == elsewhere.expires_at
    asset = Asset.objects.get(pk=job.asset_id)
    assert asset.expires_at == asset.created_at + timedelta(hours=2)
    fresh = Project.objects.get(pk=project.pk)
    assert (fresh.results_kept, fresh.sources_kept) == (timedelta(days=1), timedelta(hours=2))


def test_a_longer_time_of_the_site_does_not_lengthen_what_a_project_shortened(alice, settings):
    project = make_project(alice, result_days=3)
    settings.RESULT_DAYS = 2

    assert project.results_kept == timedelta(days=2)


def test_an_upload_is_kept_as_long_as_its_project_says(api, alice, clip):
    make_project(alice, external_id="f-1", source_hours=1)

    with clip.open("rb") as file:
        api.post("/v1/uploads", {"file": file, "project": "f-1"})

    asset = Asset.objects.get()
    assert asset.expires_at - asset.created_at < timedelta(hours=1, minutes=1)


def test_a_job_takes_its_projects_defaults_where_it_says_nothing(api, alice, weights_here):
    defaults = {"model": "light", "output_format": "mp4", "bg_type": "green", "edge": {"choke_px": 1}}
    made = api.post("/v1/projects", {"name": "Film", "external_id": "f-1", "defaults": defaults}, content_type=JSON)
    source = {"video_id": str(make_asset(alice).pk), "project": "f-1"}

    plain = api.post("/v1/jobs", source, content_type=JSON).json()
    own = {**source, "model": "human", "background": {"type": "color", "color": "#ff0000"}}
    other = api.post("/v1/jobs", own, content_type=JSON).json()
    free = api.post("/v1/jobs", {"video_id": source["video_id"]}, content_type=JSON).json()
    price = api.post("/v1/jobs/estimate", source, content_type=JSON).json()

    assert made.json()["defaults"] == defaults
    assert (plain["model"], plain["output_format"], plain["background"]["color"]) == ("light", "mp4", "#09a246")
    assert (other["model"], other["output_format"], other["background"]["color"]) == ("human", "mp4", "#ff0000")
    assert (free["model"], free["output_format"], free["bg_type"]) == ("original", "webm", "transparent")
    assert price["credits"] == 7.5


def test_a_deleted_project_takes_its_media_along_and_leaves_its_records(api, alice):
    project = make_project(alice, external_id="f-1")
    done = make_job(alice, project=project, status="completed")
    waiting = make_job(alice, project=project, status="queued")
    elsewhere = make_job(alice, status="completed")

    gone = api.delete(f"/v1/projects/{project.pk}")

    assert (gone.status_code, gone.json()["id"]) == (200, str(project.pk))
    assert api.get(f"/v1/projects/{project.pk}").status_code == 404
    assert api.get("/v1/projects?external_id=f-1").json()["total"] == 0
    said = api.get(f"/v1/jobs/{done.pk}").json()
    assert (said["output_url"], said["project"]["id"]) == (None, str(project.pk))
    assert api.get(f"/v1/jobs/{waiting.pk}").json()["status"] == "canceled"
    assert api.get(f"/v1/jobs/{elsewhere.pk}").json()["output_url"] is not None
    assert [asset.status for asset in Asset.objects.filter(project=project)] == ["deleted", "deleted"]
    again = api.post("/v1/projects", {"name": "Film", "external_id": "f-1"}, content_type=JSON)
    assert again.status_code == 201
    assert again.json()["id"] != str(project.pk)


def test_what_a_deleted_project_still_gets_is_swept(alice):
    """A job that was submitted while its project was being deleted."""
    project = make_project(alice, deleted_at=timezone.now())
    make_job(alice, project=project, status="completed", expires_at=timezone.now() + timedelta(days=7))

    assert retention.delete_expired() == 2
    assert Output.objects.exclude(file="").count() == 0


def test_the_default_project_cannot_be_deleted(api, alice):
    default = services.default_project(alice)

    answer = api.delete(f"/v1/projects/{default.pk}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert api.get(f"/v1/projects/{default.pk}").status_code == 200
