"""What several machines cannot share. SEVERAL_HOSTS=1 declares them: no machine can see that it is not alone."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.db import connection


def refusal() -> str:
    """Why this site may not run on several hosts as it is set up; empty when it may, or runs on one."""
    return f"SEVERAL_HOSTS=1, but {' and '.join(wrong)}." if settings.SEVERAL_HOSTS and (wrong := not_shared()) else ""


def not_shared() -> list[str]:
    """Stores that only this machine has, each with what to set instead."""
    alone = []
    if connection.vendor == "sqlite":
        alone.append("the database is SQLite, which one machine has for itself (set DATABASE_URL to a PostgreSQL)")
    if not settings.S3_BUCKET:
        alone.append("media are files on this machine's disk (set S3_BUCKET)")
    if not settings.REDIS_URL_GIVEN:
        alone.append("the queue server is the embedded one, which nobody else reaches (set REDIS_URL)")
    return alone


def check(**_: Any) -> list[CheckMessage]:
    """Asked by every command that works on jobs, and by `check --deploy`."""
    return [Error(why, id="ops.E001")] if (why := refusal()) else []
