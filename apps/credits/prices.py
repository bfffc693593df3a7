"""What things cost now, and how that is told to the world."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils import timezone

from apps.credits.amounts import to_credits
from apps.credits.models import PriceList
from apps.engine.formats import FORMATS


def current() -> PriceList:
    """The list that started last; the first one comes with the migrations."""
    return PriceList.objects.filter(starts_at__lte=timezone.now()).order_by("-starts_at", "-version")[:1].get()


def public() -> dict[str, Any]:
    """The body of `GET /v1/pricing`; a pack's `amount` is in minor units of its currency, as at Stripe."""
    prices = current()
    return {
        "version": prices.version,
        "model_pricing_credits_per_minute": {model: to_credits(rate) for model, rate in prices.rates.items()},
        "packages": [{**pack, "credits": to_credits(pack["credits"])} for pack in prices.packs],
        "limits": limits(),
        "free_grant": to_credits(prices.free_grant),
    }


def limits() -> dict[str, Any]:
    return {
        "max_upload_bytes": settings.MAX_UPLOAD_BYTES,
        "max_background_bytes": settings.MAX_BACKGROUND_BYTES,
        "max_seconds": settings.MAX_SECONDS,
        "max_width": settings.MAX_SIDE,
        "max_height": settings.MAX_SIDE,
        "max_fps": settings.MAX_FPS,
        "jobs_at_once": settings.MAX_JOBS_AT_ONCE,
        "writes_per_minute": settings.API_WRITES_PER_MINUTE,
        "reads_per_minute": settings.API_READS_PER_MINUTE,
        "previews_per_day": current().preview_allowance,
        "result_days": settings.RESULT_DAYS,
        "matte_days": settings.RESULT_DAYS,
        "source_hours": settings.SOURCE_HOURS,
        "formats": {
            row.name: {"max_seconds": row.max_seconds, "max_short_side": row.max_short_side}
            for row in FORMATS.values()
            if row.max_seconds or row.max_short_side
        },
    }
