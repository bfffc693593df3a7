"""What was used, to look at and to take away."""

from __future__ import annotations

import csv
import io

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.api.test_usage import ended
from tests.factories import make_project


def rows(response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(b"".join(response).decode())))


def test_the_page_shows_days_models_projects_and_keys(alice, browser):
    ended(alice, model="original", project=make_project(alice, name="Launch"))
    ended(alice, model="light", days_ago=1)

    page = " ".join(browser.get(reverse("web:usage"), {"days": "7"}).content.decode().split())

    assert "17.5" in page
    assert "Launch" in page
    assert "In the browser" in page
    assert "2 completed, 0 failed, 0 canceled" in page


def test_a_period_that_is_none_shows_thirty_days(browser):
    assert b"30-days" not in browser.get(reverse("web:usage"), {"days": "many"}).content
    assert b"?days=30" in browser.get(reverse("web:usage"), {"days": "many"}).content


def test_the_csv_has_a_row_for_each_combination(alice, browser):
    ended(alice, model="original", project=make_project(alice, name="Launch"))
    ended(alice, model="light", days_ago=1)
    ended(alice, model="light", days_ago=1)

    response = browser.get(reverse("web:usage-csv"), {"days": "7"})

    assert response["Content-Type"].startswith("text/csv")
    assert "clearmatte-usage-7-days.csv" in response["Content-Disposition"]
    assert [(row["model"], row["project"], row["jobs"], row["credits"]) for row in rows(response)] == [
        ("light", "", "2", "15"),
        ("original", "Launch", "1", "10"),
    ]


def test_a_long_file_is_sent_while_it_is_read(alice, browser):
    ended(alice, days_ago=1)
    ended(alice, days_ago=30)

    blocks = list(browser.get(reverse("web:usage-csv"), {"days": "90"}))

    assert [block.count(b"\n") for block in blocks] == [1, 1, 1]


def test_names_are_looked_up_by_their_ids_and_not_joined(alice, browser):
    """To join them, a database reads all projects of all accounts."""
    ended(alice, project=make_project(alice, name="Launch"))
    with CaptureQueriesContext(connection) as captured:
        assert b"Launch" in browser.get(reverse("web:usage")).content
        assert b"Launch" in b"".join(browser.get(reverse("web:usage-csv")))

    assert [row["sql"] for row in captured if 'JOIN "projects_project"' in row["sql"]] == []


def test_a_name_is_no_formula_in_a_spreadsheet(alice, browser):
    ended(alice, project=make_project(alice, name='=HYPERLINK("http://evil")'))

    (row,) = rows(browser.get(reverse("web:usage-csv")))

    assert row["project"] == '\'=HYPERLINK("http://evil")'


def test_usage_is_ones_own(alice, at, charlie):
    ended(alice)

    assert rows(at(charlie).get(reverse("web:usage-csv"))) == []
