"""One box that finds everything, by whatever a customer, a log line or Stripe calls it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import escape

from apps.accounts.models import ApiKey, User
from apps.accounts.records import SHOWN_HITS
from apps.accounts.services import issue_key
from apps.credits.models import LedgerEntry, Purchase, StripeEvent, Wallet
from apps.jobs import metadata
from apps.jobs.models import Output
from apps.webhooks import services as webhooks
from tests.admin.pressing import page
from tests.factories import make_asset, make_job, make_project

FIND = reverse("admin:find")


def find(client: Client, text: str) -> Any:
    return client.get(FIND, {"q": text})


def groups(client: Client, text: str) -> dict[str, list[Model]]:
    return {group.name: [hit.record for hit in group.hits] for group in find(client, text).context["groups"]}


@pytest.fixture
def records(alice: User, charlie: User) -> dict[str, Any]:
    """Alice's things, and Charlie's beside them whom no search may find."""
    made = [_records_of(user) for user in (charlie, alice)]
    return made[-1]


def _records_of(user: User) -> dict[str, Any]:
    name = user.email.split("@")[0]
    project = make_project(user, name=f"Film of {name}", external_id=f"shop-{name}")
    asset = make_asset(user, project=project, content=name.encode())
    job = make_job(user, asset=asset, project=project, status="completed", request_id=f"req_{name}")
    Output.objects.filter(job=job).update(sha256=f"{len(name)}" * 64)
    (delivery,) = webhooks.emit(user, "job.completed", url="https://hooks.example.org/in", body={}, subject=job.pk)
    Wallet.objects.filter(user=user).update(stripe_customer=f"cus_{name}")
    purchase = Purchase.objects.create(
        user=user, pack="team", credits=1, amount=45_00, currency="usd", pricing_version=1, status="paid",
        session_id=f"cs_{name}", payment_intent=f"pi_{name}", charge=f"ch_{name}", invoice=f"in_{name}",
    )  # fmt: skip
    event = StripeEvent.objects.create(id=f"evt_{name}", type="charge.refunded", payload={}, subject=f"ch_{name}")
    key, _ = issue_key(user, name=f"laptop of {name}")
    return {
        "project": project, "asset": asset, "job": job, "delivery": delivery, "purchase": purchase, "event": event,
        "key": key, "wallet": user.wallet, "output": job.outputs.get(), "user": user,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("handle", "expected"),
    [
        (lambda r: str(r["job"].pk), "job"),
        (lambda r: str(r["job"].pk)[:8], "job"),
        (lambda r: str(r["job"].pk)[:13].upper(), "job"),
        (lambda r: f"  {r['job'].pk.hex} ", "job"),
        (lambda r: "req_alice", "job"),
        (lambda r: r["output"].sha256, "job"),
        (lambda r: str(r["project"].pk), "project"),
        (lambda r: str(r["delivery"].pk), "delivery"),
        (lambda r: str(r["delivery"].pk)[:8], "delivery"),
        (lambda r: "cus_alice", "wallet"),
        (lambda r: "cs_alice", "purchase"),
        (lambda r: "in_alice", "purchase"),
        (lambda r: "evt_alice", "event"),
        (lambda r: r["key"].prefix, "key"),
        (lambda r: str(r["user"].pk), "user"),
        (lambda r: f"{settings.SITE_URL}/jobs/{r['job'].pk}", "job"),
        (lambda r: f"{settings.SITE_URL}/v1/jobs/{r['job'].pk}?wait=30", "job"),
        (lambda r: f"{settings.SITE_URL}/projects/{r['project'].pk}", "project"),
    ],
)
def test_a_handle_of_one_thing_leads_straight_to_it(
    support: Client, records: dict[str, Any], handle: Callable[[dict[str, Any]], str], expected: str
) -> None:
    answer = find(support, handle(records))

    assert answer.status_code == 302, answer.text
    assert answer.headers["Location"] == page(records[expected])


def test_a_project_is_found_with_its_jobs_by_its_own_id_and_by_name(support: Client, records: dict[str, Any]) -> None:
    for text in ("shop-alice", "film OF alice"):
        assert groups(support, text) == {"projects": [records["project"]], "jobs": [records["job"]]}


def test_a_source_is_found_with_its_jobs_by_its_hash(support: Client, records: dict[str, Any]) -> None:
    assert groups(support, records["asset"].sha256) == {"jobs": [records["job"]], "assets": [records["asset"]]}


def test_a_charge_at_stripe_is_found_with_its_events(support: Client, records: dict[str, Any]) -> None:
    assert groups(support, "ch_alice") == {"purchases": [records["purchase"]], "stripe events": [records["event"]]}


def test_an_e_mail_shows_everything_of_the_account(support: Client, records: dict[str, Any], alice: User) -> None:
    found = groups(support, "Alice@Example.org")

    assert next(iter(found.values())) == [alice]
    for name in ("project", "job", "asset", "wallet", "purchase", "delivery", "key"):
        record = records[name]
        assert found[str(record._meta.verbose_name_plural)] == [record]
    assert {type(entry) for entry in found["ledger entries"]} == {LedgerEntry}
    assert not [row for rows in found.values() for row in rows if "charlie" in str(vars(row))]


def test_a_list_of_hits_is_short_and_leads_to_all_of_them(support: Client, alice: User) -> None:
    project = make_project(alice, external_id="shop-7")
    asset = make_asset(alice, project=project)
    jobs = [make_job(alice, asset=asset, project=project, status="created") for _ in range(SHOWN_HITS + 2)]

    answer = find(support, "shop-7")

    (group,) = [group for group in answer.context["groups"] if group.name == "jobs"]
    assert [hit.record for hit in group.hits] == jobs[::-1][:SHOWN_HITS]
    assert len(support.get(group.more).context["cl"].queryset) == len(jobs)


def test_an_address_of_somebody_elses_is_no_id_but_may_be_what_a_job_is_called(support: Client, alice: User) -> None:
    elsewhere = f"https://shop.example.org/orders/{uuid.uuid4()}"
    job = make_job(alice, metadata={"order": elsewhere})
    metadata.index(job)

    assert find(support, elsewhere).headers["Location"] == page(job)


def test_a_key_leads_to_its_jobs(support: Client, records: dict[str, Any], alice: User) -> None:
    job = make_job(alice, api_key=records["key"])
    other = make_job(alice)

    (way,) = [address for words, address in admin.site.get_model_admin(ApiKey).ways(records["key"]) if "Jobs" in words]
    listed = support.get(way).context["cl"].queryset

    assert escape(way) in support.get(page(records["key"])).text
    assert (job in listed, other in listed) == (True, False)


@pytest.mark.parametrize(
    "text", ["nothing like it", "deadbeef", "cs_", "0" * 64, "x@y.z", "%", "'; --", "\x00", "é" * 400]
)
def test_what_is_nobodys_is_told_as_that(support: Client, records: dict[str, Any], text: str) -> None:
    answer = find(support, text)

    assert answer.status_code == 200
    assert answer.context["groups"] == []


def test_an_empty_box_looks_for_nothing(support: Client, records: dict[str, Any]) -> None:
    assert find(support, " ").context["groups"] == []


def test_staff_find_only_what_they_may_see(client: Client, records: dict[str, Any], alice: User) -> None:
    alice.is_staff = True
    alice.save()
    client.force_login(alice)

    assert find(client, str(records["job"].pk)).context["groups"] == []


def test_the_box_is_on_every_page_and_not_for_strangers(support: Client, records: dict[str, Any]) -> None:
    for address in (reverse("admin:index"), reverse("admin:jobs_job_changelist"), page(records["job"])):
        assert 'action="/admin/find/"' in support.get(address).text

    assert Client().get(FIND, {"q": "shop-7"}).status_code == 302
    assert 'action="/admin/find/"' not in Client().get("/admin/login/").text


def test_a_search_costs_the_same_at_one_and_at_five_hits(support: Client, alice: User) -> None:
    project = make_project(alice, external_id="shop-7")
    asset = make_asset(alice, project=project)
    costs = []
    for _ in range(2):
        make_job(alice, asset=asset, project=project, status="created")
        with CaptureQueriesContext(connection) as captured:
            find(support, "shop-7")
        costs.append(len(captured))

    assert costs[0] == costs[1]
