"""Green-screen keyer: exact on a flat screen, no weights. For the command line and the fast tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.engine.matting.base import Alpha, Frame, Matte
from apps.engine.matting.scale import Map, disc

VERSION = "chroma@1"

NOISE = 6.0
"""Distance from the key, in 8-bit steps, up to which a pixel is screen: coding noise, not subject."""

EDGE = 48
MIN_EDGE = 5
"""A soft edge is looked for within 1/EDGE of the short side around the screen, or MIN_EDGE pixels."""

OFF_LINE = 12.0
"""Distance, in 8-bit steps, from the line between two colours at which a pixel is hardly a mixture of them."""

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
    """
    picture = frame.astype(np.float32)
    excess = _excess(picture, key)
    full = max(float(_excess(key[None, None], key)[0, 0]), 1.0)
    screen = np.abs(picture - key).max(2) <= NOISE
    reach = max(MIN_EDGE, min(frame.shape[:2]) // EDGE)
    near = cv2.dilate(screen.astype(np.uint8), disc(reach)) > 0
    sure = ~near & (excess < full / 4)
    by_hue = (full - excess) / (full - _spread(np.minimum(excess, 0.9 * full), sure, reach))
    line = _spread(picture, sure, reach) - key
    by_place = ((picture - key) * line).sum(2) / np.maximum((line * line).sum(2), 1.0)
    off = np.linalg.norm(picture - key - by_place[..., None] * line, axis=2)
    on_line = np.exp(-((off / OFF_LINE) ** 2))
    alpha = np.clip(by_hue + on_line * (by_place - by_hue), 0.0, 1.0)
    alpha = np.where(screen, 0.0, np.where(sure, 1.0, alpha)).astype(np.float32)
    return np.rint(alpha * 255).astype(np.uint8), _despilled(picture, alpha, key)


def _excess(picture: Map, key: Map) -> Map:
    """How far the screen's channel leads the other two."""
    channel = int(key.argmax())
    a, b = (one for one in range(3) if one != channel)
    excess: Map = picture[..., channel] - np.maximum(picture[..., a], picture[..., b])
    return excess


def _spread(values: Map, sure: NDArray[np.bool_], reach: int) -> Map:
    """The sure subject's values, carried outwards over the soft edge; 0 where none is near."""
    weight = sure.astype(np.float32)
    size = (4 * reach + 1, 4 * reach + 1)
    total = np.maximum(cv2.blur(weight, size), 1e-4)
    if values.ndim == 3:
        weight, total = weight[..., None], total[..., None]
    carried: Map = cv2.blur(values * weight, size) / total
    return carried


def _despilled(picture: Map, alpha: Map, key: Map) -> Frame:
    """Solve I = aF + (1 - a)K for F where something of F is seen; the screen's hue never leads in F."""
    seen = np.maximum(alpha, 1 / 255)[..., None]
    colour = np.clip((picture - (1.0 - alpha[..., None]) * key) / seen, 0.0, 255.0)
    channel = int(key.argmax())
    a, b = (one for one in range(3) if one != channel)
    limit = np.maximum(colour[..., a], colour[..., b])
    edge = alpha < 1.0
    colour[..., channel] = np.where(edge, np.minimum(colour[..., channel], limit), colour[..., channel])
    return np.ascontiguousarray(np.rint(colour).astype(np.uint8))
