"""The admin's years, months and days of a list, reckoned instead of read from every row."""

from __future__ import annotations

from calendar import monthrange
from datetime import date
from typing import Any

from django import template
from django.db.models import Min
from django.utils import timezone

register = template.Library()


@register.inclusion_tag("admin/date_hierarchy.html")
def calendar(cl: Any) -> dict[str, Any]:
    """As Django's own, which asks for the distinct days of the whole table on every page: seconds at a million rows.

    So a day without records has a link too.
    """
    field = cl.date_hierarchy
    given = [cl.params.get(f"{field}__{part}") for part in ("year", "month", "day")]
    year, month, day = (int(text[0] if isinstance(text, list) else text) if text else 0 for text in given)
    choices = _days(year, month) if month else _months(year) if year else _years(cl, field)
    if day:
        choices = [(f"{date(year, month, day):%-d %B}", None)]
    back = (year, month) if day else (year,) if month else ()
    return {
        "show": True,
        "back": {"title": _title(*back), "link": _link(cl, field, *back)} if year else None,
        "choices": [{"title": title, "link": when and _link(cl, field, *when)} for title, when in choices],
    }


def _years(cl: Any, field: str) -> list[tuple[str, tuple[int, ...] | None]]:
    first = cl.model._default_manager.aggregate(first=Min(field))["first"]
    today = timezone.now().date()
    years = range(first.year, today.year + 1) if first else ()
    now = [("Today", (today.year, today.month, today.day)), ("This month", (today.year, today.month))]
    return [*now, *((str(year), (year,)) for year in years)]


def _months(year: int) -> list[tuple[str, tuple[int, ...] | None]]:
    return [(f"{date(year, month, 1):%B}", (year, month)) for month in range(1, 13)]


def _days(year: int, month: int) -> list[tuple[str, tuple[int, ...] | None]]:
    return [(str(day), (year, month, day)) for day in range(1, monthrange(year, month)[1] + 1)]


def _title(year: int = 0, month: int = 0) -> str:
    return f"{date(year, month, 1):%B %Y}" if month else str(year or "All dates")


def _link(cl: Any, field: str, *when: int) -> str:
    parts = zip((f"{field}__{part}" for part in ("year", "month", "day")), when, strict=False)
    link: str = cl.get_query_string(dict(parts), [f"{field}__"])
    return link
