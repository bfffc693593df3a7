"""A matte's edge moved and softened as asked: by fractions of a pixel, alike in every direction and in every frame."""

from __future__ import annotations

import math

import cv2
import numpy as np

from apps.engine.compose import Alpha, Rgb, spread_colour
from apps.engine.edge import Edge
from apps.engine.matting.scale import disc

STEP = 3
"""Pixels moved at once: several small discs cost a fraction of a large one, and make nearly the same shape."""

SQUARE_SHARE = math.sqrt(2) - 1
"""Between a cross and a square of 3 × 3: moves a slanting edge as far as an upright one."""


def reshape(alpha: Alpha, edge: Edge) -> Alpha:
    """The matte with its edge choked, then feathered inwards.

    Moved in by half the feather and blurred by the other half, so that it
    begins where the choked edge is and is whole `feather_px` further in: no
    pixel shows more of what was the background than before.
    """
    if not edge.reshapes:
        return alpha
    moved = _moved(alpha, edge.choke_px + edge.feather_px / 2)
    soft = _blurred(moved, edge.feather_px / 2) if edge.feather_px else moved
    return soft if edge.choke_px < 0 else np.minimum(soft, alpha)


def recolour(rgb: Rgb, before: Alpha, after: Alpha) -> Rgb:
    """Colours for a matte that grew: what was added is painted in the subject's, not as the background that lay there.

    A pixel keeps its own colour by the share of its alpha that it had before.
    """
    grown = cv2.subtract(after, before)
    left, top, width, height = cv2.boundingRect(grown)
    if not width:
        return rgb
    box = np.s_[top : top + height, left : left + width]
    added = cv2.divide(grown[box], np.maximum(after[box], 1), scale=255)
    weight = cv2.merge([added, added, added])
    own = cv2.multiply(rgb[box], cv2.bitwise_not(weight), scale=1 / 255)
    painted = rgb.copy()
    painted[box] = cv2.add(own, cv2.multiply(spread_colour(rgb, before)[box], weight, scale=1 / 255))
    return painted


def _moved(alpha: Alpha, inwards: float) -> Alpha:
    """By so many pixels; a subject cut off by the picture's border has no edge there."""
    move = cv2.erode if inwards > 0 else cv2.dilate
    steps, rest = divmod(abs(inwards), 1)
    left = int(steps)
    while left > 1:
        step = min(left, STEP)
        alpha = np.asarray(move(alpha, disc(step)), np.uint8)
        left -= step
    for share in (float(left), rest):
        if share:
            cross, square = move(alpha, disc(1)), move(alpha, np.ones((3, 3), np.uint8))
            one = cv2.addWeighted(cross, 1 - SQUARE_SHARE, square, SQUARE_SHARE, 0)
            alpha = np.asarray(cv2.addWeighted(alpha, 1 - share, one, share, 0), np.uint8)
    return alpha


def _blurred(alpha: Alpha, radius: float) -> Alpha:
    """With a tent that is nothing beyond the radius; past the border the picture goes on as it is there."""
    width = radius + 0.5
    reach = max(0, math.ceil(width) - 1)
    taps = np.maximum(width - np.abs(np.arange(-reach, reach + 1)), 0)
    taps /= taps.sum()
    return np.asarray(cv2.sepFilter2D(alpha, -1, taps, taps, borderType=cv2.BORDER_REPLICATE), np.uint8)
