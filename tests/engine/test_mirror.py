"""A subject is in the mirror too; what a network guesses at an empty picture is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from apps.engine.matting.mirror import SAME, SURELY_SAME, Mirror
from apps.engine.matting.scale import Map
from apps.engine.matting.sessions import Recipe, ShotSession
from tests.engine.drawn import HEIGHT, SCENE, WIDTH, FakeLook, alphas_of, clip_of, error, mattes_of, negative
from tests.engine.test_sessions import always, first_alone

FRAME = SCENE.frame(0)


def patch(left: int, *, width: int = 80, alpha: float = 0.7) -> Map:
    """A subject of which the network is not sure, or as sure as said."""
    found = np.zeros((HEIGHT, WIDTH), np.float32)
    found[80:160, left : left + width] = alpha
    return found


class Mirrored:
    """A network that sees this in the mirror image of the frame, as it lies in the frame itself."""

    def __init__(self, seen: Map) -> None:
        self.seen, self.times = seen, 0

    def predict_many(self, frames: object) -> list[Map]:
        assert isinstance(frames, list)
        assert np.array_equal(frames[0], FRAME[:, ::-1])
        self.times += 1
        return [self.seen[:, ::-1]]


def test_a_guess_is_left_out() -> None:
    assert not Mirror(Mirrored(patch(220))).confirmed(FRAME, patch(20)).any()


def test_a_subject_stays_as_it_is() -> None:
    alpha = patch(20)

    assert Mirror(Mirrored(patch(40))).confirmed(FRAME, alpha) is alpha


@pytest.mark.parametrize("alpha", [patch(20, alpha=1.0), patch(20, alpha=0.0)], ids=["firm", "nothing"])
def test_where_there_is_no_question_it_is_not_asked(alpha: Map) -> None:
    look = Mirrored(patch(220))

    assert Mirror(look).confirmed(FRAME, alpha) is alpha
    assert look.times == 0


def test_one_confirmed_look_speaks_for_those_that_follow_as_long_as_the_subject_is_there() -> None:
    look = Mirrored(patch(20))
    mirror = Mirror(look)
    mirror.confirmed(FRAME, patch(20))

    assert mirror.confirmed(FRAME, patch(40)).any()
    assert look.times == 1
    assert not mirror.confirmed(FRAME, patch(220)).any()
    assert look.times == 2


def test_after_a_guess_the_network_is_believed_only_when_surer() -> None:
    shared = next(width for width in range(1, 80) if SAME + 0.05 < width / (160 - width) < SURELY_SAME - 0.05)
    look = Mirrored(patch(100 - shared))
    mirror = Mirror(look)

    assert mirror.confirmed(FRAME, patch(20)).any()
    mirror.forget()
    assert not mirror.confirmed(FRAME, patch(220)).any()
    assert not mirror.confirmed(FRAME, patch(20)).any()
    look.seen = patch(20)
    assert mirror.confirmed(FRAME, patch(20)).any()


def recipe_of(look: FakeLook) -> Recipe:
    return Recipe((look,), always(first_alone), mirrors=True, finds_colours=False)


@pytest.mark.parametrize("gap", [1, 4])
def test_empty_frames_are_empty_until_the_subject_is_there(gap: int) -> None:
    frames, truth = clip_of(SCENE, 12)
    empty = range(8)
    truth = [patch(240) if at in empty else alpha for at, alpha in enumerate(truth)]
    look = FakeLook(frames, truth, unseen_in_mirror=empty)

    found = alphas_of(mattes_of(ShotSession(replace(recipe_of(look), gap=gap)), frames))

    assert not np.stack(found[:8]).any()
    for alpha, true in zip(found[8:], truth[8:], strict=True):
        assert error(alpha, true) < 2


def test_each_shot_is_confirmed_anew() -> None:
    (frames, truth), (others, _) = clip_of(SCENE, 4), negative(clip_of(SCENE, 4))
    unsure = [alpha * np.float32(0.7) for alpha in truth]
    look = FakeLook([*frames, *others], [*unsure, *unsure])

    mattes_of(ShotSession(recipe_of(look)), look.frames)

    assert look.mirrored == [0, 4]
