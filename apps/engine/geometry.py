"""From stored pixels to the upright, square-pixel picture that people see."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar, cast

import cv2
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

Pixels = TypeVar("Pixels", NDArray[np.uint8], NDArray[np.uint16])


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a stored frame becomes a display frame: stretch to square pixels, mirror, quarter turns."""

    stored_width: int
    """Of the stored frame once its pixels are square."""
    stored_height: int
    quarter_turns: int
    """Counter-clockwise."""
    mirrored: bool
    """Left and right change places before the turn."""

    @classmethod
    def of(cls, frame: VideoFrame, pixel_shape: Fraction) -> Orientation:
        width = max(1, round(frame.width * pixel_shape))
        mirrored, turns = _read_matrix(frame)
        return cls(width, frame.height, turns, mirrored)

    @property
    def degrees(self) -> int:
        """Clockwise, as other tools tell it: of a mirrored picture, the turn before it is put upside down."""
        return (-90 * self.quarter_turns + 180 * self.mirrored) % 360

    @property
    def width(self) -> int:
        return self.stored_height if self.quarter_turns % 2 else self.stored_width

    @property
    def height(self) -> int:
        return self.stored_width if self.quarter_turns % 2 else self.stored_height

    def upright(self, pixels: Pixels) -> Pixels:
        """Any stored picture, of whatever size, at the display size."""
        size = (self.stored_width, self.stored_height)
        if (pixels.shape[1], pixels.shape[0]) != size:
            shrinks = size[0] * size[1] < pixels.shape[0] * pixels.shape[1]
            method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            pixels = cast(Pixels, cv2.resize(pixels, size, interpolation=method))
        if self.mirrored:
            pixels = pixels[:, ::-1]
        if self.quarter_turns:
            pixels = np.rot90(pixels, self.quarter_turns)
        return np.ascontiguousarray(pixels)


def _read_matrix(frame: VideoFrame) -> tuple[bool, int]:
    """(mirrored, counter-clockwise quarter turns) of the display matrix, which maps (x, y) to (ax + cy, bx + dy)."""
    try:
        data = bytes(cast(Any, frame.side_data)["DISPLAYMATRIX"])
    except KeyError:
        return False, 0
    a, b, _, c, d, *_ = struct.unpack("<9i", data[:36])
    mirrored = a * d - b * c < 0
    if mirrored:
        # Undo the mirror first: x counts from the right, so its column changes sign.
        a, b = -a, -b
    if abs(a) >= abs(b):
        return mirrored, 0 if a >= 0 else 2
    # y points down: a positive b turns clockwise.
    return mirrored, 3 if b > 0 else 1
