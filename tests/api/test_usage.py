"""What was used, over the API: by day, model, project and key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from apps.accounts.services import issue_key
from apps.credits.models import LedgerEntry
from apps.jobs.models import Job
from tests.factories import make_job, make_project

pytestmark = pytest.mark.django_db


def ended(user, *, days_ago: int = 0, status: str = "completed", **fields) -> Job:
    job = make_job(user, status=status, **fields)
    moment = datetime.combine(timezone.now().date(), datetime.min.time(), UTC) - timedelta(days=days_ago)
    Job.objects.filter(pk=job.pk).update(completed_at=moment)
    return job


@pytest.fixture
def past(alice):
    """Ten seconds each: 10 and 7.5 credits today, 7.5 two days ago, one that failed, one from long ago."""
    project = make_project(alice, name="Launch")
    ended(alice, model="original", project=project)
    ended(alice, model="light")
    ended(alice, model="light", days_ago=2)
    ended(alice, status="failed")
    ended(alice, model="light", days_ago=7)
    make_job(alice, status="queued")


def test_the_summary_is_what_the_ledger_charged(api, alice, past):
    body = api.get("/v1/usage/summary?days=90").json()

    charged = -sum(LedgerEntry.objects.filter(kind="capture").values_list("amount", flat=True)) / 100
    assert body["totals"]["credits"] == charged == 32.5
    assert sum(day["credits"] for day in body["data"]) == charged


def test_every_day_has_a_row_and_every_group_its_figures(api, past):
    body = api.get("/v1/usage/summary").json()

    assert (body["days"], len(body["data"])) == (7, 7)
    assert [day["credits"] for day in body["data"]] == [0, 0, 0, 0, 7.5, 0, 17.5]
    assert [day["date"] for day in body["data"]] == sorted(day["date"] for day in body["data"])
    assert (body["from"], body["to"]) == (body["data"][0]["date"], body["data"][-1]["date"])
    assert body["totals"] == {
        "jobs": 4, "completed": 3, "failed": 1, "canceled": 0, "seconds": 30, "credits": 25,
    }  # fmt: skip
    assert {row["model"]: row["credits"] for row in body["by_model"]} == {"original": 10, "light": 15}
    assert {row["project"]: row["credits"] for row in body["by_project"]} == {"Launch": 10, None: 15}


def test_a_key_can_be_told_apart(api, alice, past):
    other, _ = issue_key(alice, name="night shift")
    Job.objects.filter(model="original").update(api_key=other)

    by_key = {row["api_key"]: row["credits"] for row in api.get("/v1/usage/summary").json()["by_key"]}
    only = api.get(f"/v1/usage/summary?api_key={other.pk}").json()
    this = api.get("/v1/usage/summary?api_key=this").json()

    assert by_key == {"night shift": 10, None: 15}
    assert (only["totals"]["credits"], this["totals"]["credits"]) == (10, 0)
    assert len(api.get(f"/v1/usage/events?api_key={other.pk}").json()["data"]) == 1


def test_events_are_the_latest_calls(api, alice, past):
    body = api.get("/v1/usage/events?limit=2").json()

    newest = list(Job.objects.order_by("-created_at")[:2])
    assert [event["job_id"] for event in body["data"]] == [str(job.pk) for job in newest]
    assert body["limit"] == 2
    first = body["data"][0]
    assert (first["status"], first["credits"], first["held"], first["completed_at"]) == ("queued", 0, 7.5, None)
    assert len(api.get("/v1/usage/events").json()["data"]) == 6


def test_nobody_sees_another_accounts_usage(caller, charlie, past, alice):
    stranger = caller(charlie)
    key, _ = issue_key(alice, name="hers")

    assert stranger.get("/v1/usage/summary").json()["totals"]["jobs"] == 0
    assert stranger.get("/v1/usage/events").json()["data"] == []
    assert stranger.get(f"/v1/usage/summary?api_key={key.pk}").status_code == 422


@pytest.mark.parametrize(
    "address", ["summary?days=0", "summary?days=91", "summary?days=x", "events?limit=101", "events?limit=0",
                "events?days=1", "summary?api_key=nobody"],
)  # fmt: skip
def test_wrong_questions_are_named(api, address):
    answer = api.get(f"/v1/usage/{address}")

    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == address.partition("?")[2].partition("=")[0]


def test_the_scope_is_needed(caller, alice):
    answer = caller(alice, scopes=("jobs:read",)).get("/v1/usage/summary")

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden_scope")


def test_more_jobs_cost_no_more_queries(api, alice, past, django_assert_max_num_queries):
    api.get("/v1/usage/summary")  # notes the first use of the key
    with django_assert_max_num_queries(20) as few:
        api.get("/v1/usage/summary")
        api.get("/v1/usage/events")
    for _ in range(3):
        ended(alice, model="light", project=make_project(alice))

    with django_assert_max_num_queries(20) as more:
        api.get("/v1/usage/summary")
        api.get("/v1/usage/events")

    assert len(few.captured_queries) == len(more.captured_queries)
