"""A subject that comes or goes is on its course where a network lost it, and nothing else is taken for one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from apps.engine.matting.base import Frame
from apps.engine.matting.follow import followed
from apps.engine.matting.motion import Motions, View
from apps.engine.matting.scale import Map
from apps.engine.matting.sessions import Combine, Item, Recipe, ShotSession
from tests.engine.drawn import HEIGHT, WIDTH, FakeLook, Scene, alphas_of, blank, error, mattes_of, texture

COUNT, STRIP = 7, 3
"""Frames of a clip, and the one in which a strip of its subject is at the edge: the first one, or the last."""
ENTERS = Scene(speed=(32, 3), start=(-16, 100))
LEAVES = Scene(speed=(32, -3), start=(336, 120))


def frames_of(scene: Scene) -> list[Frame]:
    return [scene.frame(at - STRIP) for at in range(COUNT)]


def truth_of(scene: Scene) -> list[Map]:
    return [scene.alpha(at - STRIP) for at in range(COUNT)]


def items_of(scene: Scene, alphas: Sequence[Map], *, light: float = 1.0) -> list[Item]:
    return items_from([np.asarray(frame * light, np.uint8) for frame in frames_of(scene)], alphas)


def items_from(frames: Sequence[Frame], alphas: Sequence[Map]) -> list[Item]:
    return [
        Item(frame, View.of(frame), alpha=alpha, area=float((alpha > 0.5).mean()))
        for frame, alpha in zip(frames, alphas, strict=True)
    ]


def found_at(at: int, items: Sequence[Item], *, reach: int = 4) -> Map | None:
    past, future = items[max(0, at - reach) : at][::-1], items[at + 1 : at + 1 + reach]
    return followed(items[at], past, future, Motions())


def lost(truth: Sequence[Map], *places: int) -> list[Map]:
    return [blank() if at in places else alpha for at, alpha in enumerate(truth)]


@pytest.mark.parametrize("at", [STRIP, STRIP + 1])
def test_a_subject_that_is_known_late_is_there_at_once(at: int) -> None:
    truth = truth_of(ENTERS)
    assert 0 < (truth[STRIP] > 0.5).mean() < 0.03

    found = found_at(at, items_of(ENTERS, lost(truth, STRIP, STRIP + 1)))

    assert found is not None
    assert error(found, truth[at]) < 0.25 * error(blank(), truth[at])


def test_of_several_neighbours_the_one_that_explains_most_is_followed() -> None:
    """The nearest that has most of it lacks a band."""
    truth, band = truth_of(ENTERS), slice(94, 106)
    seen = lost(truth, STRIP, STRIP + 1)
    seen[STRIP + 2] = truth[STRIP + 2].copy()
    seen[STRIP + 2][band.start + 6 : band.stop + 6] = 0

    found = found_at(STRIP, items_of(ENTERS, seen))

    assert found is not None
    assert error(found[band], truth[STRIP][band]) < 0.3 * error(blank()[band], truth[STRIP][band])


def test_a_subject_that_leaves_is_there_to_the_last() -> None:
    truth = truth_of(LEAVES)
    assert 0 < (truth[STRIP] > 0.5).mean() < 0.03

    found = found_at(STRIP, items_of(LEAVES, lost(truth, STRIP - 1, STRIP)))

    assert found is not None
    assert error(found, truth[STRIP]) < 0.25 * error(blank(), truth[STRIP])


def test_a_part_that_was_lost_is_followed_like_the_whole() -> None:
    truth = truth_of(ENTERS)
    torn = [alpha.copy() for alpha in truth]
    torn[STRIP + 1][: HEIGHT // 2] = 0

    found = found_at(STRIP + 1, items_of(ENTERS, torn))

    assert found is not None
    assert error(found, truth[STRIP + 1]) < 0.5 * error(torn[STRIP + 1], truth[STRIP + 1])


def test_before_it_comes_there_is_nothing() -> None:
    truth = truth_of(ENTERS)
    assert not truth[1].any()

    assert found_at(1, items_of(ENTERS, truth)) is None


def test_what_does_not_move_is_no_newcomer() -> None:
    """A network that suddenly takes a part of the wall for something does not make it something in earlier frames."""
    wall = Scene(start=(-500, 0))
    rock = Scene(speed=wall.wall_speed)

    assert found_at(3, items_of(wall, lost(truth_of(rock), *range(4)))) is None


def test_what_is_not_in_the_picture_is_not_made_up() -> None:
    """It is known in other frames, on a course that leads here, and somebody hides it."""
    truth = truth_of(ENTERS)
    items = items_of(ENTERS, lost(truth, 5))
    hidden = Scene(start=(-500, 0)).frame(5 - STRIP)
    items[5] = Item(hidden, View.of(hidden), alpha=blank())

    assert found_at(5, items) is None


def test_in_a_picture_that_is_like_neither_side_nothing_is_pieced_together() -> None:
    """As where a group of people turn about: nothing fits as a whole, and here and there some pixels do."""
    items = items_of(ENTERS, lost(truth_of(ENTERS), 5))
    other = texture(WIDTH, HEIGHT, 9)
    items[5] = Item(other, View.of(other), alpha=blank())

    assert found_at(5, items) is None


def test_of_what_is_partly_hidden_the_rest_is_followed() -> None:
    truth = truth_of(ENTERS)
    frames, hidden = frames_of(ENTERS), Scene(start=(-500, 0)).frame(5 - STRIP)
    frames[5][:90] = hidden[:90]
    items = items_of(ENTERS, lost(truth, 5))
    items[5] = Item(frames[5], View.of(frames[5]), alpha=blank())

    found = found_at(5, items)

    assert found is not None
    assert found[:82].mean() < 0.3 * truth[5][:82].mean()
    assert found[98:].mean() > 0.85 * truth[5][98:].mean()


def test_a_plain_piece_of_the_wall_does_not_come_along() -> None:
    """A neighbour took it for subject too. It shows the same here, but so does what was there before."""
    truth, lamp = truth_of(ENTERS), (slice(0, 30), slice(100, WIDTH))
    frames, seen = frames_of(ENTERS), lost(truth, STRIP, STRIP + 1)
    for frame in frames:
        frame[lamp] = 250
    for alpha in seen[STRIP + 2 :]:
        alpha[:30, 250:] = 1

    found = found_at(STRIP + 1, items_from(frames, seen))

    assert found is not None
    assert error(found[50:], truth[STRIP + 1][50:]) < 0.25 * error(blank()[50:], truth[STRIP + 1][50:])
    assert found[:25, 180:260].max() < 0.2


def test_what_a_subject_hides_later_is_no_proof_of_it_now() -> None:
    """A neighbour took wall beside it for subject too; where it lies here, the other side always has the subject."""
    comes = Scene(speed=(24, 0), start=(132, 120))
    truth, ghost = truth_of(comes), (slice(105, 135), slice(160, 200))
    seen = lost(truth, 2)
    seen[1] = truth[1].copy()
    seen[1][100:140, 134:180] = 1

    found = found_at(2, items_of(comes, seen))

    assert found is not None
    assert found[ghost].max() < 0.2
    assert error(found, truth[2]) < 0.3 * error(blank(), truth[2])


def test_in_the_dark_where_all_is_alike_nothing_is_followed() -> None:
    truth = lost(truth_of(ENTERS), STRIP, STRIP + 1)

    assert found_at(STRIP + 1, items_of(ENTERS, truth, light=0.1)) is None


def test_without_a_background_to_compare_with_nothing_is_followed() -> None:
    """In a shot's first frame, what is there may have been there all along."""
    here = Scene(speed=(20, 0), start=(160, 120))

    assert found_at(0, items_of(here, lost(truth_of(here), 0))) is None


