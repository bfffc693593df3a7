"""Takes the light of a green or blue wall off the subject's rim; leaves every other clip as it is, to the bit."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.engine.matting.base import Alpha, Frame
from apps.engine.matting.scale import disc, halved, halvings, map_to
from apps.engine.matting.temporal import Cuts

STRENGTH = 1.0
"""All of the cast: what the subject itself has of that colour is kept apart from it."""

LOOK_SIDE = 90
"""Short side down to which a frame is halved before the wall is judged and the subject's own colour looked up."""
ZONE = 5
"""The wall is judged within 1/5 of the short side around the subject: that is where its light comes from."""
MIN_ZONE = 60
"""Pixels of the small picture below which there is no wall to judge."""
RIM = 22
"""Reflected light reaches 1/22 of the short side into the subject."""

LEAD = 36
"""8-bit steps by which the wall's channel leads both others: paint and cloth for keying do, walls of rooms do not."""
SATURATION = (1.0, 0.35, 0.45)
"""And as a share of that channel, for each: excludes pale walls, and the sky, which is bluer than grass is green."""
SAME_HUE = 0.05
"""Distance from the zone's median chromaticity: leaves and grass differ more among themselves."""
IS_WALL, STAYS_WALL = 0.85, 0.65
"""Share of the zone that must look so to begin, and to go on: in between nothing flickers."""


class Despill:
    """One pass over one video; remembers only whether the shot is before a wall, and of which colour."""

    def __init__(self, strength: float = STRENGTH) -> None:
        self._strength = strength
        self._cuts = Cuts()
        self._channel: int | None = None

    def step(self, frame: Frame, alpha: Alpha, foreground: Frame) -> Frame:
        """`foreground` without the wall's cast; the same object where there is no wall."""
        if self._strength <= 0:
            return foreground
        small, part = _small(frame), _small(alpha)
        if self._cuts.is_new_shot(small):
            self._channel = None
        channel, share = _wall(small, part)
        if share < (STAYS_WALL if channel == self._channel else IS_WALL):
            channel = None
        self._channel = channel
        if channel is None:
            return foreground
        return _without_cast(foreground, _small(foreground), part, channel, self._strength)


def _small(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    for _ in range(halvings(values.shape, LOOK_SIDE)):
        values = halved(values)
    return values


def _wall(small: Frame, part: Alpha) -> tuple[int | None, float]:
    """The channel of the wall around the subject, and how much of the zone there is such a wall."""
    reach = max(2, min(part.shape) // ZONE)
    near = cv2.dilate(np.where(part > 127, np.uint8(255), np.uint8(0)), disc(reach))
    zone = small[(near > 0) & (part == 0)].astype(np.float32)
    if len(zone) < MIN_ZONE:
        return None, 0.0
    median = np.median(zone, axis=0)
    channel = int(median.argmax())
    if channel == 0:
        return None, 0.0
    led = zone[:, channel] - np.delete(zone, channel, axis=1).max(1)
    hue, usual = zone / np.maximum(zone.sum(1, keepdims=True), 1), median / max(float(median.sum()), 1)
    is_wall = (led > LEAD) & (led > SATURATION[channel] * zone[:, channel]) & (np.abs(hue - usual).max(1) < SAME_HUE)
    return channel, float(is_wall.mean())


def _without_cast(foreground: Frame, small: Frame, part: Alpha, channel: int, strength: float) -> Frame:
    height, width = foreground.shape[:2]
    rim = max(1, min(part.shape) // RIM)
    # From all at the edge to nothing `rim` pixels inside; a body cut off by the picture's border has no edge there.
    mean = cv2.blur(part, (2 * rim + 1, 2 * rim + 1), borderType=cv2.BORDER_REPLICATE).astype(np.float32) / 255
    exposed = map_to(np.clip(2 - 2 * mean, 0, 1), width, height)
    own = map_to(_own_lead(small, part, channel, rim).astype(np.float32), width, height)
    planes = list(cv2.split(foreground))
    others = cv2.max(*(plane for index, plane in enumerate(planes) if index != channel))
    cast = cv2.subtract(planes[channel], cv2.add(others, cv2.convertScaleAbs(own)))
    cast = cv2.multiply(cast, cv2.convertScaleAbs(exposed, alpha=255), scale=strength / 255)
    planes[channel] = cv2.subtract(planes[channel], cast)
    return np.asarray(cv2.merge(planes), np.uint8)


def _own_lead(small: Frame, part: Alpha, channel: int, rim: int) -> NDArray[np.uint8]:
    """How far the channel leads in the subject itself, out of the light's reach: a green shirt is green to its rim."""
    planes = list(cv2.split(cv2.blur(small, (3, 3))))
    others = cv2.max(*(plane for index, plane in enumerate(planes) if index != channel))
    lead = cv2.subtract(planes[channel], others)
    deep = cv2.erode(cv2.inRange(part, 250, 255), disc(rim), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.dilate(cv2.bitwise_and(lead, deep), disc(2 * rim + 1)), np.uint8)
