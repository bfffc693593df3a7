"""What makes a per-frame network steady over time: where the picture stands still, so does the matte."""

from __future__ import annotations

import cv2
import numpy as np

from apps.engine.matting.base import Frame
from apps.engine.matting.scale import Map, frame_to

KEEP = 0.6
"""Share of the previous alpha where nothing moved; more would drag slow edges."""
STILL = 8.0
"""Change of colour, in 8-bit steps, at which the previous alpha counts for a third of that."""

THUMB = (32, 32)
CUT_LEVEL = 24.0
"""Mean change of the thumbnails, in 8-bit steps, that a camera or a dancer does not make from one frame to the next."""
CUT_JUMP = 3.0
"""And it is this many times the usual change of the shot."""
USUAL = 0.2
"""Weight of the newest frame in the shot's usual change."""


class Cuts:
    """Tells the first frame of each shot."""

    def __init__(self) -> None:
        self._last: Map | None = None
        self._usual = 0.0

    def is_new_shot(self, frame: Frame) -> bool:
        """Also true for the very first frame."""
        thumb = frame_to(frame, *THUMB).astype(np.float32)
        last, self._last = self._last, thumb
        if last is None:
            return True
        change = float(np.abs(thumb - last).mean())
        is_cut = change > CUT_LEVEL and change > CUT_JUMP * self._usual
        self._usual = 0.0 if is_cut else self._usual + USUAL * (change - self._usual)
        return is_cut


class Steady:
    """Averages alpha over time, per pixel, only where the pixel keeps its colour."""

    def __init__(self) -> None:
        self._alpha: Map | None = None
        self._picture: Map | None = None

    def reset(self) -> None:
        self._alpha = self._picture = None

    def step(self, alpha: Map, small: Frame) -> Map:
        """`small` is the frame at alpha's size. An empty alpha stays empty and leaves nothing behind."""
        if not alpha.any():
            self.reset()
            return alpha
        picture = cv2.blur(small, (3, 3)).astype(np.float32)
        if self._alpha is not None and self._picture is not None:
            change = np.abs(picture - self._picture).mean(2)
            weight = KEEP * np.exp(-((change / STILL) ** 2))
            alpha = alpha + weight * (self._alpha - alpha)
        self._alpha, self._picture = alpha, picture
        return alpha


DISAGREE = 0.25
"""Difference of two neighbours' alpha from which the pixel between them is not obvious."""
NO_CLUE = 1e-6
"""Where neither neighbour has the pixel's colour, both count alike."""

Neighbour = tuple[Map, Frame]
"""A known alpha and its frame, both at the network's size."""


def between(before: Neighbour, small: Frame, after: Neighbour) -> tuple[Map, float]:
    """Alpha of the frame between two known ones: each pixel listens to the neighbour that has its colour.

    Also the doubt: the area where the neighbours disagree and neither has the
    pixel's colour, as a share of the subject's. When it is large, the frame
    must be looked at itself.
    """
    far_before, far_after = _far(small, before[1]), _far(small, after[1])
    listen = np.exp(-((far_before / STILL) ** 2)) + NO_CLUE, np.exp(-((far_after / STILL) ** 2)) + NO_CLUE
    alpha: Map = (listen[0] * before[0] + listen[1] * after[0]) / (listen[0] + listen[1])
    disagree = np.abs(before[0] - after[0]) > DISAGREE
    strange = np.minimum(far_before, far_after) > 2 * STILL
    subject = int((np.maximum(before[0], after[0]) > 0.5).sum())
    return alpha, float((disagree & strange).sum() / max(1, subject))


def _far(first: Frame, second: Frame) -> Map:
    distance: Map = cv2.absdiff(first, second).astype(np.float32).mean(2)
    return distance
