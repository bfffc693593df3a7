"""Several clips at once: one price, one button, a job for each; and what happens when not all of them can be."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from apps.credits.models import Hold
from apps.jobs import forms, new_views
from apps.jobs.models import Job
from apps.projects.models import Asset
from tests.factories import make_asset
from tests.pages.test_new import CHOICES, post

pytestmark = pytest.mark.usefixtures("all_installed")


def three(owner, *, duration: float = 10.0) -> list[Asset]:
    return [make_asset(owner, filename=f"{name}.mp4", duration=duration) for name in ("one", "two", "three")]


def ids(assets) -> list[str]:
    return [str(asset.pk) for asset in assets]


def price(browser, assets, **fields) -> str:
    page = browser.post(reverse("web:price"), {**CHOICES, "asset": ids(assets), **fields}).content.decode()
    return re.sub(r"\s+", " ", page)


def said_of(page: str, asset: Asset) -> str:
    """What stands beside one clip of the list."""
    return page.split(f'id="price-{asset.pk}"')[1].split("</li>")[0].split("hx-swap-oob")[1].split('id="price-')[0]


def test_each_clip_has_its_price_and_the_button_the_sum(alice, browser):
    clips = [*three(alice)[:2], make_asset(alice, duration=2.0)]

    page = price(browser, clips)

    assert "Start all 3 for 16.50 credits" in page
    assert "83.50 credits" in page
    assert ["7.50 credits" in said_of(page, clip) for clip in clips] == [True, True, False]
    assert "1.50 credits" in said_of(page, clips[2])
    assert (Job.objects.count(), Hold.objects.count()) == (0, 0)


def test_all_start_with_the_same_choices_and_lead_to_the_list(alice, browser):
    clips = three(alice)

    response = post(browser, asset=ids(clips), bg_type="color", bg_color="#ff0000", shown="22.5")

    jobs = Job.objects.order_by("created_at")
    assert response.url == reverse("web:jobs")
    assert [job.asset for job in jobs] == clips
    assert {(job.model, job.status, str(job.options["background"]["color"])) for job in jobs} == {
        ("light", "queued", "[255, 0, 0]")
    }
    page = browser.get(response.url).content.decode()
    assert "3 cutouts are started, 22.50 credits set aside." in page
    assert all(clip.filename in page for clip in clips)


def test_a_double_click_on_several_makes_each_of_them_once(alice, browser):
    clips = three(alice)

    answers = [post(browser, asset=ids(clips)) for _ in range(2)]

    assert [answer.url for answer in answers] == [reverse("web:jobs")] * 2
    assert Job.objects.count() == 3


def test_credits_for_only_some_are_told_before_anything_starts(alice, browser):
    clips = three(alice, duration=60.0)

    page = price(browser, clips)

    assert "All of them need 135 credits, and 100 are available. That is enough for 2: one.mp4, two.mp4." in page
    assert "Start 2 of 3 for 90 credits" in page
    assert "not covered" in said_of(page, clips[2])
    assert re.findall(r'name="these" value="([^"]+)"', page) == ids(clips[:2])
    assert Job.objects.count() == 0


def test_the_button_for_some_starts_exactly_those(alice, browser):
    clips = three(alice, duration=60.0)

    post(browser, asset=ids(clips), these=ids(clips[:2]), shown="90")

    assert {job.asset for job in Job.objects.all()} == set(clips[:2])


def test_when_the_credits_went_elsewhere_meanwhile_none_starts(alice, browser):
    clips = three(alice, duration=60.0)

    response = post(browser, asset=ids(clips))

    page = response.content.decode()
    assert "three.mp4: " in page
    assert "None of them has started" in page
    assert (Job.objects.count(), Hold.objects.count()) == (0, 0)
    assert [row["asset"] for row in response.context["rows"]] == clips


def test_more_than_the_sum_on_the_button_is_not_spent(alice, browser):
    response = post(browser, asset=ids(three(alice)), shown="20")

    assert "it costs 22.50 credits, not 20. Nothing has started" in response.content.decode()
    assert Job.objects.count() == 0


def test_a_clip_that_the_format_cannot_hold_does_not_stop_the_others(alice, browser):
    clips = [make_asset(alice), make_asset(alice, filename="long.mp4", duration=30.0, frames=750)]

    page = price(browser, clips, output_format="gif")

    assert "Start 1 of 2 for 7.50 credits" in page
    assert "20 s" in said_of(page, clips[1])
    assert re.findall(r'name="these" value="([^"]+)"', page) == ids(clips[:1])


def test_a_strangers_clip_in_the_list_is_none(alice, charlie, browser):
    own, other = make_asset(alice), make_asset(charlie)

    post(browser, asset=ids([own, other]), these=ids([other, own]))

    assert [job.asset for job in Job.objects.all()] == [own]


def test_without_the_script_one_broken_file_does_not_cost_the_others(browser, clip):
    files = [
        SimpleUploadedFile("first.mp4", clip.read_bytes()),
        SimpleUploadedFile("broken.mp4", b"no film" * 100),
        SimpleUploadedFile("empty.mp4", b""),
        SimpleUploadedFile("last.mp4", clip.read_bytes()),
    ]

    response = browser.post(reverse("web:new"), {**CHOICES, "action": "price", "file": files}, follow=True)

    page = response.content.decode()
    assert [row["asset"].filename for row in response.context["rows"]] == ["first.mp4", "last.mp4"]
    assert "Start all 2 for 3 credits" in page
    assert "broken.mp4: This file is not a video" in page
    assert "empty.mp4: The file is empty." in page


def test_what_is_too_many_is_named(alice, browser, clip, monkeypatch):
    for module in (forms, new_views):
        monkeypatch.setattr(module, "MOST_CLIPS", 1)
    file = SimpleUploadedFile("one-more.mp4", clip.read_bytes())

    response = browser.post(reverse("web:new"), {**CHOICES, "asset": make_asset(alice).pk, "file": file}, follow=True)

    assert "one-more.mp4: at most 1 clips at once." in response.content.decode()
    assert Asset.objects.count() == 1


def test_removing_one_without_the_script_keeps_the_rest_and_the_choices(alice, browser):
    clips = three(alice)
    address = f"{reverse('web:new')}?model=light&{'&'.join(f'asset={one}' for one in ids(clips))}"

    without = browser.get(address).context["rows"][1]["without"]

    page = browser.get(without).context
    assert [row["asset"] for row in page["rows"]] == [clips[0], clips[2]]
    assert page["chosen"]["model"] == "light"


def test_a_page_left_long_ago_may_name_what_is_no_address_at_all(browser):
    response = browser.get(f"{reverse('web:new')}?asset=none&asset={uuid4()}&tried=none&project=none")

    assert response.status_code == 200
    assert response.context["rows"] == []
