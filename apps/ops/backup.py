"""The whole site in one folder, and back: the database as of one moment, the media, the installation's secret.

The database is copied first, so that every file it names is in the media that follow, unless its time came in between.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.base import File
from django.db import DatabaseError, connection

from apps.accounts.models import User
from apps.credits.models import LedgerEntry
from apps.jobs.models import Job
from apps.projects import media
from apps.projects.models import media_storage

MANIFEST = "backup.json"
"""Written last: a folder without it is no backup."""
DATABASES = {"sqlite": "database.sqlite3", "postgresql": "database.dump"}
Say = Callable[[str], None]


class CannotBackUp(Exception):
    """In words for the operator."""


def back_up(target: Path, *, with_media: bool, say: Say) -> dict[str, Any]:
    """Safe beside a running site. The folder must be new or empty; what it tells is its manifest."""
    if target.exists() and any(target.iterdir()):
        raise CannotBackUp(f"{target} is not empty: name a new folder for each backup.")
    target.mkdir(parents=True, exist_ok=True)
    target.chmod(0o700)
    database = target / DATABASES[connection.vendor]
    say(f"The database ({connection.vendor})…")
    (_dump_sqlite if connection.vendor == "sqlite" else _dump_postgresql)(database)
    files = size = 0
    if with_media:
        say("The media…")
        for file in media.stored():
            place = target / "media" / file.name
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                media.bring(file.name, place)
            except FileNotFoundError:
                continue  # its time came meanwhile
            files, size = files + 1, size + place.stat().st_size
    has_secret = _copied(Path(settings.DATA_DIR) / "secret_key", target / "secret_key")
    manifest = {
        "version": settings.VERSION,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "database": connection.vendor,
        "sha256": _sha256(database),
        "rows": counts(),
        "media": {"kept": with_media, "files": files, "bytes": size},
        "secret_key": has_secret,
    }
    (target / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return manifest


def restore(source: Path, *, replace: bool, say: Say) -> dict[str, Any]:
    """Put a backup in the place of this site's database, media and secret; the site must be stopped."""
    manifest = _read(source)
    _check(manifest, source, replace=replace)
    say(f"The database ({connection.vendor})…")
    connection.close()
    (_load_sqlite if connection.vendor == "sqlite" else _load_postgresql)(source / DATABASES[connection.vendor])
    if (source / "secret_key").exists():
        _copied(source / "secret_key", Path(settings.DATA_DIR) / "secret_key")
    say("The media…")
    for path in _files(source / "media"):
        _bring_back(path.relative_to(source / "media").as_posix(), path)
    if counts() != manifest["rows"]:
        raise CannotBackUp(f"the database now holds {counts()}, the backup says {manifest['rows']}.")
    return manifest


def counts() -> dict[str, int]:
    """What shows at a glance that nothing is missing."""
    return {"accounts": User.objects.count(), "jobs": Job.objects.count(), "ledger": LedgerEntry.objects.count()}


def _read(source: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CannotBackUp(f"{source} holds no {MANIFEST}: no backup, or one that was not finished.") from None
    return found


def _check(manifest: dict[str, Any], source: Path, *, replace: bool) -> None:
    if manifest["database"] != connection.vendor:
        where = f"The backup is of {manifest['database']}, this site is on {connection.vendor}"
        raise CannotBackUp(f"{where}: set DATABASE_URL as it was.")
    if _sha256(source / DATABASES[connection.vendor]) != manifest["sha256"]:
        raise CannotBackUp(f"The database in {source} is not the one that was backed up: its sha256 is another.")
    try:
        is_used = User.objects.exists()
    except DatabaseError:  # no tables yet
        is_used = False
    if is_used and not replace:
        raise CannotBackUp("This site has accounts already: --replace gives them up for the backup's.")


def _dump_sqlite(target: Path) -> None:
    """SQLite's own copy of a database in use."""
    with (
        closing(sqlite3.connect(settings.DATABASES["default"]["NAME"])) as ours,
        closing(sqlite3.connect(target)) as copy,
    ):
        ours.backup(copy)


def _load_sqlite(source: Path) -> None:
    place = Path(settings.DATABASES["default"]["NAME"])
    for path in (place, Path(f"{place}-wal"), Path(f"{place}-shm")):
        path.unlink(missing_ok=True)
    shutil.copyfile(source, place)
    with closing(sqlite3.connect(place)) as copy:
        (said,) = copy.execute("PRAGMA integrity_check").fetchone()
    if said != "ok":
        raise CannotBackUp(f"The restored database is damaged: {said}")


def _dump_postgresql(target: Path) -> None:
    _client("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={target}")


def _load_postgresql(source: Path) -> None:
    """All or nothing, in one transaction."""
    name = _postgresql()["PGDATABASE"]
    options = ("--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error")
    _client("pg_restore", *options, f"--dbname={name}", str(source))


def _client(program: str, *arguments: str) -> None:
    try:
        done = subprocess.run(
            [program, *arguments], env={**os.environ, **_postgresql()}, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        package = "on Debian: apt install postgresql-client, as new as the server or newer"
        raise CannotBackUp(f"{program} is not on PATH ({package}).") from None
    if done.returncode:
        raise CannotBackUp(f"{program} failed: {done.stderr.strip()[-500:]}")


def _postgresql() -> dict[str, str]:
    """In the environment, because every user of a machine can read a command line."""
    row = settings.DATABASES["default"]
    host = row["HOST"] or row.get("OPTIONS", {}).get("host", "")
    told = {
        "HOST": host,
        "PORT": row["PORT"],
        "USER": row["USER"],
        "PASSWORD": row["PASSWORD"],
        "DATABASE": row["NAME"],
    }
    return {f"PG{name}": str(value) for name, value in told.items() if value}


def _bring_back(name: str, path: Path) -> None:
    """Stored files never change, so one that is there under its name is the same."""
    storage = media_storage()
    place = media.local_path(storage, name)
    if place is None:
        if not storage.exists(name):
            with path.open("rb") as content:
                storage.save(name, File(content))
        return
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _copied(source: Path, target: Path) -> bool:
    if not source.exists():
        return False
    target.touch(mode=0o600)
    target.chmod(0o600)
    target.write_bytes(source.read_bytes())
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
