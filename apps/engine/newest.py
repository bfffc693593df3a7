"""The newest frame of a run as a small picture, for whoever watches the work."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np

from apps.engine.encode import Cutout
from apps.engine.parts import part_path

EVERY_SECONDS = 1.0
MAX_SIDE = 480
QUALITY = 75


class NewestFrame:
    """Writes over one WebP, never half of one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = part_path(path)
        self._due = 0.0

    def show(self, cutout: Cutout) -> None:
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + EVERY_SECONDS
        height, width = cutout.alpha.shape
        scale = min(1.0, MAX_SIDE / max(width, height))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = cv2.resize(np.dstack([cutout.rgb[..., ::-1], cutout.alpha]), size, interpolation=cv2.INTER_AREA)
        done, coded = cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
        if done:
            self._part.write_bytes(coded.tobytes())
            self._part.replace(self._path)
