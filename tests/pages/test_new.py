"""New cutout: upload, price, start; and that nothing is spent before its price was shown."""

from __future__ import annotations

import io
import re
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from PIL import Image

from apps.credits.models import Hold
from apps.engine.matting import weights
from apps.jobs.models import Job
from apps.projects.models import Asset
from tests.factories import make_asset, make_project

pytestmark = pytest.mark.usefixtures("all_installed")

ONE_PAGE = uuid4()
CHOICES = {"model": "light", "output_format": "webm", "bg_type": "transparent", "bg_color": "#09a246"}


def post(browser, **fields):
    return browser.post(reverse("web:new"), {**CHOICES, "action": "start", "once": ONE_PAGE, **fields})


def test_the_price_and_the_balance_after_show_before_anything_is_spent(alice, browser):
    asset = make_asset(alice)

    page = browser.post(reverse("web:price"), {**CHOICES, "asset": asset.pk}).content.decode()

    assert "Start for 7.50 credits" in page
    assert "92.50 credits" in page
    assert (Job.objects.count(), Hold.objects.count()) == (0, 0)


def test_the_price_follows_the_model(alice, browser):
    asset = make_asset(alice)

    page = browser.post(reverse("web:price"), {**CHOICES, "model": "pro", "asset": asset.pk}).content.decode()

    assert "Start for 30 credits" in page


def test_a_combination_that_cannot_be_is_told_with_its_fix(alice, browser):
    asset = make_asset(alice)

    page = browser.post(reverse("web:price"), {**CHOICES, "output_format": "mp4", "asset": asset.pk}).content.decode()

    assert "MP4 cannot hold a transparent background" in page
    assert "disabled" in page


def test_start_makes_the_job_that_was_asked_for_and_sets_its_price_aside(alice, browser):
    asset, project = make_asset(alice), make_project(alice)

    response = post(browser, asset=asset.pk, bg_type="color", bg_color="#ff0000", project=project.pk)

    job = Job.objects.get()
    assert response.status_code == 302
    assert response.url == reverse("web:job", args=[job.pk])
    assert (job.owner, job.asset, job.project, job.status) == (alice, asset, project, "queued")
    assert (job.model, job.output_format) == ("light", "webm")
    assert job.options["background"] == {"type": "color", "color": [255, 0, 0], "fit": "cover"}
    assert job.hold is not None
    assert job.hold.amount == 7_50


def test_trim_and_edge_from_the_folded_part_reach_the_job(alice, browser):
    asset = make_asset(alice)

    post(browser, asset=asset.pk, trim_start="2", trim_end="4.5", choke_px="-1.5", feather_px="3", despill="0")

    job = Job.objects.get()
    assert job.options["trim"] == [2.0, 4.5]
    assert job.options["edge"] == {"feather_px": 3.0, "choke_px": -1.5, "despill": 0.0}
    assert job.held_seconds == 2.5


def test_a_trim_changes_the_price_that_is_shown(alice, browser):
    page = browser.post(reverse("web:price"), {**CHOICES, "asset": make_asset(alice).pk, "trim_end": "4"})

    assert "Start for 3 credits" in page.content.decode()


@pytest.mark.parametrize(("trim_end", "less", "price"), [("10", "3", "7.50"), ("0.4", "0.29", "0.30")])
def test_no_more_is_spent_than_the_button_said(alice, browser, trim_end, less, price):
    """A choice that changed in the moment before the click costs a second click, not credits."""
    asset = make_asset(alice)

    refused = post(browser, asset=asset.pk, trim_end=trim_end, shown=less)
    agreed = post(browser, asset=asset.pk, trim_end=trim_end, shown=price)

    assert refused.status_code == 200
    assert f"it costs {price} credits, not {less}. Nothing has started" in refused.content.decode()
    assert agreed.status_code == 302
    assert Job.objects.count() == 1


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("trim_start", "99", "beyond the end of the video"),
        ("trim_start", "-1", "“From second” must be a number from 0"),
        ("trim_end", "soon", "Enter a number"),
        ("choke_px", "11", "“Shrink the edge, pixels” must be a number from -10 to 10"),
        ("feather_px", "nan", "Enter a number"),
        ("despill", "2", "“Take the wall’s light off, 0 to 1” must be a number from 0 to 1"),
    ],
)
def test_a_wrong_choice_in_the_folded_part_is_told_at_its_field_and_unfolds_it(alice, browser, field, value, told):
    response = post(browser, asset=make_asset(alice).pk, **{field: value})

    assert told in response.content.decode()
    assert list(response.context["form"].errors) == [field]
    assert b'class="more" open' in response.content
    assert Job.objects.count() == 0


