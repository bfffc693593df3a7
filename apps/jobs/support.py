"""What support and finance can do to a job, and what of a job is personal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from apps.accounts.acts import Button, Field, Wish
from apps.accounts.models import DataRequest
from apps.credits import services as credits
from apps.credits.amounts import to_credits
from apps.credits.models import Hold, LedgerEntry
from apps.errors import AppError
from apps.jobs import services
from apps.jobs.models import Attempt, Job, MetadataWord, Output
from apps.projects.models import Asset

MOST_DAYS = 90
"""That support may add to the life of results at a time."""

NO_FILES = "No file of it is kept."

Look = Callable[[Job], dict[str, Any]]


def forget_caller(owner: UUID) -> int:
    """Of a closed account's jobs: where its calls came from, logs, and the words of its metadata. How many jobs."""
    MetadataWord.objects.filter(job__owner=owner).delete()
    Attempt.objects.filter(job__owner=owner).exclude(log="").update(log="")
    personal = Job.objects.filter(Q(client_address__isnull=False) | ~Q(client_agent=""), owner=owner)
    return personal.update(client_address=None, client_agent="")


def extend(job: Job, days: int) -> datetime:
    """Keep results, and the source where it is still here, so much longer; the new end. Without results: the source."""
    if not 1 <= days <= MOST_DAYS:
        raise AppError("invalid_request", f"Days are 1 to {MOST_DAYS}.", param="days")
    if why_not := _not_extended(job):
        raise AppError("conflict", why_not)
    now, more = timezone.now(), timedelta(days=days)
    if has_files(job):
        end = max(job.expires_at or now, now) + more
        if not Job.objects.filter(pk=job.pk, expires_at=job.expires_at).update(expires_at=end, delete_request=""):
            raise AppError("conflict", "Its end was changed just now: look again.")
    else:
        assert job.asset is not None
        end = max(job.asset.expires_at or now, now) + more
    if job.asset:
        kept = Asset.objects.filter(pk=job.asset.pk, status=Asset.Status.READY, expires_at__lt=end)
        kept.update(expires_at=end, delete_request="")
    return end


def _requeue(job: Job, wish: Wish) -> str:
    if not services.requeue(job):
        raise AppError("conflict", "The job moved on just now: look again.")
    return "Queued again." if job.status == Job.Status.PROCESSING else "The workers were called once more."


def _cancel(job: Job, wish: Wish) -> str:
    held = job.hold.amount if job.hold and job.hold.state == Hold.State.OPEN else 0
    services.cancel(job, detail={"by": "support"})
    return f"Canceled; {to_credits(held)} credits are free again."


def _refund(job: Job, wish: Wish) -> str:
    assert job.hold is not None
    entry = credits.give_back(job.hold, reason=wish.reason, staff=wish.staff)
    return f"{to_credits(entry.amount)} credits given back."


def _extend(job: Job, wish: Wish) -> str:
    try:
        days = int(wish.given["days"])
    except ValueError:
        raise AppError("invalid_request", "Days are a whole number.", param="days") from None
    return f"Kept until {extend(job, days):%Y-%m-%d %H:%M} UTC."


def _delete_media(job: Job, wish: Wish) -> str:
    services.delete_media(job)
    return "The files are gone; the record stays."


def _not_requeued(job: Job) -> str:
    if job.is_final:
        return f"It is {job.status}: a final state never changes."
    return "It is a draft: its owner starts it." if job.status == Job.Status.CREATED else ""


def _not_canceled(job: Job) -> str:
    return f"It is {job.status} already." if job.is_final else ""


def _not_refunded(job: Job) -> str:
    if job.hold is None or not job.charged:
        return "Nothing was charged."
    if LedgerEntry.objects.filter(key=credits.return_key(job.hold)).exists():
        return "It was refunded before."
    if DataRequest.objects.filter(user=job.owner_id, kind=DataRequest.Kind.DELETION).exists():
        return "Its account is deleted and has no use for credits: refund the payment at Stripe."
    return ""


def has_files(job: Job) -> bool:
    return Output.objects.filter(job=job).exclude(file="").exists()


def _has_source(job: Job) -> bool:
    return job.asset is not None and job.asset.status == Asset.Status.READY and bool(job.asset.file)


def _not_extended(job: Job) -> str:
    if not job.is_final:
        return "It is not over: its source stays until then, and the time of its results begins when it is completed."
    if job.project and job.project.deleted_at:
        return "Its project was deleted, and its files with it."
    return "" if has_files(job) or _has_source(job) else NO_FILES


def _not_deleted(job: Job) -> str:
    if not job.is_final:
        return f"It is still {job.status}: cancel it first."
    return "" if has_files(job) or (job.asset and job.asset.file) else NO_FILES


def _look(*fields: str) -> Look:
    def look(job: Job) -> dict[str, Any]:
        row = Job.objects.values(*fields).get(pk=job.pk)
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}

    return look


def _balance(job: Job) -> dict[str, Any]:
    hold = Hold.objects.filter(reference=str(job.pk)).select_related("wallet").first()
    return {"balance": to_credits(hold.wallet.balance) if hold else 0}


def _ends(job: Job) -> dict[str, Any]:
    row = Job.objects.values("expires_at", "asset__expires_at").get(pk=job.pk)
    ends = {"results": row["expires_at"], "source": row["asset__expires_at"]}
    return {name: end.isoformat() if end else None for name, end in ends.items()}


def _files(job: Job) -> dict[str, Any]:
    count = Output.objects.filter(job=job).exclude(file="").count()
    source = Asset.objects.filter(jobs=job).values_list("status", flat=True).first()
    return {"results": count, "source": source or "none"}


BUTTONS = (
    Button("requeue", "Queue again", "jobs.requeue_job", _requeue, _look("status", "attempt", "stage"), _not_requeued),
    Button("cancel", "Cancel", "jobs.cancel_job", _cancel, _look("status", "stage"), _not_canceled),
    Button(
        "refund", "Refund its credits", "jobs.refund_job", _refund, _balance, _not_refunded, hint="(the owner reads it)"
    ),
    Button(
        "extend", "Keep its files longer", "jobs.extend_job", _extend, _ends, _not_extended,
        fields=(Field("days", f"Days more (1–{MOST_DAYS})", "7"),),
    ),
    Button(
        "delete", "Delete its media", "jobs.delete_media_of_job", _delete_media, _files, _not_deleted,
        leaves_database=True,
    ),
)  # fmt: skip
