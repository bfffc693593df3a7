"""U²-Net and U²-Net-P: what in a picture is the subject, at a few hundred pixels a side."""

from __future__ import annotations

from collections.abc import Sequence
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

    def __init__(self, session: Any, side: int) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self.side = side

    def predict_many(self, frames: Sequence[Frame]) -> list[Map]:
        """Alphas of `side` × `side`; all zero where there is no subject."""
        small = [frame_to(frame, self.side, self.side) for frame in frames]
        return [stretched(raw) for raw in run(self._session, self._input, [(one - MEAN) / STD for one in small])]


CALL_PIXELS = 2 * 1024 * 1024
"""Of all pictures in one call."""


def run(session: Any, name: str, pictures: Sequence[Map]) -> Map:
    """First output of a network for H × W × 3 inputs of one size, in as few calls as memory bears: N × H × W."""
    feed = np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2), np.float32)
    count, _, height, width = feed.shape
    at_once = 1 if takes_one(session) else max(1, CALL_PIXELS // (height * width))
    calls = [session.run(None, {name: feed[start : start + at_once]})[0] for start in range(0, count, at_once)]
    out: Map = (calls[0] if len(calls) == 1 else np.concatenate(calls))[:, 0]
    return out


def takes_one(session: Any) -> bool:
    """Whether the network declares that it takes one picture a call, as earlier preparations did."""
    return bool(session.get_inputs()[0].shape[0] == 1)


def stretched(raw: Map) -> Map:
    """The network's range brought to 0..1, as its authors do, unless the frame is empty."""
    low, high = float(raw.min()), float(raw.max())
    if high < EMPTY_BELOW or high - low < 1e-6:
        return np.zeros_like(raw)
    return (raw - low) / (high - low)
