"""The last step of every matte: full size, eight bits, and the subject's own colour along its edge."""

from __future__ import annotations

import cv2
import numpy as np

from apps.engine.matting.base import Alpha, Frame, Matte
from apps.engine.matting.scale import Map, frame_to, map_to

WORK_SIDE = 240
"""Short side on which colours are spread: they vary slowly, and a 720p frame costs a seventh."""
WIDE = 8
"""First spread, over 1/8 of the short side: reaches the middle of hair and motion blur."""
NARROW = 90
"""Second spread, over 1/90: follows the colours that the edge really touches."""


def finished(frame: Frame, alpha: Map, *, inferred: bool = True) -> Matte:
    """A working-size alpha brought to the frame's size, with its foreground."""
    height, width = frame.shape[:2]
    full = eight_bit(map_to(alpha, width, height))
    return Matte(full, foreground(frame, full), inferred)


def with_foreground(frame: Frame, alpha: Map, colour: Map) -> Matte:
    """A matte whose network also painted the foreground (0..1, at alpha's size)."""
    height, width = frame.shape[:2]
    painted = frame_to(eight_bit(colour), width, height)
    full = eight_bit(map_to(alpha, width, height))
    if not full.any() or full.min() == 255:
        return Matte(full, None)
    painted = np.ascontiguousarray(painted)
    cv2.copyTo(frame, cv2.inRange(full, 255, 255), painted)
    return Matte(full, painted)


def eight_bit(alpha: Map) -> Alpha:
    return np.rint(np.clip(alpha, 0.0, 1.0) * 255).astype(np.uint8)


def foreground(frame: Frame, alpha: Alpha) -> Frame | None:
    """The subject's straight colour (blur fusion after Forte 2021, two passes).

    Inside the subject it is the frame; on soft edges the old background's
    light is taken out; outside, the edge's colour runs on, so that scaling and
    chroma subsampling find no old background there. None where alpha has no
    edge or no subject.
    """
    if not alpha.any() or alpha.min() == 255:
        return None
    near, behind = _spread(frame, alpha)
    height, width = alpha.shape
    # A copy, since a small frame is worked on at its own size.
    result, behind = frame_to(near, width, height).copy(), frame_to(behind, width, height)
    at = np.flatnonzero(cv2.inRange(alpha, 1, 254))
    part = alpha.reshape(-1)[at][:, None].astype(np.float32) / 255
    ours = result.reshape(-1, 3)[at].astype(np.float32)
    seen = part * ours + (1 - part) * behind.reshape(-1, 3)[at]
    solved = ours + part * (frame.reshape(-1, 3)[at] - seen)
    cv2.copyTo(frame, cv2.inRange(alpha, 255, 255), result)
    result.reshape(-1, 3)[at] = np.rint(np.clip(solved, 0, 255))
    return result


def _spread(frame: Frame, alpha: Alpha) -> tuple[Frame, Frame]:
    """Subject's and background's colour around every pixel, at the working size."""
    height, width = alpha.shape
    scale = min(1.0, WORK_SIDE / min(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = frame_to(frame, *size).astype(np.float32)
    part = (frame_to(alpha, *size).astype(np.float32) / 255)[..., None]
    short = min(size)
    ours, behind = _means(picture, picture, part, 2 * (short // WIDE) + 1)
    ours = np.clip(ours + part * (picture - part * ours - (1 - part) * behind), 0, 255)
    near, near_behind = _means(ours, behind, part, 2 * max(1, short // NARROW) + 1)
    return eight_bit(near / 255), eight_bit(near_behind / 255)


def _means(ours: Map, behind: Map, part: Map, size: int) -> tuple[Map, Map]:
    """Means over a box, weighted by alpha and by its rest; far from either its overall mean."""

    def weighted(values: Map, weight: Map) -> Map:
        overall = (values * weight).sum((0, 1)) / max(float(weight.sum()), 1e-3)
        total = cv2.blur(weight, (size, size))[..., None] + 1e-4
        mean: Map = (cv2.blur(values * weight, (size, size)) + 1e-4 * overall) / total
        return mean

    return weighted(ours, part), weighted(behind, 1 - part)
