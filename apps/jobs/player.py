"""What a job's page plays, and the stacked player as a snippet for the pages of others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.engine.composition import lay_out
from apps.engine.formats import FORMATS
from apps.engine.options import Options
from apps.projects.templatetags.clips import here

PLAYED = ("webm", "mp4", "matte_mp4")
"""Formats that browsers show in a player, which can be sent to a moment."""

MODULE = Path(settings.BASE_DIR) / "static" / "js" / "stacked-player.js"


@dataclass(frozen=True, slots=True)
class Playing:
    """One video to show as the cutout, at the picture's size."""

    url: str
    is_stacked: bool
    is_preview: bool
    width: int
    height: int
    spare_url: str = ""
    """For browsers that cannot show the first, or not its alpha."""
    spare_is_stacked: bool = False


def playing(result: Mapping[str, Any] | None, preview: Mapping[str, Any] | None) -> Playing | None:
    """The result where browsers play it, else its preview; None where there is neither."""
    if result is None or not result["url"]:
        return None
    row = FORMATS[result["format"]]
    width, height = result["width"], result["height"] // 2 if row.stacked else result["height"]
    small = here(preview["url"]) if preview and preview["url"] else ""
    small_is_stacked = FORMATS[preview["format"]].stacked if preview else False
    if row.name in PLAYED or row.stacked:
        return Playing(here(result["url"]), row.stacked, False, width, height, small, small_is_stacked)
    if small and row.needs_preview:
        return Playing(small, small_is_stacked, True, width, height)
    return None


def place_of_original(options: Options, facts: Mapping[str, Any]) -> str:
    """Where the clip lies in its result, as "left top width height" in percent; empty where it is all of it."""
    layout = lay_out(options.composition, facts["width"], facts["height"])
    if layout.is_plain(facts["width"], facts["height"]):
        return ""
    across, down = 100 / layout.width, 100 / layout.height
    sides = (layout.left * across, layout.top * down, layout.shown_width * across, layout.shown_height * down)
    return " ".join(f"{side:.4f}" for side in sides)


def snippet(filename: str, width: int, height: int) -> str:
    """All that a page needs to show a stacked file that lies beside it."""
    video = f'<video src="{filename}" width="{width}" height="{height}" autoplay loop muted playsinline></video>'
    return f'<stacked-player>{video}</stacked-player>\n<script type="module">\n{_module()}</script>\n'


@cache
def _module() -> str:
    return MODULE.read_text(encoding="utf-8")
