"""Tell a worker that a job waits. The row is the truth: a ring that is lost is rung again by the reconciler."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import django_rq
from django.db import transaction
from django.utils import timezone
from redis.exceptions import RedisError
from rq.exceptions import DuplicateJobError, NoSuchJobError
from rq.job import Job as RQJob

from apps.jobs.models import Job

if TYPE_CHECKING:
    from rq import Queue

log = logging.getLogger(__name__)

FORGOTTEN_AFTER = timedelta(seconds=60)
"""Silence after which a ring counts as lost: well over the heartbeat of a worker that is busy with it."""

FAILURE_SECONDS = 60
"""How long RQ keeps the trace of a crash. Short, because its id blocks the next ring for the same attempt."""


def ring_on_commit(job_id: UUID) -> None:
    """Ring once the caller's transaction is through. Robust: with the queue down the request succeeds all the same."""
    transaction.on_commit(partial(ring, job_id), robust=True)


def ring(job_id: UUID) -> bool:
    """Put a waiting job's task into the queue; True when it is surely there. Safe to call twice."""
    job = Job.objects.filter(pk=job_id, status=Job.Status.QUEUED).first()
    if job is None:
        return False
    try:
        rung = _enqueue(job)
    except (RedisError, OSError) as error:
        log.warning("job=%s cannot be queued now: %s", job_id, error)
        return False
    if rung:
        Job.objects.filter(pk=job_id, status=Job.Status.QUEUED).update(enqueued_at=timezone.now())
    return rung


def _enqueue(job: Job) -> bool:
    """The id carries the attempt, so one attempt has one task however often it is rung for."""
    if job.stage == Job.Stage.WAITING:
        queue, task, arguments = "jobs", "apps.jobs.tasks.run_job", (str(job.pk), job.attempt)
    else:
        queue, task, arguments = "default", "apps.jobs.tasks.prepare_job", (str(job.pk), job.attempt)
    line = django_rq.get_queue(queue, commit_mode="auto")
    key = f"{'job' if queue == 'jobs' else 'fetch'}-{job.pk}-{job.attempt}"
    for _ in range(2):
        try:
            line.enqueue(
                task,
                *arguments,
                job_id=key,
                unique=True,
                job_timeout=-1,
                result_ttl=0,
                failure_ttl=FAILURE_SECONDS,
                description=f"{task} {job.pk}",
            )
        except DuplicateJobError:
            if line.get_job_position(key) is not None:
                return True
            if not _drop_dead(line, key):
                # A worker has it just now. It will claim the job, or end and leave the id free.
                return False
        else:
            return True
    return False


def _drop_dead(line: Queue, key: str) -> bool:
    """Forget a task that nobody works on any more: its worker died between taking it and claiming the job."""
    try:
        task = RQJob.fetch(key, connection=line.connection, serializer=line.serializer)
    except NoSuchJobError:
        return True
    # RQ writes naive UTC in some places and aware times in others.
    moments = [moment for moment in (task.last_heartbeat, task.started_at, task.enqueued_at) if moment]
    newest = max((m if m.tzinfo else m.replace(tzinfo=UTC) for m in moments), default=datetime.min.replace(tzinfo=UTC))
    if timezone.now() - newest < FORGOTTEN_AFTER:
        return False
    task.delete()
    return True
