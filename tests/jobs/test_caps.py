"""What a key may spend in a month is refused beyond its cap, in words, and in a race too."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import ApiKey, User
from apps.accounts.services import issue_key
from apps.jobs import caps, runner, services
from apps.jobs.models import Job
from apps.projects.models import Asset
from tests.factories import make_asset
from tests.jobs.conftest import CHROMA, a_result
from tests.jobs.steps import claimed, purse, refusal, submitted
from tests.races import race


def capped(user: User, credits: int) -> ApiKey:
    """Its jobs cost 10 credits each."""
    return issue_key(user, name="farm", monthly_cap=credits * 100)[0]


def test_a_job_over_the_cap_is_refused_and_leaves_nothing(alice: User) -> None:
    key = capped(alice, 25)
    for _ in range(2):
        submitted(alice, api_key=key)

    error = refusal(lambda: submitted(alice, api_key=key))

    assert (error.code, error.status) == ("insufficient_credits", 402)
    assert "The key farm may spend 25 a month and has 5 left until 01 " in error.message
    assert (error.details["needed"], error.details["available"], error.details["monthly_cap"]) == (10, 5, 25)
    assert error.details["resets_at"].endswith("-01T00:00:00Z")
    assert (Job.objects.count(), purse(alice)) == (2, (100_00, 20_00))


def test_holds_are_looked_at_only_where_a_job_is_not_over(alice: User) -> None:
    """Of all that a key ever asked for, to be told before each of its jobs."""
    with CaptureQueriesContext(connection) as captured:
        caps.spent([capped(alice, 25)])

    (asked,) = [row["sql"] for row in captured if 'JOIN "credits_hold"' in row["sql"]]
    assert """"jobs_job"."status" IN ('queued', 'processing')""" in asked


def test_what_was_spent_counts_and_what_was_given_back_does_not(alice: User) -> None:
    key = capped(alice, 20)
    done = claimed(alice, api_key=key)
    services.complete(done, a_result(seconds=4.0), [])
    services.cancel(submitted(alice, api_key=key))

    assert caps.spent([key]) == {key.pk: 4_00}
    submitted(alice, api_key=key)
    assert refusal(lambda: submitted(alice, api_key=key)).details["available"] == 6


def test_other_keys_and_the_browser_are_not_held_back(alice: User) -> None:
    key, other = capped(alice, 10), issue_key(alice, name="other")[0]
    submitted(alice, api_key=key)

    for free in (other, None):
        assert submitted(alice, api_key=free).status == "queued"


def test_a_new_month_begins_at_nothing(alice: User) -> None:
    key = capped(alice, 10)
    job = submitted(alice, api_key=key)
    Job.objects.filter(pk=job.pk).update(queued_at=timezone.now().replace(day=1) - timedelta(days=2))

    assert submitted(alice, api_key=key).status == "queued"


def test_an_estimate_tells_what_the_key_could_spend_then(alice: User) -> None:
    """Below zero is what a 402 of the same job would say."""
    key, asset = capped(alice, 25), make_asset(alice)
    left = [services.estimate(alice, asset.facts, CHROMA, api_key=key)["balance_after"]]
    for _ in range(2):
        submitted(alice, api_key=key)
        left.append(services.estimate(alice, asset.facts, CHROMA, api_key=key)["balance_after"])

    assert left == [15, 5, -5]
    assert services.estimate(alice, asset.facts, CHROMA)["balance_after"] == 70
    assert services.estimate(alice, asset.facts, CHROMA, api_key=capped(alice, 500))["balance_after"] == 70


def test_a_draft_counts_for_the_key_that_starts_it(alice: User, weights_here: None) -> None:
    draft = submitted(alice, api_key=issue_key(alice, name="writer")[0], auto_start=False)

    error = refusal(lambda: services.start(draft, api_key=capped(alice, 5), model="light"))

    assert error.details["monthly_cap"] == 5
    assert Job.objects.get().status == "created"


def test_a_job_by_address_fails_when_its_key_cannot_pay(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    job = services.submit(alice, video_url="https://example.org/c.mp4", options=CHROMA, api_key=capped(alice, 5))
    there = make_asset(alice)
    Asset.objects.filter(pk=job.asset_id).update(status="ready", facts=there.facts, file=there.file.name)
    taken = services.claim_preparation(job.pk, 1, "w")
    assert taken is not None

    runner.prepare(taken)

    job.refresh_from_db()
    assert (job.status, job.error_code, purse(alice)) == ("failed", "insufficient_credits", (100_00, 0))
    assert "may spend 5 a month" in job.error


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_cap_is_never_overdrawn_in_a_race(alice: User) -> None:
    key, asset = capped(alice, 35), make_asset(alice)

    outcomes = race([lambda: services.submit(alice, asset=asset, options=CHROMA, api_key=key).status for _ in range(8)])

    assert Counter(outcomes) == {"queued": 3, "insufficient_credits": 5}
    assert caps.spent([key]) == {key.pk: 30_00}
