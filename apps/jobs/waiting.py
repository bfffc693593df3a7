"""How long it will take: places in the queue, and seconds from what earlier jobs took."""

from __future__ import annotations

import heapq
import threading
import time
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from statistics import median
from uuid import UUID

from django.conf import settings

from apps.jobs import doorbell, turns
from apps.jobs.models import Job

RECENT_JOBS = 20
"""Enough to smooth out odd clips, few enough to follow a change of machine."""
LOOKED_AT = 3 * RECENT_JOBS
"""Previews are passed over; whoever makes many of them must not make whole jobs out of sight."""


@dataclass(frozen=True, slots=True)
class Outlook:
    position: int
    """1 is next."""
    seconds: float | None
    """Until the job is done; None while it is not known how fast its model is here, or who works."""


class Lookahead:
    """The whole queue as it was seen last: a crowd that asks again and again would cost more than the work."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[UUID, Outlook] = {}
        self._good_until = 0.0

    def at(self, job_ids: Collection[UUID]) -> dict[UUID, Outlook]:
        with self._lock:
            # One that has just come is not among them, and is told its place all the same.
            if time.monotonic() >= self._good_until or not set(job_ids) <= set(self._seen):
                order = turns.line_up(turns.WORK)
                seconds = _foretell(order) if order else {}
                self._seen = {turn.job_id: Outlook(n, seconds.get(turn.job_id)) for n, turn in enumerate(order, 1)}
                self._good_until = time.monotonic() + settings.QUEUE_SEEN_SECONDS
            seen = self._seen
        return {job_id: seen[job_id] for job_id in job_ids if job_id in seen}


_lookahead = Lookahead()


def outlook(job_ids: Collection[UUID]) -> dict[UUID, Outlook]:
    """For each of these jobs that waits in the queue, by the order in which workers take jobs; no query for none."""
    return _lookahead.at(job_ids) if job_ids else {}


def frames_a_second(model: str) -> float | None:
    """How fast this model is here; None until a job of it has finished."""
    pace = _pace(model)
    return 1 / pace if pace else None


def _pace(model: str) -> float | None:
    """Seconds a frame, of the latest jobs of this model; a preview's small frames say nothing about a whole job's."""
    done = Job.objects.filter(status=Job.Status.COMPLETED, model=model, frames_done__gt=0).order_by("-completed_at")
    fields = ("started_at", "completed_at", "frames_done", "options__preview_duration")
    paces = [
        (ended - began).total_seconds() / count
        for began, ended, count, preview in done.values_list(*fields)[:LOOKED_AT]
        if began and ended and not preview
    ]
    return median(paces[:RECENT_JOBS]) if paces else None


def _foretell(order: Collection[turns.Turn]) -> dict[UUID, float]:
    """When each job will be done if nobody else comes: every worker that is free takes whose turn it is."""
    running = list(Job.objects.filter(turns.WORK.busy).values_list("owner_id", "model", "eta_seconds", "frames_total"))
    paces = {model: _pace(model) for model in {turn.model for turn in order} | {model for _, model, _, _ in running}}
    free: list[float] = []
    mine: defaultdict[UUID | None, list[float]] = defaultdict(list)
    for owner, model, told, frames in running:
        # In its first seconds nothing is told: all of its frames are before it.
        left, pace = told, paces[model]
        if left is None and pace is None:
            return {}
        done_at = left if left is not None else (pace or 0) * frames
        heapq.heappush(free, done_at)
        heapq.heappush(mine[owner], done_at)
    for _ in range(doorbell.workers() - len(free)):
        heapq.heappush(free, 0.0)
    foretold: dict[UUID, float] = {}
    for turn in order:
        pace = paces[turn.model]
        if pace is None or not free:
            break
        start = heapq.heappop(free)
        own = mine[turn.owner_id]
        if turn.owner_id and len(own) >= settings.MAX_JOBS_AT_ONCE:
            start = max(start, heapq.heappop(own))
        foretold[turn.job_id] = round(start + pace * turn.frames, 1)
        heapq.heappush(free, foretold[turn.job_id])
        heapq.heappush(own, foretold[turn.job_id])
    return foretold
