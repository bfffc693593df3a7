"""The light of a green or blue wall: taken off the rim, and only where there is such a wall."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from apps.engine.matting.despill import Despill

SKIN, SHIRT = np.array((190, 140, 120)), np.array((50, 150, 70))
WALLS = {"green": (40, 180, 60), "dark green": (25, 95, 40), "blue": (30, 70, 190), "pale blue": (75, 105, 200)}
WIDTH, HEIGHT = 320, 240


def person() -> np.ndarray:
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(alpha, (160, 80), 45, 255, -1)
    cv2.ellipse(alpha, (160, 240), (90, 110), 0, 0, 360, 255, -1)
    return cv2.GaussianBlur(alpha, (0, 0), 1.5)


def wall(colour: tuple[int, int, int]) -> np.ndarray:
    """Unevenly lit, with noise."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    light = 0.75 + 0.4 * np.exp(-(((x - 120) / 200) ** 2 + ((y - 60) / 150) ** 2))
    noise = np.random.default_rng(6).normal(0, 3, (HEIGHT, WIDTH, 3))
    return np.clip(light[..., None] * np.array(colour) + noise, 0, 255)


def lit(colour: np.ndarray, alpha: np.ndarray, by: tuple[int, int, int]) -> np.ndarray:
    """The subject with the wall's light on the eight pixels next to it."""
    near = np.clip(2 - 2 * cv2.blur(alpha.astype(np.float32) / 255, (17, 17)), 0, 1)[..., None]
    return np.clip(colour + 0.5 * near * np.array(by), 0, 255)


def laid(alpha: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    part = alpha[..., None] / 255
    return np.rint(part * ours + (1 - part) * theirs).astype(np.uint8)


def lead(picture: np.ndarray, channel: int) -> np.ndarray:
    values = picture.astype(float)
    return values[..., channel] - np.delete(values, channel, axis=2).max(2)


@pytest.mark.parametrize("name", list(WALLS))
def test_the_walls_light_leaves_the_rim(name):
    colour, alpha = WALLS[name], person()
    spilled = lit(SKIN, alpha, colour)
    frame, colours = laid(alpha, spilled, wall(colour)), np.rint(spilled).astype(np.uint8)
    rim = (alpha > 8) & (cv2.erode(alpha, np.ones((5, 5))) < 255)
    channel = int(np.argmax(colour))

    found = Despill().step(frame, alpha, colours)

    assert np.maximum(lead(found, channel), 0)[rim].mean() <= 0.1 * np.maximum(lead(colours, channel), 0)[rim].mean()
    assert ((found - SKIN)[rim] ** 2).mean() <= ((colours - SKIN)[rim] ** 2).mean()
    assert np.array_equal(found[..., :channel], colours[..., :channel])


def test_a_green_shirt_before_a_green_wall_stays_green():
    alpha = person()
    shirt = np.broadcast_to(SHIRT, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    frame = laid(alpha, shirt, wall(WALLS["green"]))

    found = Despill().step(frame, alpha, shirt)

    assert found is not shirt
    assert np.abs(found.astype(int) - shirt)[alpha > 0].max() <= 2


def test_nothing_changes_deep_inside_the_subject():
    """Green threads finer than the picture in which colours are looked up."""
    alpha = person()
    cloth = np.full((HEIGHT, WIDTH, 3), (120, 110, 100), np.uint8)
    cloth[:, ::4] = SHIRT
    frame = laid(alpha, cloth, wall(WALLS["green"]))
    deep = cv2.erode(alpha, np.ones((25, 25))) == 255

    found = Despill().step(frame, alpha, cloth)

    assert found is not cloth
    assert np.array_equal(found[deep], cloth[deep])


def scenes() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    leaves = np.repeat(np.repeat(rng.integers(0, 2, (20, 27, 1)), 12, 0), 12, 1)[:HEIGHT, :WIDTH]
    return {
        "grey": wall((120, 120, 125)),
        "red": wall((190, 50, 40)),
        "sky": wall((150, 190, 235)),
        "deep sky": wall((60, 125, 215)),
        "leaves": leaves * np.array((60, 150, 40)) + (1 - leaves) * np.array((40, 120, 75)),
        "half a wall": np.where(np.arange(WIDTH)[:, None] < 160, wall(WALLS["green"]), wall((120, 120, 125))),
    }


@pytest.mark.parametrize("name", ["grey", "red", "sky", "deep sky", "leaves", "half a wall"])
def test_where_there_is_no_such_wall_the_foreground_is_the_same_object(name):
    alpha = person()
    frame = laid(alpha, SKIN, scenes()[name])

    assert Despill().step(frame, alpha, frame) is frame


def test_nothing_is_judged_without_a_subject_or_without_a_background():
    green = wall(WALLS["green"]).astype(np.uint8)

    assert Despill().step(green, np.zeros((HEIGHT, WIDTH), np.uint8), green) is green
    assert Despill().step(green, np.full((HEIGHT, WIDTH), 255, np.uint8), green) is green


def test_strength_is_how_much_is_taken():
    colour, alpha = WALLS["green"], person()
    spilled = lit(SKIN, alpha, colour)
    frame, colours = laid(alpha, spilled, wall(colour)), np.rint(spilled).astype(np.uint8)
    taken = [(colours.astype(int) - Despill(one).step(frame, alpha, colours))[..., 1].sum() for one in (0, 0.5, 1)]

    assert taken[0] == 0
    assert taken[2] > 0
    assert taken[1] == pytest.approx(taken[2] / 2, rel=0.1)


def half_covered(share: float) -> np.ndarray:
    """Green wall, of which `share` of the columns are covered by something grey."""
    covered = (np.arange(WIDTH) % 80 < 80 * share)[:, None]
    return np.where(covered, wall((120, 120, 125)), wall(WALLS["green"]))


def test_a_wall_that_is_partly_covered_for_a_while_does_not_switch_it_on_and_off():
    alpha, despill = person(), Despill()
    clear, covered = (laid(alpha, SKIN, half_covered(share)) for share in (0.0, 0.25))

    unsure_first = Despill().step(covered, alpha, covered) is not covered
    over_time = [despill.step(one, alpha, one) is not one for one in (clear, covered, clear, covered)]

    assert not unsure_first
    assert over_time == [True] * 4


def test_a_new_shot_is_judged_anew():
    alpha, despill = person(), Despill()
    clear, covered = laid(alpha, SKIN, half_covered(0.0)), laid(alpha, SKIN / 12, half_covered(0.25))

    despill.step(clear, alpha, clear)

    assert despill.step(covered, alpha, covered) is covered
