"""Everything that is written down about one account, as files in an archive. No secrets and no media; it says so."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import QuerySet

from apps.accounts.models import ApiKey, DataRequest, Mail, User
from apps.credits.amounts import to_credits
from apps.credits.models import Hold, LedgerEntry, Purchase, Wallet
from apps.jobs.models import Job
from apps.jobs.tables import cell
from apps.projects.archive import Entry
from apps.projects.models import Asset, Project, Upload
from apps.webhooks.models import Delivery, Endpoint

READ_ME = """What Clearmatte at {site} holds about {email}.

Times are UTC. Amounts are in credits, payments in the smallest unit of their currency.
Secrets (passwords, API keys, signing secrets, codes) are not in here: we keep most of them only as digests.
Videos and pictures are not in here either. While they are kept, each job's page has them: {site}/jobs/<id>,
and a project's page downloads many at once: {site}/projects/<id>.

account.json      you, your addresses, how you sign in, from where
api_keys.json     your programs' keys
projects.json     projects, also deleted ones
files.json        what you uploaded or had fetched
uploads.json      what is on its way in
jobs.json         what was asked, what was found, what came of it, and what happened on the way
ledger.csv        every movement of credits
holds.csv         credits set aside for jobs
purchases.csv     packs you bought or set out to buy
webhooks.json     whom you want told
deliveries.json   what they were told, and what they answered
mails.json        what you were mailed in the last weeks
requests.json     when you took a copy like this one
"""
ROWS = 500
"""Read at once."""

Amounts = tuple[str, ...]


def entries(user: User) -> Iterator[Entry]:
    yield _text("README.txt", lambda: iter([READ_ME.format(site=settings.SITE_URL, email=user.email).encode()]))
    yield _json("account.json", lambda: [_account(user)])
    for name, rows, fields, amounts in _plain(user):
        yield _json(name, partial(_values, rows, fields, amounts))
    yield _json("jobs.json", partial(_jobs, user))
    yield _json("deliveries.json", partial(_deliveries, user))
    for name, rows, fields, amounts in _tables(user):
        yield _text(name, partial(_csv, rows, fields, amounts))


def _plain(user: User) -> Iterator[tuple[str, QuerySet[Any], tuple[str, ...], Amounts]]:
    yield (
        "api_keys.json", ApiKey.objects.filter(user=user),
        ("id", "name", "prefix", "scopes", "monthly_cap", "created_at", "last_used_at", "expires_at", "disabled_at"),
        ("monthly_cap",),
    )  # fmt: skip
    yield (
        "projects.json", Project.objects.filter(owner=user),
        ("id", "name", "external_id", "is_default", "result_days", "source_hours", "defaults", "created_at",
         "deleted_at"), (),
    )  # fmt: skip
    yield (
        "files.json", Asset.objects.filter(owner=user),
        ("id", "project", "kind", "status", "filename", "source_url", "size", "sha256", "facts", "error_code", "error",
         "created_at", "expires_at"), (),
    )  # fmt: skip
    yield (
        "uploads.json", Upload.objects.filter(owner=user),
        ("id", "kind", "filename", "project_ref", "size", "sha256", "status", "created_at", "expires_at"), (),
    )  # fmt: skip
    yield (
        "webhooks.json", Endpoint.objects.filter(user=user),
        ("id", "url", "description", "events", "disabled_at", "disabled_because", "created_at", "deleted_at"), (),
    )  # fmt: skip
    yield "mails.json", Mail.objects.filter(user=user), ("id", "kind", "context", "created_at", "sent_at"), ()
    yield "requests.json", DataRequest.objects.filter(user=user), ("id", "kind", "created_at"), ()


def _tables(user: User) -> Iterator[tuple[str, QuerySet[Any], tuple[str, ...], Amounts]]:
    yield (
        "ledger.csv", LedgerEntry.objects.filter(wallet__user=user),
        ("id", "created_at", "kind", "amount", "balance_after", "reference", "note"), ("amount", "balance_after"),
    )  # fmt: skip
    yield (
        "holds.csv", Hold.objects.filter(wallet__user=user),
        ("id", "created_at", "state", "amount", "captured", "reference", "settled_at"), ("amount", "captured"),
    )  # fmt: skip
    yield (
        "purchases.csv", Purchase.objects.filter(user=user),
        ("id", "created_at", "pack", "credits", "amount", "currency", "status", "payment_intent", "problem",
         "updated_at"), ("credits",),
    )  # fmt: skip


def _account(user: User) -> dict[str, Any]:
    wallet = Wallet.objects.filter(user=user).first()
    own = ("id", "email", "name", "date_joined", "last_login", "mails_finished_jobs", "mails_low_credits")
    return {
        **{name: getattr(user, name) for name in own},
        "addresses": list(EmailAddress.objects.filter(user=user).values("email", "verified", "primary")),
        "second_factors": list(Authenticator.objects.filter(user=user).values("type", "created_at", "last_used_at")),
        "browsers_signed_in": list(UserSession.objects.filter(user=user).values("created_at", "ip", "user_agent")),
        "balance": to_credits(wallet.balance) if wallet else 0,
        "stripe_customer": wallet.stripe_customer if wallet else "",
    }


JOB_FIELDS = (
    "id", "project_id", "asset_id", "background_asset_id", "retried_from_id", "api_key_id", "status", "video_url",
    "model", "output_format", "options", "requested", "metadata", "webhook_url", "request_id", "attempt",
    "pricing_version", "held_seconds", "model_version", "device", "quality", "warnings", "error_code", "error",
    "client_address", "client_agent", "created_at", "queued_at", "started_at", "completed_at", "expires_at",
)  # fmt: skip
OUTPUT_FIELDS = ("id", "kind", "format", "size", "sha256", "facts", "created_at", "deleted_at")
EVENT_FIELDS = ("name", "attempt", "detail", "created_at")
DELIVERY_FIELDS = (
    "id", "endpoint_id", "event", "url", "body", "subject", "state", "created_at", "finished_at", "note",
)  # fmt: skip
ATTEMPT_FIELDS = ("number", "status_code", "error", "response_excerpt", "duration_ms", "created_at")


def _jobs(user: User) -> Iterator[dict[str, Any]]:
    rows = Job.objects.filter(owner=user).order_by("created_at", "pk").prefetch_related("outputs", "events")
    for job in rows.iterator(chunk_size=ROWS):
        yield {
            **_of(job, JOB_FIELDS),
            "estimated": to_credits(job.estimated),
            "charged": to_credits(job.charged),
            "outputs": [_of(output, OUTPUT_FIELDS) for output in job.outputs.all()],
            "events": [_of(event, EVENT_FIELDS) for event in job.events.all()],
        }


def _deliveries(user: User) -> Iterator[dict[str, Any]]:
    rows = Delivery.objects.filter(user=user).order_by("created_at", "pk").prefetch_related("attempt_set")
    for delivery in rows.iterator(chunk_size=ROWS):
        attempts = [_of(attempt, ATTEMPT_FIELDS) for attempt in delivery.attempt_set.all()]
        yield {**_of(delivery, DELIVERY_FIELDS), "attempts": attempts}


def _of(row: Any, fields: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in fields}


def _values(rows: QuerySet[Any], fields: tuple[str, ...], amounts: Amounts) -> Iterator[dict[str, Any]]:
    for row in rows.order_by("pk").values(*fields).iterator(chunk_size=ROWS):
        yield {**row, **{name: to_credits(row[name]) for name in amounts if row[name] is not None}}


def _csv(rows: QuerySet[Any], fields: tuple[str, ...], amounts: Amounts) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.DictWriter(text, fields)
    writer.writeheader()
    for row in _values(rows, fields, amounts):
        writer.writerow({name: cell(value) for name, value in row.items()})
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode()


def _json(name: str, rows: Callable[[], Iterable[dict[str, Any]]]) -> Entry:
    return _text(name, lambda: _array(rows()))


def _array(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    opening = "[\n"
    for row in rows:
        yield f"{opening}{json.dumps(row, cls=DjangoJSONEncoder, ensure_ascii=False)}".encode()
        opening = ",\n"
    yield b"[]\n" if opening == "[\n" else b"\n]\n"


def _text(name: str, chunks: Callable[[], Iterator[bytes]]) -> Entry:
    return Entry(f"clearmatte/{name}", chunks, is_text=True)
