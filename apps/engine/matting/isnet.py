"""IS-Net: the finest edges of all, at 1024 pixels a side; unsure of whole objects, so never used alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from apps.engine.matting.base import Frame
from apps.engine.matting.u2net import Map, squared, stretched

SIDE = 1024


class ISNet:
    def __init__(self, session: Any, side: int = SIDE) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self.side = side

    def predict(self, frame: Frame) -> Map:
        values = (squared(frame, self.side).astype(np.float32) - 128) / 256
        out: Map = self._session.run(None, {self._input: np.ascontiguousarray(values.transpose(2, 0, 1)[None])})[0]
        return stretched(out[0, 0])
