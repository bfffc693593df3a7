from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.files.base import ContentFile
from django.db import OperationalError

from apps.accounts.models import User
from apps.engine import child
from apps.engine.options import Background, Options
from apps.engine.report import Progress
from apps.errors import AppError
from apps.jobs import newest, reconcile, runner, services
from apps.jobs.models import Job, JobEvent, Output
from apps.projects import services as projects
from tests import clips
from tests.jobs.running import asset_of, at_first_tick, claimed, fresh, purse, stored_files

pytestmark = [
    pytest.mark.django_db(transaction=True, serialized_rollback=True),
    pytest.mark.usefixtures("clean_scratch"),
]


def before_complete(monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
    """Do something between the storing of the files and the settling of the job."""
    complete = services.complete

    def late(job: Job, *args: Any, **kwargs: Any) -> bool:
        act(job)
        return complete(job, *args, **kwargs)

    monkeypatch.setattr(services, "complete", late)


def test_a_job_goes_through_the_engine_and_is_paid(alice: User, clip: Path) -> None:
    job = claimed(alice, clip)

    runner.run(job)

    job = fresh(job)
    assert (job.status, job.error, job.charged, purse(alice)) == ("completed", "", 1_00, (99_00, 0))
    assert (job.frames_done, job.model_version, job.device) == (25, "chroma@1", "cpu")
    assert stored_files(job) == ["matte.mkv", "poster.webp", "preview.mp4", "result.webm"]
    result, preview, poster, matte = job.outputs.order_by("-kind")
    assert (result.kind, result.format, matte.kind) == ("result", "webm", "matte")
    assert (preview.kind, preview.format, preview.facts["frames"]) == ("preview", "stacked_mp4", 25)
    assert (poster.kind, poster.format, poster.facts["width"], poster.facts["frames"]) == ("poster", "webp", 96, 1)
    assert (result.facts["frames"], result.facts["alpha_mode"]) == (25, "straight")
    assert result.file.size == result.size > 0
    assert list(JobEvent.objects.filter(job=job).values_list("name", flat=True)) == [
        "created", "queued", "started", "verified", "completed",
    ]  # fmt: skip


def test_while_a_job_runs_its_newest_frame_can_be_seen(
    alice: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "TICK_SECONDS", 0.05)
    job, shown, put = claimed(alice, clips.make_clip(tmp_path / "long.mp4", frames=200)), [], newest.put

    def watched(job_id: UUID, picture: Path) -> None:
        put(job_id, picture)
        shown.append(newest.get(job_id))

    monkeypatch.setattr(newest, "put", watched)
    runner.run(job)

    assert fresh(job).status == "completed"
    assert any(picture and picture[8:12] == b"WEBP" for picture in shown)
    services.delete_media(fresh(job))
    assert newest.get(job.pk) is None


def test_a_picture_is_laid_under_the_cutout(alice: User, clip: Path, tmp_path: Path) -> None:
    picture = asset_of(alice, clips.make_picture(tmp_path / "back.png"), "background")
    options = Options("chroma", "mp4", Background("image", None, "cover"))

    job = claimed(alice, clip, options, background_asset=picture)
    runner.run(job)

    assert (fresh(job).status, fresh(job).error) == ("completed", "")


def test_a_canceled_job_stops_within_a_tick_and_leaves_nothing(
    alice: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = claimed(alice, clips.make_clip(tmp_path / "long.mp4", frames=500))
    at_first_tick(monkeypatch, lambda job: services.cancel(fresh(job)))

    runner.run(job)

    assert (fresh(job).status, stored_files(job), purse(alice)) == ("canceled", [], (100_00, 0))
    assert Output.objects.count() == 0


def test_files_of_a_job_canceled_before_it_was_settled_are_deleted_again(
    alice: User, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = claimed(alice, clip)
    before_complete(monkeypatch, lambda job: services.cancel(fresh(job)))

    runner.run(job)

    assert (fresh(job).status, stored_files(job), purse(alice)) == ("canceled", [], (100_00, 0))


def test_a_worker_that_lost_its_lease_deletes_what_it_stored(
    alice: User, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = claimed(alice, clip)

    def replaced(job: Job) -> None:
        services.expire(job.pk, 1)
        assert services.reap(fresh(job)) == "requeued"
        assert services.claim(job.pk, 2, "another") is not None

    before_complete(monkeypatch, replaced)

    runner.run(job)

    now = fresh(job)
    assert (now.status, now.attempt, now.worker, stored_files(job)) == ("processing", 2, "another", [])
    assert purse(alice) == (100_00, 1_00)


def test_files_stay_when_the_database_breaks_while_settling(
    alice: User, clip: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """The answer to a COMMIT may get lost after it was done: deleting here could delete a delivered file."""
    settings.LEASE_SECONDS = 0
    job = claimed(alice, clip)

    def lost(*_: object, **__: object) -> bool:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(services, "complete", lost)

    runner.run(job)

    assert fresh(job).status == "processing"
    assert stored_files(job) == ["matte.mkv", "poster.webp", "preview.mp4", "result.webm"]
    services.expire(job.pk, 1)
    assert reconcile.reap_lost() == 1
    assert (fresh(job).status, fresh(job).attempt, stored_files(job)) == ("queued", 2, [])


def test_a_job_whose_completion_was_not_heard_of_is_delivered_once(
    alice: User, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, complete, calls = claimed(alice, clip), services.complete, list[bool]()

    def unheard(*args: Any, **how: Any) -> bool:
        calls.append(complete(*args, **how))
        if len(calls) == 1:
            raise OperationalError("server closed the connection unexpectedly")
        return calls[-1]

    monkeypatch.setattr(services, "complete", unheard)

    runner.run(job)

    assert calls == [True, False]
    assert (fresh(job).status, purse(alice)) == ("completed", (99_00, 0))
    assert stored_files(job) == ["matte.mkv", "poster.webp", "preview.mp4", "result.webm"]


def test_a_database_that_is_away_for_a_moment_costs_no_attempt(
    alice: User, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, tick, calls = claimed(alice, clip), services.tick, list[Job]()

    def away(job: Job, *args: Any, **how: Any) -> bool:
        calls.append(job)
        if len(calls) < 3:
            raise OperationalError("the database system is starting up")
        return tick(job, *args, **how)

    monkeypatch.setattr(services, "tick", away)

    runner.run(job)

    assert (fresh(job).status, fresh(job).attempt) == ("completed", 1)


def test_a_worker_that_has_to_go_gives_the_job_back(
    alice: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a minute of clip: the engine is nowhere near its end when the sign goes up."""
    job = claimed(alice, clips.make_clip(tmp_path / "long.mp4", frames=750))
    at_first_tick(monkeypatch, lambda _: runner.stop_sign.put_up())
    try:
        runner.run(job)
    finally:
        runner.stop_sign.take_down()

    assert (fresh(job).status, fresh(job).attempt, fresh(job).lease) == ("queued", 1, None)
    assert purse(alice) == (100_00, 30_00)


def test_an_engine_that_was_killed_costs_an_attempt(
    alice: User, clip: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    start = child.start

    def doomed(*args: Any, **kwargs: Any) -> child.Run:
        run = start(*args, **kwargs)
        os.kill(run.pid, signal.SIGKILL)
        return run

    monkeypatch.setattr(child, "start", doomed)
    job = claimed(alice, clip)

    for attempt in range(1, settings.MAX_ATTEMPTS):
        runner.run(job)
        assert reconcile.reap_lost() == 1
        assert (fresh(job).status, fresh(job).attempt, purse(alice)) == ("queued", attempt + 1, (100_00, 1_00))
        again = services.claim(job.pk, attempt + 1, "w")
        assert again is not None
        job = again
    runner.run(job)

    assert (fresh(job).status, fresh(job).error_code, purse(alice)) == ("failed", "out_of_memory", (100_00, 0))


def test_a_job_over_its_time_is_stopped_and_free(alice: User, clip: Path, settings: Any) -> None:
    settings.JOB_TIMEOUT_SECONDS = settings.JOB_TIMEOUT_SECONDS_PER_FRAME = 0

    job = claimed(alice, clip)
    runner.run(job)

    assert (fresh(job).status, fresh(job).error_code, purse(alice)) == ("failed", "timeout", (100_00, 0))


def test_a_job_that_stands_still_is_tried_again_and_free_in_the_end(alice: User, clip: Path, settings: Any) -> None:
    settings.JOB_STALL_SECONDS, settings.MAX_ATTEMPTS = 0, 2

    job = claimed(alice, clip)
    runner.run(job)
    assert (fresh(job).status, reconcile.reap_lost()) == ("processing", 1)
    again = services.claim(job.pk, 2, "w")
    assert again is not None
    runner.run(again)

    assert (fresh(job).status, fresh(job).error_code, purse(alice)) == ("failed", "timeout", (100_00, 0))
    assert "stood still" in fresh(job).error


def test_what_the_engine_said_is_kept_while_it_works(alice: User, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is killed has no time to tell."""
    job, kept = claimed(alice, clip), list[str]()
    monkeypatch.setattr(runner, "TICK_SECONDS", 0.05)
    start, tick = child.start, services.tick

    def talking(*args: Any, **how: Any) -> child.Run:
        how["log"].write_text("WARNING the decoder complains\n")
        return start(*args, **how)

    def watched(job: Job, *args: Any, **how: Any) -> bool:
        kept.extend(job.attempts.values_list("log", flat=True))
        return tick(job, *args, **how)

    monkeypatch.setattr(child, "start", talking)
    monkeypatch.setattr(services, "tick", watched)

    runner.run(job)

    assert fresh(job).status == "completed"
    assert any(log.startswith("WARNING the decoder complains") for log in kept)


def test_one_more_frame_is_no_standstill(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(runner.time, "monotonic", lambda: now[0])
    watch = runner.Watch(frames=10_000)

    for frames in range(5):
        now[0] += settings.JOB_STALL_SECONDS
        watch.look(Progress("processing", frames, 10, 50.0, None))
    now[0] += settings.JOB_STALL_SECONDS + 1
    with pytest.raises(TimeoutError, match="stood still for 30 minutes"):
        watch.look(Progress("processing", 4, 10, 50.0, None))


def test_a_longer_film_may_take_longer(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.JOB_TIMEOUT_SECONDS, settings.JOB_TIMEOUT_SECONDS_PER_FRAME, settings.JOB_STALL_SECONDS = 100, 2.0, 10**6
    now = [0.0]
    monkeypatch.setattr(runner.time, "monotonic", lambda: now[0])
    short, long = runner.Watch(frames=10), runner.Watch(frames=1000)

    now[0] = 121.0

    long.look(None)
    with pytest.raises(TimeoutError, match="took longer"):
        short.look(None)


def test_less_than_half_of_a_file_fails_as_truncated_and_free(alice: User, tmp_path: Path) -> None:
    """The index lists every frame, so only the work itself finds out."""
    path = clips.make_clip(tmp_path / "torn.mp4", width=160, height=120, frames=50)
    job = claimed(alice, path)
    data = bytearray(path.read_bytes())
    data[len(data) * 3 // 10 : len(data) * 95 // 100] = bytes(len(data) * 95 // 100 - len(data) * 3 // 10)
    assert job.asset is not None
    job.asset.file.storage.delete(job.asset.file.name)
    job.asset.file.storage.save(job.asset.file.name, ContentFile(bytes(data)))

    runner.run(job)

    job = fresh(job)
    assert (job.status, job.error_code, job.charged, purse(alice)) == ("failed", "input_truncated", 0, (100_00, 0))
    assert stored_files(job) == []


def test_a_torn_upload_is_refused_and_nothing_of_it_kept(alice: User, tmp_path: Path) -> None:
    torn = clips.make_truncated(tmp_path / "torn.mp4", keep=0.4)

    with pytest.raises(AppError, match="Only") as refusal:
        projects.look(torn, kind="video")

    assert (refusal.value.code, refusal.value.status) == ("unsupported_media", 422)


def test_a_file_longer_than_what_was_held_fails_as_changed(alice: User, tmp_path: Path) -> None:
    job = claimed(alice, clips.make_clip(tmp_path / "long.mp4", frames=75))
    Job.objects.filter(pk=job.pk).update(held_seconds=1.0)

    runner.run(fresh(job))

    assert (fresh(job).status, fresh(job).error_code, stored_files(job)) == ("failed", "input_changed", [])
    assert purse(alice) == (100_00, 0)


def test_a_file_the_engine_refuses_fails_with_its_reason(alice: User, clip: Path) -> None:
    job = claimed(alice, clip)
    assert job.asset is not None
    job.asset.file.storage.delete(job.asset.file.name)
    job.asset.file.storage.save(job.asset.file.name, ContentFile(b"no video at all"))

    runner.run(job)

    job = fresh(job)
    assert (job.status, job.error_code, job.charged, purse(alice)) == ("failed", "unsupported_media", 0, (100_00, 0))
    assert job.error


def test_a_model_that_was_removed_fails_with_words(
    alice: User, clip: Path, settings: Any, tmp_path: Path, weights_here: None
) -> None:
    settings.MODELS_DIR = tmp_path

    job = claimed(alice, clip, Options("light"))
    runner.run(job)

    assert (fresh(job).status, fresh(job).error_code) == ("failed", "internal_error")
    assert "removed" in fresh(job).error


def test_a_fault_of_ours_is_noted_and_free(alice: User, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError("No space left on device")

    job = claimed(alice, clip)
    monkeypatch.setattr(runner, "_store", broken)

    runner.run(job)

    job = fresh(job)
    assert (job.status, job.error_code, job.error, purse(alice)) == (
        "failed", "internal_error", runner.FAULT, (100_00, 0),
    )  # fmt: skip
    assert "No space left" in job.result["log_tail"]
