"""What the pages offer to choose from: models with price and state, formats with what opens them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from django.conf import settings
from django.core.cache import cache

from apps.credits import prices
from apps.engine.formats import FORMATS, Format
from apps.engine.matting import weights
from apps.engine.options import MODELS
from apps.jobs import waiting

ABOUT = {
    "original": "Anything: people, products, animals. Steady edges at a fair price.",
    "light": "Simple scenes. The fastest.",
    "human": "People, portraits, talking heads. Steadiest hair and hands.",
    "pro": "Hard edges and fine detail. The best this machine can do, and the slowest.",
}
FORMAT_LABELS = {
    "webm": "WebM",
    "mov": "MOV, ProRes 4444",
    "mp4": "MP4",
    "gif": "GIF",
    "webp": "Animated WebP",
    "png_sequence": "PNG frames, zipped",
    "stacked_mp4": "Stacked MP4",
    "matte_mp4": "Matte alone, MP4",
}


SPEEDS_SECONDS = 60
"""The models' speeds are remembered so long: each is the median of many jobs, and every view of the page tells them."""
SLOW_FPS = 0.5
"""Below it seconds a frame say more than frames a second."""
GROUPS = {
    "For the web": ("webm", "stacked_mp4", "webp", "gif", "mp4"),
    "For Premiere, Final Cut, Resolve": ("mov",),
    "Frames and more": ("png_sequence", "matte_mp4"),
}
"""A format that is in none of them is in the last."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model as the page offers it; `why_not` is empty when it can be used now."""

    name: str
    about: str
    rate: int
    """1/100 credit a minute."""
    licence: str
    why_not: str
    speed: str = ""
    """On this machine, in words."""


@dataclass(frozen=True, slots=True)
class FormatCard:
    name: str
    label: str
    row: Format

    @property
    def opens(self) -> str:
        where = self.row.opens_in
        return f"Opens {where}" if where.startswith("everywhere") else f"Opens in {where}"

    @property
    def keeps(self) -> str:
        """What becomes of the transparency."""
        if self.row.shows_matte:
            return "The matte itself, in grey"
        if not self.row.alpha:
            return "No transparency"
        return "Keeps transparency" if self.row.soft_edges else "Keeps transparency, with hard edges"

    @property
    def only(self) -> str:
        """What it can hold at most; empty where only the site's limits count."""
        if not self.row.max_seconds:
            return ""
        return f"At most {self.row.max_seconds:g} s, short side {self.row.max_short_side} px"


def model_cards() -> list[ModelCard]:
    """In the contract's order; cheap enough for every view of the page."""
    rates = prices.current().rates
    status = weights.model_status(Path(settings.MODELS_DIR), permissive=is_permissive())
    return [
        ModelCard(name, ABOUT[name], rates[name], licence_of(name), why_not(status[name]))
        for name in MODELS
        if name in rates
    ]


def format_cards() -> list[FormatCard]:
    return [FormatCard(row.name, FORMAT_LABELS.get(row.name, row.name), row) for row in FORMATS.values()]


def format_groups() -> dict[str, list[FormatCard]]:
    """By what people want to do with the file."""
    group_of = {name: group for group, names in GROUPS.items() for name in names}
    last = list(GROUPS)[-1]
    order = {name: place for names in GROUPS.values() for place, name in enumerate(names)}
    groups: dict[str, list[FormatCard]] = {group: [] for group in GROUPS}
    for card in sorted(format_cards(), key=lambda card: order.get(card.name, len(FORMATS))):
        groups[group_of.get(card.name, last)].append(card)
    return groups


def measured_cards() -> list[ModelCard]:
    """`model_cards` with how fast each one was in the jobs that it finished here; elsewhere's figures say nothing."""
    speeds: dict[str, str] | None = cache.get("speeds")
    if speeds is None:
        speeds = {name: _speed(waiting.frames_a_second(name)) for name in MODELS}
        cache.set("speeds", speeds, SPEEDS_SECONDS)
    return [replace(card, speed=speeds[card.name]) for card in model_cards()]


def _speed(fps: float | None) -> str:
    if fps is None:
        return "Speed here: not measured yet"
    if fps < SLOW_FPS:
        return f"About {1 / fps:.0f} seconds a frame here"
    return f"About {fps:.{0 if fps >= 10 else 1}f} frames a second here"


def is_permissive() -> bool:
    return bool(settings.MODEL_LICENCES == "permissive")


def why_not(status: weights.ModelStatus) -> str:
    """Why a model cannot be used at this moment; empty when it can."""
    if status.installed:
        return ""
    return f"Being installed: {status.installing}" if status.installing else "Not installed here"


def licence_of(model: str) -> str:
    """The licences of the networks behind a model, named once each."""
    known = weights.networks()
    needed = weights.needed_by(model, permissive=is_permissive())
    return ", ".join(dict.fromkeys(known[network].licence for network in needed))
