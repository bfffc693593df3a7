"""Robust Video Matting: people, with a recurrent state that keeps them steady."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from onnxruntime import OrtValue

from apps.engine.matting.base import Frame
from apps.engine.matting.scale import Map, frame_to

COARSE_SIDE = 320
"""Short side on which the network looks for people; the rest of its work is at the frame's size."""
COARSE_LONG_SIDE = 1024
MAX_SHORT_SIDE = 1080
"""Larger frames are matted at this size: at 4096 px the full-size part alone would take 4 GB."""
MAX_LONG_SIDE = 2048
MIN_SIDE = 64
"""The deepest features are 1/16 of the coarse size and must not vanish; smaller frames get a border."""


class RVM:
    """The network with the state of one video; make a new one, or `reset`, for another."""

    def __init__(self, session: Any, device: str = "cpu") -> None:
        self._session = session
        self._device = device
        self._states: list[Any] = []
        self._size: tuple[int, int] | None = None

    def reset(self) -> None:
        self._states = []

    def step(self, frame: Frame) -> tuple[Map, Map]:
        """Alpha (H × W) and foreground (H × W × 3), 0..1, at the working size of the frame."""
        source = _bordered(_within(frame))
        height, width = source.shape[:2]
        if self._size != (height, width):
            self._size = (height, width)
            self.reset()
        values = np.ascontiguousarray(source.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
        if not self._states:
            # The first frame of a shot differs from a warmed-up one; seeing it twice is enough.
            self._run(values)
        foreground, alpha = self._run(values)
        inner_height, inner_width = _within_size(*frame.shape[:2])
        return (
            alpha[0, 0, :inner_height, :inner_width],
            foreground[0, :, :inner_height, :inner_width].transpose(1, 2, 0),
        )

    def _run(self, values: Map) -> tuple[Map, Map]:
        height, width = values.shape[2:]
        ratio = min(COARSE_SIDE / min(height, width), COARSE_LONG_SIDE / max(height, width), 0.999)
        bound = self._session.io_binding()
        bound.bind_cpu_input("src", values)
        bound.bind_cpu_input("downsample_ratio", np.array([ratio], np.float32))
        nothing = OrtValue.ortvalue_from_numpy(np.zeros((1, 1, 1, 1), np.float32), self._device)
        for index, state in enumerate(self._states or [nothing] * 4, 1):
            bound.bind_ortvalue_input(f"r{index}i", state)
        bound.bind_output("fgr")
        bound.bind_output("pha")
        # What it remembers stays on the device: as large as the frame, it would go up and down with every one.
        for index in range(1, 5):
            bound.bind_output(f"r{index}o", self._device)
        self._session.run_with_iobinding(bound)
        foreground, alpha, *self._states = bound.get_outputs()
        return foreground.numpy(), alpha.numpy()


def _within_size(height: int, width: int) -> tuple[int, int]:
    scale = min(1.0, MAX_SHORT_SIDE / min(height, width), MAX_LONG_SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _within(frame: Frame) -> Frame:
    height, width = _within_size(*frame.shape[:2])
    return frame_to(frame, width, height)


def _bordered(frame: Frame) -> Frame:
    height, width = frame.shape[:2]
    if min(height, width) >= MIN_SIDE:
        return frame
    below, right = max(0, MIN_SIDE - height), max(0, MIN_SIDE - width)
    return np.asarray(cv2.copyMakeBorder(frame, 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8)
