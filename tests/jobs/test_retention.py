"""What goes leaves a proof: which file, when, how many bytes, by which rule."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.services import issue_key
from apps.api import request_id
from apps.jobs import bulk, retention, services, support
from apps.jobs import projects as jobs_of
from apps.jobs.models import Job
from apps.jobs.representation import as_json
from apps.projects import services as projects
from apps.projects.models import Asset, Deletion
from tests.factories import make_asset, make_job, make_output, make_project
from tests.jobs.steps import refusal, submitted

PAST = timedelta(minutes=1)


def proofs() -> list[tuple[str, str, int]]:
    return [(row.rule, row.kind, row.size) for row in Deletion.objects.order_by("id")]


def test_delete_media_keeps_the_record(alice: User) -> None:
    job = make_job(alice, status="completed")
    make_output(job, kind="matte")
    asset = job.asset
    assert asset is not None
    files = [output.file for output in job.outputs.all()] + [asset.file]

    gone = services.delete_media(job)

    assert [file.storage.exists(file.name) for file in files] == [False, False]
    assert [(output["kind"], output["url"], output["bytes"]) for output in as_json(gone)["outputs"]] == [
        ("result", None, 8),
        ("matte", None, 8),
    ]
    assert as_json(gone)["input"]["sha256"] == asset.sha256
    assert (gone.asset and gone.asset.status) == "deleted"
    services.delete_media(gone)


def test_delete_media_spares_a_source_that_another_job_needs(alice: User) -> None:
    asset = make_asset(alice)
    done = make_job(alice, status="completed", asset=asset)
    waiting = make_job(alice, status="queued", asset=asset)

    services.delete_media(done)
    asset.refresh_from_db()
    assert asset.status == "ready"

    services.cancel(waiting)
    services.delete_media(Job.objects.get(pk=waiting.pk))
    asset.refresh_from_db()
    assert (asset.status, asset.file.name) == ("deleted", "")


def test_media_of_a_job_at_work_cannot_be_deleted(alice: User) -> None:
    assert refusal(lambda: services.delete_media(submitted(alice))).code == "conflict"


def test_a_sweep_notes_each_file_and_the_clock_that_ran_out(alice: User) -> None:
    project = make_project(alice, result_days=2)
    job = make_job(alice, project=project, status="completed", expires_at=timezone.now() - PAST)
    output, name = job.outputs.get(), str(job.outputs.get().file.name)

    assert (retention.delete_expired(), retention.delete_expired()) == (1, 0)

    (proof,) = Deletion.objects.all()
    assert (proof.rule, proof.kind, proof.name, proof.size) == ("expired", "result", name, output.size)
    assert (proof.sha256, proof.job_id, proof.project_id) == (output.sha256, job.pk, project.pk)
    assert proof.detail.startswith("the project keeps results 2 days; until 20")
    assert proof.request_id == ""


def test_the_sites_clock_is_named_where_the_project_has_none(alice: User) -> None:
    asset = make_asset(alice, project=make_project(alice))
    Asset.objects.filter(pk=asset.pk).update(expires_at=timezone.now() - PAST)

    assert retention.delete_expired() == 1

    (proof,) = Deletion.objects.all()
    assert (proof.rule, proof.kind, proof.asset_id) == ("expired", "video", asset.pk)
    assert proof.detail.startswith("the site keeps sources 24 hours; until 20")


def test_delete_now_says_which_request_asked(alice: User) -> None:
    job = make_job(alice, status="completed")
    api = Client(headers={"x-api-key": issue_key(alice, name="test")[1], "x-request-id": "trace-me-7"})

    assert api.delete(f"/v1/jobs/{job.pk}").status_code == 200

    assert proofs() == [("now", "result", 8), ("now", "video", 16)]
    assert set(Deletion.objects.values_list("request_id", flat=True)) == {"trace-me-7"}


def test_what_a_large_deletion_left_for_later_is_proved_as_asked_for(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep that takes it has no request of its own, and no clock had run out."""
    project = make_project(alice)
    jobs = [
        make_job(alice, project=project, status="completed", expires_at=timezone.now() + timedelta(days=7))
        for _ in range(3)
    ]
    monkeypatch.setattr(bulk, "ROUNDS", 1)
    monkeypatch.setattr(retention, "BATCH", 1)
    with request_id.bound("req_bulk"):
        assert bulk.delete_media(Job.objects.filter(project=project)) is False
    monkeypatch.undo()

    assert retention.delete_expired() == 4

    assert {job.pk for job in jobs} == set(Deletion.objects.exclude(job_id=None).values_list("job_id", flat=True))
    assert {rule for rule, _, _ in proofs()} == {"now"}
    assert set(Deletion.objects.values_list("request_id", flat=True)) == {"req_bulk"}
    later = Deletion.objects.exclude(detail="")
    assert set(later.values_list("detail", flat=True)) == {"with many others, of which this was left for later"}
    assert later.count() == 4


@pytest.mark.parametrize(("status", "left"), [("canceled", "deleted"), ("queued", "pending")])
def test_a_source_that_no_job_came_to_fetch_goes_when_one_would_that_had_come(
    alice: User, status: str, left: str
) -> None:
    """It was canceled before: nobody waits for it. A job that waits in a long line still gets it."""
    asset = projects.import_url(make_project(alice), "https://example.org/clip.mp4")
    Job.objects.filter(pk=make_job(alice, status=status).pk).update(asset=asset)
    assert asset.expires_at
    retention.delete_expired()
    asset.refresh_from_db()
    assert asset.status == "pending"
    Asset.objects.filter(pk=asset.pk).update(expires_at=timezone.now() - PAST)

    assert retention.delete_expired() == 0

    asset.refresh_from_db()
    assert asset.status == left
    assert not Deletion.objects.exists()


def test_files_that_support_keeps_longer_go_by_their_clock_again(alice: User) -> None:
    job = make_job(alice, status="completed", expires_at=timezone.now() + PAST, delete_request="req_bulk")
    Asset.objects.update(delete_request="req_bulk")

    support.extend(job, 1)

    assert list(Job.objects.values_list("delete_request", flat=True)) == [""]
    assert list(Asset.objects.values_list("delete_request", flat=True)) == [""]


def test_a_deleted_project_is_the_reason_for_all_that_was_in_it(alice: User) -> None:
    project = make_project(alice)
    make_job(alice, project=project, status="completed")

    jobs_of.delete(project)

    assert {rule for rule, _, _ in proofs()} == {"project"}
    assert Job.objects.get().expires_at is None or not Job.objects.get().outputs.exclude(file="").exists()


def test_the_proof_outlives_the_account(alice: User) -> None:
    job = make_job(alice, status="completed")
    retention.delete_media(job)
    Job.objects.all().delete()

    assert Deletion.objects.filter(job_id=job.pk).count() == 1


def test_folders_that_are_empty_go_too(alice: User, settings: Any) -> None:
    job = make_job(alice, status="completed")
    folder = Path(settings.DATA_DIR, "media", "jobs", str(job.pk))
    assert folder.is_dir()

    retention.delete_media(job)

    assert not folder.exists()
    assert folder.parent.is_dir()
