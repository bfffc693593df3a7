"""The colours of the subject and of the background around it, as a shot has shown them so far."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.engine.matting.base import Frame
from apps.engine.matting.scale import Map

SURE = 0.85
"""Alpha from which all have to say subject (and below the rest, background) for a colour to count as its colour."""
AROUND = 0.2
"""Background is judged within this share of the short side around the subject; what is farther is not compared."""
COLOUR_LIMIT = 6.0
"""Log odds beyond which a colour is no better proof."""
BINS = (16, 64, 64)
"""Of lightness and the two chromas: light falls unevenly on one surface, its hue stays."""
ENOUGH = 64
"""Pixels that both sides must have before their colours prove anything."""
MEMORY = 0.9
"""Of what was seen, per frame: a wall that a sleeve now hides was still there a moment ago."""
UNKNOWN = 0.02
"""Pixels a colour that was never seen counts for on both sides."""


class Palette:
    """How often each colour was seen on the subject and on the background near it."""

    def __init__(self) -> None:
        self._ours: Map = np.zeros(BINS, np.float32)
        self._theirs: Map = np.zeros(BINS, np.float32)

    def learn(self, picture: Frame, *alphas: Map) -> None:
        """The colours of what all of these mattes take for the subject, and of what all take for background near it."""
        low, high = np.minimum.reduce(alphas), np.maximum.reduce(alphas)
        reach = 2 * int(AROUND * min(low.shape) / 2) + 1
        near = cv2.dilate((high > 0.5).astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
        bins = _bins(picture)
        self._ours = np.float32(MEMORY) * self._ours + _counts(bins[low > SURE])
        self._theirs = np.float32(MEMORY) * self._theirs + _counts(bins[(high < 1 - SURE) & near])

    def odds(self, picture: Frame) -> Map:
        """Per pixel, how much likelier its colour is the subject's, as log odds; 0 while too little is known."""
        if min(self._ours.sum(), self._theirs.sum()) < ENOUGH:
            return np.zeros(picture.shape[:2], np.float32)
        likely = np.log(_likelihood(self._ours) / _likelihood(self._theirs)).reshape(-1)[_bins(picture)]
        return np.asarray(np.clip(likely, -COLOUR_LIMIT, COLOUR_LIMIT), np.float32)


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