def test_a_job_made_once_more_opens_with_its_trim_and_edge(alice, browser):
    post(browser, asset=make_asset(alice).pk, trim_start="1", despill="0", feather_px="2.5")

    page = browser.get(reverse("web:job", args=[Job.objects.get().pk])).context["again"]

    form = browser.get(page).context["form"]
    assert {name: form.chosen[name] for name in ("trim_start", "trim_end", "choke_px", "feather_px", "despill")} == {
        "trim_start": "1", "trim_end": "", "choke_px": "", "feather_px": "2.5", "despill": "0",
    }  # fmt: skip


def test_a_double_click_on_start_makes_one_job(alice, browser):
    asset = make_asset(alice)

    first = post(browser, asset=asset.pk)
    second = post(browser, asset=asset.pk)

    assert first.url == second.url
    assert (Job.objects.count(), Hold.objects.count()) == (1, 1)


def test_a_new_page_may_start_the_same_clip_again(alice, browser):
    asset = make_asset(alice)

    post(browser, asset=asset.pk, once=ONE_PAGE)
    post(browser, asset=asset.pk, once=uuid4())

    assert Job.objects.count() == 2


def test_too_few_credits_say_so_and_lead_to_buying_and_leave_nothing(bob, at):
    asset = make_asset(bob)

    response = post(at(bob), asset=asset.pk)

    page = response.content.decode()
    assert "You need 7.50, available are 0" in page
    assert f"{reverse('web:credits')}#packs" in page
    assert (Job.objects.count(), Hold.objects.count()) == (0, 0)


def test_a_clip_that_is_not_covered_waits_as_a_draft_while_credits_are_bought(bob, at):
    asset, browser = make_asset(bob), at(bob)
    bill = browser.post(reverse("web:price"), {**CHOICES, "asset": asset.pk}).text
    (shown,) = re.findall(r'name="shown"\s+value="([^"]+)"', bill)

    response = post(browser, asset=asset.pk, shown=shown, action="buy")

    job = Job.objects.get()
    assert (job.status, response.url) == ("created", reverse("web:job-buy", args=[job.pk]))


def test_a_refused_start_may_be_tried_again_from_the_same_page(bob, at):
    asset = make_asset(bob)
    browser = at(bob)
    post(browser, asset=asset.pk)

    assert b"You need 7.50" in post(browser, asset=asset.pk).content


def test_start_without_a_clip_says_what_to_do(browser):
    response = post(browser)

    assert b"Choose a video first" in response.content
    assert Job.objects.count() == 0


def test_someone_elses_clip_is_no_clip(alice, charlie, at):
    asset = make_asset(alice)

    response = post(at(charlie), asset=asset.pk)

    assert b"Choose a video first" in response.content
    assert Job.objects.count() == 0


def test_an_address_is_fetched_first_and_priced_then(browser):
    post(browser, video_url="https://example.org/clip.mp4")

    job = Job.objects.get()
    assert (job.status, job.stage, job.hold) == ("queued", "fetching", None)
    assert job.video_url == "https://example.org/clip.mp4"


def test_an_address_that_is_none_is_refused_at_its_field(browser):
    response = post(browser, video_url="example")

    assert b"video_url: The URL must start with https://" in response.content
    assert Job.objects.count() == 0


def picture(name="sky.png", content=b"") -> SimpleUploadedFile:
    drawn = io.BytesIO()
    Image.new("RGB", (8, 8), "white").save(drawn, "PNG")
    return SimpleUploadedFile(name, content or drawn.getvalue())


def test_a_picture_sent_along_becomes_the_background(alice, browser):
    asset = make_asset(alice)

    post(browser, asset=asset.pk, bg_type="image", bg_image=picture())

    job = Job.objects.get()
    assert job.background_asset is not None
    assert (job.background_asset.kind, job.background_asset.filename) == ("background", "sky.png")
    assert job.options["background"]["type"] == "image"


