"""Two networks that disagree about a region are settled by a third vote and by the region's colours."""

from __future__ import annotations

import cv2
import numpy as np

from apps.engine.matting.base import Frame
from apps.engine.matting.palette import Palette
from apps.engine.matting.scale import Map, disc, map_to, roughly, size_within

SIDE = 256
"""Short side on which regions are judged: a dispute is about a hand or a gap under an arm, not about a hair."""
DISPUTE = (0.3, 0.7)
"""Difference of alpha at which two networks begin to, and fully, mean different things; below, both are right."""
VOTE = 2.0
"""Weight of the third network's full yes, in units of log odds."""
HABIT = 1.0
"""Weight of the first network's own opinion: it is the one with a memory."""
BODY = 3.0
"""As `HABIT`, of a whole body that the first one is sure of and the second one does not see."""
SURE_BODY = 0.9
"""Its mean alpha…"""
UNSEEN = 0.6
"""…of which the second one has less than this share…"""
BODY_SIZE = 0.003
"""…and its least area, as a share of the picture."""
REGION = 13
"""Pixels of the small picture over which the colours of a region are averaged."""


class Settler:
    """Settles the frames of one shot; remembers the colours that subject and background had in it."""

    def __init__(self, *, uses_colours: bool = True, keeps_bodies: bool = False) -> None:
        self._palette = Palette() if uses_colours else None
        self._keeps_bodies = keeps_bodies

    def settle(self, frame: Frame, first: Map, second: Map, vote: Map, *, share: float = 0.5) -> Map:
        """Alpha from two networks and a vote, all of them at the first one's size.

        Where the two agree, their mean, `share` of it the second's. Where they
        do not, one of them is right about the whole region: the vote, the
        region's colours and the first one's habit say which.
        """
        height, width = first.shape
        size = size_within(first.shape, SIDE)
        small = [roughly(one, *size) for one in (first, second, vote)]
        said = VOTE * (2 * small[2] - 1)
        if self._palette is not None:
            disputed = _ramp(np.abs(small[0] - small[1])) + 1e-3
            picture = roughly(frame, *size)
            self._palette.learn(picture, *small)
            said += _mean(self._palette.odds(picture) * disputed) / _mean(disputed)
        if self._keeps_bodies:
            second = second + map_to(_bodies(small[0], small[1], said), width, height) * (first - second)
        odds = said + HABIT * np.sign(small[0] - small[1])
        yes = map_to(np.asarray(1 / (1 + np.exp(-odds)), np.float32), width, height)
        dispute = _ramp(np.abs(first - second))
        low, high = cv2.min(first, second), cv2.max(first, second)
        agreed = (1 - share) * first + share * second
        settled: Map = agreed + dispute * (low + (high - low) * yes - agreed)
        return settled


def _bodies(first: Map, second: Map, said: Map) -> Map:
    """0..1: whole bodies that the second one does not see and so has no say about; `said` is what speaks for them.

    Decided for each as a whole: half a person is wrong whoever is right.
    """
    kept = np.zeros_like(first)
    count, labels, stats, _ = cv2.connectedComponentsWithStats((first > 0.5).astype(np.uint8))
    for index in range(1, count):
        body = labels == index
        alpha = float(first[body].mean())
        is_unseen = float(second[body].mean()) < UNSEEN * alpha
        is_large = stats[index, cv2.CC_STAT_AREA] >= BODY_SIZE * first.size
        if is_large and is_unseen and alpha > SURE_BODY and float(said[body].mean()) + BODY > 0:
            kept[body] = 1
    if not kept.any():
        return kept
    reach = max(1, min(first.shape) // 50)
    return np.asarray(cv2.blur(cv2.dilate(kept, disc(reach)), (2 * reach + 1, 2 * reach + 1)), np.float32)


def _ramp(difference: Map) -> Map:
    low, high = DISPUTE
    ramp: Map = np.clip((difference - low) / (high - low), 0, 1)
    return ramp


def _mean(values: Map) -> Map:
    return np.asarray(cv2.blur(values, (REGION, REGION)), np.float32)
