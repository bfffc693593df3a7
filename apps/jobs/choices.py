"""What the pages offer to choose from: models with price and state, formats with what opens them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from apps.credits import prices
from apps.engine.formats import FORMATS, Format
from apps.engine.matting import weights
from apps.engine.options import MODELS

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


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model as the page offers it; `why_not` is empty when it can be used now."""

    name: str
    about: str
    rate: int
    """1/100 credit a minute."""
    licence: str
    why_not: str


@dataclass(frozen=True, slots=True)
class FormatCard:
    name: str
    label: str
    row: Format


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
