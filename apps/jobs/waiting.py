"""How long it will take: places in the queue, and seconds from what earlier jobs took."""

from __future__ import annotations

from collections.abc import Collection
from statistics import median
from uuid import UUID

from django.db.models import Count, F, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from apps.jobs.models import Job

RECENT_JOBS = 20
"""Enough to smooth out odd clips, few enough to follow a change of machine."""


def positions(job_ids: Collection[UUID]) -> dict[UUID, int]:
    """Place in the queue (1 is next) of each of these jobs that waits in it; one query for all."""
    if not job_ids:
        return {}
    waiting = Job.objects.filter(status=Job.Status.QUEUED, stage=Job.Stage.WAITING)
    is_ahead = Q(queued_at__lt=OuterRef("queued_at")) | Q(queued_at=OuterRef("queued_at"), id__lt=OuterRef("id"))
    ahead = waiting.filter(is_ahead).order_by().values("status").annotate(n=Count("pk")).values("n")
    placed = waiting.filter(pk__in=job_ids).annotate(ahead=Coalesce(Subquery(ahead), 0))
    return dict(placed.values_list("pk", F("ahead") + 1))


def seconds_for(*, model: str, frames: int) -> float | None:
    """How long one job of so many frames takes here; None until a job of this model has finished."""
    done = Job.objects.filter(status=Job.Status.COMPLETED, model=model, frames_done__gt=0).order_by("-completed_at")
    paces = [
        (ended - began).total_seconds() / count
        for began, ended, count in done.values_list("started_at", "completed_at", "frames_done")[:RECENT_JOBS]
        if began and ended
    ]
    return round(median(paces) * frames, 1) if paces else None
