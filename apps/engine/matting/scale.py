"""Sizes of frames and maps: area averaging on the way down, smooth on the way up."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.engine.matting.base import Frame

Map = NDArray[np.floating[Any]]
"""Values per pixel, 0..1 unless said otherwise, at a working size."""


def frame_to(frame: Frame, width: int, height: int) -> Frame:
    if frame.shape[:2] == (height, width):
        return frame
    return np.asarray(cv2.resize(frame, (width, height), interpolation=_method(frame, width, height)), np.uint8)


def map_to(values: Map, width: int, height: int) -> Map:
    if values.shape[:2] == (height, width):
        return values
    return np.asarray(cv2.resize(values, (width, height), interpolation=_method(values, width, height)), np.float32)


def roughly(values: NDArray[Any], width: int, height: int) -> NDArray[Any]:
    """A smaller picture or map for what is judged by regions: a fifth of the cost, single pixels are not exact."""
    while values.shape[0] >= 2 * height and values.shape[1] >= 2 * width:
        values = halved(values)
    if values.shape[:2] == (height, width):
        return values
    return np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR), values.dtype)


def halved(values: NDArray[Any]) -> NDArray[Any]:
    """Half the size, an odd row counting as a whole one: a sixth of the cost of averaging to any other size."""
    size = ((values.shape[1] + 1) // 2, (values.shape[0] + 1) // 2)
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), values.dtype)


def halvings(shape: tuple[int, ...], short_side: int) -> int:
    """How often such a frame can be halved until its short side would fall below this."""
    times = 0
    while min(shape[:2]) >> (times + 1) >= short_side:
        times += 1
    return times


def size_within(shape: tuple[int, ...], short_side: int) -> tuple[int, int]:
    """Width and height of a picture brought down to this short side; a smaller one keeps its own."""
    height, width = shape[:2]
    scale = min(1.0, short_side / min(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))


def disc(radius: int) -> NDArray[np.uint8]:
    """The shape to grow or shrink a region by `radius` pixels with."""
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)), np.uint8)


def _method(values: NDArray[Any], width: int, height: int) -> int:
    is_smaller = width < values.shape[1] and height < values.shape[0]
    return cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR
