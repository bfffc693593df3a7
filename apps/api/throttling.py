"""How much one key may ask in a minute; the numbers go out with every answer.

Must not import DRF's views: DRF loads this module while they are being defined.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.cache import cache
from redis.exceptions import RedisError
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

log = logging.getLogger(__name__)

WINDOW_SECONDS = 60
ROOM = 10**6
"""For the requests of one window, below the moment it opened."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Where a caller stands after this request."""

    limit: int
    used: int
    reset_seconds: int

    @property
    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(max(0, self.limit - self.used)),
            "RateLimit-Reset": str(self.reset_seconds),
        }


def count(name: str, *, limit: int) -> Rate:
    """Count one request of `name`; the window opens with its first request.

    One number holds when the window opened and how many came since, because
    each step to Redis is paid by every call; `add` and `incr` are single steps
    there and in memory, so requests that run beside each other are all counted.
    """
    now, key = int(time.time()), f"rate:{name}"
    try:
        counted = cache.incr(key)
    except ValueError:
        cache.add(key, now * ROOM, WINDOW_SECONDS)
        counted = cache.incr(key)
    opened, used = divmod(counted, ROOM)
    if opened + WINDOW_SECONDS <= now:
        # It ended between a look at it and the step after, or its clock was another one.
        cache.set(key, now * ROOM + 1, WINDOW_SECONDS)
        opened, used = now, 1
    return Rate(limit, used, max(1, opened + WINDOW_SECONDS - now))


def by_address(request: Request) -> str:
    return f"address:{request.META.get('REMOTE_ADDR', '')}"


class KeyThrottle(BaseThrottle):
    """Writes and reads are counted apart; callers without a key that works are counted by their address."""

    rate: Rate

    def allow_request(self, request: Request, view: Any) -> bool:
        key: Any = request.auth
        return self.admits(request, f"key:{key.pk}" if key else by_address(request))

    def admits(self, request: Request, who: str) -> bool:
        kind, limit = ("reads", settings.API_READS_PER_MINUTE)
        if request.method not in SAFE_METHODS:
            kind, limit = ("writes", settings.API_WRITES_PER_MINUTE)
        try:
            self.rate = count(f"{kind}:{who}", limit=limit)
        except RedisError as error:
            # What is asked for is in the database, so a minute without limits is
            # better than a minute without service.
            log.warning("requests are not counted now: %s", error)
            return True
        request.rate = self.rate  # type: ignore[attr-defined]
        return self.rate.used <= self.rate.limit

    def wait(self) -> float:
        return self.rate.reset_seconds
