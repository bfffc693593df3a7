"""U²-Net and U²-Net-P: what in a picture is the subject, at a few hundred pixels a side."""

from __future__ import annotations

from typing import Any

import numpy as np

from apps.engine.matting.base import Frame
from apps.engine.matting.scale import Map, frame_to

MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255
STD = np.array([0.229, 0.224, 0.225], np.float32) * 255

EMPTY_BELOW = 0.5
"""Where the network is nowhere surer than this, it sees no subject. Stretching such a frame would invent one."""


class U2Net:
    """The network on a square of `side` pixels, which is how it was trained."""

    def __init__(self, session: Any, side: int, *, flip: bool = False) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self._flip = flip
        self.side = side

    def shrink(self, frame: Frame) -> Frame:
        """The frame as the network sees it."""
        return frame_to(frame, self.side, self.side)

    def predict(self, small: Frame) -> Map:
        """Alpha of a shrunken frame; all zero when there is no subject."""
        raw = self._run(small)
        if self._flip:
            raw = (raw + self._run(small[:, ::-1])[:, ::-1]) / 2
        return stretched(raw)

    def _run(self, small: Frame) -> Map:
        return run(self._session, self._input, (small - MEAN) / STD)


def run(session: Any, name: str, values: Map) -> Map:
    """First output of a network for one H × W × 3 input."""
    feed = np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32)
    out: Map = session.run(None, {name: feed})[0][0, 0]
    return out


def stretched(raw: Map) -> Map:
    """The network's range brought to 0..1, as its authors do, unless the frame is empty."""
    low, high = float(raw.min()), float(raw.max())
    if high < EMPTY_BELOW or high - low < 1e-6:
        return np.zeros_like(raw)
    return (raw - low) / (high - low)
