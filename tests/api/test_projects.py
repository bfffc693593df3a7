"""Projects over the API."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.projects.models import Project
from tests.api.conftest import JSON
from tests.factories import make_project

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
