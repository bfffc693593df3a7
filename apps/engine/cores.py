"""How many cores this process may use, which is what a thread for each of them is reckoned by."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

MOST_THREADS = 256
"""That may be asked for. Of a hundred thousand onnxruntime starts each, and fills the memory before it has begun."""

GROUPS = Path("/sys/fs/cgroup")
"""Seen from within a container, the limits of that container."""


def usable_cores() -> int:
    """Of the machine's those that the system lets it run on, and no more than its container's share of time is worth.

    A container of four cores on a machine of sixty-four sees them all: with a
    thread on each, most of the time it would be made to wait.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    return max(1, min(cores, math.ceil(quota))) if quota else cores


def _quota() -> float:
    """In cores; 0 where nothing is set, or nothing can be told."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        used, period = (GROUPS / "cpu.max").read_text(encoding="ascii").split()
        return 0.0 if used == "max" else int(used) / int(period)
    with suppress(OSError, ValueError, ZeroDivisionError):
        used, period = (
            (GROUPS / "cpu" / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period")
        )
        return max(0, int(used)) / int(period)
    return 0.0
