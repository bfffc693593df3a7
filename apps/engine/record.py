"""What was handed to the writers, frame by frame, so that the finished file can be held against it."""

from __future__ import annotations

import zlib
from array import array
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.engine.compose import premultiplied

THUMB_SIDE = 32

THUMB_BYTES = THUMB_SIDE * THUMB_SIDE * 3

NANOSECOND = Fraction(1, 1_000_000_000)


class Record:
    """Per frame: its time, a checksum of its matte, and a small picture on disk. Twelve bytes of memory a frame."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b")
        self._times = array("q")
        self._sums = array("L")
        self.end = Fraction(0)
        """When the last frame goes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._times)

    def add(
        self,
        time: Fraction,
        end: Fraction,
        *,
        matte: NDArray[np.uint8],
        rgb: NDArray[np.uint8],
        alpha: NDArray[np.uint8],
    ) -> None:
        """`alpha` is what the format encodes, `matte` what is kept."""
        self._times.append(round(time / NANOSECOND))
        self._sums.append(checksum(matte))
        self._file.write(thumbnail(rgb, alpha).tobytes())
        self.end = end

    def time(self, index: int) -> Fraction:
        return self._times[index] * NANOSECOND

    def checksum(self, index: int) -> int:
        return self._sums[index]

    def thumbnail(self, index: int) -> NDArray[np.uint8]:
        self._file.seek(index * THUMB_BYTES)
        return np.frombuffer(self._file.read(THUMB_BYTES), np.uint8).reshape(THUMB_SIDE, THUMB_SIDE, 3)


def checksum(alpha: NDArray[np.uint8]) -> int:
    return zlib.crc32(np.ascontiguousarray(alpha))


def thumbnail(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """What is visible, small: hidden colours do not count."""
    visible = rgb if alpha is None else premultiplied(rgb, alpha)
    return np.asarray(cv2.resize(visible, (THUMB_SIDE, THUMB_SIDE), interpolation=cv2.INTER_AREA), np.uint8)
