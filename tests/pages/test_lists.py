"""History, projects, balance and keys: what they show, and that they cost the same with one row and with three."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.accounts.services import issue_key
from apps.credits import services as credits
from apps.jobs.models import Job
from apps.projects.models import Project
from tests.factories import make_asset, make_job, make_project


def queries(browser, path: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert browser.get(path).status_code == 200
    return len(captured)


@pytest.fixture
def add(alice):
    """One more row for every list: a job in a project of its own, a ledger entry, an open hold, a key."""

    def more(number: int) -> None:
        project = make_project(alice, name=f"Film {number}")
        make_job(alice, status="completed", project=project)
        make_job(alice, status="queued", project=Project.objects.order_by("created_at")[0])
        credits.grant(alice, 1_00, key=f"test:{number}", note="one more")
        issue_key(alice, name=f"key {number}")

    return more


@pytest.mark.parametrize("name", ["web:jobs", "web:projects", "web:credits", "web:keys"])
def test_a_list_costs_the_same_queries_at_one_and_three_rows(browser, add, name):
    add(1)
    browser.get(reverse(name))
    with_one = queries(browser, reverse(name))
    add(2)
    add(3)

    assert queries(browser, reverse(name)) == with_one


def test_a_new_cutouts_page_costs_the_same_queries_with_one_clip_and_with_three(alice, browser, all_installed):
    def page(clips: int) -> str:
        assets = "&".join(f"asset={make_asset(alice).pk}" for _ in range(clips))
        return f"{reverse('web:new')}?model=light&{assets}"

    browser.get(page(1))
    with_one = queries(browser, page(1))

    assert queries(browser, page(3)) == with_one


def test_a_projects_page_costs_the_same_queries_at_one_and_three_rows(alice, browser, add):
    add(1)
    path = reverse("web:project", args=[Project.objects.order_by("created_at")[0].pk])
    browser.get(path)
    with_one = queries(browser, path)
    add(2)
    add(3)

    assert queries(browser, path) == with_one


def test_history_can_be_narrowed_to_a_project_and_a_status(alice, browser):
    film, other = make_project(alice, name="Film"), make_project(alice, name="Other")
    wanted = make_job(alice, status="completed", project=film)
    make_job(alice, status="queued", project=film)
    make_job(alice, status="completed", project=other)

    page = browser.get(reverse("web:jobs"), {"project": film.pk, "status": "completed"})

    assert [job.pk for job in page.context["page"]] == [wanted.pk]


def test_history_shows_nothing_of_other_people(alice, charlie, at):
    make_job(alice, status="completed")

    page = at(charlie).get(reverse("web:jobs"))

    assert list(page.context["page"]) == []
    assert b"No cutouts yet" in page.content


def test_a_filter_that_matches_nothing_says_so(alice, browser):
    make_job(alice, status="completed")

    assert b"Nothing matches" in browser.get(reverse("web:jobs"), {"status": "failed"}).content


def test_history_is_turned_page_by_page_and_keeps_its_filter(alice, browser):
    first = make_job(alice, status="created")
    Job.objects.bulk_create(
        Job(owner=alice, asset=first.asset, model="light", output_format="webm", options=first.options)
        for _ in range(20)
    )

    page = browser.get(reverse("web:jobs"), {"status": "created"}).content.decode()

    assert "Page 1 of 2" in page
    assert "?status=created&amp;page=2" in page
    assert len(browser.get(reverse("web:jobs"), {"page": 2}).context["page"]) == 1


def test_a_project_can_be_made_and_is_the_same_one_for_the_api(alice, browser):
    response = browser.post(reverse("web:projects"), {"name": "Autumn campaign"})

    made = Project.objects.get(external_id="Autumn campaign")
    assert (made.owner, made.name) == (alice, "Autumn campaign")
    assert response.url == reverse("web:project", args=[made.pk])


def test_the_ledger_shows_every_entry_and_what_is_set_aside(alice, browser):
    done, waiting = make_job(alice, status="completed"), make_job(alice, status="queued")

    page = browser.get(reverse("web:credits")).content.decode()

    assert "+100.00" in page
    assert "−7.50" in page
    assert reverse("web:job", args=[done.pk]) in page
    assert reverse("web:job", args=[waiting.pk]) in page
    assert "85 <small>credits</small>" in " ".join(page.split())


def test_the_history_asks_again_while_something_moves_and_only_for_that(alice, browser):
    running, done = make_job(alice, status="processing"), make_job(alice, status="completed")

    moving = browser.get(reverse("web:jobs")).content.decode()
    Job.objects.filter(pk=running.pk).update(status="canceled")
    still = browser.get(reverse("web:jobs")).content.decode()

    assert f'hx-select-oob="#balance,#state-{running.pk},#cost-{running.pk}"' in moving
    assert f'id="state-{running.pk}"' in moving
    assert f'id="state-{done.pk}"' in still
    assert "hx-get" not in still
