"""The words of a job, each in all its spellings, as a program sends them."""

from __future__ import annotations

import pytest

from apps.api.errors import MEANINGS
from apps.credits.models import PriceList
from apps.engine.formats import FORMATS
from apps.engine.options import MODELS
from apps.jobs.models import Job
from apps.projects.models import Project
from tests.api.calls import post, refusal
from tests.factories import make_asset, make_project

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("weights_here")]

GREEN = "#09a246"


@pytest.fixture
def draft(api, alice):
    """Makes a draft of these fields, and answers it."""
    video = str(make_asset(alice).pk)
    return lambda **fields: post(api, "", {"video_id": video, "auto_start": False, **fields})


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("output_format", sorted(set(FORMATS) - {"mp4"}))
def test_every_model_makes_every_format(draft, model, output_format):
    told = draft(model=model, output_format=output_format).json()

    assert (told["status"], told["model"], told["output_format"]) == ("created", model, output_format)


def test_left_out_words_have_their_defaults(draft):
    told = draft().json()

    assert (told["model"], told["output_format"], told["bg_type"]) == ("original", "webm", "transparent")
    assert (told["metadata"], told["webhook_url"], told["preview_duration"]) == ({}, None, None)
    assert told["project"]["name"] == "Default"


@pytest.mark.parametrize(
    ("fields", "color"),
    [
        ({"bg_type": "green"}, GREEN),
        ({"bg_type": "white"}, "#ffffff"),
        ({"bg_type": "black"}, "#000000"),
        ({"bg_type": "blue"}, "#0047bb"),
        ({"bg_type": "green", "bg_color": [0.035, 0.635, 0.274]}, GREEN),
        ({"bg_type": "custom", "bg_color": "#FF8800"}, "#ff8800"),
        ({"bg_type": "color", "bg_color": "#ff8800"}, "#ff8800"),
        ({"bg_type": "color", "bg_color": "teal"}, "#008080"),
        ({"bg_type": "color", "bg_color": [1, 0, 0]}, "#ff0000"),
        ({"bg_type": "color", "bg_color": [255, 136, 0]}, "#ff8800"),
        ({"bg_type": "color", "bg_color": [0.5, 0.5, 0.5]}, "#808080"),
        ({"background": {"type": "color", "color": "#ff8800"}}, "#ff8800"),
        ({"background": {"type": "green"}}, GREEN),
        ({"background": {"type": "green"}, "bg_type": "color", "bg_color": GREEN}, GREEN),
    ],
)
def test_a_colour_is_read_in_every_spelling(draft, fields, color):
    told = draft(output_format="mp4", **fields).json()

    assert (told["bg_type"], told["background"]["type"], told["background"]["color"]) == ("color", "color", color)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"bg_type": "color", "bg_color": [256, 0, 0]}, "bg_color"),
        ({"bg_type": "color", "bg_color": [1.5, 0, 0]}, "bg_color"),
        ({"bg_type": "color", "bg_color": [0, 0]}, "bg_color"),
        ({"bg_type": "color", "bg_color": "#12345"}, "bg_color"),
        ({"bg_type": "custom"}, "bg_color"),
        ({"bg_type": "green", "bg_color": "red"}, "bg_color"),
        ({"bg_type": "image"}, "bg_image_url"),
        ({"bg_type": "transparent", "bg_color": "red"}, "bg_color"),
        ({"background": {"type": "green"}, "bg_type": "blue"}, "background"),
        ({"background": "green"}, "background"),
    ],
)
def test_a_background_that_makes_no_sense_is_named(draft, fields, param):
    assert refusal(draft(**fields)) == (422, "invalid_request", param)


def test_mp4_without_a_background_names_the_way_out(draft):
    error = draft(output_format="mp4").json()["error"]

    assert error["param"] == "output_format"
    assert all(name in error["message"] for name in ("webm", "mov", "stacked_mp4"))


