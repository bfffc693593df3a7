"""The free preview: made before anything is spent, shown on the same page, with clip and choices kept."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from apps.credits.models import Hold, PriceList
from apps.jobs.models import Job
from apps.jobs.previews import WINDOW
from tests.factories import make_asset, make_job, make_output
from tests.pages.test_new import CHOICES, post
from tests.pages.test_several import ids, three

pytestmark = pytest.mark.usefixtures("all_installed")


def preview(owner, **fields) -> Job:
    """One that has been made."""
    job = make_job(owner, status="completed", **fields)
    job.outputs.all().delete()
    make_output(job, width=320, height=180)
    Job.objects.filter(pk=job.pk).update(options={**job.options, "preview_duration": 3}, hold=None, charged=0)
    return Job.objects.get(pk=job.pk)


def test_a_preview_is_made_of_three_seconds_for_nothing_and_the_page_stays(bob, at):
    asset, browser = make_asset(bob), at(bob)

    response = post(browser, asset=asset.pk, action="preview", bg_type="color", bg_color="#ff0000", trim_start="1")

    job = Job.objects.get()
    assert (job.status, job.hold, job.held_seconds, job.model) == ("queued", None, 3.0, "light")
    assert (job.options["preview_duration"], job.options["background"]["color"]) == (3, [255, 0, 0])
    assert Hold.objects.count() == 0
    page = browser.get(response.url)
    assert page.context["tried"] == job
    assert [row["asset"] for row in page.context["rows"]] == [asset]
    kept = {name: page.context["chosen"][name] for name in ("model", "bg_type", "bg_color", "trim_start")}
    assert kept == {"model": "light", "bg_type": "color", "bg_color": "#ff0000", "trim_start": "1"}


def test_of_several_the_clip_that_is_looked_at_is_tried(alice, browser):
    clips = three(alice)

    post(browser, asset=ids(clips), look=str(clips[1].pk), action="preview")

    assert Job.objects.get().asset == clips[1]


def test_a_double_click_makes_one_preview_and_another_choice_another(alice, browser):
    asset = make_asset(alice)

    first, second = (post(browser, asset=asset.pk, action="preview") for _ in range(2))
    post(browser, asset=asset.pk, action="preview", model="human")

    assert first.url == second.url
    assert sorted(job.model for job in Job.objects.all()) == ["human", "light"]


def test_how_many_are_left_is_told_and_none_left_says_when(alice, browser):
    PriceList.objects.update(preview_allowance=2)
    asset = make_asset(alice)
    used = preview(alice, asset=asset)
    told = browser.post(reverse("web:price"), {**CHOICES, "asset": asset.pk}).content.decode()

    last = preview(alice, asset=asset)
    oldest = timezone.now() - timedelta(hours=23)
    Job.objects.filter(pk=used.pk).update(queued_at=oldest)
    page = browser.post(reverse("web:price"), {**CHOICES, "asset": asset.pk}).content.decode()

    assert "1 of 2 in 24 hours are left" in told
    assert 'value="preview"' in told
    assert last.pk != used.pk
    assert "The 2 free previews of 24 hours are used up" in page
    assert (oldest + WINDOW).isoformat() in page
    assert 'value="preview"' not in page


def test_one_too_many_is_refused_in_words_and_the_page_keeps_the_clip(alice, browser):
    PriceList.objects.update(preview_allowance=0)
    asset = make_asset(alice)

    response = post(browser, asset=asset.pk, action="preview")

    assert b"This site makes no previews" in response.content
    assert [row["asset"] for row in response.context["rows"]] == [asset]
    assert Job.objects.count() == 0


def test_what_ticks_ends_when_the_preview_is_done(alice, browser):
    running, done = make_job(alice, status="processing"), preview(alice)

    ticking, last = (browser.get(reverse("web:tried", args=[job.pk])).content.decode() for job in (running, done))

    assert "hx-get" in ticking
    assert "hx-get" not in last
    assert 'data-done="completed"' in last
    assert "<video" in last


def test_the_page_of_a_preview_says_what_it_is_and_leads_on_with_everything_kept(alice, browser):
    asset = make_asset(alice)
    post(browser, asset=asset.pk, action="preview", output_format="mov")
    job = Job.objects.get()

    page = browser.get(reverse("web:job", args=[job.pk]))

    assert b"free preview" in page.content
    context = browser.get(page.context["again"]).context
    assert (context["tried"], context["rows"][0]["asset"], context["chosen"]["output_format"]) == (job, asset, "mov")


def test_the_preview_of_someone_else_shows_nowhere(alice, charlie, at):
    job = preview(alice)
    stranger = at(charlie)

    assert stranger.get(reverse("web:tried", args=[job.pk])).status_code == 404
    assert "tried" not in stranger.get(f"{reverse('web:new')}?tried={job.pk}").context


def test_a_whole_job_is_not_shown_as_a_preview(alice, browser):
    assert "tried" not in browser.get(f"{reverse('web:new')}?tried={make_job(alice).pk}").context
