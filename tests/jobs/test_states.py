from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.accounts.models import User
from apps.credits import prices
from apps.credits.models import LedgerEntry
from apps.engine.report import Progress
from apps.jobs import services
from apps.jobs.models import Job, Output
from apps.jobs.states import ARROWS, move
from tests.factories import make_job, make_quality
from tests.jobs.conftest import a_result
from tests.jobs.steps import claimed, purse, refusal, stored, submitted, timeline, told


def test_a_second_worker_finds_nothing_to_claim(alice: User) -> None:
    job = submitted(alice)

    first = services.claim(job.pk, 1, "worker-1")

    assert first is not None
    assert (first.status, first.stage, first.worker) == ("processing", "processing", "worker-1")
    assert first.lease is not None
    assert services.claim(job.pk, 1, "worker-2") is None
    assert told(job) == ["job.started"]


def test_a_ring_for_an_older_attempt_claims_nothing(alice: User) -> None:
    job = submitted(alice)
    Job.objects.filter(pk=job.pk).update(attempt=2)

    assert services.claim(job.pk, 1, "worker-1") is None


def test_an_accounts_fourth_job_waits(alice: User, charlie: User) -> None:
    jobs = [submitted(alice) for _ in range(4)]
    running = [services.claim(job.pk, 1, "w") for job in jobs]

    assert [job is not None for job in running] == [True, True, True, False]
    assert services.claim(submitted(charlie).pk, 1, "w") is not None

    services.cancel(jobs[0])
    assert services.claim(jobs[3].pk, 1, "w") is not None


def test_tick_is_progress_heartbeat_and_stop_sign(alice: User) -> None:
    job = claimed(alice)
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now())

    assert services.tick(job, Progress("processing", 125, 250, 50.0, 12.5))

    job.refresh_from_db()
    assert (job.progress, job.frames_done, job.frames_total, job.eta_seconds) == (50.0, 125, 250, 12.5)
    assert job.lease_until is not None
    assert job.lease_until > timezone.now() + timedelta(seconds=3)
    services.cancel(job)
    assert not services.tick(job, Progress("processing", 126, 250, 50.4, 12.4))
    job.refresh_from_db()
    assert (job.status, job.frames_done) == ("canceled", 125)


def test_give_back_queues_the_same_attempt(alice: User) -> None:
    job = claimed(alice)

    assert services.give_back(job)

    again = Job.objects.get(pk=job.pk)
    assert (again.status, again.stage, again.attempt, again.lease) == ("queued", "waiting", 1, None)
    assert not services.tick(job)
    assert services.claim(job.pk, 1, "worker-2") is not None
    assert purse(alice) == (100_00, 10_00)
    assert told(job) == ["job.started"]


def test_complete_delivers_and_charges(alice: User) -> None:
    job = claimed(alice)

    assert services.complete(job, a_result(), [stored(), stored("matte")], log_tail="fine")

    job = Job.objects.with_details().get(pk=job.pk)
    assert (job.status, job.stage, job.progress, job.charged, job.lease) == ("completed", "", 100, 10_00, None)
    assert (job.model_version, job.device, job.result["log_tail"]) == ("chroma@1", "cpu", "fine")
    assert job.quality == make_quality()
    assert "quality" not in job.result
    assert purse(alice) == (90_00, 0)
    assert LedgerEntry.objects.get(reference=str(job.pk)).amount == -10_00
    assert sorted(Output.objects.values_list("kind", "attempt", "file")) == [
        ("matte", 1, "jobs/x/1/matte.webm"),
        ("result", 1, "jobs/x/1/result.webm"),
    ]
    assert told(job) == ["job.started", "job.completed"]
    assert job.expires_at is not None
    assert timedelta(days=6.9) < job.expires_at - timezone.now() <= timedelta(days=7)


@pytest.mark.parametrize(("decoded", "charged"), [(9.5, 9_50), (10.0, 10_00), (10.9, 10_00), (0.0, 0)])
def test_charged_are_the_decoded_seconds_and_never_more_than_the_hold(
    alice: User, decoded: float, charged: int
) -> None:
    job = claimed(alice)

    services.complete(job, a_result(seconds=decoded), [stored()])

    assert Job.objects.get(pk=job.pk).charged == charged
    assert purse(alice) == (100_00 - charged, 0)


