"""Races, killed processes and orders of events once more, on PostgreSQL, where rows are really locked one by one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from django.conf import settings

FILES = ("test_race.py", "test_processes.py", "test_convergence.py")


def test_what_holds_on_sqlite_holds_on_postgresql(postgresql):
    files = [str(Path(__file__).with_name(name)) for name in FILES]

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--ds=tests.settings", *files, "-v", "-p", "no:cacheprovider"],
        env={**os.environ, "TEST_DATABASE_URL": postgresql},
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "13 passed" in done.stdout
