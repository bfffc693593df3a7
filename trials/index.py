"""A folder of hard inputs and its index.json: what is special about each file, and what is expected of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

PROCESS, REJECT, EITHER = "process", "reject", "either"

HDR_TRANSFERS = {"smpte2084", "arib-std-b67"}
INTERLACED = {"tt", "bb", "tb", "bt"}
MAX_PIXEL_SHAPE = 8
"""The engine takes more oblong pixels as square, and those that differ from it by less than a hundredth."""


class BadIndex(Exception):
    """The folder cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file. `probe` holds what an independent look found; what it does not name is not checked."""

    path: Path
    expect: str
    special: str = ""
    probe: Mapping[str, Any] = field(default_factory=dict)
    warnings: frozenset[str] = frozenset()
    """Codes that must be among the result's warnings."""

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def cost(self) -> int:
        """Pixels to process: the cheap ones come first."""
        coded = self.probe.get("coded") or (1, 1)
        return int(coded[0]) * int(coded[1]) * int(self.probe.get("decoded_frames") or 0)

    @property
    def frames(self) -> int | None:
        """That a player shows."""
        shown = self.probe.get("decoded_frames")
        return None if shown is None else int(shown)

    def size(self) -> tuple[int, int] | None:
        """Upright, with square pixels."""
        coded = self.probe.get("coded")
        if not coded:
            return None
        width, height = int(coded[0]), int(coded[1])
        shape = Fraction(str(self.probe.get("sar") or "1:1").replace(":", "/"))
        if abs(shape - 1) >= Fraction(1, 100) and Fraction(1, MAX_PIXEL_SHAPE) <= shape <= MAX_PIXEL_SHAPE:
            width = round(width * shape)
        return (height, width) if int(self.probe.get("rotation") or 0) % 180 else (width, height)

    def facts(self) -> dict[str, Any]:
        """What the engine must find, as far as the index tells."""
        told: dict[str, Any] = {}
        if "rotation" in self.probe:
            # The index counts as ffprobe does, against the clock.
            told["rotation"] = -int(self.probe["rotation"]) % 360
        if "audio" in self.probe:
            told["has_audio"] = any(track.get("codec") for track in self.probe["audio"])
        if self.probe.get("color"):
            told["is_hdr"] = bool(HDR_TRANSFERS & set(self.probe["color"]))
        if self.probe.get("field_order"):
            told["is_interlaced"] = self.probe["field_order"] in INTERLACED
        return told

    def expected_warnings(self) -> frozenset[str]:
        return self.warnings | ({"hdr_tone_mapped"} if self.facts().get("is_hdr") else frozenset())


def read(folder: Path) -> list[Entry]:
    """The entries of DIR/index.json, cheapest first."""
    index = folder / "index.json"
    if not index.is_file():
        raise BadIndex(f"{index} is missing.")
    rows = json.loads(index.read_text(encoding="utf-8"))
    rows = rows["files"] if isinstance(rows, dict) else rows
    entries = [_entry(folder, row) for row in rows]
    if missing := [entry.name for entry in entries if not entry.path.is_file()]:
        raise BadIndex(f"{', '.join(missing)} named in {index} and not there.")
    return sorted(entries, key=lambda entry: entry.cost)


def _entry(folder: Path, row: Mapping[str, Any]) -> Entry:
    expect = str(row["expect"])
    if expect not in (PROCESS, REJECT, EITHER):
        raise BadIndex(f"{row['file']}: expect is {expect!r}; it must be {PROCESS}, {REJECT} or {EITHER}.")
    return Entry(
        path=folder / row["file"],
        expect=expect,
        special=str(row.get("special", "")),
        probe=row.get("probe") or {},
        warnings=frozenset(row.get("warnings", ())),
    )
