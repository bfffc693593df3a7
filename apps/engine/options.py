"""What can be asked of the engine, validated once for the command line, the pages and the API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.engine import composition as compositions
from apps.engine import edge as edges
from apps.engine.composition import Composition, parse_composition
from apps.engine.edge import Edge, parse_edge
from apps.engine.errors import BadOptions
from apps.engine.formats import FORMATS
from apps.engine.reading import entries, number

MODELS = ("original", "light", "human", "pro")
"""The public model names, the default first; `chroma` exists only on the command line and in tests."""

FITS = ("cover", "contain", "stretch")

MAX_BACKGROUND_PIXELS = 36_000_000
"""Of a background picture. Decoding takes 4 bytes each; no 4096 × 4096 result needs more."""

COLOR_ALIASES = {
    "green": (9, 162, 70),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "blue": (0, 71, 187),
}
"""`bg_type` values that name a colour; green is the shade that clients written for the API users know send."""

BASIC_COLORS = {
    "black": "#000000", "silver": "#c0c0c0", "gray": "#808080", "white": "#ffffff",
    "maroon": "#800000", "red": "#ff0000", "purple": "#800080", "fuchsia": "#ff00ff",
    "green": "#008000", "lime": "#00ff00", "olive": "#808000", "yellow": "#ffff00",
    "navy": "#000080", "blue": "#0000ff", "teal": "#008080", "aqua": "#00ffff",
    "grey": "#808080", "cyan": "#00ffff", "magenta": "#ff00ff",
}  # fmt: skip
"""CSS basic colour names, https://www.w3.org/TR/css-color-4/#named-colors."""

MAX_SECONDS = 10_000_000
"""Of a trim: four months."""

MIN_PREVIEW, MAX_PREVIEW = 0.5, 10
"""Seconds: enough to judge an edge in motion, too little to be the clip."""

ON_LIMIT = ("reject", "reduce")
"""What to do about a clip that is too much for its format, the default first."""

Color = tuple[int, int, int]

Trim = tuple[float, float | None]


@dataclass(frozen=True, slots=True)
class Background:
    """What the cutout is laid over: nothing, one colour, or a picture (its path is given apart)."""

    type: str = "transparent"
    color: Color | None = None
    fit: str = "cover"


