"""IS-Net: the finest edges of all, at 1024 pixels a side; unsure of whole objects, so never used alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from apps.engine.matting.base import Frame
from apps.engine.matting.scale import Map, frame_to
from apps.engine.matting.u2net import run, stretched

SIDE = 1024


class ISNet:
    def __init__(self, session: Any, side: int = SIDE) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self.side = side

    def predict_many(self, frames: Sequence[Frame]) -> list[Map]:
        """Alphas of `side` × `side`."""
        small = [frame_to(frame, self.side, self.side).astype(np.float32) for frame in frames]
        return [stretched(raw) for raw in run(self._session, self._input, [(one - 128) / 256 for one in small])]
