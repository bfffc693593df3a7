"""What came of a run, and the figures that the tables show of it."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import onnxruntime

from bench.folder import Clip
from bench.rows import Row
from bench.store import Measured

SCORES = ("mad", "grad", "dtssd", "mad_b", "dtssd_b", "mad_in", "mad_out", "iou", "fgr_mse")
COSTS = ("ms", "cpu_seconds", "inferred", "peak_mb")
WORST_LOSS = 1.0
"""A delivered file's mad may be this much above its matte's."""


@dataclass(slots=True)
class Report:
    """By row and clip. A row that failed on a clip is missing there and named in `failures`."""

    rows: Sequence[Row]
    clips: Sequence[Clip]
    threads: int
    measured: dict[str, dict[str, Measured]] = field(default_factory=dict)
    mov: dict[str, dict[str, Measured]] = field(default_factory=dict)
    shares: dict[str, dict[str, Measured]] = field(default_factory=dict)
    uncorrected: dict[str, Measured] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {
            "machine": machine(self.threads),
            "rows": [asdict(row) for row in self.rows],
            "clips": {clip.name: {"group": clip.group, "tags": sorted(clip.tags)} for clip in self.clips},
            "measured": self.measured,
            "mov": self.mov,
            "shares": self.shares,
            "uncorrected": self.uncorrected,
            "failures": self.failures,
        }

    def figures(self, row: str, clips: Iterable[str]) -> dict[str, float | None] | None:
        """One row over some clips; None unless it was measured on each of them.

        Scores are means over the clips, as score.py's own; costs are those of all frames together, where they
        were measured.
        """
        there = self.measured.get(row, {})
        parts = [there[name] for name in clips if name in there]
        if not parts or len(parts) < len(list(clips)):
            return None
        scores = {score: _mean(part.get(score) for part in parts) for score in SCORES}
        if any("seconds" not in part for part in parts):
            return {**scores, **dict.fromkeys(COSTS)}
        frames = sum(part["frames"] for part in parts)
        return {
            **scores,
            "ms": 1000 * sum(part["seconds"] for part in parts) / frames,
            "cpu_seconds": sum(part["cpu_seconds"] for part in parts) / frames,
            "inferred": sum(part["frames_inferred"] for part in parts) / frames,
            "peak_mb": max(part["peak_rss_bytes"] for part in parts) / 1e6,
        }

    def losses(self, row: str, format_name: str) -> list[float]:
        """Per clip, how far the delivered file's mad is above the matte's."""
        mattes = self.measured.get(row, {})
        delivered = self.mov.get(row, {}) if format_name == "mov" else {
            name: measured["webm"] for name, measured in mattes.items() if "webm" in measured
        }  # fmt: skip
        return [delivered[name]["mad"] - mattes[name]["mad"] for name in delivered if name in mattes]

    def share(self, row: str) -> tuple[float, float, float] | None:
        """Median, least and greatest CPU share of the matte stage over the clips."""
        shares = [measured["cpu_share"] for measured in self.shares.get(row, {}).values()]
        return (statistics.median(shares), min(shares), max(shares)) if shares else None


def _mean(values: Iterable[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return statistics.fmean(there) if there else None


def machine(threads: int) -> dict[str, Any]:
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
