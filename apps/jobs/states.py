"""The states of a job and the one guarded way from one to another."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.jobs.models import Job, JobEvent

S = Job.Status

ARROWS: dict[str, frozenset[str]] = {
    S.CREATED: frozenset({S.QUEUED, S.CANCELED}),
    # QUEUED → QUEUED: fetched and priced, or fetched again after a lost worker.
    S.QUEUED: frozenset({S.QUEUED, S.PROCESSING, S.FAILED, S.CANCELED}),
    S.PROCESSING: frozenset({S.QUEUED, S.COMPLETED, S.FAILED, S.CANCELED}),
}
"""Final states have no way out, so they are not here."""


def move(
    job_id: UUID,
    from_: Collection[str],
    to: str,
    *,
    event: str,
    detail: Mapping[str, Any] | None = None,
    where: Mapping[str, Any] | None = None,
    **fields: Any,
) -> int:
    """Change a job's state where it still is in one of `from_` (and `where` holds); the number of rows changed.

    Zero means that somebody got there first, and then nothing was written.
    The event of the timeline is written with the change or not at all.
    """
    wrong = [state for state in from_ if to not in ARROWS.get(state, frozenset())]
    if wrong:
        raise ValueError(f"no job goes from {wrong[0]} to {to}")
    with transaction.atomic():
        rows = Job.objects.filter(pk=job_id, status__in=from_, **(where or {})).update(status=to, **fields)
        if rows:
            attempt = Job.objects.values_list("attempt", flat=True).get(pk=job_id)
            JobEvent.objects.create(job_id=job_id, name=event, attempt=attempt, detail=dict(detail or {}))
    return rows
