"""Steadiness: averaging where nothing moves, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from apps.engine.matting.temporal import Cuts, Steady, between


def plain(value: int) -> np.ndarray:
    return np.full((64, 64, 3), value, np.uint8)


def noisy(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def test_cuts_sees_the_first_frame_and_each_hard_cut() -> None:
    cuts = Cuts()

    seen = [cuts.is_new_shot(plain(value)) for value in (40, 41, 43, 180, 181, 60)]

    assert seen == [True, False, False, True, False, True]


def test_cuts_takes_a_steady_fast_change_for_motion() -> None:
    """Every frame differs a lot from the one before: that is a shaken camera, not sixty shots."""
    cuts = Cuts()

    seen = [cuts.is_new_shot(plain(60 + 20 * step)) for step in range(8)]

    assert seen == [True] + [False] * 7


def test_steady_damps_flicker_where_the_picture_stands_still() -> None:
    steady, frame = Steady(), noisy(1)
    values = [0.5, 0.7, 0.5, 0.7, 0.5, 0.7]

    seen = [float(steady.step(np.full((64, 64), value, np.float32), frame).mean()) for value in values]

    assert np.ptp(seen[2:]) < 0.12


def test_steady_lets_motion_through_at_once() -> None:
    steady = Steady()
    steady.step(np.ones((64, 64), np.float32), plain(40))

    after = steady.step(np.full((64, 64), 0.25, np.float32), plain(120))

    assert after.max() == pytest.approx(0.25, abs=1e-3)


def test_steady_keeps_an_empty_frame_empty_and_forgets() -> None:
    steady, frame = Steady(), plain(40)
    steady.step(np.ones((64, 64), np.float32), frame)

    assert float(steady.step(np.zeros((64, 64), np.float32), frame).max()) == 0.0
    assert float(steady.step(np.full((64, 64), 0.8, np.float32), frame).min()) == pytest.approx(0.8)


def test_between_takes_each_pixel_from_the_neighbour_that_has_its_colour() -> None:
    """A white square moves 4 pixels a frame before black; the middle frame's matte follows it."""

    def square(left: int) -> tuple[np.ndarray, np.ndarray]:
        alpha = np.zeros((64, 64), np.float32)
        alpha[20:40, left : left + 24] = 1
        return alpha, np.repeat((alpha * 255).astype(np.uint8)[..., None], 3, 2)

    before, here, after = square(4), square(8), square(12)

    alpha, doubt = between(before, here[1], after)

    assert np.abs(alpha - here[0]).mean() < 0.01
    assert doubt == 0.0


def test_between_doubts_what_neither_neighbour_has_seen() -> None:
    alpha = np.zeros((64, 64), np.float32)
    alpha[20:40, 20:40] = 1
    empty = np.zeros((64, 64), np.float32)

    _, doubt = between((alpha, plain(10)), plain(120), (empty, plain(240)))

    assert doubt == 1.0
