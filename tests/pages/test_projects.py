"""Projects in the browser: found, narrowed, decided over, and many results taken or deleted at once."""

from __future__ import annotations

import io
import zipfile
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.jobs.models import Job, Output
from apps.projects.models import Asset, Project
from tests.factories import make_asset, make_job, make_output, make_project


def shown(page) -> list[str]:
    return [row["project"].name for row in page.context["rows"]]


def unpacked(response) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(b"".join(response.streaming_content)))


def make_poster(job: Job) -> Output:
    return make_output(job, kind="poster", format_="webp", width=480, height=270)


@pytest.fixture
def film(alice) -> Project:
    return make_project(alice, name="Film", external_id="film-7")


@pytest.fixture
def done(alice, film) -> Job:
    return make_job(alice, status="completed", project=film, asset=make_asset(alice, project=film, filename="one.mp4"))


def to(film: Project, name: str) -> str:
    return reverse(f"web:{name}", args=[film.pk])


@pytest.mark.parametrize(("words", "found"), [("fil", ["Film"]), ("FILM-7", ["Film"]), ("nothing", [])])
def test_projects_are_found_by_name_and_external_id(alice, browser, film, words, found):
    make_project(alice, name="Other")

    assert shown(browser.get(reverse("web:projects"), {"q": words})) == found


def test_projects_are_narrowed_to_those_with_media_and_with_running_jobs(alice, browser, film, done):
    make_job(alice, status="queued", project=make_project(alice, name="Busy"))

    media = shown(browser.get(reverse("web:projects"), {"show": "media"}))
    running = shown(browser.get(reverse("web:projects"), {"show": "running"}))

    assert (media, running) == (["Film"], ["Busy"])


def test_lists_show_the_picture_of_a_job_in_a_place_that_keeps_its_size(browser, film, done):
    output = make_poster(done)

    for address in (reverse("web:projects"), reverse("web:jobs"), to(film, "project")):
        page = browser.get(address).content.decode()
        assert f"/media/{output.file.name}?" in page
        assert 'width="480"' in page
        assert 'height="270"' in page


def test_the_picture_of_a_project_is_its_newest_jobs_that_is_still_kept(alice, browser, film, done):
    older, gone = make_poster(done), make_poster(make_job(alice, status="completed", project=film))
    Output.objects.filter(pk=gone.pk).update(file="", deleted_at=timezone.now())

    (row,) = [row for row in browser.get(reverse("web:projects")).context["rows"] if row["project"] == film]

    assert str(older.file.name) in row["poster"].url


def test_cards_with_pictures_cost_the_same_queries_at_one_and_three(alice, browser, film, done):
    make_poster(done)
    browser.get(reverse("web:projects"))
    with CaptureQueriesContext(connection) as one:
        browser.get(reverse("web:projects"))
    for number in range(2):
        make_poster(make_job(alice, status="completed", project=make_project(alice, name=f"Film {number}")))
    with CaptureQueriesContext(connection) as three:
        browser.get(reverse("web:projects"))

    assert len(three) == len(one)


def test_a_projects_jobs_are_narrowed_by_status_model_and_day(alice, browser, film, done):
    Job.objects.filter(pk=done.pk).update(created_at=timezone.now() - timedelta(days=3))
    fresh = make_job(alice, status="queued", model="human", project=film)
    today = f"{timezone.now():%Y-%m-%d}"
    asked = [{"status": "completed"}, {"model": "light"}, {"until": f"{timezone.now() - timedelta(days=2):%Y-%m-%d}"}]

    old = [[job.pk for job in browser.get(to(film, "project"), query).context["page"]] for query in asked]
    new = [job.pk for job in browser.get(to(film, "project"), {"since": today, "until": today}).context["page"]]

    assert (old, new) == ([[done.pk]] * 3, [fresh.pk])


def test_settings_are_shown_and_changed_and_what_the_page_cannot_show_stays(browser, film):
    Project.objects.filter(pk=film.pk).update(defaults={"model": "pro", "keep_audio": False, "bg_type": "image",
                                                         "bg_image_url": "https://example.org/wall.jpg"})  # fmt: skip
    page = browser.get(to(film, "project-settings")).content.decode()

    browser.post(
        to(film, "project-settings"),
        {"name": "Film II", "external_id": "film-8", "result_days": "2", "model": "human", "bg_type": "kept"},
    )

    film.refresh_from_db()
    assert "As set over the API" in page
    assert (film.name, film.external_id, film.result_days, film.source_hours) == ("Film II", "film-8", 2, None)
    assert film.defaults == {
        "model": "human", "keep_audio": False, "bg_type": "image", "bg_image_url": "https://example.org/wall.jpg",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"result_days": "900"}, "result_days"),
        ({"external_id": "taken"}, "external_id"),
        ({"output_format": "mp4", "bg_type": "transparent"}, None),
        ({"bg_type": "color"}, "bg_color"),
    ],
)
def test_settings_that_cannot_be_are_refused_where_they_stand(alice, browser, film, sent, field):
    make_project(alice, name="Other", external_id="taken")

    page = browser.post(to(film, "project-settings"), {"name": "Changed", "external_id": "film-7", **sent})

    assert page.status_code == 200
    assert page.context["form"].errors
    assert field is None or field in page.context["form"].errors
    assert Project.objects.get(pk=film.pk).name == "Film"


