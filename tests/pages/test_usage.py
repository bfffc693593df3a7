"""What was used, to look at and to take away."""

from __future__ import annotations

import csv
import io

from django.urls import reverse

from tests.api.test_usage import ended
from tests.factories import make_project


def rows(response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(response.content.decode())))


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


def test_a_name_is_no_formula_in_a_spreadsheet(alice, browser):
    ended(alice, project=make_project(alice, name='=HYPERLINK("http://evil")'))

    (row,) = rows(browser.get(reverse("web:usage-csv")))

    assert row["project"] == '\'=HYPERLINK("http://evil")'


def test_usage_is_ones_own(alice, at, charlie):
    ended(alice)

    assert rows(at(charlie).get(reverse("web:usage-csv"))) == []
