"""What was handed to the writers, frame by frame, so that the finished file can be held against it."""

from __future__ import annotations

import math
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

MAX_THUMB_SIDE = 32

THUMB_SHARE = 8
"""Frame pixels a thumbnail pixel averages at least: in less, the colours of 4:2:0 spill over."""

Plane = NDArray[np.uint8]

NANOSECOND = Fraction(1, 1_000_000_000)


class Record:
    """Per frame: its time, checksums of matte and alpha, and a small picture on disk. 24 bytes of memory a frame."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b")
        self._thumb: tuple[int, int, int] = (0, 0, 3)
        self._times = array("q")
        self._sums = array("L")
        self._proofs = array("L")
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
        is_altered: bool = False,
    ) -> None:
        """`alpha` is what the format encodes, `matte` what is kept; where they differ by more than the format's nature
        (`is_altered`), alpha is kept too, to prove the result by.
        """
        self._times.append(round(time / NANOSECOND))
        self._sums.append(checksum(matte))
        self._proofs.append(checksum(alpha) if is_altered else self._sums[-1])
        small = thumbnail(rgb, alpha)
        self._thumb = (small.shape[0], small.shape[1], 3)
        self._file.write(small.tobytes())
        self.end = end

    def time(self, index: int) -> Fraction:
        return self._times[index] * NANOSECOND

    def checksum(self, index: int) -> int:
        return self._sums[index]

    def proof(self, index: int) -> int:
        """Of what the result's alpha is held against."""
        return self._proofs[index]

    def thumbnail(self, index: int) -> NDArray[np.uint8]:
        size = math.prod(self._thumb)
        self._file.seek(index * size)
        return np.frombuffer(self._file.read(size), np.uint8).reshape(self._thumb)


def checksum(alpha: NDArray[np.uint8]) -> int:
    return zlib.crc32(np.ascontiguousarray(alpha).data)


def thumbnail(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, *, side: int | None = None) -> NDArray[np.uint8]:
    """What is visible, small: hidden colours do not count. `side` compares with a picture of another size."""
    visible = rgb if alpha is None else premultiplied(rgb, alpha)
    side = side or max(1, min(MAX_THUMB_SIDE, min(rgb.shape[:2]) // THUMB_SHARE))
    # Step by step it takes a quarter of the time that one great leap does, and ends within a level or two.
    while min(visible.shape[:2]) >= 4 * side:
        half = visible.shape[1] // 2, visible.shape[0] // 2
        visible = np.asarray(cv2.resize(visible, half, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(visible, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
