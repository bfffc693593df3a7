"""Names of the files that are still being written, so that whoever cleans up finds them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def part_path(target: Path, *, pid: int | None = None, tag: str = "") -> Path:
    """Beside the target, because only a rename within one file system is atomic."""
    return target.with_name(f".{target.name[:180]}.{pid or os.getpid()}{tag}.part")


def remove_parts(target: Path, *, pid: int) -> None:
    """Delete what process `pid` left of `target`; for a process that was killed before it could."""
    prefix = f".{target.name[:180]}.{pid}"
    if not target.parent.is_dir():
        return
    for entry in target.parent.iterdir():
        if entry.name.startswith(prefix) and entry.name.endswith(".part"):
            remove(entry)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
