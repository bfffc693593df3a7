"""A command that cannot go on tells the operator what to do, and keeps its traceback for what is ours to mend."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.conf import settings
from django.db import DatabaseError, OperationalError
from redis.exceptions import ConnectionError as QueueIsAway

from apps.errors import AppError, Unavailable
from apps.ops import advice


def manage(data_dir: Path, *arguments: str, **told: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    # A .env file configures the real site; these win over it.
    sole = {"DATABASE_URL": f"sqlite:///{data_dir}/db.sqlite3", "REDIS_URL": "", "S3_BUCKET": ""}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=settings.BASE_DIR, env={**kept, **sole, "DATA_DIR": str(data_dir), **told}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize("command", [("create_account", "a@example.org"), ("audit_ledger",), ("reconcile", "--once")])
def test_a_database_that_was_not_migrated_is_told_in_one_sentence(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = manage(tmp_path, *command)

    assert done.returncode == 1
    assert (done.stdout, done.stderr.count("\n")) == ("", 1), done.stderr
    assert done.stderr.startswith("error: The database lacks ")
    assert done.stderr.endswith(" migrations. Apply them first: manage.py migrate.\n")


def test_who_asks_for_the_traceback_gets_it(tmp_path: Path) -> None:
    done = manage(tmp_path, "audit_ledger", "--traceback")

    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Unavailable("The disk is full."), "The disk is full. manage.py doctor says which part it is."),
        (QueueIsAway("refused"), "The queue server does not answer. Check REDIS_URL"),
        (AppError("conflict", "No."), ""),
        (ValueError("a mistake of ours"), ""),
    ],
)
def test_what_can_be_done_is_said_and_nothing_else(error: Exception, words: str) -> None:
    said = advice.about(error)

    assert said.startswith(words)
    assert bool(said) == bool(words)


@pytest.mark.django_db
def test_a_query_that_a_whole_database_refuses_is_ours_to_mend() -> None:
    assert advice.about(DatabaseError("no such function: frobnicate")) == ""


def test_a_postgresql_that_is_away_keeps_nobody_waiting_for_half_a_minute(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        began = time.monotonic()

        done = manage(tmp_path, "audit_ledger", DATABASE_URL=f"postgres://a@127.0.0.1:{taken.getsockname()[1]}/a")

    assert "error: The database (postgresql) does not answer." in done.stderr
    assert time.monotonic() - began < 25


def test_a_database_that_nobody_reaches_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advice.connection, "vendor", "postgresql")

    words = advice.about(OperationalError("couldn't get a connection after 30.00 sec"))

    assert words.startswith("The database (postgresql) does not answer. Check DATABASE_URL")