@dataclass(frozen=True, slots=True)
class Options:
    """One request, already sound: every instance can be carried out.

    `trim` is (start, end) in seconds from the first frame; an end of None means to the end.
    With `preview_duration` only so many seconds of what is kept are made, and small.
    """

    model: str = MODELS[0]
    format: str = "webm"
    background: Background = Background()
    trim: Trim | None = None
    keep_audio: bool = True
    composition: Composition = compositions.AS_IT_IS
    edge: Edge = edges.AS_IT_IS
    on_limit: str = ON_LIMIT[0]
    preview_duration: float | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise BadOptions(f"output_format must be one of {', '.join(FORMATS)}.", param="output_format")
        if self.background.type == "transparent" and not FORMATS[self.format].alpha:
            raise BadOptions(
                f"{self.format} cannot hold a transparent background. Use webm, mov, stacked_mp4, webp, gif or "
                "png_sequence, or choose bg_type color or image.",
                param="output_format",
            )
        if self.on_limit not in ON_LIMIT:
            raise BadOptions(f"on_limit must be one of {', '.join(ON_LIMIT)}.", param="on_limit")

    @property
    def may_reduce(self) -> bool:
        return self.on_limit == "reduce"

    @property
    def is_preview(self) -> bool:
        return self.preview_duration is not None

    @property
    def is_opaque(self) -> bool:
        return self.background.type != "transparent"

    def as_dict(self) -> dict[str, Any]:
        """JSON form, kept with a job; `from_dict` reads it back."""
        return {
            "model": self.model,
            "format": self.format,
            "background": {
                "type": self.background.type,
                "color": list(self.background.color) if self.background.color else None,
                "fit": self.background.fit,
            },
            "trim": list(self.trim) if self.trim else None,
            "keep_audio": self.keep_audio,
            "composition": self.composition.as_dict(),
            "edge": self.edge.as_dict(),
            "on_limit": self.on_limit,
            "preview_duration": self.preview_duration,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Options:
        back = data["background"]
        color = back["color"]
        trim = data["trim"]
        return cls(
            model=data["model"],
            format=data["format"],
            background=Background(back["type"], (color[0], color[1], color[2]) if color else None, back["fit"]),
            trim=(trim[0], trim[1]) if trim else None,
            keep_audio=data["keep_audio"],
            # Jobs of earlier versions were not asked.
            composition=parse_composition(data.get("composition")),
            edge=parse_edge(data.get("edge")),
            on_limit=data.get("on_limit", ON_LIMIT[0]),
            preview_duration=data.get("preview_duration"),
        )


def parse_color(value: Any, *, param: str = "bg_color") -> Color:
    """`"#RRGGBB"`, a CSS basic name, or three numbers (all ≤ 1: 0..1, otherwise integers 0..255)."""
    wrong = BadOptions(
        f'{param} must be "#RRGGBB", a CSS basic colour name, or three numbers (0..1, or integers 0..255).', param=param
    )
    if isinstance(value, str):
        text = BASIC_COLORS.get(value.strip().lower(), value.strip())
        # By its digits: int() alone would also take "+12345" and "1_2345".
        if not re.fullmatch(r"#[0-9A-Fa-f]{6}", text):
            raise wrong
        number = int(text[1:], 16)
        return number >> 16, number >> 8 & 255, number & 255
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise wrong
    # Compared before anything is computed: JSON may hold integers that no float can.
    if any(isinstance(v, bool) or not isinstance(v, int | float) or not 0 <= v <= 255 for v in value):
        raise wrong
    if all(v <= 1 for v in value):
        return round(value[0] * 255), round(value[1] * 255), round(value[2] * 255)
    if any(v != int(v) for v in value):
        raise wrong
    return int(value[0]), int(value[1]), int(value[2])


def parse_background(type_: str, color: Any, fit: str | None, *, prefix: str = "bg_") -> Background:
    """Aliases resolved (`green`, `custom`…); `prefix` names the field the caller used, for the error."""
    if type_ in COLOR_ALIASES:
        if color is not None and parse_color(color, param=f"{prefix}color") != COLOR_ALIASES[type_]:
            raise BadOptions(
                f"{prefix}type {type_} already names a colour: leave {prefix}color out, or use custom.",
                param=f"{prefix}color",
            )
        return Background("color", COLOR_ALIASES[type_])
    if type_ in ("color", "custom"):
        if color is None:
            raise BadOptions(f"{prefix}color is required when {prefix}type is {type_}.", param=f"{prefix}color")
        return Background("color", parse_color(color, param=f"{prefix}color"))
    if type_ not in ("transparent", "image"):
        known = ", ".join(("transparent", "color", "image", *COLOR_ALIASES, "custom"))
        raise BadOptions(f"{prefix}type must be one of {known}.", param=f"{prefix}type")
    if fit is not None and fit not in FITS:
        param = "fit" if prefix == "bg_" else f"{prefix}fit"
        raise BadOptions(f"{param} must be one of {', '.join(FITS)}.", param=param)
    return Background(type_, None, fit or FITS[0])


def parse_trim(value: Any) -> Trim | None:
    """`{start, end}` in seconds; either may be left out."""
    if value is None:
        return None
    given = entries(value, "trim", ("start", "end"))
    start = number(given.get("start", 0), "trim.start", 0, MAX_SECONDS, unit="seconds")
    end = None if "end" not in given else number(given["end"], "trim.end", 0, MAX_SECONDS, unit="seconds")
    if end is not None and end <= start:
        raise BadOptions("trim.end must be greater than trim.start.", param="trim.end")
    return None if not start and end is None else (start, end)


def parse_preview(value: Any) -> float | None:
    """How many seconds a preview shows; None for the whole clip."""
    if value is None:
        return None
    return number(value, "preview_duration", MIN_PREVIEW, MAX_PREVIEW, unit="seconds")


def kept_seconds(options: Options, duration: float) -> float:
    """Seconds of a clip of `duration` that the options keep; zero when trim starts after its end."""
    if options.trim is None:
        return duration
    start, end = options.trim
    return max(0.0, min(duration, duration if end is None else end) - start)
