"""What lossy formats keep of a picture's colours."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from apps.engine.encode import WRITERS, Cutout, Spec
from apps.engine.readback import read_back


@pytest.mark.parametrize("name", ["webm", "mov", "mp4", "stacked_mp4", "webp"])
def test_colours_of_a_grainy_clip_come_back_above_38_decibels(tmp_path, name):
    chance, (height, width) = np.random.default_rng(2), (120, 160)
    cloth = cv2.GaussianBlur(chance.integers(0, 256, (height, width, 3), np.uint8), (0, 0), 3)
    solid = np.full((height, width), 255, np.uint8)
    writer = WRITERS[name](
        tmp_path / "out", Spec(width, height, Fraction(25), Fraction(1, 1000), opaque=True, threads=1)
    )  # fmt: skip
    frames = []
    for index in range(4):
        # As fine as a camera's that was stored in 4:2:0.
        grain = cv2.GaussianBlur(chance.normal(0, 13.5, cloth.shape), (0, 0), 1.2)
        frames.append(np.clip(np.roll(cloth, 2 * index, axis=1) + grain, 0, 255).astype(np.uint8))
        writer.write(Cutout(index, Fraction(index, 25), Fraction(index + 1, 25), frames[-1], solid))
    writer.close()

    shown = [frame.rgb.astype(float) for frame in read_back(tmp_path / "out", name, opaque=True)]

    error = np.mean([(back - frame) ** 2 for back, frame in zip(shown, frames, strict=True)])
    assert 10 * np.log10(255**2 / error) >= 38
