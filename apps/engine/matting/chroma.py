"""Green-screen keyer: exact on a flat screen, no weights. For the command line and the fast tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.engine.matting.base import Alpha, Frame, Matte
from apps.engine.matting.scale import Map

VERSION = "chroma@1"

NOISE = 6.0
"""Distance from the key, in 8-bit steps, up to which a pixel is screen: coding noise, not subject."""

EDGE = 48
MIN_EDGE = 5
"""A soft edge is looked for within 1/EDGE of the short side around the screen, or MIN_EDGE pixels."""

OFF_LINE = 12.0
"""Distance, in 8-bit steps, from the line between two colours at which a pixel is hardly a mixture of them."""

Where = tuple[NDArray[np.intp], ...]

DEFAULT_KEY = (0.0, 255.0, 0.0)


class ChromaModel:
    name = "chroma"
    version = VERSION
    networks: Sequence[Mapping[str, str]] = ()
    device = "cpu"

    def session(self, width: int, height: int) -> ChromaSession:
        return ChromaSession()


class ChromaSession:
    """The screen's colour is measured on the first frame that shows one."""

    def __init__(self) -> None:
        self._key: Map | None = None

    def push(self, frame: Frame) -> list[Matte]:
        if self._key is None:
            self._key = find_key(frame)
        key = np.array(DEFAULT_KEY, np.float32) if self._key is None else self._key
        return [Matte(*pull(frame, key))]

    def flush(self) -> list[Matte]:
        return []


def find_key(frame: Frame) -> Map | None:
    """The median of the border's green (or blue) pixels; None when the border shows no screen."""
    border = np.concatenate([frame[0], frame[-1], frame[:, 0], frame[:, -1]]).astype(np.float32)
    for channel in (1, 2):
        others = np.delete(border, channel, axis=1).max(1)
        screen = border[border[:, channel] - others > 48]
        if len(screen) * 8 > len(border):
            key: Map = np.median(screen, axis=0).astype(np.float32)
            return key
    return None


def pull(frame: Frame, key: Map) -> tuple[Alpha, Frame]:
    """Alpha and straight foreground of a frame shot before a screen of colour `key`.

    Two readings of a soft pixel. On the line from the key to the subject's
    colour nearby, its place on the line is exact. Off it the subject is
    patterned; then only the hue counts, which shading does not change.

    Most pixels are plainly screen or plainly subject, and only the others are
    reckoned with. Under the screen the foreground is black.
    """
    excess = _excess(frame, key)
    full = max(float(_excess(key[None, None], key)[0, 0]), 1.0)
    screen = cv2.inRange(frame, np.ceil(key - NOISE), np.floor(key + NOISE))
    reach = max(MIN_EDGE, min(frame.shape[:2]) // EDGE)
    near = cv2.distanceTransform(cv2.bitwise_not(screen), cv2.DIST_L2, cv2.DIST_MASK_5) <= reach
    sure = ((excess < full / 4) & ~near).view(np.uint8)
    soft = np.nonzero((screen | sure) == 0)
    alpha = sure * np.uint8(255)
    foreground = np.asarray(cv2.bitwise_and(frame, frame, mask=cv2.bitwise_not(screen)), np.uint8)
    if len(soft[0]):
        colours = frame[soft].astype(np.float32)
        around, hue = _nearby((frame, excess), sure, reach, soft)
        found = _soft_alpha(colours, key, around=around, excess=excess[soft], hue=hue, full=full)
        alpha[soft] = np.rint(found * 255).astype(np.uint8)
        foreground[soft] = _despilled(colours, found, key)
    return alpha, foreground


def _soft_alpha(colours: Map, key: Map, *, around: Map, excess: Map, hue: Map, full: float) -> Map:
    """Of pixels in a row: `around` and `hue` are the subject's colour and excess nearby."""
    by_hue = (full - excess) / (full - hue)
    line = around - key
    by_place = ((colours - key) * line).sum(1) / np.maximum((line * line).sum(1), 1.0)
    off = np.linalg.norm(colours - key - by_place[:, None] * line, axis=1)
    on_line = np.exp(-((off / OFF_LINE) ** 2))
    alpha: Map = np.clip(by_hue + on_line * (by_place - by_hue), 0.0, 1.0).astype(np.float32)
    return alpha


def _excess(picture: Frame | Map, key: Map) -> NDArray[Any]:
    """How far the screen's channel leads the other two: of bytes a whole number."""
    channel = int(key.argmax())
    a, b = (cv2.extractChannel(picture, one) for one in range(3) if one != channel)
    wide = cv2.CV_16S if picture.dtype == np.uint8 else -1
    return cv2.subtract(cv2.extractChannel(picture, channel), cv2.max(a, b), dtype=wide)


def _nearby(pictures: Sequence[NDArray[Any]], sure: NDArray[np.uint8], reach: int, where: Where) -> list[Map]:
    """Of each the sure subject's values, carried outwards to these pixels; 0 where none is near."""
    size = (4 * reach + 1, 4 * reach + 1)
    weight = cv2.boxFilter(sure, cv2.CV_32F, size, normalize=False)[where]
    np.maximum(weight, 1e-4 * size[0] * size[1], out=weight)
    carried = []
    for picture in pictures:
        total = cv2.boxFilter(cv2.copyTo(picture, sure), cv2.CV_32F, size, normalize=False)[where]
        carried.append(np.asarray(total / (weight[:, None] if total.ndim == 2 else weight), np.float32))
    return carried


def _despilled(colours: Map, alpha: Map, key: Map) -> NDArray[np.uint8]:
    """Solve I = aF + (1 - a)K for F where something of F is seen; the screen's hue never leads in F."""
    seen = np.maximum(alpha, 1 / 255)[:, None]
    found = np.clip((colours - (1.0 - alpha[:, None]) * key) / seen, 0.0, 255.0)
    channel = int(key.argmax())
    a, b = (found[:, one] for one in range(3) if one != channel)
    limited = np.minimum(found[:, channel], np.maximum(a, b))
    found[:, channel] = np.where(alpha < 1.0, limited, found[:, channel])
    return np.rint(found).astype(np.uint8)