def test_chosen_results_come_as_one_archive_with_names_that_differ(alice, browser, film, done):
    twin = make_job(alice, status="completed", project=film, asset=done.asset)
    other = make_job(alice, status="completed", project=film)
    make_output(other, kind="matte")

    two = browser.post(to(film, "project-download"), {"job": [done.pk, twin.pk, "nonsense"]})
    every = browser.post(to(film, "project-download"), {"all": "1", "status": "completed"})

    assert two.headers["Content-Disposition"].startswith('attachment; filename="film-')
    archive = unpacked(two)
    assert archive.namelist() == ["one-cutout.webm", "one-cutout (2).webm"]
    assert archive.testzip() is None
    assert {archive.read(name) for name in archive.namelist()} == {b"a cutout"}
    assert len(unpacked(every).namelist()) == 3


def test_a_stranger_s_jobs_are_not_in_the_archive(alice, charlie, browser, film, done):
    theirs = make_job(charlie, status="completed", project=make_project(charlie))

    assert unpacked(browser.post(to(film, "project-download"), {"job": [done.pk, theirs.pk]})).namelist() == [
        "one-cutout.webm"
    ]


def test_nothing_to_download_is_said_in_words(alice, browser, film):
    waiting = make_job(alice, status="queued", project=film)

    page = browser.post(to(film, "project-download"), {"job": waiting.pk}, follow=True)

    assert b"Nothing to download" in page.content


def test_before_media_go_a_page_says_which_and_nothing_is_gone_yet(alice, browser, film, done):
    waiting = make_job(alice, status="queued", project=film)

    page = browser.post(to(film, "project-delete-media"), {"job": [done.pk, waiting.pk]})

    text = " ".join(page.content.decode().split())
    assert "one.mp4" in text
    assert (page.context["going"].results, page.context["going"].sources) == (1, 1)
    assert page.context["going"].bytes == done.outputs.get().size + done.asset.size
    assert "1 of the chosen jobs is not over and keeps its files" in text
    assert done.outputs.get().file


def test_chosen_media_go_when_it_is_said_and_the_rest_stays(alice, browser, film, done):
    kept, waiting = make_job(alice, status="completed", project=film), make_job(alice, status="queued", project=film)
    shared = make_job(alice, status="completed", project=film, asset=done.asset)

    browser.post(to(film, "project-delete-media"), {"job": [done.pk, waiting.pk], "sure": "1"})

    assert (done.outputs.get().file.name, kept.outputs.get().file.name != "") == ("", True)
    assert Asset.objects.get(pk=shared.asset_id).file  # another job's result still needs it
    assert Asset.objects.get(pk=waiting.asset_id).file
    assert Job.objects.filter(pk=done.pk, status="completed").exists()


def test_all_that_match_go_but_not_what_was_finished_after_the_page_was_shown(alice, browser, film, done):
    page = browser.post(to(film, "project-delete-media"), {"all": "1", "status": "completed"})
    sent = {**dict(page.context["carried"]), "before": page.context["before"], "sure": "1"}
    late = make_job(alice, status="completed", project=film)

    browser.post(to(film, "project-delete-media"), sent)

    assert done.outputs.get().file.name == ""
    assert late.outputs.get().file.name != ""


def test_a_project_is_deleted_after_a_page_that_says_what_goes(alice, browser, film, done):
    page = browser.get(to(film, "project-delete"))
    assert page.context["going"].results == 1

    browser.post(to(film, "project-delete"))

    assert browser.get(to(film, "project")).status_code == 404
    assert done.outputs.get().file.name == ""


def test_the_default_project_stays(alice, browser):
    browser.get(reverse("web:projects"))
    default = Project.objects.get(owner=alice, is_default=True)

    page = browser.post(to(default, "project-delete"), follow=True)

    assert b"cannot be deleted" in page.content
    assert Project.objects.get(pk=default.pk).deleted_at is None
