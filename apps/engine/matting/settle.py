"""Two networks that disagree about a region are settled by a third vote and by the region's colours."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.engine.matting.base import Frame
from apps.engine.matting.scale import Map, disc, map_to, roughly, size_within

SIDE = 256
"""Short side on which regions are judged: a dispute is about a hand or a gap under an arm, not about a hair."""
SURE = 0.85
"""Alpha from which all have to say subject (and below the rest, background) for a colour to count as its colour."""
AROUND = 0.2
"""Background is judged within this share of the short side around the subject; what is farther is not compared."""
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
COLOUR_LIMIT = 6.0
"""Log odds beyond which a colour is no better proof."""
REGION = 13
"""Pixels of the small picture over which the colours of a region are averaged."""

BINS = (16, 64, 64)
"""Of lightness and the two chromas: light falls unevenly on one surface, its hue stays."""
ENOUGH = 64
"""Pixels that both sides must have before their colours prove anything."""
MEMORY = 0.9
"""Of what was seen, per frame: a wall that a sleeve now hides was still there a moment ago."""
UNKNOWN = 0.02
"""Pixels a colour that was never seen counts for on both sides."""


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
            said += _mean(self._palette.odds(roughly(frame, *size), *small) * disputed) / _mean(disputed)
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


class Palette:
    """How often each colour was seen on the subject and on the background near it."""

    def __init__(self) -> None:
        self._ours: Map = np.zeros(BINS, np.float32)
        self._theirs: Map = np.zeros(BINS, np.float32)

    def odds(self, picture: Frame, first: Map, second: Map, vote: Map) -> Map:
        """Per pixel, how much likelier its colour is the subject's, as log odds; learns from the frame first."""
        low, high = cv2.min(cv2.min(first, second), vote), cv2.max(cv2.max(first, second), vote)
        reach = 2 * int(AROUND * min(low.shape) / 2) + 1
        near = cv2.dilate((high > 0.5).astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
        bins = _bins(picture)
        self._ours = np.float32(MEMORY) * self._ours + _counts(bins[low > SURE])
        self._theirs = np.float32(MEMORY) * self._theirs + _counts(bins[(high < 1 - SURE) & near])
        if min(self._ours.sum(), self._theirs.sum()) < ENOUGH:
            return np.zeros_like(first)
        likely = np.log(_likelihood(self._ours) / _likelihood(self._theirs)).reshape(-1)[bins]
        return np.asarray(np.clip(likely, -COLOUR_LIMIT, COLOUR_LIMIT), np.float32)


def _ramp(difference: Map) -> Map:
    low, high = DISPUTE
    ramp: Map = np.clip((difference - low) / (high - low), 0, 1)
    return ramp


def _mean(values: Map) -> Map:
    return np.asarray(cv2.blur(values, (REGION, REGION)), np.float32)


def _bins(picture: Frame) -> NDArray[np.int32]:
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.int32)
    return np.asarray(((lab[..., 0] >> 4) * BINS[1] + (lab[..., 1] >> 2)) * BINS[2] + (lab[..., 2] >> 2), np.int32)


def _counts(bins: NDArray[np.int32]) -> Map:
    return np.bincount(bins, minlength=BINS[0] * BINS[1] * BINS[2]).astype(np.float32).reshape(BINS)


def _likelihood(counts: Map) -> Map:
    """How often each colour occurs, spread over its neighbours in colour."""
    # OpenCV's channels are the lightness here, so that one call blurs both chromas of every lightness.
    spread = cv2.GaussianBlur(np.ascontiguousarray(counts.transpose(1, 2, 0)), (5, 5), 1.0).transpose(2, 0, 1)
    smooth = spread / 2
    smooth[1:] += spread[:-1] / 4
    smooth[:-1] += spread[1:] / 4
    likely: Map = (smooth + UNKNOWN) / (smooth.sum() + 1)
    return likely
