"""One frame of a result as a small picture, for lists of many."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.engine.encode import Cutout
from apps.engine.errors import EngineFault

FORMAT = "webp"
MAX_SIDE = 480
QUALITY = 80

EMPTY_SHARE = 0.002
"""Of a frame, below which nobody would call it a subject: 43 × 43 pixels at 720p."""


def size_of(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, MAX_SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


class Poster:
    """Keeps a frame from a third into the clip, or a later one where nothing is to be seen there.

    Opening frames are often black or still empty. What is behind the subject stays transparent, for the page to decide.
    """

    def __init__(self, path: Path, *, frames: int, opaque: bool) -> None:
        """`frames`: about how many there will be."""
        self.path = path
        self._opaque = opaque
        self._at = (frames // 3, frames // 2, frames * 2 // 3)
        self._seen = 0
        self._is_settled = False
        self._pixels: NDArray[np.uint8] | None = None

    def show(self, cutout: Cutout) -> None:
        index, self._seen = self._seen, self._seen + 1
        if self._is_settled or (index and index not in self._at):
            return
        shows_subject = float(cutout.alpha.mean()) / 255 >= EMPTY_SHARE
        if self._pixels is None or shows_subject:
            self._pixels = self._small(cutout)
        self._is_settled = shows_subject and index >= self._at[0]

    def close(self) -> None:
        if self._pixels is None:
            return  # No frame came at all: that is told, in better words, by whoever asked for them.
        done, coded = cv2.imencode(f".{FORMAT}", self._pixels, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
        if not done:
            raise EngineFault("The poster could not be encoded.")
        self.path.write_bytes(coded.tobytes())

    def _small(self, cutout: Cutout) -> NDArray[np.uint8]:
        height, width = cutout.alpha.shape
        planes = cutout.rgb[..., ::-1] if self._opaque else np.dstack([cutout.rgb[..., ::-1], cutout.alpha])
        return np.asarray(cv2.resize(planes, size_of(width, height), interpolation=cv2.INTER_AREA), np.uint8)