def test_a_job_keeps_the_price_it_was_priced_with(alice: User) -> None:
    job = claimed(alice)
    dearer = prices.current()
    dearer.pk, dearer.rates = dearer.pk + 1, {**dearer.rates, "chroma": 600_00}
    dearer.save(force_insert=True)

    services.complete(job, a_result(), [stored()])

    assert Job.objects.get(pk=job.pk).charged == 10_00


def test_completing_twice_charges_once(alice: User) -> None:
    job = claimed(alice)

    assert [services.complete(job, a_result(), [stored()]) for _ in range(2)] == [True, False]

    assert purse(alice) == (90_00, 0)
    assert Output.objects.count() == 1
    assert told(job) == ["job.started", "job.completed"]


def test_a_job_canceled_between_storing_and_settling_stays_canceled_and_free(alice: User) -> None:
    job = claimed(alice)
    services.cancel(Job.objects.get(pk=job.pk))

    assert not services.complete(job, a_result(), [stored()])

    assert (Job.objects.get(pk=job.pk).status, Output.objects.count(), purse(alice)) == ("canceled", 0, (100_00, 0))
    assert told(job) == ["job.started", "job.canceled"]


def test_a_worker_that_was_replaced_writes_nothing(alice: User) -> None:
    """The lease is the fence: without it the sleeper would deliver, fail or give back another worker's job."""
    sleeper = claimed(alice)
    Job.objects.filter(pk=sleeper.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert services.reap(sleeper) == "requeued"
    owner = services.claim(sleeper.pk, 2, "worker-2")
    assert owner is not None

    assert not services.tick(sleeper, Progress("processing", 249, 250, 99.6, 0.1))
    assert not services.complete(sleeper, a_result(), [stored()])
    assert not services.fail(sleeper, "internal_error", "late")
    assert not services.give_back(sleeper)

    now = Job.objects.get(pk=sleeper.pk)
    assert (now.status, now.attempt, now.lease, now.frames_done) == ("processing", 2, owner.lease, 0)
    assert services.complete(owner, a_result(), [stored()])
    assert purse(alice) == (90_00, 0)


def test_fail_releases_and_tells(alice: User) -> None:
    job = claimed(alice)

    assert services.fail(job, "timeout", "too slow", log_tail="x" * 5000)

    job.refresh_from_db()
    assert (job.status, job.error_code, job.error, job.charged) == ("failed", "timeout", "too slow", 0)
    assert len(job.result["log_tail"]) == 4000
    assert purse(alice) == (100_00, 0)
    assert told(job) == ["job.started", "job.failed"]
    assert not services.fail(job, "internal_error", "again")


@pytest.mark.parametrize("state", ["draft", "queued", "processing"])
def test_cancel_ends_at_once_and_frees_the_credits(alice: User, state: str) -> None:
    job = submitted(alice, auto_start=state != "draft")
    if state == "processing":
        services.claim(job.pk, 1, "w")

    canceled = services.cancel(job)

    assert (canceled.status, canceled.charged, purse(alice)) == ("canceled", 0, (100_00, 0))
    assert canceled.hold is None or canceled.hold.state == "released"
    assert services.cancel(job).status == "canceled"
    assert told(job)[-1:] == ["job.canceled"]
    assert told(job).count("job.canceled") == 1


@pytest.mark.parametrize("end", ["completed", "failed"])
def test_what_has_ended_cannot_be_canceled(alice: User, end: str) -> None:
    job = make_job(alice, status=end)

    assert refusal(lambda: services.cancel(job)).code == "conflict"

    assert Job.objects.get(pk=job.pk).status == end


@pytest.mark.parametrize("end", Job.FINAL)
@pytest.mark.parametrize("to", Job.Status.values)
def test_a_final_state_never_changes(alice: User, end: str, to: str) -> None:
    job = make_job(alice, status=end)

    with pytest.raises(ValueError, match="no job goes from"):
        move(job.pk, (end,), to, event="no")

    assert Job.objects.get(pk=job.pk).status == end


def test_every_arrow_can_be_walked_and_a_missed_one_writes_nothing(alice: User) -> None:
    for from_, targets in ARROWS.items():
        for to in targets:
            job = make_job(alice, status=from_)
            others = tuple(state for state in ARROWS if state != from_ and to in ARROWS[state])
            if others:
                assert move(job.pk, others, to, event="missed") == 0
            assert move(job.pk, (from_,), to, event="walked") == 1
            assert timeline(job)[1:] == ["walked"]
            Job.objects.filter(pk=job.pk).update(status=from_)
            if from_ != "created":
                services.cancel(job)
