"""Where the cutout lies: a canvas of its own size, and the frame's place and scale on it, in whole pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.engine.errors import BadOptions
from apps.engine.reading import entries, number, whole

MIN_SIDE = 16
MAX_SIDE = 4096
"""Of a canvas, in pixels: what inputs may have at most."""

MIN_SCALE, MAX_SCALE = 0.05, 4

MAX_OFFSET = 16_384
"""A frame of four times the largest canvas can be moved through it from side to side."""

ANCHORS = {
    "center": (1, 1),
    "top-left": (0, 0), "top-center": (1, 0), "top-right": (2, 0),
    "center-left": (0, 1), "center-right": (2, 1),
    "bottom-left": (0, 2), "bottom-center": (1, 2), "bottom-right": (2, 2),
}  # fmt: skip
"""By name, the default first: how many halves of the free room lie left of the frame, and above it."""


@dataclass(frozen=True, slots=True)
class Composition:
    """The default is the frame as it is.

    `canvas` is (width, height), None for the frame's own size. At `scale` 1 the
    whole frame just fits on the canvas, so that one composition looks alike
    for clips of any size. `offset` moves it by pixels of the canvas, right and down.
    """

    canvas: tuple[int, int] | None = None
    anchor: str = "center"
    scale: float = 1.0
    offset: tuple[int, int] = (0, 0)

    def as_dict(self) -> dict[str, Any]:
        """In the contract's words."""
        x, y = self.offset
        foreground = {"anchor": self.anchor, "scale": self.scale, "offset": {"x": x, "y": y}}
        if self.canvas is None:
            return {"foreground": foreground}
        width, height = self.canvas
        return {"canvas": {"width": width, "height": height}, "foreground": foreground}


AS_IT_IS = Composition()


@dataclass(frozen=True, slots=True)
class Layout:
    """A canvas, and on it the frame, which may stand over on any side."""

    width: int
    height: int
    left: int
    top: int
    shown_width: int
    shown_height: int

    def is_plain(self, width: int, height: int) -> bool:
        """Whether a frame of this size is the canvas, pixel for pixel."""
        return self == Layout(width, height, 0, 0, width, height)

    def shrunk(self, factor: float) -> Layout:
        """All of it smaller alike."""
        sides = (self.width, self.height, self.left, self.top, self.shown_width, self.shown_height)
        width, height, left, top, shown_width, shown_height = (round(side * factor) for side in sides)
        return Layout(max(1, width), max(1, height), left, top, max(1, shown_width), max(1, shown_height))


def lay_out(composition: Composition, width: int, height: int) -> Layout:
    """Where a frame of this size lies."""
    canvas_width, canvas_height = composition.canvas or (width, height)
    factor = min(canvas_width / width, canvas_height / height) * composition.scale
    shown_width, shown_height = max(1, round(width * factor)), max(1, round(height * factor))
    halves_left, halves_above = ANCHORS[composition.anchor]
    left = (canvas_width - shown_width) * halves_left // 2 + composition.offset[0]
    top = (canvas_height - shown_height) * halves_above // 2 + composition.offset[1]
    return Layout(canvas_width, canvas_height, left, top, shown_width, shown_height)


def parse_composition(value: Any) -> Composition:
    """`{canvas: {width, height}, foreground: {anchor, scale, offset: {x, y}}}`; every part may be left out."""
    if value is None:
        return AS_IT_IS
    given = entries(value, "composition", ("canvas", "foreground"))
    foreground = entries(given.get("foreground", {}), "composition.foreground", ("anchor", "scale", "offset"))
    anchor = foreground.get("anchor", "center")
    if not isinstance(anchor, str) or anchor not in ANCHORS:
        param = "composition.foreground.anchor"
        raise BadOptions(f"{param} must be one of {', '.join(ANCHORS)}.", param=param)
    return Composition(
        canvas=_canvas(given["canvas"]) if "canvas" in given else None,
        anchor=anchor,
        scale=number(foreground.get("scale", 1), "composition.foreground.scale", MIN_SCALE, MAX_SCALE),
        offset=_offset(foreground.get("offset", {})),
    )


def _canvas(value: Any) -> tuple[int, int]:
    given = entries(value, "composition.canvas", ("width", "height"))
    sides = []
    for name in ("width", "height"):
        param = f"composition.canvas.{name}"
        if name not in given:
            raise BadOptions(f"{param} is missing: a canvas has a width and a height.", param=param)
        sides.append(whole(given[name], param, MIN_SIDE, MAX_SIDE, unit="pixels"))
    return sides[0], sides[1]


def _offset(value: Mapping[str, Any]) -> tuple[int, int]:
    given = entries(value, "composition.foreground.offset", ("x", "y"))
    x, y = (
        whole(given.get(name, 0), f"composition.foreground.offset.{name}", -MAX_OFFSET, MAX_OFFSET, unit="pixels")
        for name in ("x", "y")
    )
    return x, y
