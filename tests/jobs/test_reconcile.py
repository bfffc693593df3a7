from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import User
from apps.credits.models import Wallet
from apps.errors import Unavailable
from apps.jobs import attempts, diary, reconcile, remains, retention, services
from apps.jobs.management.commands.reconcile import MEDIA_REST_SECONDS, Command
from apps.jobs.models import Attempt, Job, JobEvent, Output
from apps.projects import services as projects
from apps.projects.models import Asset, media_storage
from apps.webhooks.models import Delivery
from tests.factories import make_asset, make_job, make_output
from tests.jobs.conftest import CHROMA


def lost(job: Job) -> Job:
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    return Job.objects.get(pk=job.pk)


def test_a_lost_workers_job_is_queued_again_as_a_new_attempt(alice: User) -> None:
    job = lost(make_job(alice, status="processing"))
    healthy = make_job(alice, status="processing")

    assert reconcile.reap_lost() == 1

    job.refresh_from_db()
    healthy.refresh_from_db()
    assert (job.status, job.stage, job.attempt, job.lease) == ("queued", "waiting", 2, None)
    assert (healthy.status, healthy.attempt) == ("processing", 1)
    assert Wallet.objects.get(user=alice).held == 15_00
    assert reconcile.reap_lost() == 0


def test_the_last_attempt_fails_the_job_and_frees_its_credits(alice: User, settings: Any) -> None:
    job = lost(make_job(alice, status="processing", attempt=settings.MAX_ATTEMPTS, webhook_url="https://example.org/h"))

    assert reconcile.reap_lost() == 1

    job.refresh_from_db()
    assert (job.status, job.error_code, job.charged) == ("failed", "worker_lost", 0)
    assert "Nothing was charged" in job.error
    assert Wallet.objects.values_list("balance", "held").get(user=alice) == (100_00, 0)
    assert Delivery.objects.get(subject=job.pk).event == "job.failed"


def test_a_lost_fetch_is_fetched_again(alice: User) -> None:
    job = services.submit(alice, video_url="https://example.org/clip.mp4", options=CHROMA)
    attempts.claim_preparation(job.pk, 1, "w")
    lost(job)

    assert reconcile.reap_lost() == 1

    job.refresh_from_db()
    assert (job.status, job.stage, job.attempt) == ("queued", "fetching", 2)
    assert attempts.claim_preparation(job.pk, 2, "w") is not None


def test_a_worker_that_wakes_before_the_reaper_keeps_its_job(alice: User) -> None:
    stale = lost(make_job(alice, status="processing"))
    assert services.tick(stale)

    assert services.reap(stale) == ""

    stale.refresh_from_db()
    assert (stale.status, stale.attempt) == ("processing", 1)


def test_what_a_lost_attempt_had_stored_is_deleted(alice: User) -> None:
    job = lost(make_job(alice, status="processing"))
    storage = media_storage()
    storage.save(f"jobs/{job.pk}/1/result.webm", ContentFile(b"half done"))

    reconcile.reap_lost()

    assert not storage.exists(f"jobs/{job.pk}/1/result.webm")


