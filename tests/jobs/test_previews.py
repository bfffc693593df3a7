"""Previews: only the beginning, small, for nothing, and so many a day."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from apps.accounts.models import User
from apps.credits import services as credits
from apps.credits.models import Hold, LedgerEntry, PriceList, Purchase
from apps.engine.options import Options
from apps.jobs import runner, services
from apps.jobs.models import Job
from apps.jobs.representation import as_json
from tests import clips
from tests.factories import make_asset
from tests.jobs.running import claimed, fresh, stored_files
from tests.jobs.steps import purse, refusal, submitted, timeline
from tests.races import race

PREVIEW = Options(model="chroma", preview_duration=2.0)


def test_a_preview_holds_and_costs_nothing(bob: User) -> None:
    job = submitted(bob, options=PREVIEW)

    assert (job.status, job.stage, job.hold, job.estimated) == ("queued", "waiting", None, 0)
    assert (job.held_seconds, job.frames_total, purse(bob)) == (2.0, 50, (0, 0))
    assert as_json(job)["preview_duration"] == 2
    assert as_json(job)["credits"] == {"estimated": 0, "held": 0, "charged": 0}


def test_a_preview_is_free_even_with_a_wallet_below_zero(bob: User) -> None:
    bought = Purchase.objects.create(
        user=bob, pack="small", credits=5_00, amount=5_00, currency="eur", pricing_version=1, status="paid"
    )
    credits.post(bob, LedgerEntry.Kind.PURCHASE, 5_00, key="a", reference=str(bought.pk))
    credits.capture(credits.hold(bob, 5_00, key="b", reference="job"), 5_00)
    credits.post(bob, LedgerEntry.Kind.REFUND, -5_00, key="c", reference=str(bought.pk))

    assert submitted(bob, options=PREVIEW).status == "queued"


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.usefixtures("clean_scratch")
def test_a_finished_preview_has_real_small_files_and_was_free(bob: User, tmp_path: Path) -> None:
    clip = clips.make_clip(tmp_path / "clip.mp4", width=960, height=480, frames=25, sound_seconds=1)
    job = claimed(bob, clip, Options(model="chroma", preview_duration=0.6))

    runner.run(job)

    job = fresh(job)
    assert (job.status, job.error, job.charged, purse(bob)) == ("completed", "", 0, (0, 0))
    assert stored_files(job) == ["poster.webp", "preview.mp4", "result.webm"]
    facts = job.outputs.get(kind="result").facts
    assert (facts["width"], facts["height"], facts["frames"]) == (640, 320, 15)
    assert (facts["has_audio"], facts["alpha_mode"]) == (True, "straight")
    assert Hold.objects.count() == LedgerEntry.objects.count() == 0


def allow(count: int) -> None:
    """The price list says how many."""
    PriceList.objects.update(preview_allowance=count)


@pytest.mark.usefixtures("weights_here")
def test_a_draft_is_started_as_a_preview(bob: User) -> None:
    draft = submitted(bob, auto_start=False, requested={"model": "light"})

    job = services.start(draft, preview_duration=3)

    assert (job.status, job.hold, job.held_seconds) == ("queued", None, 3.0)
    assert as_json(job)["preview_duration"] == 3


def test_the_day_ends_with_the_last_preview(bob: User) -> None:
    allow(2)
    first = submitted(bob, options=PREVIEW)
    Job.objects.filter(pk=first.pk).update(queued_at=timezone.now() - timedelta(hours=23))
    submitted(bob, options=PREVIEW)

    error = refusal(lambda: submitted(bob, options=PREVIEW))

    assert (error.code, error.status, error.param) == ("rate_limited", 429, "preview_duration")
    assert error.wait is not None
    assert 3500 < error.wait <= 3600
    assert Job.objects.count() == 2
    Job.objects.filter(pk=first.pk).update(queued_at=timezone.now() - timedelta(hours=25))
    assert submitted(bob, options=PREVIEW).status == "queued"


@pytest.mark.usefixtures("weights_here")
def test_drafts_failed_previews_and_other_accounts_are_not_counted(alice: User, bob: User) -> None:
    allow(1)
    draft = submitted(bob, options=Options(model="light", preview_duration=2.0), auto_start=False)
    submitted(alice, options=PREVIEW)
    submitted(alice)
    failed = submitted(bob, options=PREVIEW)
    assert services.fail(failed, "fetch_failed", "It could not be fetched.")

    assert services.start(draft).status == "queued"
    assert refusal(lambda: services.retry(fresh(failed))).code == "rate_limited"


def test_whole_jobs_are_not_counted(alice: User) -> None:
    """SQLite takes the null of a job that is no preview for a text, and any text for more than 0."""
    allow(1)
    whole = submitted(alice)
    assert "preview_duration" in whole.options

    assert submitted(alice, options=PREVIEW).status == "queued"


def test_a_site_may_make_no_previews(bob: User) -> None:
    allow(0)

    assert refusal(lambda: submitted(bob, options=PREVIEW)).code == "unsupported_parameter"


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_previews_that_start_at_once_are_counted(bob: User) -> None:
    allow(3)
    asset = make_asset(bob)

    made = race([lambda: services.submit(bob, asset=asset, options=PREVIEW).pk for _ in range(8)])

    assert Job.objects.count() == 3
    assert made.count("rate_limited") == 5


def test_a_canceled_preview_settles_nothing(bob: User) -> None:
    job = services.cancel(submitted(bob, options=PREVIEW))

    assert (job.status, timeline(job)) == ("canceled", ["created", "queued", "canceled"])
    assert purse(bob) == (0, 0)


def test_an_estimate_of_a_preview_is_free(bob: User) -> None:
    told = services.estimate(bob, make_asset(bob).facts, PREVIEW)

    assert (told["credits"], told["billed_seconds"], told["balance_after"]) == (0, 0, 0)
    assert 0 < told["output_bytes"]["low"] < told["output_bytes"]["high"]
