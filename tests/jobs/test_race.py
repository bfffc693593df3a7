"""Everything at once: whoever comes first decides, the rest change nothing, and nobody waits in a circle."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from apps.accounts.models import User
from apps.credits.models import Hold, Wallet
from apps.jobs import retention, services
from apps.jobs.models import Job, JobEvent
from apps.projects.models import Asset, media_storage
from tests.factories import make_asset, make_job
from tests.jobs.conftest import CHROMA, a_result
from tests.races import race

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


def purse(user: User) -> tuple[int, int]:
    return Wallet.objects.values_list("balance", "held").get(user=user)


@pytest.mark.parametrize("_", range(3))
def test_a_job_ends_once_however_many_want_to_end_it(alice: User, _: int) -> None:
    job = make_job(alice, status="processing")
    calls: list[Callable[[], Any]] = [
        *[lambda: services.complete(job, a_result(), []) for _ in range(3)],
        *[lambda: services.fail(job, "timeout", "too slow") for _ in range(3)],
        *[lambda: services.cancel(job).status == "canceled" for _ in range(3)],
        *[lambda: services.give_back(job) for _ in range(2)],
    ]
    random.shuffle(calls)

    race(calls)

    job.refresh_from_db()
    assert job.hold_id is not None
    hold = Hold.objects.get(pk=job.hold_id)
    ends = JobEvent.objects.filter(job=job, name__in=Job.FINAL).count()
    if job.status == "completed":
        assert (hold.state, job.charged, purse(alice), ends) == ("captured", 7_50, (92_50, 0), 1)
    else:
        # Given back first, it can still be canceled.
        assert (job.status, hold.state, purse(alice), ends) == (job.status, "released", (100_00, 0), 1)
        assert job.status in ("failed", "canceled")


def test_one_of_ten_workers_gets_a_job(alice: User) -> None:
    job = make_job(alice)

    claims = race([lambda n=n: services.claim(job.pk, 1, f"worker-{n}") for n in range(10)])

    assert Counter(claim is not None for claim in claims) == {True: 1, False: 9}
    assert JobEvent.objects.filter(job=job, name="started").count() == 1


def test_an_account_runs_three_jobs_at_once_whoever_claims(alice: User) -> None:
    jobs = [make_job(alice) for _ in range(6)]

    claims = race([lambda job=job: services.claim(job.pk, 1, "w") for job in jobs])

    assert Counter(claim is not None for claim in claims) == {True: 3, False: 3}


def test_credits_for_ten_jobs_make_ten_jobs(alice: User) -> None:
    asset = make_asset(alice)

    outcomes = race([lambda: services.submit(alice, asset=asset, options=CHROMA).status for _ in range(14)])

    assert Counter(outcomes) == {"queued": 10, "insufficient_credits": 4}
    assert (Job.objects.count(), purse(alice)) == (10, (100_00, 100_00))


def test_a_source_is_either_deleted_or_used_never_both(alice: User) -> None:
    for _ in range(5):
        done = make_job(alice, status="canceled")
        asset = done.asset
        assert asset is not None

        outcomes = race(
            [
                lambda done=done: retention.delete_media(done).status,
                lambda asset=asset: services.submit(alice, asset=asset, options=CHROMA).status,
            ]
        )

        now = Asset.objects.get(pk=asset.pk)
        if outcomes[1] == "queued":
            assert now.status == "ready"
            assert media_storage().exists(asset.file.name)
            services.cancel(Job.objects.get(asset=asset, status="queued"))
        else:
            assert (outcomes[1], now.status) == ("source_expired", "deleted")


def test_a_draft_is_started_once(alice: User, weights_here: None) -> None:
    draft = make_job(alice, status="created")

    outcomes = race([lambda: services.start(Job.objects.get(pk=draft.pk)).status for _ in range(6)])

    assert Counter(outcomes) == {"queued": 1, "conflict": 5}
    assert purse(alice) == (100_00, 7_50)
