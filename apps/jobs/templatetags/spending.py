"""What API keys have spent, for the page on keys."""

from __future__ import annotations

from collections.abc import Iterable

from django import template

from apps.accounts.models import ApiKey
from apps.jobs import caps

register = template.Library()


@register.simple_tag
def with_spending(keys: Iterable[ApiKey]) -> list[tuple[ApiKey, int]]:
    """Each key with its 1/100 credits of this month."""
    rows = list(keys)
    spent = caps.spent(rows)
    return [(key, spent.get(key.pk, 0)) for key in rows]
