"""What an attempt at a job left behind when it was killed before it could clear up after itself."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from apps.errors import AppError
from apps.jobs import retention, turns
from apps.jobs.models import Attempt, Job
from apps.projects import services as projects

log = logging.getLogger(__name__)

SETTLED_AFTER = timedelta(minutes=10)
"""By then a worker that was frozen and woke has noticed that it was replaced, and cleared up itself."""

BATCH = 100


def discard_now(job: Job) -> None:
    """Of a job just taken from a lost worker. What cannot be deleted now is looked for again by `clear`."""
    retention.discard_scratch(job.pk, job.lease)
    try:
        retention.discard_attempt(job.pk, job.attempt)
    except AppError as error:
        log.warning("job=%s attempt=%s left files for later: %s", job.pk, job.attempt, error)


def clear() -> int:
    """Look once after every attempt that did not deliver; how many files were found and deleted. Safe to run twice."""
    removed = 0
    for attempt in _due():
        removed += retention.discard_attempt(attempt.job_id, attempt.number)
        if attempt.task == Attempt.Task.FETCH:
            for asset in (attempt.job.asset, attempt.job.background_asset):
                removed += projects.discard_unrecorded(asset) if asset else 0
        Attempt.objects.filter(pk=attempt.pk).update(is_cleared=True)
    return removed


def _due() -> QuerySet[Attempt]:
    over = Attempt.objects.filter(is_cleared=False, ended_at__lt=timezone.now() - SETTLED_AFTER)
    # A job given back keeps its number, so what lies there may be its next worker's; and whoever
    # fetches a source has written the file before the record that names it.
    is_at_work = Q(job__status__in=retention.UNFINISHED)
    same = Q(job__attempt=F("number")) | Q(task=Attempt.Task.FETCH, job__stage__in=turns.PREPARING)
    return over.exclude(is_at_work & same).select_related("job__asset", "job__background_asset")[:BATCH]
