"""Flashes and cuts: what comes back after a few frames never ended, and what does not, did."""

from __future__ import annotations

import numpy as np
import pytest

from apps.engine.matting.base import Frame
from apps.engine.matting.shots import FLASH, Shots
from tests.engine.drawn import ELSEWHERE, SCENE, FakeLook, alphas_of, clip_of, error, mattes_of, negative
from tests.engine.test_sessions import session_of

WHITE = np.full_like(SCENE.frame(0), 255)
BLACK = np.zeros_like(WHITE)


def bright(frame: Frame) -> Frame:
    """As a camera's flash leaves it: half of it is nothing but white."""
    return np.asarray(np.minimum(255, frame.astype(int) * 3), np.uint8)


def told(frames: list[Frame]) -> str:
    """C for the first frame of a shot, f for one in a flash; none may be lost or change its place."""
    shots = Shots()
    seen = [one for frame in frames for one in shots.push(frame)] + shots.flush()
    assert all(one.frame is frame for one, frame in zip(seen, frames, strict=True))
    return "".join("C" if one.is_new_shot else "f" if one.is_flash else "." for one in seen)


@pytest.mark.parametrize("count", range(1, FLASH + 1))
@pytest.mark.parametrize("kind", ["bright", "white", "black"])
def test_a_flash_is_no_cut(kind: str, count: int) -> None:
    frames = clip_of(SCENE, 4 + count + 4)[0]
    lit = {"bright": bright, "white": lambda frame: WHITE, "black": lambda frame: BLACK}[kind]
    frames[4 : 4 + count] = [lit(frame) for frame in frames[4 : 4 + count]]

    assert told(frames) == "C..." + count * "f" + "...."


def test_a_longer_one_is_a_shot_of_its_own() -> None:
    frames = clip_of(SCENE, 8)[0]

    assert told([*frames[:4], *[WHITE] * (FLASH + 1), *frames[4:]]) == "C...C...C..."


def test_a_cut_is_a_cut_at_once() -> None:
    elsewhere = negative(clip_of(ELSEWHERE, 3))[0]
    shots = Shots()
    for frame in clip_of(SCENE, 3)[0]:
        shots.push(frame)

    assert [one.is_new_shot for one in shots.push(elsewhere[0])] == [True]


@pytest.mark.parametrize("count", range(1, FLASH + 1))
def test_a_glimpse_of_another_place_is_two_cuts(count: int) -> None:
    frames, other = clip_of(SCENE, 6)[0], negative(clip_of(ELSEWHERE, count))[0]

    assert told([*frames[:3], *other, *frames[3:]]) == "C..C" + "." * (count - 1) + "C.."


def test_a_cut_through_white_is_a_cut() -> None:
    first, second = clip_of(SCENE, 3)[0], negative(clip_of(ELSEWHERE, 4))[0]

    assert told([*first, WHITE, *second]) == "C..CC..."


def test_a_clip_that_ends_in_a_flash_keeps_all_its_frames() -> None:
    assert told([*clip_of(SCENE, 3)[0], WHITE, WHITE]) == "C..C."


@pytest.mark.parametrize("count", range(1, FLASH + 1))
@pytest.mark.parametrize("blank", [WHITE, BLACK], ids=["white", "black"])
def test_what_is_seen_for_a_moment_is_no_flash_of_nothing(blank: Frame, count: int) -> None:
    """By lightning, or under a strobe: somebody is there to be looked at, and the dark has nothing to lend."""
    frames = clip_of(SCENE, count)[0]

    assert told([blank, blank, *frames, blank, blank]) == "C.C" + "." * (count - 1) + "C."


def test_a_strobe_that_begins_in_the_dark_shows_its_subject() -> None:
    frames = clip_of(SCENE, 3)[0]

    assert told([BLACK, frames[0], BLACK, frames[1], BLACK, frames[2]]) == "CCf.f."


@pytest.mark.parametrize("gap", [1, 4])
@pytest.mark.parametrize("count", [1, 3])
def test_the_subject_stays_where_it_is_in_a_flash(gap: int, count: int) -> None:
    frames, truth = clip_of(SCENE, 14)
    look = FakeLook(list(frames), truth)
    blinded = [WHITE if 6 <= index < 6 + count else frame for index, frame in enumerate(frames)]

    mattes = mattes_of(session_of(look, gap=gap, reach=3), blinded)

    assert not {*range(6, 6 + count)} & {*look.looked_at}
    assert not any(matte.inferred for matte in mattes[6 : 6 + count])
    for alpha, true in zip(alphas_of(mattes), truth, strict=True):
        assert error(alpha, true) < 4
