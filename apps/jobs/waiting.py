"""How long it will take: places in the queue, and seconds from what earlier jobs took."""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from statistics import median
from uuid import UUID

from django.conf import settings

from apps.jobs import doorbell, turns
from apps.jobs.models import Job
from apps.jobs.needs import NEEDS, PREVIEW

RECENT_JOBS = 20
"""Enough to smooth out odd clips, few enough to follow a change of machine."""
LOOKED_AT = 3 * RECENT_JOBS
"""Previews are passed over; whoever makes many of them must not make whole jobs out of sight."""


@dataclass(frozen=True, slots=True)
class Outlook:
    position: int
    """1 is next, among those that the same workers take."""
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
                self._seen = _look_ahead()
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
    """Seconds a frame, of the latest jobs of this model.

    A preview's frames may be smaller than a whole job's, so it counts only
    while there is nothing better: on a new host it is what people try first.
    """
    done = Job.objects.filter(status=Job.Status.COMPLETED, model=model, frames_done__gt=0).order_by("-completed_at")
    fields = ("started_at", "completed_at", "frames_done", "options__preview_duration")
    whole: list[float] = []
    previews: list[float] = []
    for began, ended, count, preview in done.values_list(*fields)[:LOOKED_AT]:
        if began and ended:
            (previews if preview else whole).append((ended - began).total_seconds() / count)
    paces = whole or previews
    return median(paces[:RECENT_JOBS]) if paces else None


@dataclass(slots=True, order=True)
class _Worker:
    """One that listens, with when it will have done what it has."""

    free_at: float
    needs: tuple[str, ...] = field(compare=False)


def _look_ahead() -> dict[UUID, Outlook]:
    order = turns.line_up(turns.PREVIEWS) + turns.line_up(turns.WORK)
    if not order:
        return {}
    heard = [member.needs for member in doorbell.listeners()]
    seconds = _foretell(order, heard)
    places: Counter[frozenset[str]] = Counter()
    rivals = {need: _rivals(need, heard) for need in NEEDS}
    seen = {}
    for turn in order:
        for group in set(rivals.values()):
            places[group] += turn.need in group
        seen[turn.job_id] = Outlook(places[rivals[turn.need]], seconds.get(turn.job_id))
    return seen


def _rivals(need: str, heard: Collection[tuple[str, ...]]) -> frozenset[str]:
    """The needs that go to the same workers as this one; all of them while nobody listens."""
    shared = {other for needs in heard if need in needs for other in needs}
    return frozenset(shared or NEEDS)


def _foretell(order: Collection[turns.Turn], heard: Collection[tuple[str, ...]]) -> dict[UUID, float]:
    """When each job will be done if nobody else comes: every worker that is free takes whose turn it is for it."""
    running = list(
        Job.objects.filter(turns.WORK.busy | turns.PREVIEWS.busy).values_list(
            "owner_id", "model", "eta_seconds", "frames_total", "need"
        )
    )
    paces = {model: _pace(model) for model in {turn.model for turn in order} | {row[1] for row in running}}
    workers = [_Worker(0.0, needs) for needs in heard]
    own: defaultdict[tuple[UUID | None, bool], list[float]] = defaultdict(list)
    for owner, model, told, frames, need in running:
        # In its first seconds nothing is told: all of its frames are before it.
        left, pace = told, paces[model]
        if left is None and pace is None:
            return {}
        done_at = left if left is not None else (pace or 0) * frames
        _occupy(workers, need, done_at)
        heapq.heappush(own[owner, need == PREVIEW], done_at)
    heapq.heapify(workers)
    return _play(list(order), workers, paces, own)


def _occupy(workers: list[_Worker], need: str, done_at: float) -> None:
    """Which worker has it is not known here: an idle one that takes such jobs, the most particular first."""
    idle = [worker for worker in workers if not worker.free_at and need in worker.needs]
    if idle:
        min(idle, key=lambda worker: len(worker.needs)).free_at = done_at
    else:
        # One that has not said a word for a while, but works.
        workers.append(_Worker(done_at, NEEDS))


def _play(
    order: list[turns.Turn],
    workers: list[_Worker],
    paces: Mapping[str, float | None],
    own: Mapping[tuple[UUID | None, bool], list[float]],
) -> dict[UUID, float]:
    lines = {needs: deque(turns.for_worker(order, needs)) for needs in {worker.needs for worker in workers}}
    foretold: dict[UUID, float] = {}
    while workers:
        worker = heapq.heappop(workers)
        line = lines[worker.needs]
        while line and line[0].job_id in foretold:
            line.popleft()
        if not line:
            continue
        turn = line.popleft()
        pace = paces[turn.model]
        if pace is None:
            # From here on nothing is known.
            break
        start, mine = worker.free_at, own[turn.owner_id, turn.need == PREVIEW]
        if turn.owner_id and len(mine) >= settings.MAX_JOBS_AT_ONCE:
            start = max(start, heapq.heappop(mine))
        worker.free_at = foretold[turn.job_id] = round(start + pace * turn.frames, 1)
        heapq.heappush(workers, worker)
        heapq.heappush(mine, worker.free_at)
    return foretold