def test_a_frame_that_lacks_little_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for courses costs as much as a small network; nearly all frames are spared it."""
    monkeypatch.setattr("apps.engine.matting.follow._background", None)
    near = Scene(speed=(2, 0))

    assert found_at(4, items_of(near, truth_of(near))) is None


def recipe_of(look: FakeLook, *, follows: bool) -> Recipe:
    def combine() -> Combine:
        return lambda frame, found, people: found[0]

    return Recipe((look,), combine, reach=4, restores=True, follows=follows, finds_colours=False)


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_a_session_puts_it_back_only_if_wanted(is_mirrored: bool) -> None:
    """Forwards it comes, backwards it goes."""
    frames, truth = frames_of(ENTERS), truth_of(ENTERS)
    seen = lost(truth, STRIP, STRIP + 1)
    if is_mirrored:
        frames, truth, seen = frames[::-1], truth[::-1], seen[::-1]
    look = FakeLook(frames, seen)

    with_it, without = (
        alphas_of(mattes_of(ShotSession(recipe_of(look, follows=follows)), frames)) for follows in (True, False)
    )

    assert error(with_it[STRIP], truth[STRIP]) < 0.3 * error(blank(), truth[STRIP])
    assert error(without[STRIP], truth[STRIP]) > 0.9 * error(blank(), truth[STRIP])


def test_a_picture_of_any_shape_is_followed() -> None:
    """A neighbour's alpha has its own size, and so has the view."""
    truth = truth_of(ENTERS)
    items = items_of(ENTERS, lost(truth, STRIP, STRIP + 1))
    for item in items:
        item.alpha = np.ascontiguousarray(item.alpha[::2, ::2])

    found = found_at(STRIP + 1, items)

    assert found is not None
    assert found.shape == (HEIGHT // 2, WIDTH // 2)
    assert error(found, truth[STRIP + 1][::2, ::2]) < 0.25 * error(blank(), truth[STRIP + 1])
