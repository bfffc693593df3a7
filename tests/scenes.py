"""Scenes drawn by code with a known matte, for what only shows over time: texture, motion, noise, blur and cuts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Planes = list[NDArray[np.uint8]]

WIDTH, HEIGHT, FRAMES, RATE = 320, 240, 40, 25
SUBFRAMES = 4
"""Averaged into one frame where there is motion blur."""


@dataclass
class Scene:
    pictures: Planes
    mattes: Planes
    foregrounds: Planes = field(default_factory=list)
    """The figure's own straight colours, without the light of what is behind it."""

    def __add__(self, other: Scene) -> Scene:
        return Scene(self.pictures + other.pictures, self.mattes + other.mattes, self.foregrounds + other.foregrounds)


def still(place: float) -> tuple[float, float]:
    return WIDTH / 2, HEIGHT / 2


def strolling(place: float) -> tuple[float, float]:
    """Two to three pixels a frame, there and back."""
    return WIDTH / 2 + 50 * np.sin(place / 18), HEIGHT / 2 + 8 * np.sin(place / 7)


def running(place: float) -> tuple[float, float]:
    """Nine pixels a frame, there and back."""
    return WIDTH / 2 + 90 * np.sin(place / 10), HEIGHT / 2


def entering(place: float) -> tuple[float, float]:
    """Outside for nine frames, then in from the right."""
    return max(WIDTH / 2, WIDTH + 100 - 7 * max(0.0, place - 2)), HEIGHT / 2


def leaving(place: float) -> tuple[float, float]:
    return WIDTH / 2 - 8 * place, HEIGHT / 2


def scene(
    path: Callable[[float], tuple[float, float]] = strolling,
    *,
    frames: int = FRAMES,
    pan: float = 0.7,
    noise: float = 1.0,
    blur: bool = False,
    light: Callable[[int], float] = lambda place: 1.0,
    seed: int = 1,
) -> Scene:
    """A figure with a head, two legs and a texture of its own goes along `path` before a panning background."""
    rng = np.random.default_rng(seed)
    behind, own = _texture(rng, 2 * WIDTH, HEIGHT, 60, 150), _texture(rng, WIDTH, HEIGHT, 110, 230)
    drawing = Scene([], [])
    for place in range(frames):
        moments = [place + part / (2 * SUBFRAMES) for part in range(SUBFRAMES)] if blur else [float(place)]
        drawn = [_drawn(behind, own, path(moment), pan * moment) for moment in moments]
        alpha, subject, ground = (np.mean(layers, 0) for layers in zip(*drawn, strict=True))
        picture = (subject + ground) * light(place) + rng.normal(0, noise, own.shape)
        straight = np.where(alpha == 1, picture, subject * light(place) / np.maximum(alpha, 1e-3))
        drawing.pictures.append(_eight_bit(picture))
        drawing.mattes.append(_eight_bit(alpha[..., 0] * 255))
        drawing.foregrounds.append(_eight_bit(straight))
    return drawing


def _eight_bit(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _texture(rng: np.random.Generator, width: int, height: int, low: int, high: int) -> NDArray[np.float64]:
    """Coloured clouds with some detail."""
    coarse = cv2.resize(rng.uniform(low, high, (height // 30, width // 30, 3)), (width, height), None, 0, 0, 2)
    fine = cv2.GaussianBlur(rng.uniform(-60, 60, (height, width, 3)), (0, 0), 2)
    return np.asarray(coarse + fine)


def _drawn(
    behind: NDArray[np.float64], own: NDArray[np.float64], centre: tuple[float, float], pan: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Alpha, and what subject and background each give to the picture."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    u, v = x - centre[0], y - centre[1]
    head = 22 - np.hypot(u, v + 52)
    body = 30 * (1 - np.hypot(u / 34, (v - 5) / 46))
    legs = 9 - np.maximum(np.abs(np.abs(u) - 16), np.abs(v - 55) - 30)
    alpha = np.clip(np.maximum(np.maximum(head, body), legs) / 2 + 0.5, 0, 1)[..., None]
    size = (WIDTH, HEIGHT)
    subject = cv2.warpAffine(own, np.float64([[1, 0, centre[0] - WIDTH / 2], [0, 1, centre[1] - HEIGHT / 2]]), size,
                             borderMode=cv2.BORDER_REFLECT)  # fmt: skip
    ground = cv2.warpAffine(behind, np.float64([[1, 0, -40 - pan], [0, 1, 0]]), size, borderMode=cv2.BORDER_REFLECT)
    return alpha, alpha * subject, (1 - alpha) * ground
