"""What support types is looked up by an index, on whichever database the tests run; and once more on PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.db import connection
from django.db.models import QuerySet
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import Act, ApiKey, Mail, User
from apps.accounts.records import MOST_COUNTED, CappedPaginator, RecordAdmin
from apps.credits.models import AuditRun, Hold, LedgerEntry, Purchase, StripeEvent
from apps.jobs.models import Job, MetadataWord, Output
from apps.projects.models import Asset, Deletion, Project
from apps.webhooks.models import Delivery
from tests.credits.conftest import postgresql  # noqa: F401
from tests.factories import make_job, make_project

ID = "0f0f0f0f-1111-2222-3333-444444444444"
NOW = timezone.now()
POSTGRESQL_ONLY = {"name", "part of an e-mail"}
"""SQLite does not look up text by its beginning or in whatever case; sites of its size have few rows."""

LOOKUPS: dict[str, Callable[[], QuerySet[Any]]] = {
    "beginning of an id": lambda: Job.objects.filter(pk__gte=ID, pk__lte=ID),
    "request": lambda: Job.objects.filter(request_id="req_1"),
    "project's jobs": lambda: Job.objects.filter(project=ID).order_by("-created_at"),
    "account's jobs": lambda: Job.objects.filter(owner=ID).order_by("-created_at"),
    "source's jobs": lambda: Job.objects.filter(asset=ID).order_by(),
    "metadata": lambda: MetadataWord.objects.filter(text="A-4711"),
    "result's hash": lambda: Output.objects.filter(sha256="0" * 64).order_by(),
    "source's hash": lambda: Asset.objects.filter(sha256="0" * 64).order_by(),
    "account's files": lambda: Asset.objects.filter(owner=ID).order_by("-created_at"),
    "external id": lambda: Project.objects.filter(external_id="shop-7").order_by(),
    "name": lambda: Project.objects.filter(name__iexact="film").order_by(),
    "e-mail": lambda: User.objects.filter(email="alice@example.org"),
    "part of an e-mail": lambda: User.objects.filter(email__startswith="alice@"),
    "key": lambda: ApiKey.objects.filter(prefix="cm_1234567").order_by(),
    "job's deliveries": lambda: Delivery.objects.filter(subject=ID).order_by("created_at"),
    "account's deliveries": lambda: Delivery.objects.filter(user=ID).order_by("-created_at"),
    "job's lines": lambda: LedgerEntry.objects.filter(reference=ID).order_by("id"),
    "account's lines": lambda: LedgerEntry.objects.filter(wallet=1).order_by("-id"),
    "job's holds": lambda: Hold.objects.filter(reference=ID).order_by("created_at"),
    "session": lambda: Purchase.objects.filter(session_id="cs_1").order_by(),
    "payment": lambda: Purchase.objects.filter(payment_intent="pi_1").order_by(),
    "charge": lambda: Purchase.objects.filter(charge="ch_1").order_by(),
    "invoice": lambda: Purchase.objects.filter(invoice="in_1").order_by(),
    "job's purchases": lambda: Purchase.objects.filter(started_job=ID).order_by(),
    "event's subject": lambda: StripeEvent.objects.filter(subject="ch_1").order_by(),
    "acts": lambda: Act.objects.filter(subject=ID).order_by(),
    "newest jobs": lambda: Job.objects.order_by("-created_at", "-pk")[:50],
    "newest holds": lambda: Hold.objects.order_by("-created_at", "-pk")[:50],
    "newest deliveries": lambda: Delivery.objects.order_by("-created_at", "-pk")[:50],
    "newest files": lambda: Asset.objects.order_by("-created_at", "-pk")[:50],
    "newest purchases": lambda: Purchase.objects.order_by("-created_at", "-pk")[:50],
    "account's list, narrowed": lambda: _keys(Job.objects.filter(owner=ID, status="failed", model="pro")),
    "project's list, narrowed": lambda: _keys(Job.objects.filter(project=ID, status="failed", model="pro")),
    "account's deliveries, far on": lambda: _keys(Delivery.objects.filter(user=ID)),
    "those that failed, far on": lambda: _keys(Delivery.objects.filter(user=ID, state="failed")),
    "endpoint's deliveries, far on": lambda: _keys(Delivery.objects.filter(endpoint=ID)),
    "what a key spent": lambda: Job.objects.filter(api_key=ID, queued_at__gte=NOW).order_by().values("charged"),
    "newest mails": lambda: Mail.objects.order_by("-created_at", "-pk")[:50],
    "newest mails of a kind": lambda: Mail.objects.filter(kind="low_credits").order_by("-created_at")[:50],
    "account's mails": lambda: Mail.objects.filter(user=ID).order_by("-created_at"),
    "mails not sent": lambda: Mail.objects.filter(sent_at=None).order_by("-created_at")[:50],
    "deleted projects": lambda: Project.objects.filter(deleted_at__isnull=False).order_by("-created_at")[:50],
    "open purchases": lambda: Purchase.objects.filter(status="open").order_by("-created_at")[:50],
    "events of a type": lambda: StripeEvent.objects.filter(type="charge.refunded").order_by("-received_at")[:50],
    "events not processed": lambda: StripeEvent.objects.filter(processed_at=None).order_by("-received_at")[:50],
    "books that drifted": lambda: AuditRun.objects.exclude(drifts=[]).order_by("-started_at")[:50],
    "files deleted by a rule": lambda: Deletion.objects.filter(rule="now").order_by("-created_at")[:50],
    "deleted files of a kind": lambda: Deletion.objects.filter(kind="video").order_by("-created_at")[:50],
    "newest lines of a kind": lambda: LedgerEntry.objects.filter(kind="refund").order_by("-id")[:50],
}

WITHOUT_THE_ROWS = ("what a key spent", *(name for name in LOOKUPS if name.endswith(", far on")))
"""All that these ask is in an index: long lists skip what they do not show, by index alone."""


def _keys(rows: QuerySet[Any]) -> QuerySet[Any]:
    """As pages find what they show."""
    return rows.order_by("-created_at", "pk").values("pk")


@pytest.mark.parametrize("name", LOOKUPS)
@pytest.mark.django_db
def test_it_is_looked_up_and_not_read_through(name: str) -> None:
    if connection.vendor == "sqlite" and name in POSTGRESQL_ONLY:
        pytest.skip("SQLite reads its few rows")
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # With few rows it would rather read them all; what is left of that has no index to go by.
            cursor.execute("SET LOCAL enable_seqscan = off")

    plan = LOOKUPS[name]().explain()

    assert "Seq Scan" not in plan
    assert not [line for line in plan.splitlines() if "SCAN" in line and "USING" not in line], plan
    assert "Index" in plan or "INDEX" in plan
    if name in WITHOUT_THE_ROWS:
        assert "Index Only Scan" in plan or "USING COVERING INDEX" in plan, plan


@pytest.mark.parametrize("whose", ["owner", "project"])
def test_what_narrows_a_list_of_jobs_is_in_the_index_of_its_order(whose: str) -> None:
    """Or a list narrowed to the few of a status is walked row by row, where a database expected them to be many."""
    assert (whose, "-created_at", "id", "status", "model") in [tuple(index.fields) for index in Job._meta.indexes]


def test_a_list_is_counted_to_a_limit_and_not_at_all_without_need(alice: User) -> None:
    with CaptureQueriesContext(connection) as captured:
        assert CappedPaginator(Job.objects.select_related("owner"), 50).count == 0

    (query,) = captured
    assert f"LIMIT {MOST_COUNTED}" in query["sql"]
    assert "ORDER BY" not in query["sql"]


def test_no_list_reads_a_whole_column(client: Client, sue: User, alice: User) -> None:
    """Neither for its filters nor for its dates, which Django's own do on every page."""
    make_job(alice, project=make_project(alice), status="completed")
    client.force_login(sue)
    for kind in (kind for kind in admin.site._registry.values() if isinstance(kind, RecordAdmin)):
        address = reverse(f"admin:{kind.opts.app_label}_{kind.opts.model_name}_changelist")
        dates = [{}, {f"{kind.date_hierarchy}__year": "2026", f"{kind.date_hierarchy}__month": "2"}]
        for query in dates if kind.date_hierarchy else dates[:1]:
            with CaptureQueriesContext(connection) as captured:
                assert client.get(address, query).status_code == 200, address

            wide = [row["sql"] for row in captured if "DISTINCT" in row["sql"]]
            wide += [
                row["sql"] for row in captured if "COUNT(" in row["sql"] and f"LIMIT {MOST_COUNTED}" not in row["sql"]
            ]
            assert wide == [], address


