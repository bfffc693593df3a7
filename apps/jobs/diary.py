"""What is written down of each attempt at a job, for whoever has to find out later what went wrong.

Beside the timeline, which its owner reads: names of machines, signals and logs are for support.
"""

from __future__ import annotations

import signal
from typing import Any
from uuid import UUID

from django.utils import timezone

from apps.jobs.models import Attempt, Job

LOG_CHARACTERS = 4000

CLEAN = (Job.Status.COMPLETED, "fetched")
"""Outcomes after which every file that was written has its record."""


def begin(job_id: UUID, task: str, *, number: int, worker: str, lease: UUID) -> None:
    """In the transaction of the claim."""
    row = {"number": number, "worker": worker[:120], "lease": lease, "started_at": timezone.now()}
    Attempt.objects.create(job_id=job_id, task=task, **row)


def enter(job: Job, stage: str) -> None:
    """Only the worker that has the lease writes here, so reading and writing back is safe. Once for each stage."""
    for attempt in _mine(job):
        if attempt.stages and attempt.stages[-1][0] == stage:
            continue
        attempt.stages = [*attempt.stages, [stage, timezone.now().isoformat(timespec="milliseconds")]]
        attempt.save(update_fields=["stages"])


def note_exit(job: Job, code: int | None) -> None:
    """How the engine's process ended; 0 is as it should."""
    _mine(job).update(exit=f"engine: {words(code)}")


def worker_died(worker: str, code: int) -> None:
    """The whole worker process of these claims, its engine with it."""
    Attempt.objects.filter(worker=worker, ended_at=None).update(exit=f"worker: {words(code)}")


def keep_log(job: Job, text: str) -> None:
    """So far: an attempt that is killed has no time to tell. The last attempt's is in the job's result, too."""
    _mine(job).update(log=text[-LOG_CHARACTERS:])


def end(job_id: UUID, outcome: str) -> None:
    """Of whatever attempt is open. In the transaction that ends it."""
    row = {"outcome": outcome, "ended_at": timezone.now(), "is_cleared": outcome in CLEAN}
    Attempt.objects.filter(job_id=job_id, ended_at=None).update(**row)


def has_delivered(job: Job) -> bool:
    """Whether this very claim has completed its job already, though nobody heard the answer."""
    return bool(_mine(job).filter(outcome=Job.Status.COMPLETED).exists())


def words(code: int | None) -> str:
    """`exit 70`, `signal 9 (SIGKILL)`."""
    if code is None:
        return "still running"
    if code >= 0:
        return f"exit {code}"
    names: dict[int, str] = {number.value: number.name for number in signal.Signals}
    return f"signal {-code} ({names.get(-code, 'unknown')})"


def _mine(job: Job) -> Any:
    return Attempt.objects.filter(job_id=job.pk, lease=job.lease) if job.lease else Attempt.objects.none()
