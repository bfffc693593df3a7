"""The output formats by name: what each can hold. Light to import; the writers live in encode/."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """One row of the table; a new format is a row here and a writer in encode/."""

    name: str
    suffix: str
    content_type: str
    alpha: bool
    audio: bool
    opens_in: str
    max_seconds: float | None = None
    max_short_side: int | None = None
    max_fps: int | None = None
    """What browsers show; they slow a faster animation down."""
    soft_edges: bool = True


FORMATS: dict[str, Format] = {
    row.name: row
    for row in (
        Format("webm", ".webm", "video/webm", alpha=True, audio=True, opens_in="Chrome, Edge, Firefox, OBS"),
        Format("mov", ".mov", "video/quicktime", alpha=True, audio=True, opens_in="Premiere, Final Cut, Resolve"),
        Format("mp4", ".mp4", "video/mp4", alpha=False, audio=True, opens_in="every player"),
        Format(
            "gif", ".gif", "image/gif", alpha=True, audio=False, opens_in="everywhere, without soft edges",
            max_seconds=20, max_short_side=720, max_fps=50, soft_edges=False,
        ),
        Format(
            "webp", ".webp", "image/webp", alpha=True, audio=False, opens_in="every browser",
            max_seconds=20, max_short_side=720, max_fps=60,
        ),
        Format(
            "png_sequence", ".zip", "application/zip", alpha=True, audio=True, opens_in="compositing tools, scripts",
        ),
    )
}  # fmt: skip
