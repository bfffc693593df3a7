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

REGION = 8
"""Whether both see the same is asked region by region, each 1/8 of the side."""
SAME = (0.7, 0.9)
"""Overlap over union in a region from which the fine one begins to be heard there, and is fully heard."""


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


def agreed(robust: Map, fine: Map) -> Map:
    """As `fuse`, but where the two see different subjects the robust one has it all.

    For a fine look of the same network: what fills the picture is too large for it, and it loses legs and backs.
    """
    side = max(3, min(robust.shape) // REGION | 1)
    overlap, union = (cv2.blur(one, (side, side)) for one in (cv2.min(robust, fine), cv2.max(robust, fine)))
    low, high = SAME
    heard = np.asarray(np.clip((overlap / np.maximum(union, 1e-4) - low) / (high - low), 0, 1), np.float32)
    heard = np.asarray(cv2.blur(heard, (side // 2 | 1, side // 2 | 1)), np.float32)
    both: Map = robust + heard * (fuse(robust, fine) - robust)
    return both
