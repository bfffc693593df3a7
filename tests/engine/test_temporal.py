"""Mattes over time: shots are told apart, mattes follow the motion, flicker goes and movement stays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from apps.engine.matting import models
from apps.engine.matting.base import Frame
from apps.engine.matting.motion import Motions, View
from apps.engine.matting.scale import Map
from apps.engine.matting.temporal import (
    AGREED,
    ALIKE,
    CUT_LEVEL,
    LOST,
    Cuts,
    Heard,
    Known,
    brought,
    carried,
    restored,
    steadied,
)
from tests.engine.drawn import ELSEWHERE, HEIGHT, WIDTH, Scene, error, texture

EMPTY = np.zeros((HEIGHT, WIDTH), np.float32)


def plain(value: int) -> np.ndarray:
    return np.full((64, 64, 3), value, np.uint8)


def test_cuts_sees_the_first_frame_and_each_hard_cut() -> None:
    cuts = Cuts()

    seen = [cuts.is_new_shot(plain(value)) for value in (40, 41, 43, 180, 181, 60)]

    assert seen == [True, False, False, True, False, True]


def test_cuts_takes_a_steady_fast_change_for_motion() -> None:
    """Every frame differs a lot from the one before: that is a shaken camera, not sixty shots."""
    cuts = Cuts()

    seen = [cuts.is_new_shot(plain(60 + 20 * step)) for step in range(8)]

    assert seen == [True] + [False] * 7


def dark(scene: Scene, index: int) -> Frame:
    """A third of its light: the two shots below differ by 6 steps on average."""
    return np.asarray(scene.frame(index) // 3, np.uint8)


def test_cuts_sees_a_cut_between_dark_shots() -> None:
    cuts = Cuts()
    frames = [dark(Scene(), index) for index in range(4)] + [dark(ELSEWHERE, index) for index in range(4)]

    seen = [cuts.is_new_shot(frame) for frame in frames]

    assert seen == [True, False, False, False, True, False, False, False]


def test_cuts_takes_a_clip_that_begins_in_a_fast_move_for_one_shot() -> None:
    """A shaken camera, already on its way in the first frame: much changes, but it is still the same place."""
    cuts, wall = Cuts(), texture(1200, HEIGHT, 9, grain=40)
    views = [np.ascontiguousarray(wall[:, 60 * step : 60 * step + WIDTH]) for step in range(8)]

    seen = [cuts.is_new_shot(view) for view in views]

    assert np.abs(views[0].astype(float) - views[1]).mean() > CUT_LEVEL
    assert seen == [True] + [False] * 7


def test_cuts_takes_a_fade_from_black_for_one_shot() -> None:
    cuts = Cuts()

    seen = [cuts.is_new_shot(np.asarray(Scene().frame(3) * (step / 9), np.uint8)) for step in range(10)]

    assert seen == [True] + [False] * 9


def test_cuts_sees_each_of_two_cuts_in_a_row() -> None:
    cuts = Cuts()

    seen = [cuts.is_new_shot(frame) for frame in (Scene().frame(0), 255 - ELSEWHERE.frame(0), Scene().frame(1))]

    assert seen == [True, True, True]


def test_cuts_takes_a_lamp_for_no_cut() -> None:
    cuts = Cuts()
    frames = [np.asarray(Scene().frame(index) * light, np.uint8) for index, light in enumerate((0.4, 0.4, 1, 1, 0.4))]

    assert np.abs(frames[2].astype(float) - frames[1]).mean() > CUT_LEVEL
    assert [cuts.is_new_shot(frame) for frame in frames] == [True] + [False] * 4


def carried_to(scene: Scene, index: int, before: int, after: int) -> tuple[Map, float]:
    first, here, last = (View.of(scene.frame(at)) for at in (before, index, after))
    ends = Known(first, (scene.alpha(before),)), Known(last, (scene.alpha(after),))
    alphas, doubt = carried(here, *ends, (index - before) / (after - before), Motions())
    return alphas[0], doubt


@pytest.mark.parametrize(("before", "index", "after"), [(0, 1, 2), (0, 1, 4), (0, 2, 4), (0, 4, 5)])
@pytest.mark.parametrize(
    "scene",
    [Scene(), Scene(speed=(6, 0), wall_speed=(0, 0)), Scene(speed=(0, 0), wall_speed=(3, 1))],
    ids=["both move", "the subject moves", "the wall moves"],
)
def test_a_carried_matte_follows_the_motion(scene: Scene, before: int, index: int, after: int) -> None:
    alpha, doubt = carried_to(scene, index, before, after)

    assert error(alpha, scene.alpha(index)) < 1.2
    assert doubt < models.FINE_PACE.doubt


def test_a_carried_matte_is_far_better_than_one_held() -> None:
    scene = Scene(speed=(6, 2))

    alpha, _ = carried_to(scene, 2, 0, 4)

    held = min(error(scene.alpha(at), scene.alpha(2)) for at in (0, 4))
    assert error(alpha, scene.alpha(2)) < held / 10


def test_all_alphas_are_carried_each_at_its_own_size() -> None:
    scene = Scene()
    first, here, last = (View.of(scene.frame(at)) for at in (0, 1, 2))
    small = np.ones((50, 70), np.float32)

    alphas, _ = carried(
        here, Known(first, (scene.alpha(0), 0 * small)), Known(last, (scene.alpha(2), small)), 0.5, Motions()
    )

    assert [alpha.shape for alpha in alphas] == [(HEIGHT, WIDTH), (50, 70)]
    assert error(alphas[0], scene.alpha(1)) < 1.2
    assert 0.4 < alphas[1].mean() < 0.6


def test_the_nearer_neighbour_counts_more_where_both_are_trusted() -> None:
    still = View.of(texture(WIDTH, HEIGHT, 1))
    zero, one = EMPTY + 0.5, EMPTY + 1

    alphas, _ = carried(still, Known(still, (zero,)), Known(still, (one,)), 0.25, Motions())

    assert alphas[0].mean() == pytest.approx(0.625, abs=1e-3)


def test_a_neighbour_that_shows_something_else_does_not_count() -> None:
    here, stranger = View.of(texture(WIDTH, HEIGHT, 1)), View.of(texture(WIDTH, HEIGHT, 2))
    right, wrong = Known(here, (EMPTY + 0.4,)), Known(stranger, (EMPTY + 1,))

    found = [carried(here, *ends, 0.5, Motions())[0][0] for ends in ((right, wrong), (wrong, right))]

    assert max(abs(float(alpha.mean()) - 0.4) for alpha in found) < 0.03


def test_a_subject_that_only_one_side_knows_is_doubtful() -> None:
    """It comes or goes just here; half of it would be wrong either way."""
    view = View.of(texture(WIDTH, HEIGHT, 1))
    subject = Scene().alpha(0)

    doubts = [
        carried(view, Known(view, (one,)), Known(view, (other,)), 0.5, Motions())[1]
        for one, other in ((subject, EMPTY), (EMPTY, subject), (EMPTY, EMPTY), (subject, subject))
    ]

    assert min(doubts[:2]) > models.LIGHT_PACE.doubt
    assert doubts[2:] == [0, 0]


def test_something_new_in_an_empty_picture_is_doubtful() -> None:
    wall, filled = texture(WIDTH, HEIGHT, 1), Scene(seed=1).frame(0)

    _, doubt = carried(View.of(filled), Known(View.of(wall), (EMPTY,)), Known(View.of(wall), (EMPTY,)), 0.5, Motions())

    assert doubt > models.LIGHT_PACE.doubt


def test_a_part_that_jumped_is_doubtful() -> None:
    """Both sides show the disc, but elsewhere, and the frame resembles neither."""
    ends = [Scene(start=(at, 110)) for at in (80, 240)]
    views = [View.of(scene.frame(0)) for scene in ends]

    _, doubt = carried(
        View.of(Scene(start=(160, 110), seed=9).frame(0)),
        Known(views[0], (ends[0].alpha(0),)),
        Known(views[1], (ends[1].alpha(0),)),
        0.5,
        Motions(),
    )

    assert doubt > models.LIGHT_PACE.doubt


def rings_of(scene: Scene, alphas: Sequence[Map], at: int, *, reach: int = 2) -> list[list[Heard]]:
    views, motions = [View.of(scene.frame(index)) for index in range(len(alphas))], Motions()
    return [
        [
            brought(motions.between(views[at], views[other]), alphas[other])
            for other in (at - near, at + near)
            if 0 <= other < len(alphas)
        ]
        for near in range(1, reach + 1)
    ]


@pytest.mark.parametrize("scene", [Scene(speed=(0, 0), wall_speed=(0, 0)), Scene()], ids=["still", "moving"])
@pytest.mark.parametrize("size", [0.75 * ALIKE, 2 * AGREED], ids=["faint", "strong"])
def test_flicker_is_damped(scene: Scene, size: float) -> None:
    """One frame of five has a patch wrong, on the disc and moving with it."""
    truth = [scene.alpha(index) for index in range(5)]
    seen = [alpha.copy() for alpha in truth]
    patch = (seen[2] == 1) & (np.arange(WIDTH) < 118)
    seen[2][patch] -= size

    steady = steadied(seen[2], rings_of(scene, seen, 2))

    assert error(steady, truth[2]) < 0.4 * error(seen[2], truth[2])


def test_flicker_back_and_forth_is_damped() -> None:
    """Every second frame: the nearest neighbours are both wrong the other way, the next ones are not."""
    scene = Scene()
    seen = [scene.alpha(index) * np.float32(1 - 0.2 * (index % 2)) for index in range(9)]

    steady = [steadied(seen[at], rings_of(scene, seen, at, reach=3)) for at in (3, 4, 5)]

    inside = scene.alpha(4) == 1
    before = np.abs(seen[4] - seen[3])[inside].mean()
    assert np.abs(steady[1] - steady[0])[(scene.alpha(3) == 1) & inside].mean() < 0.4 * before


@pytest.mark.parametrize("speed", [(2, 0), (6, 2), (10, 0)])
def test_a_moving_edge_neither_lags_nor_blurs(speed: tuple[int, int]) -> None:
    scene = Scene(speed=speed)
    truth = [scene.alpha(index) for index in range(5)]

    steady = steadied(truth[2], rings_of(scene, truth, 2))

    found = error(steady, truth[2])
    assert found < error(truth[1], truth[2]) / 10
    assert found < error(steady, truth[1]) / 5
    assert found < error(steady, truth[3]) / 5


def test_a_movement_that_neighbours_do_not_share_is_let_through() -> None:
    """A wave seen from the side it comes from only: the neighbours before are trusted, and still not heard."""
    alpha, past = EMPTY.copy(), EMPTY + 1

    steady = steadied(alpha, [[(past, EMPTY + 1)], [(past, EMPTY + 1)]])

    assert steady.max() < 0.02


def test_a_neighbour_that_is_not_trusted_is_not_heard() -> None:
    alpha = EMPTY + 0.5

    steady = steadied(alpha, [[(EMPTY + 0.6, EMPTY), (EMPTY + 0.6, EMPTY)]])

    assert np.array_equal(steady, alpha)


def test_two_neighbours_agree_only_where_both_know() -> None:
    """A subject that came in fast: what lies where it is now may be known before it came, and not after."""
    here, none = EMPTY + 1, EMPTY

    ghost = steadied(here, [[(none, EMPTY + 1), (none, EMPTY)]])
    flicker = steadied(here, [[(none, EMPTY + 1), (none, EMPTY + 1)]])

    assert ghost.min() > 0.95
    assert flicker.max() < 0.4


def lost_part(share: float) -> tuple[Map, Map]:
    """A whole subject, and the same without a square of this share of the picture."""
    whole = EMPTY.copy()
    whole[40:200, 60:260] = 1
    side = round((share * whole.size) ** 0.5)
    torn = whole.copy()
    torn[60 : 60 + side, 80 : 80 + side] = 0
    return whole, torn


def sides(*alphas: Map, trust: float = 1.0) -> list[list[Heard]]:
    """The nearest and the next, before and after."""
    heard = [(alpha, EMPTY + np.float32(trust)) for alpha in alphas]
    return [heard[:2], heard[2:]]


def test_a_part_lost_for_one_frame_is_put_back() -> None:
    whole, torn = lost_part(10 * LOST)

    assert error(restored(torn, sides(whole, whole, whole, whole)), whole) < 0.5


def test_one_side_is_enough_to_put_a_part_back() -> None:
    whole, torn = lost_part(10 * LOST)

    for side in ((whole, whole, torn, torn), (torn, torn, whole, whole)):
        assert error(restored(torn, sides(*side)), whole) < 0.5


def test_a_part_that_is_known_from_one_neighbour_only_is_not_put_back() -> None:
    """A network may as well have invented it there."""
    whole, torn = lost_part(10 * LOST)

    assert np.array_equal(restored(torn, sides(whole, torn, torn, whole)), torn)
    assert np.array_equal(restored(torn, [[(whole, EMPTY + 1)], []]), torn)
    assert np.array_equal(restored(torn, [[], []]), torn)


def test_a_part_that_the_picture_does_not_show_is_not_put_back() -> None:
    """It left: motion finds nothing here that looks like it."""
    whole, torn = lost_part(10 * LOST)

    assert np.array_equal(restored(torn, sides(whole, whole, whole, whole, trust=0.1)), torn)


def test_a_disc_that_left_the_picture_is_not_put_back() -> None:
    scene, motions = Scene(speed=(0, 0), wall_speed=(0, 0)), Motions()
    wall = Scene(speed=(0, 0), wall_speed=(0, 0), start=(-200, -200))
    gone, there = View.of(wall.frame(0)), View.of(scene.frame(0))
    heard = brought(motions.between(gone, there), scene.alpha(0))

    whole = restored(EMPTY, [[heard, heard], []])

    assert not whole.any()


def test_a_small_island_is_not_put_back() -> None:
    whole, torn = lost_part(LOST / 2)

    assert np.array_equal(restored(torn, sides(whole, whole, whole, whole)), torn)


def test_what_is_put_back_does_not_spread() -> None:
    """An island elsewhere stays as small as it is; so does everything far from the lost part."""
    whole, torn = lost_part(10 * LOST)
    with_island = whole.copy()
    with_island[220:224, 300:304] = 1

    found = restored(torn, sides(with_island, with_island, whole, whole))

    assert not found[210:, :].any()
    assert error(found, whole) < 0.5
