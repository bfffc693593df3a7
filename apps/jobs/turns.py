"""Whose turn it is: accounts take turns, so that one account's hundred jobs do not delay another's one.

Each account's jobs stand in the order they came. An account's first waiting
job belongs to the round after those it has running, its second to the next
round, and so on; earlier rounds come first. Within a round that account is
first which has had to do without the longest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Max, Q
from django.utils import timezone

from apps.jobs.models import Job

S = Job.Status

PREPARING = (Job.Stage.FETCHING, Job.Stage.PROBING)
MEMORY = timedelta(days=1)
"""Of jobs made before that nobody asks any more when their account was last served."""


@dataclass(frozen=True, slots=True)
class Line:
    """One of the two places where jobs wait for a worker."""

    name: str
    waiting: Q
    busy: Q
    served_at: str
    """The field that says when a worker was done with a job of this line."""
    served: Q


WORK = Line(
    name="work",
    waiting=Q(status=S.QUEUED, stage=Job.Stage.WAITING),
    busy=Q(status=S.PROCESSING),
    served_at="completed_at",
    served=Q(started_at__isnull=False),
)
FETCHES = Line(
    name="fetch",
    waiting=Q(status=S.QUEUED, stage__in=PREPARING, lease=None),
    busy=Q(status=S.QUEUED, stage__in=PREPARING, lease__isnull=False),
    # Written anew when what was fetched has been priced and joins the other line.
    served_at="queued_at",
    served=~Q(stage__in=PREPARING),
)


@dataclass(frozen=True, slots=True)
class Turn:
    job_id: UUID
    attempt: int
    owner_id: UUID | None
    round: int
    model: str
    frames: int
    scratch_bytes: int
    queued_at: datetime

    @property
    def is_ready(self) -> bool:
        """Its account has no more running than it may. Jobs of accounts that are gone belong to nobody's limit."""
        return self.owner_id is None or self.round <= settings.MAX_JOBS_AT_ONCE


def line_up(line: Line) -> list[Turn]:
    """Everything that waits in a line, in the order in which workers will take it; a fixed number of queries."""
    fields = ("pk", "attempt", "owner_id", "model", "frames_total", "scratch_bytes", "queued_at")
    rows = list(Job.objects.filter(line.waiting).order_by("queued_at", "id").values_list(*fields))
    if not rows:
        return []
    rounds = Counter(_per_owner(line.busy))
    since = _since(line, {owner_id: queued_at for _, _, owner_id, *_, queued_at in reversed(rows)})
    order = []
    for job_id, attempt, owner_id, model, frames, scratch_bytes, queued_at in rows:
        rounds[owner_id] += 1
        turn = Turn(job_id, attempt, owner_id, rounds[owner_id], model, frames, scratch_bytes, queued_at)
        order.append((turn.round, since[owner_id], queued_at, str(job_id), turn))
    return [entry[-1] for entry in sorted(order, key=lambda entry: entry[:-1])]


def ready(line: Line) -> list[Turn]:
    """What could be taken now, in order."""
    return [turn for turn in line_up(line) if turn.is_ready]


def count_ready(line: Line) -> int:
    """As many as `ready` would name, without putting them in order."""
    busy = _per_owner(line.busy)
    return sum(
        waiting if owner_id is None else min(waiting, max(0, settings.MAX_JOBS_AT_ONCE - busy.get(owner_id, 0)))
        for owner_id, waiting in _per_owner(line.waiting).items()
    )


def _per_owner(which: Q) -> dict[UUID | None, int]:
    rows = Job.objects.filter(which).order_by().values_list("owner_id").annotate(Count("pk"))
    return dict(rows)


def _since(line: Line, first: Mapping[UUID | None, datetime]) -> dict[UUID | None, datetime]:
    """Since when each account does without: its `first` waiting job was queued, or the last one of it was done."""
    recent = Job.objects.filter(line.served, owner_id__in=[owner for owner in first if owner is not None])
    recent = recent.filter(created_at__gt=timezone.now() - MEMORY, **{f"{line.served_at}__isnull": False})
    served = dict(recent.order_by().values_list("owner_id").annotate(Max(line.served_at)))
    return {owner: max(queued_at, served.get(owner, queued_at)) for owner, queued_at in first.items()}
