"""H.264 that carries a matte as a picture: below the colours, or alone."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from apps.engine.encode.base import Cutout, plane_samples, tag_picture
from apps.engine.encode.mp4 import H264, Mp4Writer, pad

BLACK, WHITE = 16, 235
"""Luma of alpha 0 and 255: a player turns limited range back into 0–255 by itself."""

NEUTRAL = 128

ALPHA_TO_LUMA = np.rint(BLACK + np.arange(256) * ((WHITE - BLACK) / 255)).astype(np.uint8)

LUMA_TO_ALPHA = np.clip(np.rint((np.arange(256) - BLACK) * (255 / (WHITE - BLACK))), 0, 255).astype(np.uint8)


class StackedWriter(Mp4Writer):
    """Colours above, matte below, no gutter: each half as high as the padded picture."""

    name = "stacked_mp4"

    def _frame(self, cutout: Cutout) -> VideoFrame:
        colours = super()._frame(cutout)
        height = colours.height
        frame = VideoFrame(colours.width, height * 2, "yuv420p")
        _copy_rows(colours, frame, height)
        alpha = np.full_like(cutout.alpha, 255) if self._spec.opaque else cutout.alpha
        _put_matte(frame, alpha, row=height)
        return frame


class MatteMp4Writer(Mp4Writer):
    """The matte as a grey picture."""

    name = "matte_mp4"
    # Short of lossless: at 6, a shivering, half transparent matte was half as wrong again.
    options: ClassVar[dict[str, str]] = {**H264, "crf": "1"}

    def _frame(self, cutout: Cutout) -> VideoFrame:
        width, height = self.row.padded(self._spec.width, self._spec.height)
        frame = VideoFrame(width, height, "yuv420p")
        _put_matte(frame, cutout.alpha, row=0)
        return frame


def _put_matte(frame: VideoFrame, alpha: NDArray[np.uint8], *, row: int) -> None:
    """Fill the frame from `row` down with the matte; what is above is already there."""
    padded = pad(alpha, frame.width, frame.height - row)
    plane_samples(frame, 0)[row:, : frame.width] = cv2.LUT(padded, ALPHA_TO_LUMA)
    for index in (1, 2):
        plane_samples(frame, index)[row // 2 :] = NEUTRAL
    tag_picture(frame)


def _copy_rows(source: VideoFrame, target: VideoFrame, height: int) -> None:
    """The first rows of one 4:2:0 frame to another of its width; an even height never cuts a row of chroma."""
    for index in range(3):
        rows, columns = (height, source.width) if index == 0 else (height // 2, source.width // 2)
        plane_samples(target, index)[:rows, :columns] = plane_samples(source, index)[:rows, :columns]


def upper_half(frame: VideoFrame) -> VideoFrame:
    """The colours alone: converted together, the matte's grey would pale the last row."""
    upper = VideoFrame(frame.width, frame.height // 2, "yuv420p")
    _copy_rows(frame, upper, upper.height)
    return upper


def alpha_of(frame: VideoFrame, *, row: int) -> NDArray[np.uint8]:
    """The matte that lies in a decoded frame from `row` down."""
    luma = np.ascontiguousarray(plane_samples(frame, 0)[row : frame.height, : frame.width])
    return np.asarray(cv2.LUT(luma, LUMA_TO_ALPHA), np.uint8)