def test_a_picture_is_taken_in_as_soon_as_it_is_chosen_and_a_reload_finds_it(alice, browser):
    project = make_project(alice)

    answer = browser.post(reverse("web:background"), {"bg_image": picture(), "project": project.pk})

    kept = Asset.objects.get(kind="background")
    told = answer.content.decode()
    assert (kept.owner, kept.project, kept.filename) == (alice, project, "sky.png")
    assert f'value="{kept.pk}"' in told
    # Else the script would keep the file in its field, and Start would send it once more.
    assert "hx-preserve" not in told
    again = browser.get(f"{reverse('web:new')}?model=light&bg_type=image&bg_image_id={kept.pk}&fit=contain")
    assert "sky.png; choose another to replace it" in again.content.decode()
    assert again.context["chosen"]["fit"] == "contain"


def test_a_picture_that_is_none_is_refused_in_its_place_and_the_one_before_stays(alice, browser):
    browser.post(reverse("web:background"), {"bg_image": picture()})
    before = Asset.objects.get(kind="background")

    sent = {"bg_image": picture("notes.png", b"no picture"), "bg_image_id": before.pk}
    told = browser.post(reverse("web:background"), sent).content.decode()

    assert "notes.png: " in told
    assert str(before.pk) in told
    assert Asset.objects.get(kind="background") == before


def test_a_picture_fits_the_frame_as_was_chosen(alice, browser):
    asset = make_asset(alice)
    browser.post(reverse("web:background"), {"bg_image": picture()})
    kept = Asset.objects.get(kind="background")

    post(browser, asset=asset.pk, bg_type="image", bg_image_id=kept.pk, fit="stretch")
    refused = post(browser, asset=asset.pk, bg_type="image", bg_image_id=kept.pk, fit="squeeze", once=uuid4())

    job = Job.objects.get()
    assert (job.background_asset, job.options["background"]["fit"]) == (kept, "stretch")
    assert b"fit must be one of" in refused.content
    assert "fit=stretch" in browser.get(reverse("web:job", args=[job.pk])).context["again"]


def test_without_a_picture_a_picture_background_is_refused(alice, browser):
    asset = make_asset(alice)

    response = post(browser, asset=asset.pk, bg_type="image")

    assert b"Choose a picture" in response.content
    assert Job.objects.count() == 0


def test_without_the_script_a_file_leads_to_the_page_that_shows_its_price(browser, clip):
    with clip.open("rb") as file:
        response = browser.post(reverse("web:new"), {**CHOICES, "action": "price", "file": file}, follow=True)

    asset = Asset.objects.get()
    assert response.redirect_chain[0][0].startswith(f"{reverse('web:new')}?asset={asset.pk}&model=light")
    assert b"Start for 1.50 credits" in response.content
    assert Job.objects.count() == 0


def test_a_start_that_brings_its_file_along_shows_the_price_first(browser, clip):
    with clip.open("rb") as file:
        response = post(browser, file=file)

    assert response.url.startswith(f"{reverse('web:new')}?asset=")
    assert Job.objects.count() == 0


def test_a_model_that_is_not_installed_cannot_be_chosen_and_says_why(alice, browser, monkeypatch):
    status = {name: weights.ModelStatus(True, (), None) for name in weights.NEEDS}
    status["pro"] = weights.ModelStatus(False, ("isnet",), "isnet: downloading, 40 % of 113 MB")
    monkeypatch.setattr(weights, "model_status", lambda *args, **kwargs: status)

    page = browser.get(reverse("web:new")).content.decode()

    assert "isnet: downloading, 40 % of 113 MB" in page
    assert page.count("disabled") == 1


def test_enter_in_a_field_works_out_the_price_and_spends_nothing(alice, browser):
    """A browser presses the form's first button for it."""
    page = browser.get(f"{reverse('web:new')}?asset={make_asset(alice).pk}").content.decode()

    form = page[page.index('id="cutout"') :]
    buttons = re.findall(r'<button[^>]*type="submit"[^>]*value="(\w+)"', form)

    assert buttons[0] == "price"
    assert "start" in buttons
