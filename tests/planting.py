"""Faults planted into known mattes, so that what is to be found, and when, is known too.

Nothing here knows drawn clips from real ones: give it any list of 8-bit mattes.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Planes = list[NDArray[np.uint8]]
"""Mattes or RGB frames, in order."""


def flicker(mattes: Planes, first: int, end: int, *, pixels: int = 1) -> Planes:
    """The edge jumps out and in by `pixels`, every other frame."""
    return [
        _grown(matte, pixels if place % 2 else -pixels) if first <= place < end else matte
        for place, matte in enumerate(mattes)
    ]


def wobble(mattes: Planes, first: int, end: int, *, pixels: int = 2, seed: int = 3) -> Planes:
    """The edge is off by up to `pixels`, differently in each frame."""
    steps = np.random.default_rng(seed).integers(-pixels, pixels + 1, end)
    return [_grown(matte, int(steps[place])) if first <= place < end else matte for place, matte in enumerate(mattes)]


def lag(mattes: Planes, first: int, end: int, *, frames: int = 1) -> Planes:
    """Each frame has the matte of an earlier one."""
    return [mattes[max(0, place - frames)] if first <= place < end else matte for place, matte in enumerate(mattes)]


def hole(mattes: Planes, first: int, end: int, *, share: float = 0.5) -> Planes:
    """A round hole where the subject is thickest in frame `first`, `share` of that thickness wide."""
    depth = cv2.distanceTransform((mattes[first] > 127).astype(np.uint8), cv2.DIST_L2, 5)
    _, deepest, _, centre = cv2.minMaxLoc(depth)
    holed = []
    for place, matte in enumerate(mattes):
        if first <= place < end:
            matte = cv2.circle(matte.copy(), centre, max(2, round(deepest * share)), 0, -1, cv2.LINE_AA)
        holed.append(matte)
    return holed


def loss(mattes: Planes, first: int, end: int, *, share: float = 0.25) -> Planes:
    """The uppermost `share` of the subject's height is not there."""
    cut = []
    for place, matte in enumerate(mattes):
        rows = np.flatnonzero((matte > 127).any(1))
        if first <= place < end and len(rows):
            matte = matte.copy()
            matte[: rows[0] + round((rows[-1] - rows[0]) * share)] = 0
        cut.append(matte)
    return cut


def pulse(planes: Planes, first: int, end: int, *, depth: float = 0.15, period: int = 6) -> Planes:
    """Values sink by `depth` and rise again, every `period` frames: alpha, or a cutout's brightness."""
    return [
        np.rint(plane * (1 - depth * (0.5 - 0.5 * np.cos(2 * np.pi * (place - first) / period)))).astype(np.uint8)
        if first <= place < end
        else plane
        for place, plane in enumerate(planes)
    ]


def _grown(matte: NDArray[np.uint8], pixels: int) -> NDArray[np.uint8]:
    if pixels == 0:
        return matte
    size = 2 * abs(pixels) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.asarray((cv2.dilate if pixels > 0 else cv2.erode)(matte, disc), np.uint8)
