"""Two networks, one matte: the fine one draws the edge, the robust one says what belongs to the subject."""

from __future__ import annotations

import cv2
import numpy as np

from apps.engine.matting.scale import Map, disc, map_to

MASK_SIDE = 256
"""Short side on which core and neighbourhood are drawn: they are soft regions, not edges."""
CORE = 50
"""The core is the robust subject shrunk by 1/50 of the side: whatever the fine network drops there is restored."""
GATE = 25
"""Nothing farther than 1/25 of the side from the robust subject is kept."""


def fuse(robust: Map, fine: Map) -> Map:
    """Both at the same size. No robust subject means no subject."""
    if not robust.any():
        return np.zeros_like(fine)
    height, width = robust.shape
    scale = max(1, min(height, width) // MASK_SIDE)
    small = map_to(robust, width // scale, height // scale)
    side = min(small.shape)
    core = cv2.erode(small, disc(max(1, side // CORE)))
    core = cv2.GaussianBlur(np.clip((core - 0.6) / 0.35, 0, 1), (0, 0), max(1.0, side / 150))
    gate = cv2.dilate(small, disc(max(1, side // GATE)))
    gate = cv2.GaussianBlur(np.clip(gate / 0.25, 0, 1), (0, 0), max(1.0, side / 100))
    fused: Map = np.maximum(fine * map_to(gate, width, height), map_to(core, width, height))
    return fused
