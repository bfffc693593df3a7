"""MODNet: hair and edges of people; drops limbs and flickers, so never used alone."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from apps.engine.matting.base import Frame
from apps.engine.matting.u2net import Map

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
        size = (_multiple(width * scale), _multiple(height * scale))
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        values = small.astype(np.float32) / 127.5 - 1
        out: Map = self._session.run(None, {self._input: np.ascontiguousarray(values.transpose(2, 0, 1)[None])})[0]
        return out[0, 0]


def _multiple(length: float) -> int:
    return max(MULTIPLE, round(length / MULTIPLE) * MULTIPLE)
