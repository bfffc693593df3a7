"""One attempt at a job, as its worker sees it: claim, tick, give back; and what becomes of it when the worker is lost.

The lease is a fencing token: every write of a worker names it, so a worker
that was away too long finds zero rows and writes nothing.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import F
from django.utils import timezone

from apps.api import request_id
from apps.engine.report import Progress
from apps.jobs import diary, doorbell, endings, room, turns
from apps.jobs.models import Attempt, Job, JobEvent
from apps.jobs.needs import NEEDS
from apps.jobs.states import move
from apps.jobs.watch import Overtaken, Stalled

log = logging.getLogger(__name__)

S = Job.Status

PASSED_FOR = timedelta(minutes=10)
"""So long smaller jobs may be taken past one that finds no room; after that its place is kept free for it."""

BEAT_SECONDS = 1.0
"""A canceled job stops within so long; the lease would need far fewer."""


def worker_name(pid: int | None = None) -> str:
    """What a claim is signed with: this process, or another one of this machine."""
    return f"{socket.gethostname()}:{pid or os.getpid()}"


def claim_next(worker: str, needs: Sequence[str] = NEEDS) -> Job | None:
    """Take the job of these needs whose turn it is; None when nothing waits that may be taken, room.Full when it has
    no room here.

    One that has no room yet is passed by those that have, but not for long: they would go on passing it for ever.
    """
    least_refused = math.inf
    for turn in turns.ready_for(needs):
        has_waited_long = timezone.now() - turn.queued_at > PASSED_FOR
        if turn.scratch_bytes >= least_refused and not has_waited_long:
            continue
        lease = uuid4()
        folder = f"{turn.job_id}-{lease}"
        fit = room.take(folder, turn.scratch_bytes)
        if fit is room.Fit.NOW:
            if job := claim(turn.job_id, turn.attempt, worker, lease=lease):
                return job
            room.give_up(folder)
            continue
        least_refused = min(least_refused, turn.scratch_bytes)
        if fit is room.Fit.LATER and has_waited_long:
            break
    if least_refused < math.inf:
        raise room.Full
    return None


def claim_next_preparation(worker: str) -> Job | None:
    """The same for a job whose source has to be fetched first."""
    claims = (claim_preparation(turn.job_id, turn.attempt, worker) for turn in turns.ready(turns.FETCHES))
    return next((job for job in claims if job), None)


def claim(job_id: UUID, attempt: int, worker: str, *, lease: UUID | None = None) -> Job | None:
    """Take a waiting job for this worker; None when it is not waiting any more, or its account has enough running."""
    with transaction.atomic():
        job = Job.objects.filter(pk=job_id).first()
        if job is None or job.status != S.QUEUED:
            return None
        endings.lock_wallet(job)
        running = Job.objects.filter(turns.line_of(job).busy, owner=job.owner_id).count()
        if job.owner_id and running >= settings.MAX_JOBS_AT_ONCE:
            return None
        now = timezone.now()
        held = _new_lease(now, lease)
        if not move(
            job_id,
            (S.QUEUED,),
            S.PROCESSING,
            event="started",
            detail={"worker": worker},
            where={"attempt": attempt, "stage": Job.Stage.WAITING},
            stage=Job.Stage.PROCESSING,
            started_at=now,
            worker=worker[:120],
            progress=0,
            frames_done=0,
            **held,
        ):
            return None
        diary.begin(job_id, Attempt.Task.WORK, number=attempt, worker=worker, lease=held["lease"])
        claimed = Job.objects.with_details().get(pk=job_id)
        if job.started_at is None:
            endings.tell(claimed, "job.started")
    with request_id.bound(job.request_id):
        log.info("job=%s started attempt=%s worker=%s", job_id, attempt, worker)
    return claimed


def claim_preparation(job_id: UUID, attempt: int, worker: str) -> Job | None:
    """Take a job that waits for its source to be fetched; the same lease keeps a second worker away."""
    lease = _new_lease(timezone.now())
    waiting = Job.objects.filter(pk=job_id, attempt=attempt, status=S.QUEUED, stage__in=turns.PREPARING, lease=None)
    with transaction.atomic():
        if not waiting.update(worker=worker[:120], **lease):
            return None
        diary.begin(job_id, Attempt.Task.FETCH, number=attempt, worker=worker, lease=lease["lease"])
    return Job.objects.with_details().get(pk=job_id)


def tick(job: Job, progress: Progress | None = None, *, stage: str = "") -> bool:
    """Progress, heartbeat and stop sign in one query. False: canceled or taken over, so walk away."""
    fields: dict[str, Any] = {"lease_until": _lease_until(timezone.now())}
    if stage:
        fields["stage"] = stage
    if progress:
        fields |= {
            "stage": progress.stage,
            # 100 is for what has been delivered.
            "progress": min(max(progress.percent, 0), 99),
            "frames_done": max(progress.frames_done, 0),
            "frames_total": max(progress.frames_total, 0),
            "eta_seconds": progress.eta_seconds,
        }
    # Without this a forgotten claim would match every job that nobody has claimed.
    if job.lease is None:
        return False
    mine = Job.objects.filter(pk=job.pk, lease=job.lease, status__in=(S.QUEUED, S.PROCESSING))
    return bool(mine.update(**fields))


@contextmanager
def heartbeat(job: Job, *, seconds: float, on_end: Callable[[Exception], None]) -> Iterator[None]:
    """Keep the lease alive beside one long call that cannot tick: a file on its way in or out.

    `on_end` is told, in the heartbeat's thread, that the job was canceled or
    taken over, or that the call took longer than `seconds`. Either way the
    lease is left to run out from then on.
    """
    done, ends_at = threading.Event(), time.monotonic() + seconds

    def beat() -> None:
        try:
            while not done.wait(BEAT_SECONDS):
                if time.monotonic() > ends_at:
                    on_end(Stalled(f"A file was on its way for more than {seconds / 60:.0f} minutes"))
                    return
                try:
                    is_ours = tick(job)
                except DatabaseError:
                    log.warning("job=%s heartbeat missed", job.pk, exc_info=True)
                    # Broken for good, it would fail every beat to come.
                    connection.close()
                    continue
                if not is_ours:
                    on_end(Overtaken())
                    return
        finally:
            connection.close()

    thread = threading.Thread(target=copy_context().run, args=(beat,), name=f"heartbeat-{job.pk}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def note(job: Job, name: str, **detail: Any) -> None:
    """One line of the timeline that changes no state."""
    JobEvent.objects.create(job_id=job.pk, name=name, attempt=job.attempt, detail=detail)


def give_back(job: Job, *, scratch_bytes: int | None = None) -> bool:
    """Put the job back into the queue unharmed: its worker is told to stop, or it needs more room. Costs no attempt."""
    grown = {} if scratch_bytes is None else {"scratch_bytes": scratch_bytes}
    return _requeue(job, event="given_back", attempt=job.attempt, outcome="given_back", **grown)


def expire(job_id: UUID, attempt: int) -> bool:
    """The worker is known to be dead: end its lease now instead of waiting for it to run out."""
    held = Job.objects.filter(pk=job_id, attempt=attempt, status__in=(S.QUEUED, S.PROCESSING), lease__isnull=False)
    return bool(held.update(lease_until=timezone.now()))


def expire_claims(worker: str) -> list[tuple[UUID, UUID | None]]:
    """The same for whatever a dead worker held: jobs, and the leases it held them with."""
    held = Job.objects.filter(worker=worker, status__in=(S.QUEUED, S.PROCESSING), lease__isnull=False)
    claims = list(held.values_list("pk", "lease"))
    held.update(lease_until=timezone.now())
    return claims


def reap(job: Job) -> str:
    """After a lost worker: `requeued` as a new attempt, `failed` after the last; "" when it was not lost after all."""
    lost = {"lease_until__lt": timezone.now()}
    if job.attempt >= settings.MAX_ATTEMPTS:
        message = f"The work was interrupted {job.attempt} times and was given up. Nothing was charged: try again."
        return "failed" if endings.fail(job, "worker_lost", message, where=lost) else ""
    if not _requeue(job, event="requeued", attempt=F("attempt") + 1, outcome="lost", where=lost):
        return ""
    log.warning("job=%s lost its worker=%s in attempt=%s", job.pk, job.worker, job.attempt)
    return "requeued"


def requeue(job: Job) -> bool:
    """By hand, from the admin: take a running job from its worker as a new attempt, or ring again for a waiting one."""
    if job.status == S.QUEUED and job.lease is None:
        doorbell.ring(turns.line_of(job) if job.stage == Job.Stage.WAITING else turns.FETCHES)
        return True
    return _requeue(job, event="requeued", attempt=F("attempt") + 1, outcome="taken", detail={"by": "support"})


def _requeue(
    job: Job, *, event: str, attempt: Any, outcome: str, where: Any = None, detail: Any = None, **more: Any
) -> bool:
    is_work = job.status == S.PROCESSING
    with transaction.atomic():
        moved = move(
            job.pk,
            (job.status,),
            S.QUEUED,
            event=event,
            detail={"worker": job.worker, **(detail or {})},
            where={"lease": job.lease, **(where or {})},
            attempt=attempt,
            stage=Job.Stage.WAITING if is_work else Job.Stage.FETCHING,
            lease=None,
            lease_until=None,
            eta_seconds=None,
            progress=0,
            frames_done=0,
            **more,
        )
        if moved:
            diary.end(job.pk, outcome)
    if moved:
        doorbell.ring_on_commit(turns.line_of(job) if is_work else turns.FETCHES)
    return bool(moved)


def _new_lease(now: datetime, lease: UUID | None = None) -> dict[str, Any]:
    return {"lease": lease or uuid4(), "lease_until": _lease_until(now)}


def _lease_until(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.LEASE_SECONDS)
