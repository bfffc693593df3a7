"""A job that waits for credits starts once, when the purchase made for it is paid."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.credits import buying, prices, services, stripe
from apps.credits.models import PriceList, Purchase, Wallet
from apps.engine.options import Options
from apps.jobs import paid
from apps.jobs import services as jobs
from apps.jobs.models import Job
from tests.credits.conftest import fakestripe  # noqa: F401
from tests.factories import make_asset, make_job
from tests.jobs.conftest import a_result

pytestmark = pytest.mark.usefixtures("weights_here")
LIGHT = Options(model="light")


@pytest.fixture
def draft(bob) -> Job:
    """Ten seconds for somebody without credits."""
    return jobs.submit(bob, asset=make_asset(bob), options=LIGHT, auto_start=False)


def buy_for(job: Job, fakestripe, *, action: str = "pay") -> Purchase:  # noqa: F811
    assert job.owner is not None
    purchase = buying.checkout(job.owner, "starter", success_url="http://a/", cancel_url="http://a/", start_job=job.pk)
    fakestripe.click(purchase.session_id, action)
    stripe.converge(purchase.pk)
    return Purchase.objects.get(pk=purchase.pk)


def test_a_payment_starts_the_draft_it_was_made_for_once(bob, draft, fakestripe):  # noqa: F811
    purchase = buy_for(draft, fakestripe)

    assert [paid.start(purchase.pk), paid.start(purchase.pk)] == [True, False]

    draft.refresh_from_db()
    purchase.refresh_from_db()
    assert (draft.status, draft.stage) == ("queued", "waiting")
    assert (purchase.started_job, purchase.start_problem) == (draft.pk, "")
    assert Wallet.objects.get(user=bob).held == draft.estimated > 0
    assert Job.objects.count() == 1


def test_what_nobody_rang_for_is_found(draft, fakestripe):  # noqa: F811
    buy_for(draft, fakestripe)

    assert [paid.start_due(), paid.start_due()] == [1, 0]


@pytest.mark.parametrize("action", ["decline", "cancel", "pay_later", "expire"])
def test_nothing_starts_before_the_money_is_there(draft, fakestripe, action):  # noqa: F811
    purchase = buy_for(draft, fakestripe, action=action)

    assert (paid.start(purchase.pk), paid.start_due()) == (False, 0)
    draft.refresh_from_db()
    assert draft.status == "created"


def test_a_job_that_was_too_dear_when_fetched_is_tried_again(bob, fakestripe):  # noqa: F811
    services.grant(bob, 50_00, key="g", note="x")
    failed = make_job(bob, status="failed", error_code="insufficient_credits")

    purchase = buy_for(failed, fakestripe)
    paid.start(purchase.pk)
    paid.start(purchase.pk)

    again = Job.objects.exclude(pk=failed.pk).get()
    assert (again.retried_from_id, again.status) == (failed.pk, "queued")
    assert Purchase.objects.get().started_job == again.pk


def test_what_cannot_start_any_more_is_said_and_the_credits_stay(bob, draft, fakestripe):  # noqa: F811
    jobs.cancel(draft)

    purchase = buy_for(draft, fakestripe)
    paid.start(purchase.pk)

    purchase.refresh_from_db()
    assert (purchase.started_job, purchase.start_problem) == (
        None,
        "The cutout that was to start was canceled meanwhile.",
    )
    assert Wallet.objects.values_list("balance", "held").get(user=bob) == (100_00, 0)


def test_a_pack_that_is_not_enough_leaves_the_draft(bob, fakestripe):  # noqa: F811
    long = jobs.submit(bob, asset=make_asset(bob, duration=500.0, frames=12_500), options=LIGHT, auto_start=False)

    purchase = buy_for(long, fakestripe)
    paid.start(purchase.pk)

    purchase.refresh_from_db()
    long.refresh_from_db()
    assert "credits and 100 are available" in purchase.start_problem
    assert long.status == "created"


def test_somebody_elses_job_is_never_started(alice, bob, draft, fakestripe):  # noqa: F811
    purchase = buying.checkout(alice, "starter", success_url="http://a/", cancel_url="http://a/", start_job=draft.pk)
    fakestripe.click(purchase.session_id, "pay")
    stripe.converge(purchase.pk)
    paid.start(purchase.pk)

    draft.refresh_from_db()
    assert draft.status == "created"


def test_the_page_of_a_draft_that_lost_its_clip_says_so(draft, fakestripe):  # noqa: F811
    assert draft.asset is not None
    draft.asset.status = "deleted"
    draft.asset.deleted_at = timezone.now() - timedelta(days=1)
    draft.asset.save()

    purchase = buy_for(draft, fakestripe)
    paid.start(purchase.pk)

    purchase.refresh_from_db()
    assert "upload it again" in purchase.start_problem


def test_a_job_keeps_the_price_list_it_was_priced_with(alice):
    """Half way through, staff double every price: neither the hold nor the charge changes."""
    job = make_job(alice, status="processing", model="light")
    before = prices.current()
    PriceList.objects.create(
        version=before.version + 1,
        starts_at=timezone.now(),
        rates={model: 2 * rate for model, rate in before.rates.items()},
        packs=before.packs,
        free_grant=0,
    )

    assert jobs.complete(job, a_result(seconds=8.0), [])
    job.refresh_from_db()
    dearer = make_job(alice, status="queued", model="light")

    assert (job.pricing_version, job.charged) == (before.version, 6_00)
    assert (dearer.pricing_version, dearer.estimated) == (before.version + 1, 15_00)
