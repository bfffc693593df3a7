"""A small copy of a result, for pages in browsers that cannot show the result itself."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.engine.encode import WRITERS, Cutout, Spec

MAX_SIDE = 640
"""Pixels: enough to look at, and a tenth of the encoder's time at 1080p."""


def format_of(*, opaque: bool) -> str:
    """Both play everywhere; the stacked one needs the page's player."""
    return "mp4" if opaque else "stacked_mp4"


def size_of(width: int, height: int) -> tuple[int, int]:
    """Even, and never larger than the picture but for that."""
    scale = min(1.0, MAX_SIDE / max(width, height))
    across, down = (max(2, 2 * round(side * scale / 2)) for side in (width, height))
    return across, down


class PreviewWriter:
    """Takes the result's frames at their own size."""

    def __init__(self, path: Path, spec: Spec) -> None:
        self._size = size_of(spec.width, spec.height)
        small = replace(spec, width=self._size[0], height=self._size[1], deep=False)
        self._writer = WRITERS[format_of(opaque=spec.opaque)](path, small)
        self.clock: Fraction = self._writer.clock

    def write(self, cutout: Cutout) -> None:
        # Straight colours may be averaged: under alpha 0 they go on as the subject's own.
        small = replace(cutout, rgb=self._shrink(cutout.rgb), alpha=self._shrink(cutout.alpha), rest=None)
        self._writer.write(small)

    def append(self, piece: Path) -> None:
        self._writer.append(piece)

    def close(self) -> None:
        self._writer.close()

    def abandon(self) -> None:
        self._writer.abandon()

    def _shrink(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(cv2.resize(pixels, self._size, interpolation=cv2.INTER_AREA), np.uint8)
