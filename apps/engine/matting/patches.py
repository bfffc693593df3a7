"""Wide half-transparent patches of a matte, which are no edge, decided by their colours."""

from __future__ import annotations

import cv2
import numpy as np

from apps.engine.matting.base import Frame
from apps.engine.matting.palette import Palette
from apps.engine.matting.scale import Map, disc, map_to, roughly, size_within

SIDE = 128
"""Short side on which patches are judged: a paw that half vanishes, not a hair."""
UNSURE = (0.05, 0.98)
"""Alpha between which a pixel may belong to a patch."""
WIDE = 2
"""Pixels of the small picture by which a patch is at least wide on every side of its middle; hair and blur are not."""
REGION = 7
"""Pixels over which the colours of a patch are averaged."""
OURS, THEIRS = (1.0, 2.5), (3.0, 4.5)
"""Log odds from which a patch goes, and goes fully, to the subject, or to the background. Lost parts are worse than
remains, and single curls are wide enough here but look like the wall between them."""


SOME, LITTLE = (0.1, 0.3), (0.3, 0.5)
"""Mean alpha of a patch from which it may go to the subject: fainter ones are what an earlier frame wrongly held. And
down to which it may go to the background: there is hair before lamps of its colour."""


class Patches:
    """Decides the patches of one shot; remembers the colours that subject and background had in it."""

    def __init__(self) -> None:
        self._palette = Palette()

    def decide(self, frame: Frame, alpha: Map) -> Map:
        size = size_within(alpha.shape, SIDE)
        small, picture = roughly(alpha, *size), roughly(frame, *size)
        self._palette.learn(picture, small)
        unsure = ((small > UNSURE[0]) & (small < UNSURE[1])).astype(np.uint8)
        patches = cv2.morphologyEx(unsure, cv2.MORPH_OPEN, disc(WIDE)).astype(np.float32)
        if not patches.any():
            return alpha
        # A little of what lies around, so that this is a number everywhere.
        weight = patches + np.float32(1e-3)
        odds, mean = (_mean(one * weight) / _mean(weight) for one in (self._palette.odds(picture), small))
        within = cv2.blur(patches, (5, 5))
        height, width = alpha.shape
        ours, theirs = (
            map_to(np.asarray(within * share, np.float32), width, height)
            for share in (_ramp(odds, OURS) * _ramp(mean, SOME), _ramp(-odds, THEIRS) * (1 - _ramp(mean, LITTLE)))
        )
        decided: Map = alpha + ours * (1 - alpha) - theirs * alpha
        return decided


def _mean(values: Map) -> Map:
    return np.asarray(cv2.blur(values, (REGION, REGION)), np.float32)


def _ramp(values: Map, ends: tuple[float, float]) -> Map:
    low, high = ends
    ramp: Map = np.clip((values - low) / (high - low), 0, 1)
    return ramp
