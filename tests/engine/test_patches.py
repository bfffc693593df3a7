"""Half-transparent patches: the stain in a coat, the smear beside it, and edges that stay as soft as they are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from apps.engine.matting.base import Frame
from apps.engine.matting.palette import ENOUGH, Palette
from apps.engine.matting.patches import SIDE, Patches
from apps.engine.matting.scale import Map
from tests.engine.drawn import CLOTH, WALL, blank, cloth_before_wall, texture

BODY = (slice(60, 220), slice(100, 220))
STAIN = (slice(110, 170), slice(120, 170))
BESIDE = (slice(100, 160), slice(230, 280))


def drawn(*body: tuple[slice, slice]) -> tuple[Frame, Map]:
    """Cloth before a wall, and its alpha."""
    truth = blank()
    for part in body or (BODY,):
        truth[part] = 1
    return cloth_before_wall(truth), truth


def inner(region: tuple[slice, slice]) -> tuple[slice, slice]:
    """Without the rim, where a patch passes into what is left as it is."""
    rows, columns = region
    return slice(rows.start + 8, rows.stop - 8), slice(columns.start + 8, columns.stop - 8)


@pytest.mark.parametrize("left", [0.3, 0.5, 0.8])
def test_a_stain_in_the_subject_is_filled(left: float) -> None:
    frame, truth = drawn()
    alpha = truth.copy()
    alpha[STAIN] = left

    decided = Patches().decide(frame, alpha)

    assert decided[inner(STAIN)].min() > 0.97
    assert np.abs(decided - truth).mean() < 0.01


@pytest.mark.parametrize("left", [0.2, 0.3])
def test_a_smear_of_the_wall_goes(left: float) -> None:
    frame, truth = drawn()
    alpha = truth.copy()
    alpha[BESIDE] = left

    decided = Patches().decide(frame, alpha)

    assert decided[inner(BESIDE)].max() < 0.03
    assert np.abs(decided - truth).mean() < 0.01


@pytest.mark.parametrize(("left", "where"), [(0.1, STAIN), (0.6, BESIDE)], ids=["a ghost", "hair before a lamp"])
def test_colours_alone_do_not_turn_a_patch_into_its_opposite(left: float, where: tuple[slice, slice]) -> None:
    """One has the subject's colours and is hardly there, one has the wall's and is mostly there."""
    frame, truth = drawn()
    alpha = truth.copy()
    alpha[where] = left
    patches = Patches()
    patches.decide(frame, truth)

    assert patches.decide(frame, alpha)[inner(where)] == pytest.approx(left, abs=0.05)


def test_a_patch_that_its_colours_say_nothing_about_stays() -> None:
    """Glass: what is seen through it is neither the subject's nor the wall's."""
    frame, truth = drawn()
    frame = frame.copy()
    frame[STAIN] = texture(50, 60, 3, shades=((10, 80, 10), (30, 140, 40)))
    alpha = truth.copy()
    alpha[STAIN] = 0.5

    assert Patches().decide(frame, alpha)[inner(STAIN)] == pytest.approx(0.5, abs=0.05)


def test_edges_stay_soft() -> None:
    frame, truth = drawn()
    soft = np.asarray(cv2.blur(truth, (5, 5)), np.float32)

    assert np.array_equal(Patches().decide(frame, soft), soft)


def test_a_stain_over_all_that_is_left_is_filled_with_the_colours_of_earlier_frames() -> None:
    frame, truth = drawn()
    stained = truth * np.float32(0.5)
    patches = Patches()
    patches.decide(frame, truth)

    assert patches.decide(frame, stained)[inner(BODY)].min() > 0.9
    assert np.array_equal(Patches().decide(frame, stained), stained)


def test_nothing_stays_nothing() -> None:
    assert not Patches().decide(drawn()[0], blank()).any()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (16, 16), (1024, 64), (64, 2048), (900, 700)])
def test_any_size_can_be_decided(width: int, height: int) -> None:
    soft = cv2.GaussianBlur(np.random.default_rng(1).random((height, width), np.float32), (0, 0), 40)
    alpha = np.clip(cv2.normalize(soft, None, 0, 1, cv2.NORM_MINMAX), 0, 1).astype(np.float32)

    picture = np.where(
        alpha[..., None] > 0.5, texture(width, height, 1, shades=CLOTH), texture(width, height, 2, shades=WALL)
    )

    decided = Patches().decide(picture, alpha)

    assert decided.shape == (height, width)
    assert decided.dtype == np.float32
    assert decided.min() >= -1e-5
    assert decided.max() <= 1 + 1e-5
    assert min(width, height) < SIDE or (decided > alpha + 0.1).any()


def learned(*alphas: Map) -> Palette:
    palette = Palette()
    palette.learn(drawn()[0], *alphas)
    return palette


def test_palette_says_nothing_before_it_has_seen_both_sides() -> None:
    frame, truth = drawn()
    tiny = blank()
    side = int(ENOUGH**0.5) - 1
    tiny[100 : 100 + side, 100 : 100 + side] = 1

    assert not learned(truth, truth, blank()).odds(frame).any()
    assert not learned(tiny).odds(frame).any()
    assert learned(truth).odds(frame).any()


def test_palette_knows_cloth_from_wall() -> None:
    frame, truth = drawn()

    odds = learned(truth).odds(frame)

    assert odds[truth == 1].mean() > 1
    assert odds[truth == 0].mean() < -1
