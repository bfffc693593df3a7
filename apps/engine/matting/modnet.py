"""MODNet: hair and edges of people; drops limbs and flickers, so never used alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from apps.engine.matting.base import Frame
from apps.engine.matting.scale import Map, frame_to
from apps.engine.matting.u2net import run

SHORT_SIDE = 384
LONGEST = 1024
MULTIPLE = 32
"""Other sizes fail inside the network."""


class MODNet:
    def __init__(self, session: Any) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name

    def predict(self, frame: Frame) -> Map:
        height, width = frame.shape[:2]
        scale = min(SHORT_SIDE / min(height, width), LONGEST / max(height, width))
        small = frame_to(frame, _multiple(width * scale), _multiple(height * scale))
        return run(self._session, self._input, small.astype(np.float32) / 127.5 - 1)


def _multiple(length: float) -> int:
    return max(MULTIPLE, round(length / MULTIPLE) * MULTIPLE)