def test_what_could_not_be_deleted_at_once_is_looked_for_again(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    job, storage = lost(make_job(alice, status="processing")), media_storage()
    diary.begin(job.pk, "work", number=1, worker="w", lease=job.lease or uuid4())
    storage.save(f"jobs/{job.pk}/1/result.webm", ContentFile(b"half done"))

    def away(*_: object) -> int:
        raise Unavailable("The store does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(retention, "discard_attempt", away)
        assert reconcile.reap_lost() == 1
    assert (reconcile.sweep(), storage.exists(f"jobs/{job.pk}/1/result.webm")) == (0, True)
    Attempt.objects.update(ended_at=timezone.now() - remains.SETTLED_AFTER)

    assert reconcile.sweep() == 1

    assert not storage.exists(f"jobs/{job.pk}/1/result.webm")
    assert Attempt.objects.get().is_cleared
    assert reconcile.sweep() == 0


def test_what_lies_where_a_job_given_back_is_at_work_again_stays(alice: User) -> None:
    job, storage = make_job(alice, status="processing"), media_storage()
    for number, lease in ((1, uuid4()), (2, job.lease or uuid4())):
        diary.begin(job.pk, "work", number=1, worker=f"w{number}", lease=lease)
        Attempt.objects.filter(ended_at=None, worker="w1").update(ended_at=timezone.now() - timedelta(hours=1))
    storage.save(f"jobs/{job.pk}/1/result.webm", ContentFile(b"just stored"))

    assert reconcile.sweep() == 0

    assert storage.exists(f"jobs/{job.pk}/1/result.webm")


def test_a_source_that_was_stored_and_never_recorded_goes(alice: User) -> None:
    """Its worker was killed in between, and the next one stored it once more."""
    job, storage = make_job(alice, status="failed"), media_storage()
    assert job.asset is not None
    diary.begin(job.pk, "fetch", number=1, worker="w", lease=uuid4())
    Attempt.objects.update(ended_at=timezone.now() - timedelta(hours=1), outcome="lost")
    stray = storage.save(f"assets/{job.asset.pk}/source", ContentFile(b"stored twice"))

    assert reconcile.sweep() == 1

    assert (storage.exists(stray), storage.exists(str(job.asset.file.name))) == (False, True)


def test_the_scratch_of_a_lost_attempt_goes_with_it(alice: User, settings: Any, tmp_path: Path) -> None:
    """Not an hour later: three killed attempts at a large clip would fill the disk."""
    settings.SCRATCH_DIR = tmp_path
    job, healthy = lost(make_job(alice, status="processing")), make_job(alice, status="processing")
    for each in (job, healthy):
        (tmp_path / f"{each.pk}-{each.lease}").mkdir()
        (tmp_path / f"{each.pk}-{each.lease}" / "matte.mkv.part").write_bytes(b"half done")

    reconcile.reap_lost()

    assert [path.name for path in tmp_path.iterdir()] == [f"{healthy.pk}-{healthy.lease}"]


def test_drafts_are_left_alone(alice: User) -> None:
    make_job(alice, status="created")

    done = reconcile.reconcile()

    assert set(done.values()) == {0}
    assert JobEvent.objects.count() == 1


def test_expired_media_go_and_their_records_stay(alice: User) -> None:
    old, fresh = make_job(alice, status="completed"), make_job(alice, status="completed")
    yesterday = timezone.now() - timedelta(days=1)
    Job.objects.filter(pk=old.pk).update(expires_at=yesterday)
    Job.objects.filter(pk=fresh.pk).update(expires_at=timezone.now() + timedelta(days=1))
    Asset.objects.filter(pk=old.asset_id).update(expires_at=yesterday)

    assert reconcile.delete_media() == 2

    old, fresh = (Job.objects.with_details().get(pk=job.pk) for job in (old, fresh))
    gone, kept = old.outputs.get(), fresh.outputs.get()
    assert (gone.file.name, gone.deleted_at is not None, len(gone.sha256)) == ("", True, 64)
    assert media_storage().exists(kept.file.name)
    assert old.asset is not None
    assert fresh.asset is not None
    assert (old.asset.status, old.asset.file.name, len(old.asset.sha256)) == ("deleted", "", 64)
    assert fresh.asset.status == "ready"
    assert reconcile.delete_media() == 0


@pytest.mark.parametrize("role", ["asset", "background_asset"])
def test_a_source_in_use_is_not_deleted_when_its_time_comes(alice: User, role: str) -> None:
    asset = make_asset(alice, kind="background" if role == "background_asset" else "video")
    Asset.objects.filter(pk=asset.pk).update(expires_at=timezone.now() - timedelta(days=1))
    job = make_job(alice, **{role: asset})

    assert reconcile.delete_media() == 0

    services.cancel(job)
    assert reconcile.delete_media() == 1


def test_a_deletion_that_was_interrupted_is_finished(alice: User) -> None:
    asset = make_asset(alice)
    name = asset.file.name
    Asset.objects.filter(pk=asset.pk).update(status="deleted")

    assert reconcile.delete_media() == 1

    assert not media_storage().exists(name)


def test_scratch_of_a_fetch_that_was_killed_goes_within_minutes_and_that_of_a_slow_one_stays(
    db: None, settings: Any, tmp_path: Path
) -> None:
    """It counts against the room of all that work here. No lease names it; the kernel says whether its maker lives."""
    settings.SCRATCH_DIR = tmp_path
    (tmp_path / f"ingest-{uuid4()}").mkdir()
    with projects.scratch() as slow:
        for folder in tmp_path.iterdir():
            os.utime(folder, (time.time() - 7200,) * 2)

        assert reconcile.sweep() == 1

        assert list(tmp_path.iterdir()) == [slow]
    assert list(tmp_path.iterdir()) == []


def test_scratch_of_the_dead_goes_and_that_of_the_living_stays(alice: User, settings: Any, tmp_path: Path) -> None:
    settings.SCRATCH_DIR = tmp_path
    job = make_job(alice, status="processing")
    names = {"working": f"{job.pk}-{job.lease}", "dead": f"{job.pk}-{uuid4()}", "young": f"ingest-{uuid4()}"}
    for name in names.values():
        (tmp_path / name).mkdir()
        (tmp_path / name / "source").write_bytes(b"x")
    (tmp_path / "half.upload.mp4").write_bytes(b"x")
    hours_ago = time.time() - 7200
    for name in (names["working"], names["dead"], "half.upload.mp4"):
        os.utime(tmp_path / name, (hours_ago, hours_ago))

    assert reconcile.sweep() == 2

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted((names["working"], names["young"]))


def test_one_broken_step_does_not_stop_the_others(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    job = lost(make_job(alice, status="processing"))

    def broken(*_: object) -> int:
        raise ConnectionError("Stripe is down")

    monkeypatch.setattr(reconcile.stripe, "converge_open_purchases", broken)
    monkeypatch.setattr(reconcile.sending, "ring_for_due", broken)

    done = reconcile.reconcile()

    assert (done["reap_lost"], done["send_due"], done["ask_stripe"]) == (1, 0, 0)
    assert Job.objects.get(pk=job.pk).attempt == 2


def test_the_command_survives_a_lost_database(
    alice: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(*_: object) -> dict[str, int]:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr("apps.jobs.management.commands.reconcile.reconcile", gone)
    monkeypatch.setattr("apps.jobs.management.commands.reconcile.connections.close_all", lambda: None)
    monkeypatch.setattr("apps.jobs.management.commands.reconcile.close_old_connections", lambda: None)

    Command().round()

    assert "no database in this round" in caplog.text


@pytest.mark.parametrize("there", [True, False])
def test_a_database_that_was_not_migrated_is_told_in_a_sentence(
    there: bool, alice: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def absent(*_: object) -> dict[str, int]:
        raise OperationalError("no such table: jobs_job")

    monkeypatch.setattr("apps.jobs.management.commands.reconcile.reconcile", absent)
    monkeypatch.setattr("apps.jobs.management.commands.reconcile.connections.close_all", lambda: None)
    monkeypatch.setattr("apps.jobs.management.commands.reconcile.close_old_connections", lambda: None)
    if not there:
        monkeypatch.setattr(connection.introspection, "table_names", lambda *_: [])

    Command().round()

    (record,) = [record for record in caplog.records if "no database in this round" in record.message]
    assert bool(record.exc_info) == there
    assert ("manage.py migrate" in record.message) != there


def test_the_command_rests_from_looking_for_files_once_it_finds_none(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.jobs.management.commands.reconcile.close_old_connections", lambda: None)
    command = Command()
    command.round()
    job = make_job(alice, status="completed")
    Job.objects.filter(pk=job.pk).update(expires_at=timezone.now() - timedelta(seconds=1))

    command.round()
    assert Output.objects.get(job=job).file

    command.media_at -= MEDIA_REST_SECONDS
    command.round()
    assert not Output.objects.get(job=job).file


def test_a_sweep_asks_for_each_kind_of_source_apart_and_in_no_order() -> None:
    """With an OR, or by their age, a database goes through all sources that there ever were, every few seconds."""
    with CaptureQueriesContext(connection) as captured:
        reconcile.delete_media()

    asked = [row["sql"] for row in captured if 'FROM "projects_asset"' in row["sql"]]
    assert len(asked) == 2
    assert not [sql for sql in asked if "ORDER BY" in sql or 'OR "projects_asset"."file"' in sql]


def test_the_command_tells_what_one_round_did(alice: User, capsys: pytest.CaptureFixture[str]) -> None:
    lost(make_job(alice, status="processing"))

    call_command("reconcile", "--once")

    assert "reap_lost=1" in capsys.readouterr().out


def test_outputs_of_a_completed_attempt_are_never_taken_for_remains(alice: User) -> None:
    job = make_job(alice, status="completed")
    output = make_output(job, kind="matte")

    assert retention.discard_attempt(job.pk, 1) == 0

    assert media_storage().exists(output.file.name)
