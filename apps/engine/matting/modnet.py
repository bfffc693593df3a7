"""MODNet: hair and edges of people; drops limbs and flickers, so never used alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from apps.engine.matting.base import Frame
from apps.engine.matting.scale import Map, frame_to
from apps.engine.matting.u2net import run

LONGEST = 1024
MULTIPLE = 32
"""Other sizes fail inside the network."""


class MODNet:
    """The network with the frame's short side brought to `side` pixels."""

    def __init__(self, session: Any, side: int) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self.side = side

    def predict_many(self, frames: Sequence[Frame]) -> list[Map]:
        """Alphas at the network's size, in the frame's proportions."""
        height, width = frames[0].shape[:2]
        scale = min(self.side / min(height, width), LONGEST / max(height, width))
        size = (_multiple(width * scale), _multiple(height * scale))
        small = [frame_to(frame, *size).astype(np.float32) for frame in frames]
        return list(run(self._session, self._input, [one / 127.5 - 1 for one in small]))


def _multiple(length: float) -> int:
    return max(MULTIPLE, round(length / MULTIPLE) * MULTIPLE)
