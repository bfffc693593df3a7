"""The deletion of an account, carried through by the reconciler: however often it is killed, the next round goes on.

What stays is for the books and names nobody: the ledger, the purchases, and of each job what was done for how much.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.accounts import closing
from apps.accounts.models import DataRequest, User
from apps.api.models import IdempotencyRecord
from apps.credits import services as credits
from apps.credits.models import AuditRun, Purchase, StripeEvent, Wallet
from apps.errors import AppError
from apps.jobs import endings, retention, support
from apps.jobs.models import Job, Output
from apps.projects import resumable
from apps.projects import services as projects
from apps.projects.models import Asset, Deletion, Project, Upload
from apps.webhooks.models import Delivery, Endpoint, SigningSecret

log = logging.getLogger(__name__)

UNDER_WAY = timedelta(minutes=15)
"""By then every request and worker that had begun before the account was shut has ended; then comes a last look."""

KEPT_OF_EVENTS = ("id", "object", "amount", "amount_total", "amount_refunded", "currency", "payment_intent",
                  "payment_status", "status", "created")  # fmt: skip
"""What the books need of Stripe's events. The rest of them says who paid, and from where."""

BATCH = 200


def go_on() -> int:
    """One round for every account that is being deleted; how many were cleared or done."""
    open_ones = DataRequest.objects.filter(kind=DataRequest.Kind.DELETION, done_at=None).select_related("user")
    old_enough = Q(cleared_at=None) | Q(created_at__lt=timezone.now() - UNDER_WAY)
    count = 0
    for asked in open_ones.filter(old_enough).order_by("created_at"):
        try:
            count += clear(asked)
        except Exception:
            # One account whose files cannot be reached must not keep the others waiting.
            log.exception("account=%s could not be cleared in this round", asked.user_id)
    return count


def clear(asked: DataRequest) -> bool:
    """Delete a batch of files, and once all are gone the rest; whether nothing is left. Safe to run twice."""
    user = asked.user
    _stop_work(user)
    if _delete_files(user):
        return False
    credits.lapse(user)
    _forget_programs(user)
    _forget_words(user)
    _forget_payments(user)
    closing.forget(user)
    field = "done_at" if asked.cleared_at else "cleared_at"
    DataRequest.objects.filter(pk=asked.pk).update(**{field: timezone.now()})
    log.info("account=%s %s", user.pk, "deleted" if asked.cleared_at else "cleared")
    return True


def _stop_work(user: User) -> None:
    for job in Job.objects.filter(owner=user, status__in=(Job.Status.CREATED, *retention.UNFINISHED)):
        # One that ended just now needs no cancel.
        with suppress(AppError):
            endings.cancel(job, detail={"by": "account deleted"})
    # A worker that is fetching one finds it gone, and drops what it fetched.
    Asset.objects.filter(owner=user, status=Asset.Status.PENDING).update(status=Asset.Status.DELETED)
    for upload in Upload.objects.filter(owner=user).exclude(status=Upload.Status.COMPLETED):
        resumable.discard(upload)
    # What a request is completing just now goes with the sweep, once that request has ended.
    Upload.objects.filter(owner=user).update(filename="", project_ref="", expires_at=timezone.now())


def _delete_files(user: User) -> bool:
    """Delete some; True while any are left."""
    outputs = Output.objects.filter(job__owner=user).exclude(file="")
    sources = Asset.objects.filter(owner=user).exclude(file="")
    retention.delete_batch(outputs, sources, rule=Deletion.Rule.ACCOUNT)
    return outputs.exists() or sources.exists()


def _forget_programs(user: User) -> None:
    Delivery.objects.filter(Q(user=user) | Q(endpoint__user=user)).delete()
    for model in (Endpoint, SigningSecret, IdempotencyRecord):
        model.objects.filter(user=user).delete()
    Upload.objects.filter(owner=user, status=Upload.Status.COMPLETED).delete()


def _forget_words(user: User) -> None:
    """Whatever they called things by: names, addresses, notes of their own."""
    now = timezone.now()
    Project.objects.filter(owner=user, deleted_at=None).update(deleted_at=now)
    Project.objects.filter(owner=user).update(name="deleted", external_id=None, defaults={})
    Job.objects.filter(owner=user).update(requested={}, metadata={}, webhook_url="", error="")
    _rewrite(Job.objects.filter(owner=user).exclude(video_url="", result={}), _anonymous_job, ["video_url", "result"])
    support.forget_caller(user.pk)
    Asset.objects.filter(owner=user).update(filename="", error="")
    _rewrite(Asset.objects.filter(owner=user).exclude(source_url=""), _anonymous_asset, ["source_url"])


def _forget_payments(user: User) -> None:
    Purchase.objects.filter(user=user).update(session_url="", problem="")
    for event in _events_of(user):
        found = event.payload.get("data", {}).get("object", {})
        kept = {name: found[name] for name in KEPT_OF_EVENTS if name in found}
        StripeEvent.objects.filter(pk=event.pk).update(payload={"data": {"object": kept}})
    for run in AuditRun.objects.exclude(drifts=[]):
        named = [row for row in run.drifts if closing.mark_of(str(row.get("email"))) == _mark(user)]
        for row in named:
            row["email"] = user.email
        if named:
            AuditRun.objects.filter(pk=run.pk).update(drifts=run.drifts)


def _events_of(user: User) -> QuerySet[StripeEvent]:
    purchases = list(Purchase.objects.filter(user=user))
    customers = list(
        Wallet.objects.filter(user=user).exclude(stripe_customer="").values_list("stripe_customer", flat=True)
    )
    sessions = [purchase.session_id for purchase in purchases if purchase.session_id]
    intents = [purchase.payment_intent for purchase in purchases if purchase.payment_intent]
    of_them = Q(pk__in=())
    for path, names in (
        ("id", [*sessions, *intents, *customers]),
        ("payment_intent", intents),
        ("customer", customers),
    ):
        if names:
            of_them |= Q(**{f"payload__data__object__{path}__in": names})
    return StripeEvent.objects.filter(of_them)


def _mark(user: User) -> str:
    return DataRequest.objects.get(user=user, kind=DataRequest.Kind.DELETION).mark


def _anonymous_job(job: Job) -> bool:
    before = (job.video_url, dict(job.result))
    job.video_url = without_path(job.video_url)
    job.result = {name: value for name, value in job.result.items() if name not in ("log_tail", "error")}
    return before != (job.video_url, job.result)


def _anonymous_asset(asset: Asset) -> bool:
    before, asset.source_url = asset.source_url, without_path(asset.source_url)
    return before != asset.source_url


def without_path(url: str) -> str:
    """Where a file came from, without what it was called there. Our own address of an upload names nobody."""
    if not url or projects.is_own_url(url):
        return urlsplit(url)._replace(query="", fragment="").geturl()
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" if parts.hostname else ""


def _rewrite(rows: QuerySet[Any], change: Any, fields: list[str]) -> None:
    for batch in _batches(rows.order_by("pk").only("pk", *fields).iterator(chunk_size=BATCH)):
        if changed := [row for row in batch if change(row)]:
            with transaction.atomic():
                rows.model._default_manager.bulk_update(changed, fields)


def _batches(rows: Iterator[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
