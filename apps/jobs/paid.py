"""Jobs that wait for a payment: started once, when the purchase that was made for them is paid."""

from __future__ import annotations

import logging
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.credits import services as credits
from apps.credits.models import Purchase
from apps.errors import AppError
from apps.jobs import services
from apps.jobs.models import Job

log = logging.getLogger(__name__)

AT_ONCE = 50
"""In one round of the reconciler."""


def waits_for_credits(job: Job) -> bool:
    """A draft, or a job whose price was known only once its file had been fetched, and was too high."""
    is_short = job.status == Job.Status.FAILED and job.error_code == "insufficient_credits"
    return job.status == Job.Status.CREATED or is_short


def start(purchase_id: UUID) -> bool:
    """Start what the purchase was made for; True only for the call that did it or found that it cannot be done.

    In one transaction with the mark that it was done, so that neither a
    second caller nor one that follows a crash starts another job.
    """
    purchase = Purchase.objects.select_related("user").get(pk=purchase_id)
    waiting = Purchase.objects.filter(pk=purchase_id, status=Purchase.Status.PAID, start_settled_at=None)
    with transaction.atomic():
        # The first lock of all that touch credits and jobs.
        credits.lock_wallet(purchase.user)
        if not waiting.exclude(start_job=None).update(start_settled_at=timezone.now()):
            return False
        try:
            with transaction.atomic():
                outcome: dict[str, object] = {"started_job": _begin(purchase).pk}
        except AppError as refusal:
            outcome = {"start_problem": refusal.message[:300]}
        Purchase.objects.filter(pk=purchase_id).update(**outcome)
    log.info("job=%s purchase=%s paid: %s", purchase.start_job, purchase_id, *outcome)
    return True


def start_due() -> int:
    """For rings that were lost; how many were settled now."""
    due = Purchase.objects.filter(status=Purchase.Status.PAID, start_settled_at=None).exclude(start_job=None)
    return sum(start(purchase_id) for purchase_id in due.values_list("pk", flat=True)[:AT_ONCE])


def _begin(purchase: Purchase) -> Job:
    own = Job.objects.for_user(purchase.user).with_details()
    job = own.filter(pk=purchase.start_job).first() if purchase.start_job else None
    if job is None:
        raise AppError("not_found", "The cutout that was to start is not there any more.")
    if job.status == Job.Status.CANCELED:
        raise AppError("conflict", "The cutout that was to start was canceled meanwhile.")
    if not waits_for_credits(job):
        return job
    return services.start(job) if job.status == Job.Status.CREATED else services.retry(job)
