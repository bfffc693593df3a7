"""What support sees of a job, and what the buttons do."""

from __future__ import annotations

import uuid
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.accounts import mail
from apps.accounts.acts import DONE_ALREADY
from apps.accounts.models import Act, User
from apps.credits.models import LedgerEntry, Purchase, Wallet
from apps.jobs import diary, projects, services
from apps.jobs import support as acts
from apps.jobs.models import Attempt, Job
from apps.projects.models import Asset
from apps.webhooks import services as webhooks
from tests.admin.pressing import button, page, press
from tests.conftest import make_user
from tests.factories import make_asset, make_job, make_output, make_project, make_quality

LIST = reverse("admin:jobs_job_changelist")


@pytest.fixture
def support(client: Client, sue: User) -> Client:
    client.force_login(sue)
    return client


def found(client: Client, text: str) -> list[Job]:
    response = client.get(LIST, {"q": text})
    assert response.status_code == 200
    return list(response.context["cl"].queryset)


NETWORK = {"network": "u2net", "precision": "int8", "sha256": "1" * 64, "weights_sha256": "2" * 64}


def balance(user: User) -> tuple[int, int]:
    return Wallet.objects.values_list("balance", "held").get(user=user)


def test_a_job_is_found_by_every_handle_support_is_given(support: Client, alice: User, charlie: User) -> None:
    project = make_project(alice, external_id="shop-7", name="Spring film")
    job = make_job(alice, project=project, request_id="req_17", metadata={"order": "A-4711"}, status="completed")
    make_job(charlie, asset=make_asset(charlie, content=b"another film"))
    output = job.outputs.get()
    assert job.asset is not None

    for text in (
        str(job.pk), str(job.pk)[:8], job.pk.hex, "req_17", str(project.pk), "shop-7", "spring FILM", alice.email,
        str(alice.pk), "A-4711", job.asset.sha256, str(job.asset.pk), output.sha256, str(output.pk),
    ):  # fmt: skip
        assert found(support, text) == [job], text
    assert found(support, "shop") == []
    assert found(support, str(uuid.uuid4())) == []


def test_a_jobs_page_tells_the_whole_story_and_changes_nothing(support: Client, alice: User) -> None:
    project = make_project(alice, external_id="shop-7")
    alice.mails_finished_jobs = True
    job = make_job(
        alice, project=project, status="completed", model_version="u2net@1", request_id="req_17",
        quality=make_quality(), client_address="203.0.113.9", client_agent="curl/8.1",
        requested={"model": "light", "edge": {"feather_px": 3}},
        result={"seconds": 4.2, "log_tail": "matted 250 frames", "networks": [NETWORK]},
    )  # fmt: skip
    make_output(job, kind="matte")
    mail.job_finished(alice, job_id=job.pk, name="clip.mp4", is_completed=True, error="")
    webhooks.emit(alice, "job.completed", url="https://hooks.example.org/in", body={}, subject=job.pk)
    Purchase.objects.create(
        user=alice, pack="team", credits=1, amount=1, currency="usd", pricing_version=1, started_job=job.pk
    )
    again = make_job(alice, asset=job.asset, status="completed")

    text = support.get(page(job)).text

    assert job.asset is not None
    for part in (
        "shop-7", "req_17", "alice@example.org", job.video_url, job.asset.sha256, "light", "webm", "u2net@1",
        "7.5 (captured)", "completed", "matte", "/media/jobs/", "203.0.113.9", "curl/8.1", "feather_px", "checker",
        "matted 250 frames", "Mail job_finished", "hooks.example.org", "Purchase for it", "Ledger: Capture",
        page(again), "The edge flickers.", f"version {job.pricing_version}",
        "network u2net", "int8, its file&#x27;s SHA-256 " + "1" * 64, "weights with SHA-256 " + "2" * 64,
        "edge stability 71, foreground integrity 100, temporal consistency 100; 1 to look at",
    ):  # fmt: skip
        assert part in text, part
    assert 'name="_save"' not in text
    assert support.post(page(job), {"status": "failed"}).status_code == 403
    assert support.post(reverse("admin:jobs_job_delete", args=[job.pk]), {"post": "yes"}).status_code == 403


