"""What came of a file held against what is expected of it: complaints in words, or none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trials import look
from trials.index import EITHER, PROCESS, REJECT, Entry

REFUSALS = {"unsupported_media", "limit_exceeded", "input_truncated"}
"""Codes that tell a user something about the file; anything else is our fault."""

MENDED = {"timestamps_repaired", "input_truncated", "corrupt_frames"}
"""Warnings after which an output need not show every frame at its packet's time."""

DURATION_TOLERANCE = 0.1
FPS_TOLERANCE = 0.03


@dataclass(slots=True)
class Outcome:
    """How one way through the product went."""

    code: str = ""
    """Of a refusal; empty when the file was taken."""
    message: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    frames: int | None = None
    warnings: frozenset[str] = frozenset()
    seconds: float = 0.0

    @property
    def in_short(self) -> str:
        return self.code or (f"{self.frames} frames" if self.frames is not None else "taken")


def of_outcome(entry: Entry, outcome: Outcome) -> Iterator[str]:
    """Whether it was taken or refused as it should be, and in which words."""
    if outcome.code:
        if entry.expect == PROCESS:
            yield f"refused: {outcome.code}: {outcome.message}"
        elif outcome.code not in REFUSALS:
            yield f"a fault instead of a refusal: {outcome.code}: {outcome.message[-300:]}"
        elif not (outcome.message[:1].isupper() and outcome.message.endswith(".")):
            yield f"no sentence: {outcome.message!r}"
    elif entry.expect == REJECT:
        yield "taken, and it should be refused"


def of_facts(entry: Entry, facts: Mapping[str, Any]) -> Iterator[str]:
    """Only of files that must be processed: what a broken one is, nobody knows."""
    if entry.expect == EITHER:
        return
    for name, value in entry.facts().items():
        if facts.get(name, value) != value:
            yield f"{name} is {facts[name]}, expected {value}"
    size = entry.size()
    if size and max(abs(facts["width"] - size[0]), abs(facts["height"] - size[1])) > 1:
        yield f"size is {facts['width']} × {facts['height']}, expected {size[0]} × {size[1]}"
    yield from _timing(entry, facts)


def _timing(entry: Entry, facts: Mapping[str, Any]) -> Iterator[str]:
    times = look.source_times(entry.path).frames
    if len(times) < 2:
        return
    rate = (len(times) - 1) / float(times[-1] - times[0])
    if abs(facts["fps"] / rate - 1) > FPS_TOLERANCE:
        yield f"fps is {facts['fps']}, expected {rate:.3f}"
    end = float(times[-1]) + 1 / rate
    if abs(facts["duration"] - end) > max(DURATION_TOLERANCE, 1 / rate):
        yield f"duration is {facts['duration']}, expected {end:.3f}"
    packets = entry.probe.get("packets")
    if entry.frames is not None and "frames" in facts and not entry.frames <= facts["frames"] <= (packets or 0):
        yield f"{facts['frames']} frames by the packets, expected {entry.frames} to {packets}"


def of_result(entry: Entry, outcome: Outcome, output: Path) -> Iterator[str]:
    """The file that was written, by a second look."""
    if missing := entry.expected_warnings() - outcome.warnings:
        yield f"no warning {', '.join(sorted(missing))}"
    shown = look.output_times(output)
    if len(shown.frames) != outcome.frames:
        yield f"{len(shown.frames)} frames in the file, {outcome.frames} in the report"
    if entry.expect == EITHER or outcome.warnings & MENDED:
        return
    if entry.frames is not None and outcome.frames != entry.frames:
        yield f"{outcome.frames} frames, expected {entry.frames}"
    if away := look.strayed(shown, look.source_times(entry.path)):
        yield f"a frame is {float(away):.4f} s away from every time of the source"
