"""A quality report as the job's page draws it: per measure one line over time, and its flagged spans."""

from __future__ import annotations

from typing import Any

WIDTH, HEIGHT = 1000, 40
"""Of one measure's drawing; the page stretches it to its own width."""

NAMES = {
    "edge_stability": ("edge", "Edge stability"),
    "foreground_integrity": ("integrity", "Foreground integrity"),
    "temporal_consistency": ("consistency", "Temporal consistency"),
}


def chart(report: dict[str, Any], *, offset: float = 0.0) -> list[dict[str, Any]]:
    """One row per measure, with `line` in WIDTH × HEIGHT units: the higher, the better.

    `offset` is where the result begins in the video that a flag's `seek` is for.
    """
    duration = report["duration"] or 1.0
    return [
        {
            **report[name],
            "label": label,
            "line": _line([(point["t"] / duration, point[key]) for point in report["timeline"]]),
            "flags": [_placed(flag, duration, offset) for flag in report[name]["flags"]],
        }
        for name, (key, label) in NAMES.items()
    ]


def _line(points: list[tuple[float, float]]) -> str:
    """A step per point, since each stands for a stretch of time."""
    corners = []
    for place, (share, score) in enumerate(points):
        until = points[place + 1][0] if place + 1 < len(points) else 1.0
        height = HEIGHT * (1 - score / 100)
        corners += [(WIDTH * share, height), (WIDTH * until, height)]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)


def _placed(flag: dict[str, Any], duration: float, offset: float) -> dict[str, Any]:
    x = WIDTH * flag["start"] / duration
    # Two frames of a long clip would be too thin to see or to hit.
    width = max(6.0, WIDTH * (flag["end"] - flag["start"]) / duration)
    return {
        **flag,
        "x": f"{min(x, WIDTH - width):.1f}",
        "width": f"{width:.1f}",
        "seek": f"{flag['start'] + offset:.3f}",
    }