def test_an_attempt_that_was_lost_tells_who_had_it_and_how_it_ended(support: Client, alice: User) -> None:
    job = make_job(alice)
    claimed = services.claim(job.pk, job.attempt, "gpu-3:4711")
    assert claimed is not None
    diary.enter(claimed, "processing")
    diary.worker_died("gpu-3:4711", -9)
    diary.keep_log(claimed, "CUDA out of memory")
    services.expire(job.pk, job.attempt)

    assert services.reap(Job.objects.get(pk=job.pk)) == "requeued"

    attempt = Attempt.objects.get(job=job)
    assert (attempt.outcome, attempt.exit, attempt.task) == ("lost", "worker: signal 9 (SIGKILL)", "work")
    assert [stage for stage, _ in attempt.stages] == ["processing"]
    text = support.get(page(job)).text
    for part in ("gpu-3:4711", "lost", "signal 9 (SIGKILL)", "CUDA out of memory", "Stage processing"):
        assert part in text, part


def test_the_record_stays_when_media_project_and_caller_are_gone(support: Client, alice: User) -> None:
    project = make_project(alice, external_id="shop-7")
    job = make_job(alice, project=project, status="completed", client_address="203.0.113.9", metadata={"order": "A-47"})
    job = services.delete_media(job)
    projects.delete(project)
    assert acts.forget_caller(alice.pk) == 1
    sha256 = job.asset.sha256 if job.asset else "?"

    for handle in (str(job.pk), str(project.pk), "shop-7", sha256, alice.email):
        assert found(support, handle) == [job], handle
    assert found(support, "A-47") == []
    text = support.get(page(job)).text
    for part in (sha256, "deleted", "shop-7", "Ledger: Capture", "its owner or support deleted it"):
        assert part in text, part
    assert "203.0.113.9" not in text
    assert "/media/jobs/" not in text


def test_a_job_whose_account_was_closed_still_leads_to_its_ledger(support: Client, alice: User) -> None:
    job = make_job(alice, status="completed")
    Job.objects.filter(pk=job.pk).update(owner=None, project=None)

    text = support.get(page(job)).text

    assert "closed and anonymised" in text
    assert reverse("admin:credits_ledgerentry_changelist") + f"?q={alice.pk}" in text


def test_support_cancels_and_requeues_through_the_services(support: Client, alice: User, sue: User) -> None:
    waiting, running = make_job(alice), make_job(alice, status="processing")

    assert "Queued again" in press(support, running, "requeue", reason="stuck").text
    assert "7.5 credits are free again" in press(support, waiting, "cancel", reason="asked by mail").text

    running.refresh_from_db()
    waiting.refresh_from_db()
    assert (running.status, running.attempt, running.lease) == ("queued", 2, None)
    assert waiting.status == "canceled"
    assert balance(alice) == (100_00, 7_50)
    line = Act.objects.get(action="cancel")
    assert (line.subject, line.account, line.staff_name) == (str(waiting.pk), alice.pk, sue.email)
    assert (line.reason, line.before["status"], line.after["status"]) == ("asked by mail", "queued", "canceled")
    assert "asked by mail" in support.get(page(waiting)).text


def test_a_charge_is_given_back_once_whatever_is_clicked(support: Client, alice: User, sue: User) -> None:
    job = make_job(alice, status="completed")
    number = uuid.uuid4()

    assert "7.5 credits given back" in press(support, job, "refund", reason="flicker", number=number).text
    assert DONE_ALREADY in press(support, job, "refund", reason="flicker", number=number).text
    assert "It was refunded before." in press(support, job, "refund", reason="flicker").text

    assert balance(alice) == (100_00, 0)
    entry = LedgerEntry.objects.get(kind="return")
    assert (entry.amount, entry.reference, entry.note, entry.staff) == (7_50, str(job.pk), "flicker", sue)
    assert Act.objects.filter(action="refund").count() == 1
    assert "refunded" in support.get(page(job)).text


def test_results_are_kept_longer_with_their_source(support: Client, alice: User) -> None:
    job = make_job(alice, status="completed", expires_at=timezone.now() + timedelta(days=1))
    before = job.expires_at
    assert before is not None

    assert "Kept until" in press(support, job, "extend", days="7").text
    assert "Days are 1 to 90" in press(support, job, "extend", days="365").text
    assert "whole number" in press(support, job, "extend", days="a week").text

    job.refresh_from_db()
    assert job.expires_at == before + timedelta(days=7)
    assert job.asset is not None
    job.asset.refresh_from_db()
    assert job.asset.expires_at == job.expires_at
    assert Act.objects.filter(action="extend").count() == 1


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_the_source_of_a_job_without_results_is_kept_longer(support: Client, alice: User, status: str) -> None:
    """Whoever has to find out why it failed needs it longer than the hours that sources are kept."""
    job = make_job(alice, status=status)
    assert job.asset is not None
    ends_at = timezone.now() + timedelta(hours=3)
    Asset.objects.filter(pk=job.asset.pk).update(expires_at=ends_at)

    assert "Kept until" in press(support, job, "extend", days="7").text

    job.refresh_from_db()
    job.asset.refresh_from_db()
    assert (job.asset.expires_at, job.expires_at) == (ends_at + timedelta(days=7), None)
    line = Act.objects.get()
    assert (line.before["source"], line.after["source"]) == (
        ends_at.isoformat(), (ends_at + timedelta(days=7)).isoformat()
    )  # fmt: skip


