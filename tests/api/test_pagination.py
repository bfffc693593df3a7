"""Of a long list a database reads only what is shown."""

from __future__ import annotations

from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User
from apps.api.pagination import NarrowPaginator, rows_at
from apps.jobs.models import Job
from tests.factories import make_asset, make_job


def test_what_is_skipped_is_found_by_its_keys_alone_and_the_order_stays(alice: User) -> None:
    asset = make_asset(alice)
    for _ in range(5):
        make_job(alice, asset=asset)
    rows = Job.objects.with_details().order_by("-created_at", "id")

    with CaptureQueriesContext(connection) as captured:
        shown = rows_at(rows, 2, 4)

    assert shown == list(rows)[2:4]
    skipping = captured[0]["sql"]
    assert "OFFSET 2" in skipping
    assert "JOIN" not in skipping
    assert '"options"' not in skipping
    assert [row["sql"] for row in captured if "OFFSET" in row["sql"]] == [skipping]


def test_a_page_knows_its_place(alice: User) -> None:
    asset = make_asset(alice)
    for _ in range(3):
        make_job(alice, asset=asset)

    page = NarrowPaginator(Job.objects.order_by("-created_at", "id"), 2).get_page("99")

    assert (page.number, len(page.object_list), page.has_next()) == (2, 1, False)
