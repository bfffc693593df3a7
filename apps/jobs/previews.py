"""Free previews: so many of one account in any 24 hours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from apps.accounts.models import User
from apps.credits import prices
from apps.credits import services as credits
from apps.errors import AppError
from apps.jobs.models import Job

WINDOW = timedelta(hours=24)


def need_one_left(user: User) -> None:
    """Refuse, inside the caller's transaction, a preview that would be one too many; failed ones do not count.

    The account's wallet stays locked, so that previews that start at the same time are counted one after the other.
    """
    credits.lock_wallet(user)
    times, most = _times(user), prices.current().preview_allowance
    if len(times) < most:
        return
    if not most:
        raise AppError("unsupported_parameter", "This site makes no previews.", param="preview_duration")
    again = times[most - 1] + WINDOW
    wait = (again - timezone.now()).total_seconds()
    message = f"{most} free previews in 24 hours are used up; the next is there at {again:%H:%M} UTC."
    raise AppError("rate_limited", message, param="preview_duration", wait=wait)


@dataclass(frozen=True, slots=True)
class Allowance:
    """`left` of `most` for now; with none left, `again` is when the next one is there."""

    most: int
    left: int
    again: datetime | None


def allowance(user: User) -> Allowance:
    times, most = _times(user), prices.current().preview_allowance
    left = max(0, most - len(times))
    return Allowance(most, left, times[most - 1] + WINDOW if most and not left else None)


def _times(user: User) -> list[datetime]:
    """When the account's previews of the last 24 hours were asked for, the latest first."""
    since = timezone.now() - WINDOW
    made = Job.objects.filter(owner=user, queued_at__gt=since, options__preview_duration__gt=0)
    # What follows from that, and is in an index: without it all jobs of the account would be read.
    made = made.filter(Q(completed_at__gt=since) | Q(completed_at=None))
    # To SQLite the null of a job that is no preview is a text, and more than any number.
    made = made.exclude(options__preview_duration=None).exclude(status=Job.Status.FAILED)
    return [at for at in made.order_by("-queued_at").values_list("queued_at", flat=True) if at]