def test_media_are_deleted_and_the_line_tells_what_was_there(support: Client, alice: User) -> None:
    job = make_job(alice, status="completed")

    assert "The files are gone" in press(support, job, "delete", reason="takedown").text

    line = Act.objects.get()
    assert (line.before, line.after) == ({"results": 1, "source": "ready"}, {"results": 0, "source": "deleted"})
    assert "No file of it is kept." in press(support, job, "delete").text
    assert "No file of it is kept." in press(support, job, "extend", days="7").text


@pytest.mark.parametrize(
    ("status", "name", "words"),
    [
        ("completed", "requeue", "It is completed: a final state never changes."),
        ("created", "requeue", "It is a draft: its owner starts it."),
        ("failed", "cancel", "It is failed already."),
        ("failed", "refund", "Nothing was charged."),
        ("queued", "refund", "Nothing was charged."),
        ("processing", "extend", "It is not over: its source stays until then"),
        ("processing", "delete", "It is still processing: cancel it first."),
    ],
)
def test_a_button_that_does_not_apply_says_why(
    support: Client, alice: User, status: str, name: str, words: str
) -> None:
    job = make_job(alice, status=status)
    before = Job.objects.values().get(pk=job.pk)

    assert words in support.get(page(job)).text
    assert words in press(support, job, name, days="7").text

    assert Job.objects.values().get(pk=job.pk) == before
    assert not Act.objects.exists()


def test_nothing_is_done_without_a_reason_or_by_a_get(support: Client, alice: User) -> None:
    job = make_job(alice)

    assert "Say why" in press(support, job, "cancel", reason="  ").text
    assert "incomplete" in press(support, job, "cancel", number="7").text
    assert support.get(button(job, "cancel")).status_code == 405

    job.refresh_from_db()
    assert job.status == "queued"


def test_a_button_needs_the_pages_token(sue: User, alice: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(sue)

    assert press(strict, make_job(alice), "cancel").status_code == 403


def test_staff_who_may_only_look_cannot_act(client: Client, alice: User, db: None) -> None:
    viewer = make_user("vera@example.org", is_staff=True)
    viewer.user_permissions.add(*Permission.objects.filter(codename="view_job"))
    client.force_login(viewer)
    job = make_job(alice)

    assert press(client, job, "cancel").status_code == 403

    job.refresh_from_db()
    assert job.status == "queued"
    assert found(client, str(job.pk)) == [job]
    assert "Cancel…" not in client.get(page(job)).text


def test_lists_and_pages_cost_the_same_however_many_there_are(support: Client, alice: User) -> None:
    job = make_job(alice, project=make_project(alice), status="completed")
    make_job(alice, asset=job.asset, status="completed")
    at_one = _queries(support, LIST), _queries(support, page(job))
    for _ in range(2):
        make_job(alice, asset=job.asset, project=make_project(alice), status="completed")
        make_output(job, kind="matte")
        webhooks.emit(alice, "job.completed", url="https://hooks.example.org/in", body={}, subject=job.pk)

    assert (_queries(support, LIST), _queries(support, page(job))) == at_one


def _queries(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        client.get(address)
    return len(captured)


def test_what_was_asked_reads_as_the_caller_wrote_it(support: Client, alice: User) -> None:
    asked = {"trim": {"start": 0, "end": 1}, "keep_audio": False, "metadata": {"note": "Grüße"}}
    job = make_job(alice, status="completed", requested=asked)

    told = unescape(support.get(page(job)).text)

    assert [words in told for words in ('{"start": 0, "end": 1}', ">false<", '{"note": "Grüße"}')] == [True] * 3
    assert "{'" not in told


def test_credits_of_a_hold_are_told_in_credits(support: Client, alice: User) -> None:
    job = make_job(alice, status="completed")

    assert str(job.hold) == "captured hold of 7.5"


def test_a_mail_leads_back_to_its_job(support: Client, alice: User) -> None:
    alice.mails_finished_jobs = True
    job = make_job(alice, status="completed")
    letter = mail.job_finished(alice, job_id=job.pk, name="clip.mp4", is_completed=True, error="")

    assert letter is not None
    assert f'href="{page(job)}"' in support.get(page(letter)).text
