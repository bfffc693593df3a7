"""Mattes that H.264 finds hardest: half transparent everywhere, and another in every frame."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from apps.engine.matting.base import Frame, Matte
from tests.clips import make_clip
from tests.engine.test_formats_contract import H264_MATTES
from tests.engine.work import KnownModel, options, run


class ShiveringModel(KnownModel):
    def push(self, frame: Frame) -> list[Matte]:
        self.count += 1
        noise = np.random.default_rng(self.count).normal(0, 1, frame.shape[:2]).astype(np.float32)
        soft = cv2.GaussianBlur(noise, (0, 0), 14)
        alpha = np.clip(128 + 40 * soft / soft.std(), 0, 255).astype(np.uint8)
        return [Matte(alpha, frame)]


@pytest.mark.parametrize("name", H264_MATTES)
def test_a_shivering_half_transparent_matte_is_delivered(tmp_path: Path, name: str) -> None:
    result = run(make_clip(tmp_path / "in.mkv"), tmp_path / "out.mp4", options(name), model=ShiveringModel())

    assert result.outputs
