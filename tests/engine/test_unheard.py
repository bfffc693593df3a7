"""Networks that make no difference in a shot are not asked for nothing."""

from __future__ import annotations

import numpy as np
import pytest

from apps.engine.matting.sessions import Recipe, ShotSession
from tests.engine.drawn import Scene, error
from tests.engine.test_sessions import SCENE, FakeLook, alphas_of, always, clip_of, first_alone, mattes_of


@pytest.mark.parametrize("count", [1, 2, 5, 9, 11])
def test_networks_that_make_no_difference_are_asked_no_more_often_than_the_first(count: int) -> None:
    frames, truth = clip_of(SCENE, count)
    first, second = FakeLook(frames, truth), FakeLook(frames, truth)
    recipe = Recipe((first, second), always(first_alone), gap=2, first_every=2, hears_others=lambda looks: False)

    mattes = mattes_of(ShotSession(recipe), frames)

    assert sorted(second.looked_at) == sorted(first.looked_at) == sorted({*range(0, count, 4), count - 1})
    assert max(error(alpha, true) for alpha, true in zip(alphas_of(mattes), truth, strict=True)) < 2


def test_networks_that_make_a_difference_on_one_side_are_asked_between() -> None:
    """The second one is heard from frame 4 on, where it shows something at all."""
    frames, truth = clip_of(SCENE, 9)
    seen = [np.zeros_like(alpha) for alpha in truth[:4]] + truth[4:]
    first, second = FakeLook(frames, truth), FakeLook(frames, seen)
    hears = {"hears_others": lambda looks: bool(looks[1].any())}

    mattes_of(ShotSession(Recipe((first, second), always(first_alone), gap=2, first_every=2, **hears)), frames)

    assert sorted(first.looked_at) == [0, 4, 8]
    assert sorted(second.looked_at) == [0, 2, 4, 6, 8]


def test_where_only_the_first_network_counts_its_own_doubt_brings_a_look_of_all() -> None:
    """Somebody is there in frame 2 only."""
    frames, truth = clip_of(Scene(start=(-200, -200), speed=(0, 0), wall_speed=(-2, 0)), 5)
    frames[2], truth[2] = SCENE.frame(2), SCENE.alpha(2)
    first, second = FakeLook(frames, truth), FakeLook(frames, truth)
    recipe = Recipe((first, second), always(first_alone), gap=2, first_every=2, hears_others=lambda looks: False)

    mattes = mattes_of(ShotSession(recipe), frames)

    assert 2 in first.looked_at
    assert sorted(first.looked_at) == sorted(second.looked_at)
    assert error(alphas_of(mattes)[2], truth[2]) < 2
