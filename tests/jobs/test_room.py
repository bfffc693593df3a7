"""Room in scratch: who is let in, who waits without harm, and who is told that it will never do."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import User
from apps.engine.sizes import FIXED_BYTES
from apps.errors import AppError
from apps.jobs import attempts, room, runner, services, tasks, turns
from apps.jobs.models import Attempt, Job
from tests.factories import make_asset, make_job
from tests.jobs.conftest import CHROMA
from tests.jobs.running import asset_of, fresh, purse

MB = 1_000_000

pytestmark = pytest.mark.usefixtures("clean_scratch")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """As much as one says is free."""
    told = SimpleNamespace(free=10_000 * MB)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: told)
    return told


def waits(user: User, megabytes: int, *, minutes: float = 0) -> Job:
    queued_at = timezone.now() - timedelta(minutes=minutes)
    return make_job(
        user, asset=make_asset(user, duration=0.1), model="chroma", scratch_bytes=megabytes * MB, queued_at=queued_at
    )


def let_go(*jobs: Job | None) -> None:
    for job in jobs:
        assert job is not None
        room.give_up(f"{job.pk}-{job.lease}")


def test_no_more_is_promised_than_the_budget_holds(alice: User, settings: Any) -> None:
    settings.SCRATCH_BYTES = 100 * MB
    first, second = waits(alice, 60, minutes=2), waits(alice, 60, minutes=1)

    taken = attempts.claim_next("w")
    with pytest.raises(room.Full):
        attempts.claim_next("w")

    assert taken is not None
    assert (taken.pk, room.look().left) == (first.pk, 40 * MB)
    assert (fresh(second).status, fresh(second).attempt, second.attempts.count()) == ("queued", 1, 0)
    let_go(taken)
    again = attempts.claim_next("w")
    assert again is not None
    assert again.pk == second.pk
    let_go(again)


def test_the_free_disk_counts_too(alice: User, disk: SimpleNamespace) -> None:
    disk.free = 50 * MB + room.SPARE_BYTES
    job = waits(alice, 60)

    with pytest.raises(room.Full):
        attempts.claim_next("w")

    disk.free += 10 * MB
    taken = attempts.claim_next("w")
    assert taken is not None
    assert taken.pk == job.pk
    let_go(taken)


def test_what_lies_there_counts_and_what_is_only_linked_does_not(settings: Any, tmp_path: Path) -> None:
    settings.SCRATCH_BYTES = 100 * MB
    stored, folder = tmp_path / "stored", settings.SCRATCH_DIR / "attempt"
    stored.write_bytes(b"x" * 3 * MB)
    assert room.take("attempt", 2 * MB) is room.Fit.NOW
    os.link(stored, folder / "source")

    linked = room.look()
    (folder / "result").write_bytes(b"x" * 5 * MB)
    written = room.look()

    assert (linked.used, linked.promised, linked.left) == (0, 2 * MB, 98 * MB)
    assert (written.promised, round(written.used / MB), round(written.left / MB)) == (0, 5, 95)
    room.give_up("attempt")


def test_smaller_jobs_pass_one_that_has_no_room_but_not_for_ever(alice: User, charlie: User, settings: Any) -> None:
    settings.SCRATCH_BYTES = 100 * MB
    running = waits(charlie, 50, minutes=30)
    assert attempts.claim_next("w") is not None
    large, small = waits(alice, 80, minutes=9), waits(alice, 10, minutes=1)

    passed = attempts.claim_next("w")

    assert passed is not None
    assert passed.pk == small.pk
    waits(alice, 10)
    Job.objects.filter(pk=large.pk).update(queued_at=timezone.now() - timedelta(minutes=11))
    with pytest.raises(room.Full):
        attempts.claim_next("w")
    let_go(fresh(running), passed)
    taken = attempts.claim_next("w")
    assert taken is not None
    assert taken.pk == large.pk
    let_go(taken)


def test_what_would_not_fit_even_alone_keeps_nobody_waiting(alice: User, settings: Any) -> None:
    """Another machine has more; here its turn must not stop the rest."""
    settings.SCRATCH_BYTES = 100 * MB
    waits(alice, 500, minutes=60)
    small = waits(alice, 10)

    taken = attempts.claim_next("w")

    assert taken is not None
    assert taken.pk == small.pk
    let_go(taken)


def test_a_claim_that_came_too_late_keeps_no_room(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    waits(alice, 60)
    monkeypatch.setattr(attempts, "claim", lambda *_, **__: None)

    assert attempts.claim_next("w") is None

    assert room.look().promised == 0


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_job_that_outgrows_its_room_is_given_back_and_asks_for_more(
    alice: User, clip: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "need", lambda *_: 1_000)
    job = services.submit(alice, asset=asset_of(alice, clip), options=CHROMA)
    taken = attempts.claim_next("w")
    assert taken is not None
    folder = settings.SCRATCH_DIR / f"{taken.pk}-{taken.lease}"

    keep = room.keep

    def grown(of: Path) -> None:
        (folder / "matte").write_bytes(b"x" * 4 * MB)
        settings.SCRATCH_BYTES = 5 * MB
        keep(of)

    monkeypatch.setattr(room, "keep", grown)
    runner.run(taken)
    monkeypatch.setattr(room, "keep", keep)

    job = fresh(job)
    assert (job.status, job.attempt, job.lease, purse(alice)) == ("queued", 1, None, (100_00, 1_00))
    assert job.scratch_bytes > 1.4 * 4 * MB
    assert list(Attempt.objects.filter(job=job).values_list("outcome", flat=True)) == ["given_back"]
    settings.SCRATCH_BYTES = 0
    again = attempts.claim_next("w")
    assert again is not None
    runner.run(again)
    assert (fresh(job).status, fresh(job).attempt, fresh(job).charged) == ("completed", 1, 1_00)


def test_an_attempt_that_outgrows_its_promise_is_promised_more_where_there_is(settings: Any) -> None:
    settings.SCRATCH_BYTES = 100 * MB
    folder = settings.SCRATCH_DIR / "attempt"
    room.take("attempt", 1 * MB)
    (folder / "matte").write_bytes(b"x" * 10 * MB)

    room.keep(folder)

    assert 14 < (room.look().used + room.look().promised) / MB < 16
    room.give_up("attempt")


def test_a_job_larger_than_the_budget_is_refused_and_costs_nothing(
    alice: User, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    asset = make_asset(alice)
    settings.SCRATCH_BYTES = 1 * MB

    with pytest.raises(AppError) as refused:
        services.submit(alice, asset=asset, options=CHROMA)

    assert (refused.value.code, refused.value.status) == ("limit_exceeded", 422)
    assert "working space, more than this site gives to one" in refused.value.message
    assert "SCRATCH_BYTES is 1000000" in caplog.text
    assert (Job.objects.count(), purse(alice)) == (0, (100_00, 0))


def test_a_call_heard_where_there_is_no_room_is_passed_on(
    alice: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SCRATCH_BYTES = 100 * MB
    running, waiting = waits(alice, 60, minutes=1), waits(alice, 60)
    first = attempts.claim_next("w")
    rung, ran = [], []
    monkeypatch.setattr(tasks.doorbell, "ring", rung.append)
    monkeypatch.setattr(tasks.runner, "run", ran.append)

    def wait(seconds: float) -> bool:
        let_go(first)
        return False

    monkeypatch.setattr(tasks.stop_sign, "is_up_within", wait)
    tasks.run_next()

    assert (first and first.pk, [job.pk for job in ran]) == (running.pk, [waiting.pk])
    assert rung == [turns.PREVIEWS, turns.WORK]
    let_go(*ran)


def test_a_worker_told_to_stop_waits_for_no_room(alice: User, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SCRATCH_BYTES = 100 * MB
    waits(alice, 200)
    monkeypatch.setattr(tasks.stop_sign, "is_up_within", lambda seconds: True)

    assert tasks.run_next() is None

    assert Attempt.objects.count() == 0


def test_what_a_job_needs_grows_with_its_clip_and_with_what_is_made_of_it(alice: User) -> None:
    small, long = make_asset(alice), make_asset(alice, frames=1500, duration=60.0)
    jobs = {
        "small": services.submit(alice, asset=small, options=CHROMA),
        "long": services.submit(alice, asset=long, options=CHROMA),
    }

    need = {name: job.scratch_bytes for name, job in jobs.items()}

    assert need["small"] > FIXED_BYTES
    assert need["long"] - FIXED_BYTES == pytest.approx(6 * (need["small"] - FIXED_BYTES), rel=0.01)
