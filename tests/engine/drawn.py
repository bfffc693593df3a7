"""Drawn scenes with known truth: a textured disc moves before a textured wall that moves by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np

from apps.engine.matting.base import Frame, Matte, Session
from apps.engine.matting.scale import Map

WIDTH, HEIGHT = 320, 240
MARGIN = 96
"""Wall beyond the frame, in pixels: what comes into view while it moves."""


Shade = tuple[int, int, int]
Between = tuple[Shade, Shade]
GREY: Between = ((0, 0, 0), (255, 255, 255))
WALL: Between = ((20, 40, 40), (90, 130, 150))
CLOTH: Between = ((130, 60, 60), (250, 190, 150))


@lru_cache(maxsize=64)
def texture(width: int, height: int, seed: int, *, grain: float = 4.0, shades: Between = GREY) -> Frame:
    """Soft coloured noise between two shades, whose every patch is different; `grain` is its size in pixels."""
    noise = np.random.default_rng(seed).random((height, width, 3), np.float32)
    soft = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), grain), None, 0, 1, cv2.NORM_MINMAX)
    low, high = (np.array(shade, np.float32) for shade in shades)
    picture = np.rint(low + soft * (high - low)).astype(np.uint8)
    picture.flags.writeable = False
    return picture


def shifted(
    width: int, height: int, seed: int, by: tuple[int, int], *, grain: float = 4.0, shades: Between = GREY
) -> Frame:
    """The same wall, everything on it moved by (right, down)."""
    wall = texture(width + 2 * MARGIN, height + 2 * MARGIN, seed, grain=grain, shades=shades)
    left, top = MARGIN - by[0], MARGIN - by[1]
    return np.ascontiguousarray(wall[top : top + height, left : left + width])


def blank() -> Map:
    return np.zeros((HEIGHT, WIDTH), np.float32)


def cloth_before_wall(truth: Map) -> Frame:
    """Cloth wherever alpha is above 0."""
    return np.where(
        truth[..., None] > 0, texture(WIDTH, HEIGHT, 1, shades=CLOTH), texture(WIDTH, HEIGHT, 2, shades=WALL)
    )


@dataclass(frozen=True)
class Scene:
    """A disc of its own texture; both it and the wall move by so many pixels a frame."""

    speed: tuple[int, int] = (4, 1)
    wall_speed: tuple[int, int] = (-2, 0)
    start: tuple[int, int] = (110, 110)
    radius: int = 45
    seed: int = 1

    def alpha(self, index: int) -> Map:
        y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
        across = self.start[0] + self.speed[0] * index
        down = self.start[1] + self.speed[1] * index
        return np.clip(self.radius - np.hypot(x - across, y - down), 0, 1).astype(np.float32)

    def frame(self, index: int) -> Frame:
        alpha = self.alpha(index)[..., None]
        cloth, wall = (
            shifted(WIDTH, HEIGHT, seed, (speed[0] * index, speed[1] * index), shades=shades)
            for seed, speed, shades in ((self.seed, self.speed, CLOTH), (self.seed + 1, self.wall_speed, WALL))
        )
        return np.rint(alpha * cloth + (1 - alpha) * wall).astype(np.uint8)


@dataclass
class FakeLook:
    """Answers for known frames; `asked` lists the calls, each with the places of its frames in the clip."""

    frames: Sequence[Frame]
    alphas: Sequence[Map]
    asked: list[list[int]] = field(default_factory=list)
    unseen_in_mirror: Sequence[int] = ()
    """Frames of whose mirror images it sees nothing; of the others it sees the same."""
    mirrored: list[int] = field(default_factory=list)
    """The places of the frames whose mirror images it was asked about."""

    def predict_many(self, frames: Sequence[Frame]) -> list[Map]:
        places = [next((at for at, one in enumerate(self.frames) if one is frame), None) for frame in frames]
        if places == [None]:
            return [self._of_mirror_image(frames[0])]
        known = [at for at in places if at is not None]
        self.asked.append(known)
        return [self.alphas[at].copy() for at in known]

    def _of_mirror_image(self, frame: Frame) -> Map:
        at = next(at for at, one in enumerate(self.frames) if np.array_equal(one[:, ::-1], frame))
        self.mirrored.append(at)
        return self.alphas[at][:, ::-1] * np.float32(at not in self.unseen_in_mirror)

    @property
    def looked_at(self) -> list[int]:
        return sorted(at for call in self.asked for at in call)


def mattes_of(session: Session, frames: Sequence[Frame]) -> list[Matte]:
    return [matte for frame in frames for matte in session.push(frame)] + session.flush()


def error(found: Map, truth: Map) -> float:
    """Mean absolute difference in thousandths, over the whole picture."""
    return float(np.abs(found - truth).mean()) * 1000


Clip = tuple[list[Frame], list[Map]]

SCENE = Scene()
ELSEWHERE = Scene(speed=(-4, 0), wall_speed=(1, 1), start=(220, 140), seed=50)
"""Another shot: another wall, another cloth, another place."""


def clip_of(scene: Scene, count: int) -> Clip:
    return [scene.frame(index) for index in range(count)], [scene.alpha(index) for index in range(count)]


def negative(clip: Clip) -> Clip:
    """The same shot as a photographic negative: surely another one."""
    return [255 - frame for frame in clip[0]], clip[1]


def alphas_of(mattes: Sequence[Matte]) -> list[Map]:
    return [matte.alpha / np.float32(255) for matte in mattes]
