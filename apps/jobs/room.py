"""Room in scratch: how much the workers that share this machine's folder may fill together, and what each was promised.

A promise is a file in the folder of the attempt it was made to, so it goes when that goes, however the worker ended.
"""

from __future__ import annotations

import fcntl
import logging
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from django.conf import settings

from apps.engine.options import Options
from apps.engine.plan import Plan
from apps.engine.report import Facts
from apps.engine.sizes import work_bytes
from apps.errors import AppError
from apps.projects.models import Asset

log = logging.getLogger(__name__)

PROMISE = "promised"
"""In an attempt's folder: the bytes that it may fill. Not in a list of all: nobody would correct that after a crash."""

SPARE_BYTES = 100 * 1000**2
"""Of the disk, for whoever else writes on it: the database, logs, what is being uploaded."""

GROWTH = 1.5
"""How much more than it holds is promised to an attempt that has outgrown its promise."""


class Fit(Enum):
    NOW = "now"
    LATER = "later"
    """When others have gone, or the disk has been cleared."""
    NEVER = "never"
    """Not even if it were alone: the budget, or a disk that others fill, is too small."""


class Full(Exception):
    """Jobs wait that would be this worker's to take, but there is no room for them here."""


class Outgrown(Exception):
    """An attempt needs more than is left; `size` is what to ask for the next time."""

    def __init__(self, size: int) -> None:
        super().__init__(f"it needs about {words(size)} of scratch, and less is left here")
        self.size = size


@dataclass(frozen=True, slots=True)
class Room:
    """The scratch folder at one moment, in bytes."""

    used: int
    """What lies in it."""
    promised: int
    """What was promised beyond that."""
    free: int
    """Of the disk."""

    @property
    def budget(self) -> int:
        """0: none but the disk."""
        return int(settings.SCRATCH_BYTES)

    @property
    def most(self) -> int:
        """What one attempt could have if it were alone."""
        return int(max(0, min(self.budget or math.inf, self.free - SPARE_BYTES + self.used)))

    @property
    def left(self) -> int:
        budget = self.budget - self.used if self.budget else math.inf
        return int(max(0, min(budget, self.free - SPARE_BYTES) - self.promised))


def need(options: Options, plan: Plan, sources: Sequence[Asset]) -> int:
    """What a worker will need for such a job, at most and about; refused when this site has no budget for it."""
    size = work_bytes(plan, options, Facts.from_dict(sources[0].facts)) + sum(source.size for source in sources)
    if settings.SCRATCH_BYTES and size > settings.SCRATCH_BYTES:
        log.warning("a job that needs %s of scratch was refused: SCRATCH_BYTES is %s", size, settings.SCRATCH_BYTES)
        raise AppError("limit_exceeded", too_large(size))
    return size


def too_large(size: int) -> str:
    """For its owner, whoever finds it out."""
    return (
        f"This video needs about {words(size)} of working space, more than this site gives to one. Nothing was "
        "charged: use a shorter or smaller clip, or another format."
    )


def look() -> Room:
    used = promised = 0
    for entry in _entries():
        filled = _filled(entry)
        used += filled
        promised += max(0, _promise_of(entry) - filled)
    return Room(used, promised, shutil.disk_usage(settings.SCRATCH_DIR).free)


def take(name: str, size: int) -> Fit:
    """Promise so many bytes to an attempt by this name, if they are there, and make its folder."""
    with _alone():
        now = look()
        if size > now.left:
            return Fit.NEVER if size > now.most else Fit.LATER
        folder = Path(settings.SCRATCH_DIR) / name
        folder.mkdir(parents=True)
        (folder / PROMISE).write_text(str(size), encoding="ascii")
    return Fit.NOW


def give_up(name: str) -> None:
    """The attempt did not begin after all."""
    shutil.rmtree(Path(settings.SCRATCH_DIR) / name, ignore_errors=True)


def keep(folder: Path) -> None:
    """While an attempt works: more for one that holds more than it was promised; Outgrown when there is no more."""
    filled = _filled(folder)
    if filled <= _promise_of(folder):
        return
    with _alone():
        wanted = math.ceil(filled * GROWTH)
        # What it holds already is among what is used.
        if wanted - filled > look().left:
            raise Outgrown(wanted)
        (folder / PROMISE).write_text(str(wanted), encoding="ascii")
    log.info("%s was promised %s more of scratch", folder.name, words(wanted - filled))


def words(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{math.ceil(size / 1e6)} MB"


@contextmanager
def _alone() -> Iterator[None]:
    """Between looking and promising no other process of this machine does either."""
    folder = os.open(settings.SCRATCH_DIR, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _entries() -> list[Path]:
    return list(Path(settings.SCRATCH_DIR).iterdir())


def _filled(entry: Path) -> int:
    """Bytes on the disk. A source that is a hard link to the stored file takes none, nor what goes while we look."""
    if not entry.is_dir():
        return _size(entry)
    return sum(_size(Path(where) / name) for where, _, names in os.walk(entry) for name in names if name != PROMISE)


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        stat = path.lstat()
        return stat.st_blocks * 512 if stat.st_nlink == 1 else 0
    return 0


def _promise_of(entry: Path) -> int:
    with suppress(FileNotFoundError, NotADirectoryError, ValueError):
        return int((entry / PROMISE).read_text(encoding="ascii"))
    return 0
