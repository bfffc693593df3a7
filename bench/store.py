"""What was measured before, kept in an ignored folder: an interrupted bench goes on where it stopped."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.folder import BenchError

Measured = dict[str, Any]

ROOT = Path(__file__).resolve().parents[1]
ENGINE = sorted(path for path in (ROOT / "apps" / "engine").rglob("*") if path.suffix in (".py", ".toml", ".json"))


def fingerprint(paths: Iterable[Path]) -> str:
    """Changes with a name or the contents of any of the files."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


class Store:
    """One folder per clip and unit of work; a result counts as long as everything it depends on is the same."""

    def __init__(self, folder: Path, *, fresh: bool) -> None:
        self.folder = folder
        self._fresh = fresh
        self.reused = 0

    def get(self, clip: str, unit: str, depends_on: Iterable[str], make: Callable[[Path], Measured]) -> Measured:
        """What `make` measured in the unit's folder, now or before. It may leave files there for later looks."""
        folder = self.folder / clip / unit.replace(" ", "-")
        key = hashlib.sha256("\0".join(depends_on).encode()).hexdigest()
        known = None if self._fresh else _read(folder / "result.json")
        if known is not None and known["key"] == key:
            self.reused += 1
            return {**known["measured"], "measured_at": known["measured_at"]}
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        began = time.monotonic()
        measured = make(folder)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        took = round(time.monotonic() - began, 1)
        write_json(folder / "result.json", {"key": key, "measured_at": at, "took_seconds": took, "measured": measured})
        return {**measured, "measured_at": at}


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """One bench at a time: two would overwrite each other's results and spoil each other's timings."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BenchError(f"Another bench is running in {folder}; wait for it, or name another folder.") from None
        yield


def _read(path: Path) -> dict[str, Any] | None:
    try:
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return known


def write_json(path: Path, contents: object) -> None:
    """Whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(contents, indent=1), encoding="utf-8")
    os.replace(part, path)