@pytest.mark.parametrize(
    "kind",
    [kind for kind in admin.site._registry.values() if isinstance(kind, RecordAdmin) and kind.date_hierarchy],
    ids=str,
)
def test_a_list_that_is_narrowed_to_days_is_in_their_order(kind: RecordAdmin, rf: RequestFactory) -> None:
    """By another order, all that came after those days would have to be passed to find fifty of them."""
    (first, *_) = kind.get_ordering(rf.get("/")) or kind.opts.ordering

    assert first == f"-{kind.date_hierarchy}"


def test_every_list_may_be_sorted_and_searched(client: Client, sue: User, alice: User) -> None:
    make_job(alice)
    client.force_login(sue)
    for kind in (kind for kind in admin.site._registry.values() if isinstance(kind, RecordAdmin)):
        address = reverse(f"admin:{kind.opts.app_label}_{kind.opts.model_name}_changelist")
        for query in ({"q": "alice@example.org"}, {"q": ID}, {"o": "1"}):
            assert client.get(address, query).status_code == 200, (address, query)


@pytest.mark.skipif("TEST_DATABASE_URL" in os.environ, reason="this is the inner run")
def test_what_is_looked_up_here_is_looked_up_on_postgresql(postgresql: str) -> None:  # noqa: F811
    folder = Path(__file__).parent
    files = [str(folder / name) for name in ("test_plans.py", "test_find.py")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--ds=tests.settings", *files, "-p", "no:cacheprovider", "-q"],
        env={**os.environ, "TEST_DATABASE_URL": postgresql},
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "SKIPPED [1]" in done.stdout, "only this very test is not for the inner run"
