"""What an API key may spend in a month: its cap against what its jobs cost and have set aside."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

from django.conf import settings
from django.db.models import Sum
from django.utils import timezone

from apps.accounts.models import ApiKey
from apps.credits.amounts import to_credits
from apps.credits.models import Hold
from apps.errors import AppError
from apps.jobs.models import Job
from apps.jobs.retention import UNFINISHED


def spent(keys: Iterable[ApiKey]) -> dict[UUID, int]:
    """1/100 credits that each of these keys has spent or set aside in this calendar month (UTC); two queries.

    Only what is not over has something set aside: the holds of all that is need not be looked at.
    """
    asked = list(keys)
    jobs = Job.objects.filter(api_key__in=asked, queued_at__gte=_month(timezone.now())).order_by()
    open_holds = jobs.filter(
        owner__in={key.user_id for key in asked}, status__in=UNFINISHED, hold__state=Hold.State.OPEN
    )
    sums = dict(jobs.values_list("api_key").annotate(Sum("charged")))
    for key, aside in open_holds.values_list("api_key").annotate(Sum("hold__amount")):
        sums[key] = sums.get(key, 0) + aside
    return sums


def stay_within(key: ApiKey, amount: int) -> None:
    """Refuse what would take a key over its cap.

    Call it while the account's wallet is locked: only then do two of its
    calls come one after the other.
    """
    left = left_of(key)
    if left is not None and amount > left:
        raise _over_the_cap(key, left=left, needed=amount)


def left_of(key: ApiKey) -> int | None:
    """1/100 credits that this key may still spend this month, by its cap as it is now; None without one."""
    key.refresh_from_db(fields=["monthly_cap"])
    return None if key.monthly_cap is None else max(0, key.monthly_cap - spent([key]).get(key.pk, 0))


def _over_the_cap(key: ApiKey, *, left: int, needed: int) -> AppError:
    now, cap = timezone.now(), key.monthly_cap or 0
    again = _month(now.replace(year=now.year + now.month // 12, month=now.month % 12 + 1, day=1))
    message = (
        f"This needs {to_credits(needed)} credits. The key {key.name} may spend {to_credits(cap)} a month and has "
        f"{to_credits(left)} left until {again:%d %B %Y}. Raise its cap at {settings.SITE_URL}/keys or use another key."
    )
    details = {
        "needed": to_credits(needed),
        "available": to_credits(left),
        "monthly_cap": to_credits(cap),
        "resets_at": again.isoformat().replace("+00:00", "Z"),
    }
    return AppError("insufficient_credits", message, details=details)


def _month(when: datetime) -> datetime:
    """Its first moment."""
    return when.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
