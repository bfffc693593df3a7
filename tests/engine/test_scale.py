"""Sizes: what is only judged by regions is made small quickly, and stays where it is."""

from __future__ import annotations

import numpy as np
import pytest

from apps.engine.matting.scale import frame_to, map_to, roughly
from tests.engine.drawn import Scene, texture

SIZES = [pytest.param(32, 32, id="thumb"), pytest.param(107, 80, id="odd"), pytest.param(200, 150, id="near")]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_roughly_is_close_to_the_average_of_each_area(width: int, height: int) -> None:
    picture, alpha = texture(641, 481, 1, grain=24), Scene().alpha(0)

    small, share = roughly(picture, width, height), roughly(alpha, width, height)

    assert small.shape == (height, width, 3)
    assert small.dtype == np.uint8
    assert share.dtype == np.float32
    assert np.abs(small.astype(float) - frame_to(picture, width, height)).mean() < 3
    assert np.abs(share - map_to(alpha, width, height)).mean() < 0.01


def test_roughly_leaves_alone_what_has_that_size() -> None:
    picture = texture(64, 48, 1)

    assert roughly(picture, 64, 48) is picture


def test_roughly_brings_a_flat_picture_of_any_shape_to_any_size() -> None:
    for shape in ((1, 1, 3), (7, 300, 3), (300, 7, 3), (2160, 33, 3)):
        assert np.array_equal(roughly(np.full(shape, 90, np.uint8), 32, 32), np.full((32, 32, 3), 90, np.uint8))
