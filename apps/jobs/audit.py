"""The audit of all books, jobs included: kept, logged when something drifted, and shown in the admin."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from itertools import chain, islice

from django.db.models import F
from django.utils import timezone

from apps.credits.amounts import to_credits
from apps.credits.audit import Drift, look
from apps.credits.models import AuditRun, Hold, Wallet
from apps.jobs.models import Job

log = logging.getLogger(__name__)

KEPT = timedelta(days=30)
"""Runs that found nothing; the others stay."""

MOST_LOGGED = 20
"""Of one run. Whatever broke the books once may have broken each of a million lines, every ten minutes anew."""

MOST_KEPT = 200
"""Of one run, with the same in mind; the others are counted."""


def run() -> AuditRun:
    """Look at everything once and write down what was found."""
    found = chain(look(), _jobs())
    drifts = list(islice(found, MOST_KEPT))
    more = sum(1 for _ in found)
    for drift in drifts[:MOST_LOGGED]:
        log.error("ledger drift: %s is %s, should be %s", drift.what, drift.stored, drift.counted)
    if (total := len(drifts) + more) > MOST_LOGGED:
        words = "ledger drift: %s in all, of which the log has %s and the admin %s"
        log.error(words, total, MOST_LOGGED, len(drifts))
    told = [
        {"email": d.email, "what": d.what, "stored": to_credits(d.stored), "counted": to_credits(d.counted)}
        for d in drifts
    ]
    AuditRun.objects.filter(started_at__lt=timezone.now() - KEPT, drifts=[]).delete()
    return AuditRun.objects.create(wallets=Wallet.objects.count(), drifts=told, more=more)


def run_when_due(every: timedelta) -> int:
    """For the reconciler, whose rounds are far closer together: the number of drifts that a look now found."""
    if AuditRun.objects.filter(started_at__gt=timezone.now() - every).exists():
        return 0
    return run().drifted


def _jobs() -> Iterator[Drift]:
    """A job that ended has no open hold, and was charged what its hold gave."""
    ended = Job.objects.filter(status__in=Job.FINAL, hold__isnull=False).select_related("hold__wallet__user")
    for job in ended.filter(hold__state=Hold.State.OPEN).iterator():
        assert job.hold is not None
        yield Drift(job.hold.wallet.user.email, f"open hold of ended job {job.pk}", job.hold.amount, 0)
    for job in ended.exclude(hold__state=Hold.State.OPEN).exclude(charged=F("hold__captured")).iterator():
        assert job.hold is not None
        yield Drift(job.hold.wallet.user.email, f"charge of job {job.pk}", job.charged, job.hold.captured)
