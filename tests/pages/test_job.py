"""The job's page in each state, its ticking part, and its buttons."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from django.urls import reverse

from apps.credits.models import Wallet
from apps.engine.options import Background
from apps.jobs import newest
from apps.jobs.models import Job, Output
from tests.factories import make_asset, make_job, make_output, make_project

pytestmark = pytest.mark.usefixtures("all_installed")


def page_of(browser, job) -> str:
    return browser.get(reverse("web:job", args=[job.pk])).content.decode()


def tick(browser, job, seen: str):
    return browser.get(reverse("web:job-status", args=[job.pk]), {"seen": seen}, headers={"hx-request": "true"})


def test_a_running_job_shows_percent_frames_and_time_left(alice, browser):
    job = make_job(alice, status="processing", progress=41.6, frames_done=104, frames_total=250, eta_seconds=23.0)

    page = page_of(browser, job)

    assert "42<small> %</small>" in page
    assert "104 of 250 frames" in page
    assert "about 23 s left" in page
    assert 'hx-trigger="every 1s"' in page


@pytest.fixture
def picture(tmp_path) -> Path:
    path = tmp_path / "newest.webp"
    path.write_bytes(b"RIFF, a picture")
    return path


def test_a_running_job_shows_its_newest_frame_to_its_owner_alone(alice, charlie, browser, client, picture):
    job = make_job(alice, status="processing", frames_done=7)
    address = reverse("web:job-newest", args=[job.pk])
    assert address not in page_of(browser, job)
    client.force_login(charlie)

    newest.put(job.pk, picture)

    assert f'data-newest="{address}?frame=7"' in page_of(browser, job)
    answer = browser.get(address)
    assert (answer.content, answer["Content-Type"]) == (b"RIFF, a picture", "image/webp")
    assert "no-store" in answer["Cache-Control"]
    assert client.get(address).status_code == 404


def test_a_finished_job_has_no_newest_frame_any_more(alice, browser, picture):
    job = make_job(alice, status="completed")
    newest.put(job.pk, picture)

    assert browser.get(reverse("web:job-newest", args=[job.pk])).status_code == 404


def test_a_picture_that_is_not_there_yet_is_none(alice, tmp_path):
    job = make_job(alice, status="processing")

    newest.put(job.pk, tmp_path / "missing.webp")

    assert newest.get(job.pk) is None


@pytest.mark.parametrize(("device", "said"), [("cuda", ["CUDA"]), ("cpu", ["CPU"]), ("", [])])
def test_a_job_says_what_it_worked_on(alice, browser, device, said):
    job = make_job(alice, status="completed", device=device)

    assert re.findall(r"<dt>Worked on</dt>\s*<dd>\s*(\w+)\s*</dd>", page_of(browser, job)) == said


def test_a_waiting_job_shows_its_place_in_the_queue(alice, browser):
    make_job(alice, status="queued")
    second = make_job(alice, status="queued")

    assert "Number 2 in the queue" in page_of(browser, second)


def test_a_tick_brings_only_the_progress_while_the_state_is_the_same(alice, browser):
    job = make_job(alice, status="processing", progress=50)

    response = tick(browser, job, "processing-ready")

    page = response.content.decode()
    assert page.lstrip().startswith('<section id="progress"')
    assert "This job" not in page
    assert "HX-Retarget" not in response.headers


def test_a_tick_brings_the_whole_job_and_the_balance_when_the_state_changed(alice, browser):
    job = make_job(alice, status="completed")

    response = tick(browser, job, "processing-ready")

    assert response.headers["HX-Retarget"] == "#job"
    page = response.content.decode()
    assert "Download WebM" in page
    assert 'hx-swap-oob="true"' in page
    assert "92.50 credits" in page
    assert "every 1s" not in page


@pytest.mark.parametrize("status", Job.FINAL)
def test_a_final_job_asks_for_nothing_more(alice, browser, status):
    assert "every 1s" not in page_of(browser, make_job(alice, status=status))


def test_a_finished_job_offers_compare_download_and_what_opens_it(alice, browser):
    page = page_of(browser, make_job(alice, status="completed"))

    assert "data-compare" in page
    assert page.count("<video") == 2
    assert "Download WebM" in page
    assert "Opens in: Chrome" in page
    assert "7.50 charged" in page


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        ({"canvas": {"width": 360, "height": 360}}, "0.0000 21.9444 100.0000 56.1111"),
        (
            {"canvas": {"width": 320, "height": 360}, "foreground": {"anchor": "top-left"}},
            "0.0000 0.0000 100.0000 50.0000",
        ),
        ({"foreground": {"scale": 0.5, "offset": {"x": 32, "y": -18}}}, "35.0000 15.0000 50.0000 50.0000"),
        ({}, None),
    ],
)
def test_on_a_canvas_of_its_own_the_original_lies_beneath_the_cutout(alice, browser, asked, place):
    job = make_job(alice, status="completed")
    Job.objects.update(options={**job.options, "composition": asked})

    page = page_of(browser, job)

    assert re.findall(r'data-place="([^"]*)"', page) == ([place] if place else [])


@pytest.mark.parametrize("name", ["gif", "webp"])
def test_moving_pictures_are_shown_as_pictures(alice, browser, name):
    page = page_of(browser, make_job(alice, status="completed", output_format=name))

    assert 'alt="The cutout, moving"' in page
    assert "data-compare" not in page


@pytest.mark.parametrize("name", ["mov", "png_sequence"])
def test_what_no_browser_can_show_is_said_and_the_original_shown(alice, browser, name):
    page = page_of(browser, make_job(alice, status="completed", output_format=name))

    assert "No browser can show" in page
    assert page.count("<video") == 1


@pytest.mark.parametrize("name", ["mov", "png_sequence"])
def test_what_no_browser_can_show_is_shown_by_its_preview(alice, browser, name):
    job = make_job(alice, status="completed", output_format=name)
    make_output(job, kind="preview", format_="stacked_mp4", width=320, height=360)

    page = page_of(browser, job)

    assert "this is a small preview" in page
    assert page.count("<stacked-player>") == 1
    assert "data-compare" in page


def test_a_webm_brings_a_spare_for_browsers_that_lose_its_alpha(alice, browser):
    job = make_job(alice, status="completed")
    preview = make_output(job, kind="preview", format_="stacked_mp4", width=320, height=360)

    page = page_of(browser, job)

    assert f'data-spare="/media/{preview.file.name}?' in page
    assert "data-spare-stacked" in page
    assert "<stacked-player>" not in page


def test_a_stacked_result_plays_and_can_be_put_on_any_page(alice, browser):
    job = make_job(alice, status="completed", output_format="stacked_mp4")
    job.outputs.update(facts={**job.outputs.get().facts, "height": 360})

    page = page_of(browser, job)

    assert page.count("<stacked-player>") == 1
    assert re.search(r'width="320"\s+height="180"', page)
    snippet = unescape(page.split('<code id="embed-snippet">')[1].split("</code>")[0])
    assert '<video src="clip-cutout-stacked.mp4" width="320" height="180"' in snippet
    assert 'customElements.define("stacked-player", StackedPlayer);' in snippet


def test_media_are_named_without_the_site_so_that_any_name_of_it_works(alice, browser, settings):
    page = page_of(browser, make_job(alice, status="completed"))

    assert 'src="/media/' in page
    assert f"{settings.SITE_URL}/media/" not in page


def test_a_failed_job_says_why_what_to_do_and_that_it_cost_nothing(alice, browser):
    job = make_job(alice, status="failed", error_code="timeout", error="The job took longer than an hour.")

    page = page_of(browser, job)

    assert "The job took longer than an hour." in page
    assert "Try a quicker model" in page
    assert "Nothing was charged" in page
    assert "Retry the same" in page


def test_cancel_gives_the_credits_back(alice, browser):
    job = make_job(alice, status="queued")

    response = browser.post(reverse("web:job-cancel", args=[job.pk]), follow=True)

    assert Job.objects.get().status == "canceled"
    assert Wallet.objects.get(user=alice).available == 100_00
    assert b"Nothing was charged" in response.content


def test_cancel_of_a_finished_job_is_refused_in_words(alice, browser):
    job = make_job(alice, status="completed")

    response = browser.post(reverse("web:job-cancel", args=[job.pk]))

    assert b'role="alert"' in response.content
    assert Job.objects.get().status == "completed"


def test_cutting_it_out_differently_starts_from_what_was_asked(alice, browser):
    project = make_project(alice)
    picture = make_asset(alice, kind="background")
    for background, choices in (
        (Background("color", (0, 0x47, 0xBB)), {"bg_type": "color", "bg_color": "#0047bb"}),
        (Background("image"), {"bg_type": "image", "bg_image_id": picture.pk}),
    ):
        job = make_job(
            alice,
            status="completed",
            model="light",
            output_format="mp4",
            background=background,
            project=project,
            background_asset=picture if background.type == "image" else None,
        )

        href = re.search(r'href="([^"]+)">Cut it out differently', page_of(browser, job))
        opened = browser.get(unescape(href.group(1)))

        asked = {
            "model": "light",
            "output_format": "mp4",
            "asset": [str(job.asset_id)],
            "project": project.pk,
            **choices,
        }
        assert {name: str(opened.context["chosen"][name]) for name in asked} == {n: str(v) for n, v in asked.items()}
        assert not opened.context["form"].errors


def test_retry_leads_to_a_new_job(alice, browser):
    failed = make_job(alice, status="failed")

    response = browser.post(reverse("web:job-retry", args=[failed.pk]))

    again = Job.objects.get(retried_from=failed)
    assert response.url == reverse("web:job", args=[again.pk])
    assert again.status == "queued"


def test_retry_without_credits_says_what_is_needed(bob, at):
    asset = make_asset(bob)
    draft = make_job(bob, asset=asset, status="created")
    browser = at(bob)

    response = browser.post(reverse("web:job-start", args=[draft.pk]))

    assert b"You need 7.50, available are 0" in response.content
    assert Job.objects.get().status == "created"


def test_delete_now_deletes_the_files_and_keeps_the_record(alice, browser):
    job = make_job(alice, status="completed")

    page = browser.post(reverse("web:job-delete-media", args=[job.pk]), follow=True).content.decode()

    output = Output.objects.get()
    assert not output.file
    assert "have been deleted" in page
    assert "7.50 charged" in page
    assert "Download WebM" not in page


def test_a_job_whose_clip_is_gone_shows_the_cutout_alone(alice, browser):
    job = make_job(alice, status="completed")
    assert job.asset is not None
    job.asset.file.delete(save=True)

    page = page_of(browser, job)

    assert page.count("<video") == 1
    assert "data-compare" not in page
    assert "The original has been deleted" in page
