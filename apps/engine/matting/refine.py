"""The last step of every matte: full size and eight bits, with the subject's own colour along its edge."""

from __future__ import annotations

import cv2
import numpy as np

from apps.engine.matting import foreground
from apps.engine.matting.base import Alpha, Frame, Matte
from apps.engine.matting.scale import Map, map_to


def finished(frame: Frame, alpha: Map) -> Matte:
    """A working-size alpha brought to the frame's size, with its foreground."""
    height, width = frame.shape[:2]
    full = eight_bit(map_to(alpha, width, height))
    return Matte(full, foreground.estimate(frame, full))


def uncoloured(frame: Frame, alpha: Map) -> Matte:
    """A matte whose foreground is the frame as it is, old background and all."""
    height, width = frame.shape[:2]
    return Matte(eight_bit(map_to(alpha, width, height)), None)


def with_foreground(frame: Frame, alpha: Map, colour: Map) -> Matte:
    """A matte whose network also painted the foreground (0..1, at alpha's size)."""
    height, width = frame.shape[:2]
    full = eight_bit(map_to(alpha, width, height))
    if not foreground.has_edge(full):
        return Matte(full, None)
    # By channel: networks give planes, and turning floats into pixels first costs 5 times as much.
    planes = [eight_bit(np.ascontiguousarray(colour[..., channel])) for channel in range(3)]
    return Matte(full, foreground.blend(frame, full, np.asarray(cv2.merge(planes), np.uint8)))


def eight_bit(alpha: Map) -> Alpha:
    return np.asarray(cv2.convertScaleAbs(np.maximum(alpha, 0), alpha=255), np.uint8)