@pytest.mark.parametrize("spelling", ["bg_image_id", "nested"])
def test_a_picture_is_laid_under_in_both_spellings(draft, alice, spelling):
    picture = str(make_asset(alice, kind="background").pk)
    flat = {"bg_type": "image", "bg_image_id": picture, "fit": "contain"}
    nested = {"background": {"type": "image", "image_id": picture, "fit": "contain"}}

    told = draft(**(nested if spelling == "nested" else flat)).json()

    assert (told["bg_type"], told["background"]["image_id"], told["background"]["fit"]) == ("image", picture, "contain")


def test_a_project_is_named_by_its_id_or_by_our_own_name_for_it(draft, alice):
    film = make_project(alice, external_id="film-7")

    told = [draft(project=name).json()["project"]["id"] for name in (str(film.pk), "film-7", "new-one", "new-one")]

    assert told[:2] == [str(film.pk)] * 2
    assert told[2] == told[3] == str(Project.objects.get(owner=alice, external_id="new-one").pk)


@pytest.mark.parametrize(
    ("metadata", "status"),
    [
        ({str(n): n for n in range(50)}, 201),
        ({str(n): n for n in range(51)}, 422),
        ({"note": "x" * (16 * 1024 - 11)}, 201),
        ({"note": "x" * (16 * 1024 - 10)}, 422),
        ({"deep": {"er": [None, True, 1.5, "ü"]}}, 201),
    ],
)
def test_metadata_is_returned_as_given_within_its_limits(draft, metadata, status):
    response = draft(metadata=metadata)

    assert response.status_code == status
    if status == 201:
        assert response.json()["metadata"] == metadata


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"model": "pro"}, {"model": "pro"}),
        ({"output_format": "mov"}, {"output_format": "mov"}),
        ({"bg_type": "white"}, {"bg_type": "color"}),
        ({"background": {"type": "color", "color": "#ff8800"}}, {"bg_type": "color"}),
        ({"metadata": {"b": 2}}, {"metadata": {"b": 2}}),
        ({"webhook_url": "https://example.org/other"}, {"webhook_url": "https://example.org/other"}),
        ({"video_url": "https://example.org/b.mp4"}, {"video_url": "https://example.org/b.mp4", "stage": "fetching"}),
        ({"preview_duration": 2}, {"preview_duration": 2, "frames_total": 50}),
        ({"trim": {"start": 1, "end": 3}}, {"frames_total": 50}),
        ({"on_limit": "reduce"}, {"status": "queued"}),
        ({"keep_audio": False}, {"status": "queued"}),
        ({"edge": {"choke_px": 1}}, {"status": "queued"}),
        ({"composition": {"canvas": {"width": 64, "height": 64}}}, {"status": "queued"}),
    ],
)
def test_the_start_of_a_draft_may_change_any_word(api, draft, change, shown):
    made = draft(bg_type="green", metadata={"a": 1}, webhook_url="https://example.org/hook").json()

    told = post(api, f"/{made['id']}/start", change).json()

    assert told["id"] == made["id"]
    assert {name: told[name] for name in shown} == shown
    kept = Job.objects.get().requested
    assert all(kept[name] == value for name, value in change.items())


def test_a_prompt_is_refused_and_not_passed_over(draft):
    assert refusal(draft(text_prompt="the dog")) == (422, "unsupported_parameter", "text_prompt")


def test_the_previews_of_a_day_end_with_a_429_that_says_when(api, alice):
    PriceList.objects.update(preview_allowance=1)
    body = {"video_id": str(make_asset(alice).pk), "preview_duration": 1}
    assert post(api, "", body).status_code == 201

    response = post(api, "", body)

    assert refusal(response) == (429, "rate_limited", "preview_duration")
    assert 86_300 < int(response["Retry-After"]) <= 86_400


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "offset=-1", "offset=x"])
def test_pages_of_a_list_have_bounds(api, query):
    assert refusal(api.get(f"/v1/jobs?{query}")) == (422, "invalid_request", query.partition("=")[0])


@pytest.mark.parametrize("query", ["limit=1", "limit=100", "offset=1000"])
def test_within_them_a_list_is_answered(api, query):
    assert api.get(f"/v1/jobs?{query}").json()["data"] == []


def test_doc_url_leads_to_a_place_on_the_page(anonymous, db):
    page = anonymous.get("/docs").content.decode()

    for code in MEANINGS:
        assert f'id="error-{code}"' in page
