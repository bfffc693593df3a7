"""A cutout laid onto a larger or smaller canvas; colours are weighted by alpha, so that no edge gets a halo."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.engine.compose import Alpha, Rgb
from apps.engine.composition import Layout

MARGIN = 3
"""Pixels around what is enlarged that the interpolation looks at."""

NEARLY_NOTHING = 1e-3
"""Alpha in steps of 255; below it there is no colour to tell."""


@dataclass(frozen=True, slots=True)
class Span:
    """From and to along one side, in pixels."""

    start: int
    stop: int

    def moved(self, by: int) -> Span:
        return Span(self.start + by, self.stop + by)

    @property
    def part(self) -> slice:
        return slice(self.start, self.stop)


def place(rgb: Rgb, alpha: Alpha, layout: Layout) -> tuple[Rgb, Alpha]:
    """Straight colour and alpha of the whole canvas; beside the frame both are zero."""
    if layout.is_plain(alpha.shape[1], alpha.shape[0]):
        return rgb, alpha
    canvas = np.zeros((layout.height, layout.width, 3), np.uint8)
    cover = np.zeros((layout.height, layout.width), np.uint8)
    across = Span(max(0, layout.left), min(layout.width, layout.left + layout.shown_width))
    down = Span(max(0, layout.top), min(layout.height, layout.top + layout.shown_height))
    if across.start < across.stop and down.start < down.stop:
        seen = (across.moved(-layout.left), down.moved(-layout.top))
        canvas[down.part, across.part], cover[down.part, across.part] = _scaled(rgb, alpha, layout, *seen)
    return canvas, cover


def _scaled(rgb: Rgb, alpha: Alpha, layout: Layout, across: Span, down: Span) -> tuple[Rgb, Alpha]:
    """What is seen of the frame at its shown size."""
    height, width = alpha.shape
    if (layout.shown_width, layout.shown_height) == (width, height):
        return rgb[down.part, across.part], alpha[down.part, across.part]
    is_smaller = layout.shown_width * layout.shown_height < width * height
    # Enlarged is only what is seen: four times a large canvas would not fit into memory.
    columns = Span(0, width) if is_smaller else _needed(across, layout.shown_width / width, width)
    rows = Span(0, height) if is_smaller else _needed(down, layout.shown_height / height, height)
    to_x, to_y = _scaled_span(columns, layout.shown_width / width), _scaled_span(rows, layout.shown_height / height)
    weighted = _weighted(rgb[rows.part, columns.part], alpha[rows.part, columns.part])
    method = cv2.INTER_AREA if is_smaller else cv2.INTER_CUBIC
    size = (to_x.stop - to_x.start, to_y.stop - to_y.start)
    scaled = np.asarray(cv2.resize(weighted, size, interpolation=method), np.float32)
    return _straight(scaled[down.moved(-to_y.start).part, across.moved(-to_x.start).part])


def _needed(seen: Span, factor: float, size: int) -> Span:
    """Source pixels that these shown ones are made of."""
    return Span(max(0, int(seen.start / factor) - MARGIN), min(size, int(seen.stop / factor) + 1 + MARGIN))


def _scaled_span(span: Span, factor: float) -> Span:
    return Span(round(span.start * factor), max(round(span.start * factor) + 1, round(span.stop * factor)))


def _weighted(rgb: Rgb, alpha: Alpha) -> NDArray[np.float32]:
    """Colours times alpha, and alpha."""
    planes = [cv2.multiply(plane, alpha, dtype=cv2.CV_32F) for plane in cv2.split(rgb)]
    return np.asarray(cv2.merge([*planes, alpha.astype(np.float32)]), np.float32)


def _straight(weighted: NDArray[np.float32]) -> tuple[Rgb, Alpha]:
    *planes, weight = cv2.split(weighted)
    some = cv2.max(weight, np.full_like(weight, NEARLY_NOTHING))
    rgb = cv2.merge([cv2.divide(plane, some, dtype=cv2.CV_8U) for plane in planes])
    # What the interpolation overshoots is cut off here, once colour and alpha are apart.
    return np.asarray(rgb, np.uint8), np.clip(np.rint(weight), 0, 255).astype(np.uint8)
