"""Green-screen keyer: exact on a flat screen, no weights. For the command line and the fast tests."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.engine.matting.base import Alpha, Frame, Matte

VERSION = "chroma@1"

NOISE = 6.0
"""Distance from the key, in 8-bit steps, up to which a pixel is screen: coding noise, not subject."""

EDGE = 64
"""A soft edge is looked for within 1/EDGE of the short side around the screen."""

DEFAULT_KEY = (0.0, 255.0, 0.0)


class ChromaModel:
    name = "chroma"
    version = VERSION
    device = "cpu"

    def session(self, width: int, height: int) -> ChromaSession:
        return ChromaSession()


class ChromaSession:
    """The screen's colour is measured on the first frame that shows one."""

    def __init__(self) -> None:
        self._key: NDArray[np.float32] | None = None

    def push(self, frame: Frame) -> list[Matte]:
        if self._key is None:
            self._key = find_key(frame)
        key = np.array(DEFAULT_KEY, np.float32) if self._key is None else self._key
        return [Matte(*pull(frame, key))]

    def flush(self) -> list[Matte]:
        return []


def find_key(frame: Frame) -> NDArray[np.float32] | None:
    """The median of the border's green (or blue) pixels; None when the border shows no screen."""
    border = np.concatenate([frame[0], frame[-1], frame[:, 0], frame[:, -1]]).astype(np.float32)
    for channel in (1, 2):
        others = np.delete(border, channel, axis=1).max(1)
        screen = border[border[:, channel] - others > 48]
        if len(screen) * 8 > len(border):
            return np.median(screen, axis=0).astype(np.float32)
    return None


def pull(frame: Frame, key: NDArray[np.float32]) -> tuple[Alpha, Frame]:
    """Alpha and straight foreground of a frame shot before a screen of colour `key`.

    Inside the subject alpha is 1 and near the screen it is where the pixel
    lies on the line from the key to the subject's own colour nearby.
    """
    picture = frame.astype(np.float32)
    rough = _by_spill(picture, key)
    screen = np.abs(picture - key).max(2) <= NOISE
    reach = max(2, min(frame.shape[:2]) // EDGE)
    near = cv2.dilate(screen.astype(np.uint8), _disc(reach)) > 0
    sure = (rough > 0.9) & ~near
    own, known = _spread(picture, sure, reach)
    line = own - key
    along = ((picture - key) * line).sum(2) / np.maximum((line * line).sum(2), 1.0)
    alpha = np.where(known, along, rough)
    alpha = np.where(near, alpha, np.maximum(rough, 0.0))
    alpha = np.where(screen, 0.0, np.where(sure, 1.0, np.clip(alpha, 0.0, 1.0)))
    alpha8 = np.rint(alpha * 255).astype(np.uint8)
    return alpha8, _despilled(picture, alpha, key)


def _by_spill(picture: NDArray[np.float32], key: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 where no more of the screen's hue is left than any colour may have; 0 at the key."""
    channel = int(key.argmax())
    a, b = (one for one in range(3) if one != channel)
    full = key[channel] - max(key[a], key[b])
    excess = picture[..., channel] - np.maximum(picture[..., a], picture[..., b])
    return 1.0 - np.clip(excess / max(full, 1.0), 0.0, 1.0)


def _spread(
    picture: NDArray[np.float32], sure: NDArray[np.bool_], reach: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The colour of the sure subject, carried outwards over the soft edge."""
    weight = sure.astype(np.float32)
    size = (4 * reach + 1, 4 * reach + 1)
    total = cv2.blur(weight, size)
    colour = cv2.blur(picture * weight[..., None], size) / np.maximum(total, 1e-6)[..., None]
    return colour, total > 1e-4


def _despilled(picture: NDArray[np.float32], alpha: NDArray[np.float32], key: NDArray[np.float32]) -> Frame:
    """Solve I = aF + (1 - a)K for F where something of F is seen; the screen's hue never leads in F."""
    seen = np.maximum(alpha, 1 / 255)[..., None]
    colour = np.clip((picture - (1.0 - alpha[..., None]) * key) / seen, 0.0, 255.0)
    channel = int(key.argmax())
    a, b = (one for one in range(3) if one != channel)
    limit = np.maximum(colour[..., a], colour[..., b])
    edge = alpha < 1.0
    colour[..., channel] = np.where(edge, np.minimum(colour[..., channel], limit), colour[..., channel])
    return np.ascontiguousarray(np.rint(colour).astype(np.uint8))


def _disc(radius: int) -> NDArray[np.uint8]:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
