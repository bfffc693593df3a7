"""/metrics: who may read it, that its numbers are those of the database, and what a visit costs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from apps.accounts.models import User
from apps.jobs.models import Job
from apps.ops import checks
from apps.webhooks import services as webhooks
from apps.webhooks.models import Delivery
from tests.factories import make_job

TOKEN = "scrape-me"
Numbers = dict[tuple[str, ...], float]

pytestmark = pytest.mark.django_db


@pytest.fixture
def visit(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Numbers]:
    """Every number by its name and labels' values."""
    settings.METRICS_TOKEN = TOKEN
    monkeypatch.setattr(checks, "living_workers", list)

    def numbers() -> Numbers:
        answer = Client(headers={"authorization": f"Bearer {TOKEN}"}).get("/metrics")
        assert (answer.status_code, answer["Content-Type"].split(";")[0]) == (200, "text/plain")
        families = text_string_to_metric_families(answer.content.decode())
        return {(s.name, *sorted(s.labels.values())): s.value for family in families for s in family.samples}

    return numbers


@pytest.mark.parametrize(
    ("token", "sent", "status"),
    [
        ("", {}, 404),
        ("", {"authorization": "Bearer "}, 404),
        (TOKEN, {}, 401),
        (TOKEN, {"authorization": "Bearer wrong"}, 401),
        (TOKEN, {"authorization": f"Basic {TOKEN}"}, 401),
        (TOKEN, {"authorization": f"Bearer {TOKEN}"}, 200),
    ],
)
def test_only_who_has_the_token_may_read(
    token: str, sent: dict[str, str], status: int, settings: Any, client: Client
) -> None:
    settings.METRICS_TOKEN = token

    answer = client.get("/metrics", headers=sent)

    assert answer.status_code == status
    assert answer.headers.get("WWW-Authenticate") == ('Bearer realm="metrics"' if status == 401 else None)
    assert (b"clearmatte_jobs" in answer.content) == (status == 200)


def test_jobs_are_counted_by_state_model_and_failure(alice: User, visit: Callable[[], Numbers]) -> None:
    now = timezone.now()
    make_job(alice, status="queued", queued_at=now - timedelta(minutes=5))
    make_job(alice, status="queued")
    make_job(alice, status="failed", error_code="worker_lost")
    done = make_job(alice, status="completed")
    Job.objects.filter(pk=done.pk).update(started_at=now - timedelta(seconds=40), completed_at=now)

    found = visit()

    assert found["clearmatte_jobs", "light", "queued"] == 2
    assert found["clearmatte_jobs", "light", "processing"] == 0
    assert found["clearmatte_jobs_ended_total", "completed", "light"] == 1
    assert found["clearmatte_job_failures_total", "worker_lost"] == 1
    assert found["clearmatte_video_seconds_total", "light"] == 10
    assert found["clearmatte_video_seconds_per_second", "light"] == 0.25
    assert 300 <= found["clearmatte_queue_age_seconds", "work"] < 360
    assert found["clearmatte_queue_age_seconds", "fetch"] == 0


def test_credits_and_storage_are_told_as_elsewhere(alice: User, visit: Callable[[], Numbers]) -> None:
    make_job(alice, status="queued")
    make_job(alice, status="completed")

    found = visit()

    assert found["clearmatte_credits_held",] == 7.5
    assert found["clearmatte_credits_balance",] == 92.5
    assert found["clearmatte_credits_moved", "capture"] == -7.5
    assert found["clearmatte_credits_moved", "grant"] == 100
    assert found["clearmatte_credits_moved", "purchase"] == 0
    assert found["clearmatte_storage_bytes", "source_video"] == 2 * len(b"ten dull seconds")
    assert found["clearmatte_storage_bytes", "result"] == len(b"a cutout")
    assert found["clearmatte_disk_free_bytes",] > 0


def test_webhooks_that_are_late_or_given_up_are_seen(alice: User, visit: Callable[[], Numbers]) -> None:
    webhooks.create_endpoint(alice, url="https://example.org/hook")
    (late,), (lost,) = (webhooks.emit(alice, "credits.low", body={}) for _ in range(2))
    now = timezone.now()
    Delivery.objects.filter(pk=late.pk).update(next_attempt_at=now - timedelta(seconds=90), attempts=2)
    Delivery.objects.filter(pk=lost.pk).update(state="failed", finished_at=now, next_attempt_at=None)

    found = visit()

    assert 90 <= found["clearmatte_webhook_lag_seconds",] < 120
    assert found["clearmatte_webhook_retrying",] == 1
    assert found["clearmatte_webhook_given_up",] == 1
    assert found["clearmatte_webhook_deliveries", "failed"] == 1


def test_what_is_not_known_of_workers_is_not_told(
    visit: Callable[[], Numbers], monkeypatch: pytest.MonkeyPatch
) -> None:
    none = visit()
    monkeypatch.undo()

    # The tests' settings name a queue server that is not there.
    unknown = visit()

    assert (none["clearmatte_queue_up",], none["clearmatte_workers", "cpu"]) == (1, 0)
    assert unknown["clearmatte_queue_up",] == 0
    assert ("clearmatte_workers", "cpu") not in unknown


def test_a_visit_costs_the_same_queries_however_much_there_is(alice: User, visit: Callable[[], Numbers]) -> None:
    with CaptureQueriesContext(connection) as before:
        visit()
    for status in ("queued", "processing", "completed", "failed"):
        make_job(alice, status=status)
    with CaptureQueriesContext(connection) as after:
        visit()

    assert len(before) == len(after) == 11


def test_no_name_of_a_person_or_file_is_told(alice: User, visit: Callable[[], Numbers]) -> None:
    make_job(alice, status="completed")

    told = " ".join(str(key) for key in visit())

    assert "alice" not in told
    assert "clip" not in told
