"""Foreground colour: the subject without the light of its old background, on scenes whose answer is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from apps.engine import compose
from apps.engine.matting import foreground, refine

SUBJECT, WALL = (200, 60, 50), (30, 90, 210)


def disc(width: int = 320, height: int = 240, soft: float = 5) -> np.ndarray:
    alpha = np.zeros((height, width), np.uint8)
    cv2.circle(alpha, (width // 2, height // 2), height // 3, 255, -1)
    return cv2.GaussianBlur(alpha, (0, 0), soft)


def hair(width: int = 320, height: int = 240) -> np.ndarray:
    """A disc with strands thinner than any spreading."""
    alpha = disc(width, height, 2)
    centre = np.array((width // 2, height // 2))
    for angle in np.linspace(0, 2 * np.pi, 90, endpoint=False):
        way = np.array((np.cos(angle), np.sin(angle)))
        ends = [tuple(int(one) for one in centre + way * height * reach) for reach in (0.3, 0.46)]
        cv2.line(alpha, ends[0], ends[1], 255, 1, cv2.LINE_AA)
    return alpha


def glass(width: int = 320, height: int = 240) -> np.ndarray:
    """Half-transparent all over, with an opaque rim."""
    alpha = np.zeros((height, width), np.uint8)
    unit = height // 60
    cv2.rectangle(alpha, (25 * unit, 10 * unit), (55 * unit, 50 * unit), 255, -1)
    cv2.rectangle(alpha, (28 * unit, 13 * unit), (52 * unit, 47 * unit), 120, -1)
    return cv2.GaussianBlur(alpha, (0, 0), 1)


def patterned(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A subject that changes colour slowly, before a background of stripes."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    ours = np.dstack([120 + 90 * np.sin(x / 40), 90 + 60 * np.cos(y / 50), 60 + 0 * x])
    theirs = np.dstack([40 + 30 * np.sin(y / 15), 120 + 80 * np.sin(x / 12), 190 + 40 * np.cos((x + y) / 20)])
    return ours, theirs


def laid(alpha: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    part = alpha[..., None] / 255
    return np.rint(part * ours + (1 - part) * theirs).astype(np.uint8)


def flat(alpha: np.ndarray) -> np.ndarray:
    return laid(alpha, np.array(SUBJECT), np.array(WALL))


def squared_error(found: np.ndarray, truth: np.ndarray, at: np.ndarray) -> float:
    return float(((found.astype(float) - truth)[at] ** 2).mean())


@pytest.mark.parametrize(("draw", "share"), [(disc, 0.05), (hair, 0.01), (glass, 0.15)])
def test_estimate_leaves_little_of_the_old_background_on_soft_edges(draw, share):
    alpha = draw()
    ours, theirs = patterned(alpha.shape)
    frame = laid(alpha, ours, theirs)
    soft = (alpha > 0) & (alpha < 255)

    found = foreground.estimate(frame, alpha)

    assert found is not None
    assert squared_error(found, ours, soft) < share * squared_error(frame, ours, soft)


def test_estimate_keeps_detail_finer_than_the_size_at_which_colours_are_spread():
    alpha = glass(960, 720)
    ours, theirs = patterned(alpha.shape)
    ours[..., 2] += 100 * (np.arange(960) // 2 % 2)
    frame = laid(alpha, ours, theirs)
    soft = (alpha > 100) & (alpha < 255)

    found = foreground.estimate(frame, alpha)

    assert found is not None
    assert squared_error(found, ours, soft) < 0.55 * squared_error(frame, ours, soft)


@pytest.mark.parametrize(("size", "multiple"), [((641, 363), 2), ((1283, 721), 4)])
def test_an_odd_size_is_solved_as_if_its_last_row_and_column_were_repeated(size, multiple):
    """Averaging to half an odd size would stretch the picture, and colours would miss their edges."""
    width, height = size
    alpha = hair(width, height)
    frame = laid(alpha, *patterned(alpha.shape))
    below, right = -height % multiple, -width % multiple
    larger = [cv2.copyMakeBorder(one, 0, below, 0, right, cv2.BORDER_REPLICATE) for one in (frame, alpha)]

    found, expected = foreground.estimate(frame, alpha), foreground.estimate(*larger)

    assert found is not None
    assert expected is not None
    assert np.array_equal(found, expected[:height, :width])


def test_estimate_leaves_the_inside_alone_and_shows_no_wall_outside():
    alpha = disc()
    frame = flat(alpha)
    marked = frame.copy()
    marked[115:125, 150:170:2] = 0

    found, inside = foreground.estimate(frame, alpha), foreground.estimate(marked, alpha)

    assert found is not None
    assert inside is not None
    assert np.array_equal(inside[alpha == 255], marked[alpha == 255])
    assert np.abs(found[alpha == 0].astype(float) - SUBJECT).max() < 40


def test_estimate_does_not_touch_its_input():
    alpha = disc()
    frame = flat(alpha)
    kept = frame.copy(), alpha.copy()

    foreground.estimate(frame, alpha)

    assert np.array_equal(frame, kept[0])
    assert np.array_equal(alpha, kept[1])


def test_estimate_of_nothing_and_of_everything_is_the_frame_itself():
    frame = np.full((24, 32, 3), 90, np.uint8)

    assert foreground.estimate(frame, np.zeros((24, 32), np.uint8)) is None
    assert foreground.estimate(frame, np.full((24, 32), 255, np.uint8)) is None


def test_a_hard_matte_gets_the_subjects_colour_outside():
    alpha = np.where(disc() > 127, np.uint8(255), np.uint8(0))
    frame = flat(alpha)

    found = foreground.estimate(frame, alpha)

    assert found is not None
    assert np.array_equal(found[alpha == 255], frame[alpha == 255])
    assert np.abs(found[alpha == 0].astype(float) - SUBJECT).max() < 40


def test_colours_keep_still_when_only_noise_changes():
    alpha = hair()
    ours, theirs = patterned(alpha.shape)
    frame = laid(alpha, ours, theirs).astype(float)
    soft = (alpha > 0) & (alpha < 255)
    rng = np.random.default_rng(4)
    noisy = [np.clip(frame + rng.normal(0, 4, frame.shape), 0, 255).astype(np.uint8) for _ in range(2)]

    first, second = (foreground.estimate(one, alpha) for one in noisy)

    assert first is not None
    assert second is not None
    assert squared_error(first, second, soft) < 1.2 * squared_error(noisy[0], noisy[1], soft)


def test_blend_takes_a_painted_foreground_on_edges_only():
    alpha = disc()
    frame = flat(alpha)
    painted = np.full((60, 80, 3), 255, np.uint8)

    found, alone = foreground.blend(frame, alpha, painted), foreground.estimate(frame, alpha)

    assert found is not None
    assert alone is not None
    soft = (alpha > 0) & (alpha < 255)
    expected = (1 - foreground.PAINTED) * alone[soft] + foreground.PAINTED * 255
    assert np.abs(found[soft] - expected).max() <= 1
    assert np.array_equal(found[~soft], alone[~soft])


def test_blend_of_nothing_and_of_everything_is_the_frame_itself():
    frame = np.full((24, 32, 3), 90, np.uint8)

    assert foreground.blend(frame, np.zeros((24, 32), np.uint8), frame) is None
    assert foreground.blend(frame, np.full((24, 32), 255, np.uint8), frame) is None


def alphas() -> dict[str, np.ndarray]:
    speck = np.zeros((240, 320), np.uint8)
    speck[100, 200] = 9
    faint = np.where(disc() > 100, np.uint8(5), np.uint8(0))
    return {"disc": disc(), "hair": hair(), "empty": 0 * disc(), "speck": speck, "faint": faint}


@pytest.mark.parametrize("shape", ["disc", "hair", "empty", "speck", "faint"])
@pytest.mark.parametrize("how", ["finished", "with_foreground"])
def test_hidden_colours_tell_nothing_of_the_background(shape, how):
    """The background is loud noise; a network paints all of it; what alpha hides must not follow it."""
    alpha = alphas()[shape]
    secret = np.random.default_rng(5).integers(0, 256, (*alpha.shape, 3), np.uint8)
    frame = laid(alpha, np.array(SUBJECT), secret)
    part = alpha.astype(np.float32) / 255
    matte = (
        refine.finished(frame, part)
        if how == "finished"
        else refine.with_foreground(frame, part, frame.astype(np.float32) / 255)
    )

    snapped = compose.snap(matte.alpha)
    delivered = compose.fill_hidden(frame if matte.foreground is None else matte.foreground, snapped)

    for found, hidden in ((matte.foreground, alpha == 0), (delivered, snapped == 0)):
        if found is None:
            continue
        seen, said = secret[hidden].astype(float), found[hidden].astype(float)
        assert abs(((seen - seen.mean(0)) * (said - said.mean(0))).mean()) < 0.01 * seen.std() ** 2


def test_finished_brings_a_small_alpha_to_the_frames_size():
    frame = np.full((90, 160, 3), 90, np.uint8)
    alpha = np.zeros((32, 32), np.float32)
    alpha[:, 16:] = 1

    matte = refine.finished(frame, alpha)

    assert matte.alpha.shape == (90, 160)
    assert int(matte.alpha[:, :76].max()) == 0
    assert int(matte.alpha[:, 84:].min()) == 255


def test_eight_bits_round_to_nearest_and_stay_in_range():
    values = np.array([[-0.5, 0.0, 0.4981, 1.0, 1.5]], np.float32)

    assert refine.eight_bit(values).tolist() == [[0, 0, 127, 255, 255]]
