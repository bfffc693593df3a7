"""The output formats by name: what each can hold. Light to import; the writers live in encode/."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """One row of the table; a new format is a row here and a writer in encode/."""

    name: str
    suffix: str
    """How the name of a file ends; it tells files of one container apart where they lie side by side."""
    content_type: str
    alpha: bool
    audio: bool
    opens_in: str
    demuxer: str | None = None
    """FFmpeg's name for the container; None where another library reads the file back."""
    even_sides: bool = False
    """Odd sides are padded by one row or column."""
    stacked: bool = False
    """The matte lies below the colours, in a frame of twice the height."""
    shows_matte: bool = False
    """Its picture is the matte, whatever the background."""
    deep: bool = False
    """Holds more than eight bits a colour, and gets them from sources that have them."""
    needs_preview: bool = False
    """Some browser in use cannot show it, or not its alpha."""
    max_seconds: float | None = None
    max_short_side: int | None = None
    max_fps: int | None = None
    """What browsers show; they slow a faster animation down."""
    soft_edges: bool = True

    def frame_size(self, width: int, height: int) -> tuple[int, int]:
        """Of the file's own frames, for a picture of this size."""
        width, height = self.padded(width, height)
        return width, height * 2 if self.stacked else height

    def padded(self, width: int, height: int) -> tuple[int, int]:
        return (width + width % 2, height + height % 2) if self.even_sides else (width, height)


FORMATS: dict[str, Format] = {
    row.name: row
    for row in (
        Format(
            "webm", ".webm", "video/webm", alpha=True, audio=True, opens_in="Chrome, Edge, Firefox, OBS",
            demuxer="matroska", needs_preview=True,
        ),
        Format(
            "mov", ".mov", "video/quicktime", alpha=True, audio=True, opens_in="Premiere, Final Cut, Resolve",
            demuxer="mov", deep=True, needs_preview=True,
        ),
        Format(
            "mp4", ".mp4", "video/mp4", alpha=False, audio=True, opens_in="every player",
            demuxer="mp4", even_sides=True,
        ),
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
            deep=True, needs_preview=True,
        ),
        Format(
            "stacked_mp4", "-stacked.mp4", "video/mp4", alpha=True, audio=True,
            opens_in="web pages, with a small player; Safari too", demuxer="mp4", even_sides=True, stacked=True,
        ),
        Format(
            "matte_mp4", "-matte.mp4", "video/mp4", alpha=True, audio=True,
            opens_in="editors, as a luma matte", demuxer="mp4", even_sides=True, shows_matte=True,
        ),
    )
}  # fmt: skip
