"""Lengths, sizes and addresses of media as pages show them."""

from __future__ import annotations

from django import template
from django.conf import settings

register = template.Library()


@register.filter
def clock(seconds: float) -> str:
    """83.42 → 1:23.4, 3700 → 1:01:40."""
    tenths = round(float(seconds) * 10)
    minutes, rest = divmod(tenths, 600)
    if minutes >= 60:
        return f"{minutes // 60}:{minutes % 60:02}:{rest // 10:02}"
    return f"{minutes}:{rest // 10:02}.{rest % 10}"


@register.filter
def minutes(seconds: float) -> str:
    """A limit: 600 → 10 min, 90 → 1.5 min."""
    return f"{seconds / 60:g} min"


@register.filter
def about(seconds: float | None) -> str:
    """A remaining time, as coarse as it is uncertain: "about 40 s", "about 3 min"."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} min"
    return f"about {seconds / 3600:.1f} h"


@register.filter
def size(count: int | None) -> str:
    """Bytes in the decimal units that limits are written in: 1.5 MB."""
    number = float(count or 0)
    for unit in ("bytes", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


@register.filter
def here(url: str | None) -> str:
    """An address of this site without its origin.

    Media addresses are absolute for the API's sake. A page opened under another
    name of the same machine (localhost, an address) may only load its own.
    """
    return (url or "").removeprefix(settings.SITE_URL)
