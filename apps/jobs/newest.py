"""The newest frame of a job at work, kept for a moment where every web server finds it; its page shows it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from uuid import UUID

from django.core.cache import cache
from redis.exceptions import RedisError

KEPT_SECONDS = 120
"""Longer than the slowest model takes for a frame of the largest size."""


def put(job_id: UUID, picture: Path) -> None:
    """A cache that does not answer costs the picture, never the job."""
    with contextlib.suppress(RedisError, FileNotFoundError):
        cache.set(_key(job_id), picture.read_bytes(), KEPT_SECONDS)


def get(job_id: UUID) -> bytes | None:
    """WebP; None when there is none (yet, or any more)."""
    with contextlib.suppress(RedisError):
        found: bytes | None = cache.get(_key(job_id))
        return found
    return None


def forget(job_id: UUID) -> None:
    with contextlib.suppress(RedisError):
        cache.delete(_key(job_id))


def _key(job_id: UUID) -> str:
    return f"newest:{job_id}"
