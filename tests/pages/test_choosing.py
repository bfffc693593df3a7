"""What the page offers: models with their speed here, formats by purpose, and a project's defaults."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from apps.engine.formats import FORMATS
from apps.jobs.choices import format_groups, measured_cards
from apps.jobs.models import Job
from tests.factories import make_asset, make_job, make_project
from tests.pages.test_new import CHOICES, post

pytestmark = pytest.mark.usefixtures("all_installed")


def finished(owner, *, frames: int, seconds: float, model: str = "light", **options) -> None:
    job = make_job(owner, status="completed", model=model, frames_done=frames)
    began = timezone.now() - timedelta(minutes=5)
    asked = {**job.options, **options}
    Job.objects.filter(pk=job.pk).update(
        started_at=began, completed_at=began + timedelta(seconds=seconds), options=asked
    )


def test_a_models_speed_is_that_of_its_jobs_here_and_unknown_before(alice, browser):
    finished(alice, frames=250, seconds=100)
    finished(alice, frames=75, seconds=1, preview_duration=3)
    finished(alice, model="human", frames=2, seconds=50)
    finished(alice, model="original", frames=75, seconds=50, preview_duration=3)

    speeds = {card.name: card.speed for card in measured_cards()}

    assert speeds["light"] == "About 2.5 frames a second here"
    assert speeds["human"] == "About 25 seconds a frame here"
    # Better than nothing, while no whole job was made with it.
    assert speeds["original"] == "About 1.5 frames a second here"
    assert speeds["pro"] == "Speed here: not measured yet"
    page = browser.get(reverse("web:new")).content.decode()
    assert "About 2.5 frames a second here · Licence: " in page


def test_every_format_is_offered_once_with_what_becomes_of_transparency(browser):
    cards = [card for group in format_groups().values() for card in group]

    assert sorted(card.name for card in cards) == sorted(FORMATS)
    assert {card.name: card.keeps for card in cards if card.name in ("mp4", "gif", "mov", "matte_mp4")} == {
        "mp4": "No transparency",
        "gif": "Keeps transparency, with hard edges",
        "mov": "Keeps transparency",
        "matte_mp4": "The matte itself, in grey",
    }
    assert "Opens everywhere, without soft edges." in browser.get(reverse("web:new")).content.decode()


def test_a_format_that_loses_the_transparency_is_explained_and_nothing_is_changed(alice, browser):
    response = post(browser, asset=make_asset(alice).pk, output_format="mp4")

    page = response.content.decode()
    assert "Lay the cutout over a colour or a picture" in page
    assert 'data-choose="bg_type=color"' in page
    assert response.context["chosen"]["output_format"] == "mp4"
    assert Job.objects.count() == 0


DEFAULTS = {
    "model": "human",
    "output_format": "mov",
    "edge": {"choke_px": 2},
    "bg_type": "custom",
    "bg_color": "#FF0000",
}


def chosen(response) -> dict[str, str]:
    names = ("model", "output_format", "bg_type", "bg_color", "choke_px")
    return {name: response.context["chosen"][name] for name in names}


def test_a_project_preselects_what_it_decides(alice, browser):
    project = make_project(alice, defaults=DEFAULTS)

    fresh = browser.get(f"{reverse('web:new')}?project={project.pk}")
    told = browser.get(f"{reverse('web:new')}?project={project.pk}&model=light")

    assert chosen(fresh) == {
        "model": "human", "output_format": "mov", "bg_type": "color", "bg_color": "#ff0000", "choke_px": "2",
    }  # fmt: skip
    # An address that says what it wants is not overruled.
    assert (chosen(told)["model"], chosen(told)["output_format"], chosen(told)["choke_px"]) == ("light", "webm", "")


def switched(browser, before, after, **fields):
    data = {**CHOICES, "model": "original", "project_was": before.pk, "project": after.pk, **fields}
    return browser.post(reverse("web:choices"), data)


def test_another_project_changes_the_choices_and_says_so(alice, browser):
    plain, decided = make_project(alice), make_project(alice, name="Shop", defaults=DEFAULTS)

    response = switched(browser, plain, decided)

    assert chosen(response)["model"] == "human"
    assert chosen(response)["bg_color"] == "#ff0000"
    said = [(change.label, change.before, change.after, change.kept) for change in response.context["changes"]]
    assert said == [
        ("Model", "original", "human", False),
        ("Format", "WebM", "MOV, ProRes 4444", False),
        ("Background", "transparent", "the colour #ff0000", False),
        ("Shrink the edge", "as usual", "2", False),
    ]
    assert b"<strong>Format</strong> is MOV, ProRes 4444 now, was WebM." in response.content


def test_and_back_again_to_what_is_usual(alice, browser):
    plain, decided = make_project(alice), make_project(alice, name="Shop", defaults=DEFAULTS)
    there = switched(browser, plain, decided)

    back = switched(browser, decided, plain, **chosen(there))

    assert chosen(back) == {
        "model": "original", "output_format": "webm", "bg_type": "transparent", "bg_color": "#09a246", "choke_px": "",
    }  # fmt: skip


def test_a_choice_of_ones_own_stays_and_is_named(alice, browser):
    plain, decided = make_project(alice), make_project(alice, name="Shop", defaults={"model": "human"})

    response = switched(browser, plain, decided, model="pro")

    assert chosen(response)["model"] == "pro"
    assert b"stays as you chose it: pro. The project has human." in response.content


def test_without_the_script_another_project_shows_its_choices_before_anything_starts(alice, browser):
    plain, decided = make_project(alice), make_project(alice, name="Shop", defaults=DEFAULTS)
    asset = make_asset(alice)
    sent = {**CHOICES, "model": "original", "asset": asset.pk, "project_was": plain.pk, "project": decided.pk}

    response = browser.post(reverse("web:new"), {**sent, "action": "price"}, follow=True)

    assert chosen(response)["model"] == "human"
    assert [row["asset"] for row in response.context["rows"]] == [asset]
    assert "Model is human now: Shop has human." in response.content.decode()
    assert Job.objects.count() == 0


def test_what_a_project_decides_unseen_is_named_and_reaches_the_job(alice, browser):
    project = make_project(alice, defaults={"on_limit": "reduce", "keep_audio": False})

    page = browser.get(f"{reverse('web:new')}?project={project.pk}").content.decode()
    post(browser, asset=make_asset(alice).pk, project=project.pk)

    job = Job.objects.get()
    assert "<code>on_limit</code>, <code>keep_audio</code>" in page
    assert (job.options["on_limit"], job.options["keep_audio"]) == ("reduce", False)


PLACED = {
    "canvas": {"width": 640, "height": 480},
    "foreground": {"anchor": "bottom-right", "scale": 0.5, "offset": {"x": -8, "y": 0}},
}
CANVAS = {
    "canvas_width": "640", "canvas_height": "480", "anchor": "bottom-right", "scale": "0.5",
    "offset_x": "-8", "offset_y": "",
}  # fmt: skip


def test_a_canvas_reaches_the_job_and_one_made_once_more_has_it_again(alice, browser):
    post(browser, asset=make_asset(alice).pk, **CANVAS)

    job = Job.objects.get()
    again = browser.get(browser.get(reverse("web:job", args=[job.pk])).context["again"])

    assert job.options["composition"] == PLACED
    assert {name: again.context["chosen"][name] for name in CANVAS} == CANVAS
    assert b'class="more" open' in again.content


def test_a_projects_canvas_stands_in_the_folded_part_and_is_told_when_it_changes(alice, browser):
    plain, placed = make_project(alice), make_project(alice, name="Shop", defaults={"composition": PLACED})

    fresh = browser.get(f"{reverse('web:new')}?project={placed.pk}")
    there = switched(browser, plain, placed)

    assert {name: fresh.context["chosen"][name] for name in CANVAS} == CANVAS
    assert [(change.label, change.before, change.after) for change in there.context["changes"]] == [
        ("Canvas", "as the clip", "640 × 480, bottom-right, scale 0.5, -8 right, 0 down")
    ]


@pytest.mark.parametrize(
    ("sent", "field", "told"),
    [
        ({"canvas_width": "640"}, "canvas_height", "“Height, pixels” is missing: a canvas has a width and a height."),
        ({"canvas_width": "9", "canvas_height": "90"}, "canvas_width", "“Width, pixels” must be a number from 16"),
        ({"scale": "5"}, "scale", "“Scale” must be a number from 0.05 to 4."),
        ({"anchor": "mid"}, "anchor", "“Where the clip lies” must be one of center,"),
        ({"offset_x": "0.5"}, "offset_x", "Enter a whole number."),
    ],
)
def test_a_canvas_that_cannot_be_is_told_at_its_field(alice, browser, sent, field, told):
    response = post(browser, asset=make_asset(alice).pk, **sent)

    assert told in response.content.decode()
    assert list(response.context["form"].errors) == [field]
    assert b'class="more" open' in response.content
    assert Job.objects.count() == 0


def test_a_projects_picture_by_address_is_used_where_none_is_chosen(alice, browser):
    url = "https://example.org/sky.png"
    project = make_project(alice, defaults={"background": {"type": "image", "image_url": url, "fit": "contain"}})

    post(browser, asset=make_asset(alice).pk, project=project.pk, bg_type="image")

    job = Job.objects.get()
    assert job.background_asset is not None
    assert (job.background_asset.source_url, job.stage) == (url, "fetching")
    assert job.options["background"]["fit"] == "contain"


def test_defaults_that_cannot_be_are_told_and_leave_the_usual_choices(alice, browser):
    project = make_project(alice, defaults={"model": "gone"})

    response = browser.get(f"{reverse('web:new')}?project={project.pk}")

    assert chosen(response)["model"] == "original"
    assert "The defaults of Launch film cannot be used: model must be one of" in response.content.decode()
