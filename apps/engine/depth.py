"""More than eight bits a colour: what rounding took away travels beside the frame, and all else counts in eight."""

from __future__ import annotations

import cv2
import numpy as np
from av.video.format import VideoFormat
from numpy.typing import NDArray

Deep = NDArray[np.uint16]
"""RGB in 256ths of an 8-bit step, as the scaler counts: white is 65280."""

Rest = NDArray[np.int8]
"""What a frame lacks of its deep one, in the same 256ths: at most half a step."""

WHITE, ONES = 255 * 256, 65535


def is_deep(pixel_format: str) -> bool:
    return any(part.bits > 8 for part in VideoFormat(pixel_format).components if not part.is_alpha)


def split(deep: Deep) -> tuple[NDArray[np.uint8], Rest]:
    """The frame in eight bits, rounded to nearest, and the rest of it."""
    deep = np.minimum(deep, WHITE)
    rgb = ((deep + 128) >> 8).astype(np.uint8)
    return rgb, (deep.view(np.int16) - (rgb.astype(np.int16) << 8)).astype(np.int8)


def joined(rgb: NDArray[np.uint8], rest: Rest) -> Deep:
    """Deep again; what was changed in eight bits meanwhile stays changed by as much."""
    return np.asarray(cv2.addWeighted(rgb, 256, rest, 1, 0, dtype=cv2.CV_16U), np.uint16)


def kept(rest: Rest, alpha: NDArray[np.uint8]) -> Rest:
    """Only where nothing shows through: elsewhere the colour is another, or hidden and nobody's to see."""
    return np.asarray(cv2.copyTo(rest, (alpha == 255).view(np.uint8)), np.int8)


def all_ones(deep: Deep) -> Deep:
    """For files in which white is 65535."""
    return np.asarray(cv2.addWeighted(deep, ONES / WHITE, deep, 0, 0), np.uint16)


def from_all_ones(samples: Deep) -> Deep:
    return np.asarray(cv2.addWeighted(samples, WHITE / ONES, samples, 0, 0), np.uint16)
