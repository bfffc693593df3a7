from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.accounts.models import User
from apps.credits.models import Wallet
from apps.jobs import services
from apps.jobs.models import Job
from tests.conftest import make_user
from tests.factories import make_job, make_output, make_project, make_quality

LIST = reverse("admin:jobs_job_changelist")


@pytest.fixture
def support(client: Client, sue: User) -> Client:
    client.force_login(sue)
    return client


def found(client: Client, text: str) -> list[Job]:
    response = client.get(LIST, {"q": text})
    assert response.status_code == 200
    return list(response.context["cl"].queryset)


def test_a_job_is_found_by_every_handle_support_is_given(support: Client, alice: User, charlie: User) -> None:
    project = make_project(alice, external_id="shop-7")
    job = make_job(alice, project=project, request_id="req_17", metadata={"order": "A-4711"})
    make_job(charlie)

    for text in (str(job.pk), "req_17", str(project.pk), "shop-7", "alice@example.org", "A-4711"):
        assert found(support, text) == [job], text
    assert found(support, "shop") == []


def test_a_jobs_page_tells_the_whole_story_and_changes_nothing(support: Client, alice: User) -> None:
    project = make_project(alice, external_id="shop-7")
    job = make_job(
        alice, project=project, status="completed", model_version="u2net@1", request_id="req_17", quality=make_quality()
    )
    make_output(job, kind="matte")
    assert job.asset is not None

    page = support.get(reverse("admin:jobs_job_change", args=[job.pk])).content.decode()

    for text in (
        "shop-7", "req_17", "alice@example.org", job.video_url, job.asset.sha256, "light", "webm", "u2net@1",
        "7.5 (captured)", "completed", "matte", "/media/jobs/",
        "edge stability 71, foreground integrity 100, temporal consistency 100; 1 to look at",
    ):  # fmt: skip
        assert text in page, text
    assert "<textarea" not in page
    assert 'name="_save"' not in page
    assert support.post(reverse("admin:jobs_job_delete", args=[job.pk]), {"post": "yes"}).status_code == 403


def test_the_record_stays_readable_when_media_and_project_are_gone(support: Client, alice: User) -> None:
    job = services.delete_media(make_job(alice, status="completed"))
    sha256 = job.asset.sha256 if job.asset else "?"
    Job.objects.filter(pk=job.pk).update(project=None, owner=None)

    page = support.get(reverse("admin:jobs_job_change", args=[job.pk])).content.decode()

    assert sha256 in page
    assert "deleted" in page
    assert "/media/jobs/" not in page


def test_support_cancels_and_requeues_through_the_services(support: Client, alice: User) -> None:
    waiting, running = make_job(alice), make_job(alice, status="processing")

    support.post(LIST, {"action": "requeue", "_selected_action": [str(running.pk)]})
    support.post(LIST, {"action": "cancel", "_selected_action": [str(waiting.pk)]})

    running.refresh_from_db()
    waiting.refresh_from_db()
    assert (running.status, running.attempt, running.lease) == ("queued", 2, None)
    assert waiting.status == "canceled"
    assert Wallet.objects.values_list("balance", "held").get(user=alice) == (100_00, 7_50)


def test_staff_who_may_only_look_cannot_act(client: Client, alice: User, db: None) -> None:
    viewer = make_user("vera@example.org", is_staff=True)
    viewer.user_permissions.add(*_permissions("view_job"))
    client.force_login(viewer)
    job = make_job(alice)

    client.post(LIST, {"action": "cancel", "_selected_action": [str(job.pk)]})

    job.refresh_from_db()
    assert job.status == "queued"
    assert found(client, str(job.pk)) == [job]


def test_the_list_costs_the_same_at_one_and_at_three_jobs(support: Client, alice: User) -> None:
    make_job(alice, project=make_project(alice))
    at_one = _queries(support)
    for _ in range(2):
        make_job(alice, project=make_project(alice))

    assert _queries(support) == at_one


def _queries(client: Client) -> int:
    with CaptureQueriesContext(connection) as captured:
        client.get(LIST)
    return len(captured)


def _permissions(codename: str) -> list[object]:
    return list(Permission.objects.filter(codename=codename))
