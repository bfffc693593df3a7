"""Run a file of tests once more, on PostgreSQL, where rows are really locked one by one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.db import connection


def again_on_postgresql(request: pytest.FixtureRequest, file: str, *, passed: int) -> None:
    """For the last test of a file; in that second run it only looks whether the database is the right one."""
    if settings.DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
        assert connection.vendor == "postgresql"
        return
    url = request.getfixturevalue("postgresql")
    command = [sys.executable, "-m", "pytest", file, "-v", "-p", "no:cacheprovider"]

    done = subprocess.run(
        command,
        env={**os.environ, "TEST_DATABASE_URL": url},
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{passed} passed" in done.stdout
