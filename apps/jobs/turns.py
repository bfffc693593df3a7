"""Whose turn it is: accounts take turns, so that one account's hundred jobs do not delay another's one.

Each account's jobs of one need stand in the order they came. Its first waiting
job belongs to the round after those it has running, its second to the next
round, and so on; earlier rounds come first. Within a round that account is
first which has had to do without the longest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Max, Q
from django.utils import timezone

from apps.jobs.models import Job
from apps.jobs.needs import CPU, GPU, PREVIEW, preference

S = Job.Status

PREPARING = (Job.Stage.FETCHING, Job.Stage.PROBING)
MEMORY = timedelta(days=1)
"""Of jobs made before that nobody asks any more when their account was last served."""


@dataclass(frozen=True, slots=True)
class Line:
    """One of the places where jobs wait for a worker. An account's limit and its rounds count by line."""

    name: str
    needs: tuple[str, ...]
    """Of the jobs in it."""
    waiting: Q
    busy: Q
    served_at: str
    """The field that says when a worker was done with a job of this line."""
    served: Q


WORK = Line(
    name="work",
    needs=(CPU, GPU),
    waiting=Q(status=S.QUEUED, stage=Job.Stage.WAITING) & ~Q(need=PREVIEW),
    busy=Q(status=S.PROCESSING) & ~Q(need=PREVIEW),
    served_at="completed_at",
    served=Q(started_at__isnull=False) & ~Q(need=PREVIEW),
)
# Apart, so that nobody's preview waits for their own films either.
PREVIEWS = Line(
    name="preview",
    needs=(PREVIEW,),
    waiting=Q(status=S.QUEUED, stage=Job.Stage.WAITING, need=PREVIEW),
    busy=Q(status=S.PROCESSING, need=PREVIEW),
    served_at="completed_at",
    served=Q(started_at__isnull=False, need=PREVIEW),
)
FETCHES = Line(
    name="fetch",
    needs=(),
    waiting=Q(status=S.QUEUED, stage__in=PREPARING, lease=None),
    busy=Q(status=S.QUEUED, stage__in=PREPARING, lease__isnull=False),
    # Written anew when what was fetched has been priced and joins the other line.
    served_at="queued_at",
    served=~Q(stage__in=PREPARING),
)

HELP_AFTER = timedelta(seconds=30)
"""So much longer an account must have done without before a worker takes its job over one that the worker is for."""


@dataclass(frozen=True, slots=True)
class Turn:
    job_id: UUID
    attempt: int
    owner_id: UUID | None
    model: str
    frames: int
    scratch_bytes: int
    need: str
    queued_at: datetime
    round: int
    since: datetime
    """Its account does without."""
    is_ready: bool
    """Its account has no more running than it may. Jobs of accounts that are gone belong to nobody's limit."""


def line_up(line: Line) -> list[Turn]:
    """Everything that waits in a line, in the order of turns; a fixed number of queries."""
    fields = ("pk", "attempt", "owner_id", "model", "frames_total", "scratch_bytes", "need", "queued_at")
    rows = list(Job.objects.filter(line.waiting).order_by("queued_at", "id").values_list(*fields))
    if not rows:
        return []
    busy = _by_group(line, line.busy)
    running: Counter[UUID | None] = Counter()
    for group, count in busy.items():
        running[group.owner_id] += count
    rounds, waiting = Counter(busy), Counter[Group]()
    since = _since(line, {Group.of(line, row[2], row[6]): row[7] for row in reversed(rows)})
    order = []
    for job_id, attempt, owner_id, model, frames, scratch_bytes, need, queued_at in rows:
        group = Group.of(line, owner_id, need)
        rounds[group] += 1
        waiting[group] += 1
        is_ready = group.owner_id is None or running[group.owner_id] + waiting[group] <= settings.MAX_JOBS_AT_ONCE
        about = (model, frames, scratch_bytes, need, queued_at, rounds[group], since[group], is_ready)
        order.append(Turn(job_id, attempt, owner_id, *about))
    return sorted(order, key=_place)


def line_of(job: Job) -> Line:
    """Where it waits once its source is here."""
    return PREVIEWS if job.need == PREVIEW else WORK


def ready(line: Line) -> list[Turn]:
    """What could be taken now, in order."""
    return [turn for turn in line_up(line) if turn.is_ready]


def ready_for(needs: Sequence[str]) -> list[Turn]:
    """What a worker that listens for these could take now: previews, then the rest by turns, its own kind preferred."""
    lines = [line for line in (PREVIEWS, WORK) if set(needs) & set(line.needs)]
    return for_worker([turn for line in lines for turn in ready(line)], needs)


def for_worker(turns: Iterable[Turn], needs: Sequence[str]) -> list[Turn]:
    """Those it takes, in its order. Within each need nothing changes places."""
    later = preference(needs)
    mine = [turn for turn in turns if turn.need in later]
    return sorted(mine, key=lambda turn: (turn.need != PREVIEW, *_place(turn, later[turn.need] * HELP_AFTER)))


def _place(turn: Turn, later: timedelta = timedelta()) -> tuple[int, datetime, datetime, str]:
    return turn.round, turn.since + later, turn.queued_at, str(turn.job_id)


def count_ready(line: Line) -> Counter[str]:
    """As many of each need as `ready` would name, and calls beyond an account's limit; nothing is put in order."""
    running: Counter[UUID | None] = Counter()
    for group, count in _by_group(line, line.busy).items():
        running[group.owner_id] += count
    ready: Counter[str] = Counter()
    for (owner_id, need), count in _by_group(line, line.waiting).items():
        room = count if owner_id is None else max(0, settings.MAX_JOBS_AT_ONCE - running[owner_id])
        ready[need] += min(count, room)
    return ready


class Group(NamedTuple):
    """Whose jobs with one need; they stand in the order they came, and take turns with the others of that need."""

    owner_id: UUID | None
    need: str

    @classmethod
    def of(cls, line: Line, owner_id: UUID | None, need: str) -> Group:
        return cls(owner_id, need if line.needs else "")


def _by_group(line: Line, which: Q) -> dict[Group, int]:
    rows = Job.objects.filter(which).order_by().values_list("owner_id", "need").annotate(Count("pk"))
    counts: Counter[Group] = Counter()
    for owner_id, need, count in rows:
        counts[Group.of(line, owner_id, need)] += count
    return counts


def _since(line: Line, first: Mapping[Group, datetime]) -> dict[Group, datetime]:
    """Since when each does without: its `first` waiting job was queued, or the last one of it was done."""
    owners = {group.owner_id for group in first if group.owner_id is not None}
    recent = Job.objects.filter(line.served, owner_id__in=owners)
    recent = recent.filter(created_at__gt=timezone.now() - MEMORY, **{f"{line.served_at}__isnull": False})
    since = dict(first)
    for owner_id, need, served_at in recent.order_by().values_list("owner_id", "need").annotate(Max(line.served_at)):
        group = Group.of(line, owner_id, need)
        if group in since:
            since[group] = max(since[group], served_at)
    return since
