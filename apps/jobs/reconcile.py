"""What makes the rest true in the end: rings that were lost, workers that died, files and events whose time has come.

Every step is safe to run twice and beside itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from apps.accounts import mail
from apps.api import idempotency, request_id
from apps.credits import stripe
from apps.jobs import audit, doorbell, leaving, paid, remains, retention, room, services, turns
from apps.jobs.models import Job
from apps.webhooks import sending
from apps.webhooks import services as webhooks

log = logging.getLogger(__name__)

LOOK_AT_STRIPE_AFTER = timedelta(minutes=2)
AUDIT_EVERY = timedelta(minutes=10)
TOO_LARGE_FOR = timedelta(minutes=10)


def reconcile(resting: Container[Callable[[], int]] = ()) -> dict[str, int]:
    """One round; what each step did. A step that fails is noted and does not keep the others from running."""
    return {step.__name__: _tried(step) for step in STEPS if step not in resting}


def ring_again() -> int:
    """For jobs that wait without a call for them in the queue, whatever became of it."""
    return sum(doorbell.ring(line) for line in (turns.PREVIEWS, turns.WORK, turns.FETCHES))


def reap_lost() -> int:
    """Jobs whose worker let the lease run out: queued again, or failed after the last attempt."""
    held = Job.objects.filter(status__in=(Job.Status.QUEUED, Job.Status.PROCESSING), lease__isnull=False)
    count = 0
    for job in held.filter(lease_until__lt=timezone.now()):
        with request_id.bound(job.request_id):
            if services.reap(job):
                count += 1
                remains.discard_now(job)
    return count


def fail_too_large() -> int:
    """Jobs for which no living worker's scratch has room, even alone; elsewhere one may be away for a moment."""
    most = doorbell.largest_budgets()
    waiting = Job.objects.filter(turns.WORK.waiting | turns.PREVIEWS.waiting)
    if settings.SEVERAL_HOSTS:
        waiting = waiting.filter(queued_at__lt=timezone.now() - TOO_LARGE_FOR)
    count = 0
    for need, size in most.items():
        for job in waiting.filter(need=need, scratch_bytes__gt=size):
            log.error("job=%s needs %s of scratch: raise SCRATCH_BYTES (%s)", job.pk, job.scratch_bytes, size)
            count += services.fail(job, "limit_exceeded", room.too_large(job.scratch_bytes))
    return count


def send_due() -> int:
    return sending.ring_for_due() + mail.ring_for_due()


def delete_media() -> int:
    """All files that are kept are looked at, so a round that finds none to delete is followed by some without."""
    return retention.delete_expired()


def delete_accounts() -> int:
    return leaving.go_on()


def ask_stripe() -> int:
    return stripe.converge_open_purchases(LOOK_AT_STRIPE_AFTER)


def forget_answers() -> int:
    return idempotency.forget_old()


def start_paid() -> int:
    return paid.start_due()


def audit_books() -> int:
    return audit.run_when_due(AUDIT_EVERY)


def sweep() -> int:
    return remains.clear() + retention.sweep_scratch() + retention.sweep_uploads() + webhooks.sweep() + mail.sweep()


STEPS = (
    reap_lost, fail_too_large, ring_again, start_paid, send_due, delete_media, delete_accounts, ask_stripe, audit_books,
    forget_answers, sweep,
)  # fmt: skip


def _tried(step: Callable[[], int]) -> int:
    try:
        return step()
    except DatabaseError:
        # Nothing else would work either.
        raise
    except Exception:
        log.exception("%s failed", step.__name__)
        return 0
