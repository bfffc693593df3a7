"""One pass over a video: which frames are looked at, in which order mattes come, and that nothing crosses a cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from apps.engine.matting.base import Frame
from apps.engine.matting.motion import Motions, View
from apps.engine.matting.scale import Map
from apps.engine.matting.sessions import Carrier, Combine, Item, Recipe, Recurrent, ShotSession, Window
from apps.engine.matting.temporal import ALIKE, LOST
from tests.engine.drawn import (
    ELSEWHERE,
    SCENE,
    FakeLook,
    Scene,
    alphas_of,
    clip_of,
    error,
    mattes_of,
    negative,
    texture,
)


def first_alone(frame: Frame, found: tuple[Map, ...], people: Recurrent | None) -> Map:
    return found[0]


def always(combine: Combine) -> Callable[[], Combine]:
    return lambda: combine


def session_of(look: FakeLook, *, gap: int = 1, batch: int = 1, reach: int = 0, restores: bool = False) -> ShotSession:
    return ShotSession(
        Recipe((look,), always(first_alone), gap=gap, batch=batch, reach=reach, restores=restores, finds_colours=False)
    )


@pytest.mark.parametrize("gap", [1, 2, 4, 5])
@pytest.mark.parametrize("extra", [-1, 0, 1, 2])
@pytest.mark.parametrize(("batch", "reach"), [(1, 0), (1, 3), (8, 0), (8, 3)])
def test_every_frame_gets_its_matte_in_order(gap: int, extra: int, batch: int, reach: int) -> None:
    frames, truth = clip_of(SCENE, max(1, gap + extra))

    mattes = mattes_of(session_of(FakeLook(frames, truth), gap=gap, batch=batch, reach=reach), frames)

    assert len(mattes) == len(frames)
    for alpha, true in zip(alphas_of(mattes), truth, strict=True):
        assert error(alpha, true) < 2


@pytest.mark.parametrize(("gap", "count"), [(1, 5), (2, 1), (2, 2), (2, 7), (4, 1), (4, 2), (4, 4), (4, 5), (4, 12)])
def test_every_gap_th_frame_is_looked_at_and_so_is_the_last(gap: int, count: int) -> None:
    frames, truth = clip_of(SCENE, count)
    look = FakeLook(frames, truth)

    mattes = mattes_of(session_of(look, gap=gap), frames)

    expected = sorted({*range(0, count, gap), count - 1})
    assert look.looked_at == expected
    assert [index for index, matte in enumerate(mattes) if matte.inferred] == expected


def test_a_batch_is_looked_at_in_one_call() -> None:
    frames, truth = clip_of(SCENE, 19)
    batched, single = FakeLook(frames, truth), FakeLook(frames, truth)

    mattes = mattes_of(session_of(batched, batch=8), frames)
    one_by_one = mattes_of(session_of(single), frames)

    assert batched.asked == [list(range(8)), list(range(8, 16)), [16, 17, 18]]
    assert all(matte.inferred for matte in mattes)
    for matte, other in zip(mattes, one_by_one, strict=True):
        assert np.array_equal(matte.alpha, other.alpha)


def test_one_call_at_a_time_without_a_batch() -> None:
    """Networks may be fixed to one picture a call."""
    frames, truth = clip_of(SCENE, 11)
    look = FakeLook(frames, truth)

    mattes_of(session_of(look, gap=4), frames)

    assert {len(call) for call in look.asked} == {1}


def test_every_look_is_asked_about_the_same_frames() -> None:
    frames, truth = clip_of(SCENE, 9)
    first, second = FakeLook(frames, truth), FakeLook(frames, [1 - alpha for alpha in truth])
    recipe = Recipe((first, second), always(lambda frame, found, people: found[1]), gap=4, finds_colours=False)

    mattes = mattes_of(ShotSession(recipe), frames)

    assert first.asked == second.asked
    assert error(alphas_of(mattes)[3], 1 - truth[3]) < 2


def two_looks(first: FakeLook, second: FakeLook, shown: int) -> ShotSession:
    """Looks every second frame, the first network at every second of these looks; shows what one of them said."""
    combine = always(lambda frame, found, people: found[shown])
    return ShotSession(Recipe((first, second), combine, gap=2, first_every=2, finds_colours=False))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 8, 11])
def test_the_first_look_may_be_asked_more_rarely_than_the_others(count: int) -> None:
    frames, truth = clip_of(SCENE, count)
    first, second = FakeLook(frames, truth), FakeLook(frames, truth)

    mattes = mattes_of(two_looks(first, second, 0), frames)

    assert sorted(first.looked_at) == sorted({*range(0, count, 4), count - 1})
    assert sorted(second.looked_at) == sorted({*range(0, count, 2), count - 1})
    assert [index for index, matte in enumerate(mattes) if matte.inferred] == sorted(second.looked_at)
    assert max(error(alpha, true) for alpha, true in zip(alphas_of(mattes), truth, strict=True)) < 2


def test_where_the_first_look_is_not_asked_the_others_are_shown_and_not_carried() -> None:
    """What only the second network sees, and only in frame 2, is there."""
    frames, truth = clip_of(SCENE, 5)
    seen = [np.zeros_like(alpha) for alpha in truth]
    seen[2] = truth[2]

    found = alphas_of(mattes_of(two_looks(FakeLook(frames, truth), FakeLook(frames, seen), 1), frames))

    assert error(found[2], truth[2]) < 0.1
    assert not found[0].any()
    assert not found[4].any()


def test_a_doubtful_frame_is_looked_at_without_the_first_network_as_long_as_its_own_alpha_can_be_carried() -> None:
    frames, truth = clip_of(SCENE, 9)
    first, second = FakeLook(frames, truth), FakeLook(frames, truth)
    recipe = Recipe((first, second), always(first_alone), gap=4, first_every=2, too_doubtful=-1, too_doubtful_first=1)

    mattes = mattes_of(ShotSession(replace(recipe, finds_colours=False)), frames)

    assert sorted(first.looked_at) == [0, 8]
    assert sorted(second.looked_at) == list(range(9))
    assert all(matte.inferred for matte in mattes)


def test_the_first_look_is_asked_after_all_where_its_alpha_cannot_be_carried() -> None:
    """Somebody is there in frame 2 only, between two looks of the first network."""
    frames, truth = clip_of(Scene(start=(-200, -200), speed=(0, 0), wall_speed=(-2, 0)), 5)
    frames[2], truth[2] = SCENE.frame(2), SCENE.alpha(2)
    first = FakeLook(frames, truth)
    recipe = Recipe((first, FakeLook(frames, truth)), always(first_alone), gap=2, first_every=2)
    carrier = Carrier(recipe, Motions())

    items = [done for frame in frames for done in carrier.push(Item(frame, View.of(frame)))]

    assert first.asked[:3] == [[0], [4], [2]]
    assert error(items[2].looks[0], truth[2]) < 0.1


def test_a_frame_that_cannot_be_carried_is_looked_at() -> None:
    """Somebody appears between two looks and is gone at the next: only looking finds them."""
    wall = Scene(start=(-200, -200), speed=(0, 0), wall_speed=(-2, 0))
    frames, truth = clip_of(wall, 9)
    frames[6], truth[6] = SCENE.frame(6), SCENE.alpha(6)
    look = FakeLook(frames, truth)

    mattes = mattes_of(session_of(look, gap=4), frames)

    assert 6 in look.looked_at
    assert [matte.inferred for matte in mattes] == [index in look.looked_at for index in range(9)]
    assert error(alphas_of(mattes)[6], truth[6]) < 0.1
    assert [int(mattes[index].alpha.max()) for index in (4, 5, 7, 8)] == [0] * 4


def test_a_subject_that_enters_between_two_looks_is_whole_from_its_first_frame() -> None:
    """The networks see it from frame 2 on, and frames 1 to 3 lie between two looks."""
    wall = Scene(start=(-200, -200))
    frames = [(SCENE if index >= 2 else wall).frame(index) for index in range(5)]
    truth = [(SCENE if index >= 2 else wall).alpha(index) for index in range(5)]
    look = FakeLook(frames, truth)

    found = alphas_of(mattes_of(session_of(look, gap=4, reach=3, restores=True), frames))

    assert [not alpha.any() for alpha in found] == [True, True, False, False, False]
    assert max(error(alpha, true) for alpha, true in zip(found[2:], truth[2:], strict=True)) < 1.5


def test_carried_mattes_follow_and_held_ones_would_not() -> None:
    frames, truth = clip_of(Scene(speed=(6, 2)), 9)
    look = FakeLook(frames, truth)

    found = alphas_of(mattes_of(session_of(look, gap=4), frames))

    assert look.looked_at == [0, 4, 8]
    for index in (1, 2, 3, 5, 6, 7):
        held = error(truth[index // 4 * 4], truth[index])
        assert error(found[index], truth[index]) < held / 5


def test_carried_mattes_change_evenly_from_one_look_to_the_next() -> None:
    """Fading, in a picture that stands still: nothing but the distance in time tells the neighbours apart."""
    still = Scene(speed=(0, 0), wall_speed=(0, 0))
    frames, whole = [still.frame(0) for _ in range(9)], still.alpha(0)
    faded = [whole * np.float32(0.2 + 0.1 * index) for index in range(9)]

    found = alphas_of(mattes_of(session_of(FakeLook(frames, faded), gap=4), frames))

    assert [alpha.max() for alpha in found] == pytest.approx([0.2 + 0.1 * index for index in range(9)], abs=0.01)


@pytest.mark.parametrize("gap", [1, 2, 4])
@pytest.mark.parametrize("before", [1, 2, 4, 5])
@pytest.mark.parametrize("after", [1, 5])
def test_nothing_crosses_a_cut(gap: int, before: int, after: int) -> None:
    first, second = clip_of(SCENE, before), negative(clip_of(ELSEWHERE, after))
    frames, truth = first[0] + second[0], first[1] + second[1]
    look = FakeLook(frames, truth)

    found = alphas_of(mattes_of(session_of(look, gap=gap, reach=3, restores=True), frames))

    assert max(error(alpha, true) for alpha, true in zip(found, truth, strict=True)) < 2
    assert {before - 1, before} <= set(look.looked_at)
    shots = [mattes_of(session_of(look, gap=gap, reach=3, restores=True), shot[0]) for shot in (first, second)]
    for alpha, alone in zip(found, alphas_of(shots[0] + shots[1]), strict=True):
        assert np.array_equal(alpha, alone)


def test_a_shot_is_combined_by_a_function_of_its_own() -> None:
    """It remembers colours; those of the shot before would be wrong."""
    first, second = clip_of(SCENE, 3), negative(clip_of(ELSEWHERE, 4))
    frames, truth = first[0] + second[0], first[1] + second[1]
    counts: list[int] = []

    def combining() -> Combine:
        counts.append(0)
        mine = len(counts) - 1

        def combine(frame: Frame, found: tuple[Map, ...], people: Recurrent | None) -> Map:
            counts[mine] += 1
            return found[0]

        return combine

    mattes_of(ShotSession(Recipe((FakeLook(frames, truth),), combining, finds_colours=False)), frames)

    assert counts[-2:] == [3, 4]
    assert sum(counts) == 7


def test_two_sessions_of_one_recipe_know_nothing_of_each_other() -> None:
    frames, truth = clip_of(SCENE, 4)
    others, false = negative(clip_of(ELSEWHERE, 4))
    look = FakeLook(frames + others, truth + false)
    recipe = Recipe((look,), always(first_alone), gap=2, reach=3, restores=True, finds_colours=False)
    first, second = ShotSession(recipe), ShotSession(recipe)

    mixed = []
    for frame, other in zip(frames, others, strict=True):
        mixed += first.push(frame)
        second.push(other)
    mixed += first.flush()

    alone = mattes_of(ShotSession(recipe), frames)
    assert [matte.alpha.tobytes() for matte in mixed] == [matte.alpha.tobytes() for matte in alone]


def test_a_flicker_of_the_network_is_damped_and_the_edge_stays() -> None:
    frames, truth = clip_of(SCENE, 9)
    seen = [alpha.copy() for alpha in truth]
    seen[4][95:125, 110:140] -= np.float32(0.8 * ALIKE)
    bare = alphas_of(mattes_of(session_of(FakeLook(frames, seen)), frames))
    steady = alphas_of(mattes_of(session_of(FakeLook(frames, seen), reach=3), frames))

    assert error(steady[4], truth[4]) < 0.4 * error(bare[4], truth[4])
    for index in (1, 2, 6, 7):
        assert error(steady[index], truth[index]) < error(truth[index - 1], truth[index]) / 8


def test_an_empty_frame_stays_empty_between_full_ones() -> None:
    """The networks say that nobody is there; that a neighbour saw somebody is no reason to paint them."""
    frames, truth = clip_of(SCENE, 7)
    truth[3] = np.zeros_like(truth[3])

    mattes = mattes_of(session_of(FakeLook(frames, truth), reach=3), frames)

    assert [int(matte.alpha.max()) > 0 for matte in mattes] == [True] * 3 + [False] + [True] * 3


def test_a_neighbour_that_is_empty_is_not_heard() -> None:
    """A subject that enters is there at once and whole, though before it there was nobody."""
    frames, truth = clip_of(Scene(speed=(0, 0), wall_speed=(0, 0)), 6)
    faint = [np.zeros_like(truth[0])] * 3 + [alpha * np.float32(0.3) for alpha in truth[3:]]

    found = alphas_of(mattes_of(session_of(FakeLook(frames, faint), reach=3), frames))

    assert not any(alpha.any() for alpha in found[:3])
    assert error(found[3], faint[3]) < 0.5


def test_a_part_lost_for_one_frame_is_put_back_only_if_wanted() -> None:
    frames, truth = clip_of(SCENE, 7)
    seen = [alpha.copy() for alpha in truth]
    seen[3][: SCENE.start[1]] = 0
    assert (truth[3] - seen[3]).sum() > LOST * truth[3].size

    restored, torn = (
        alphas_of(mattes_of(session_of(FakeLook(frames, seen), reach=reach, restores=reach > 0), frames))
        for reach in (3, 0)
    )

    assert error(torn[3], truth[3]) > 30
    assert error(restored[3], truth[3]) < 3


def test_a_part_is_put_back_by_the_nearest_frames_and_not_by_older_ones() -> None:
    """One frame is a slip of the network; from the second on the part is held to be gone."""
    still = Scene(speed=(0, 0), wall_speed=(0, 0))
    whole, torn = still.alpha(0), still.alpha(0)
    torn[: still.start[1]] = 0
    frames = [still.frame(0) for _ in range(8)]
    seen = [whole] * 3 + [torn] * 5

    found = alphas_of(mattes_of(session_of(FakeLook(frames, seen), reach=3, restores=True), frames))

    assert error(found[3], whole) < error(found[3], torn)
    assert max(error(alpha, torn) for alpha in found[4:]) < 5


def test_a_window_waits_for_its_reach_and_no_longer() -> None:
    frames, truth = clip_of(SCENE, 9)
    session = session_of(FakeLook(frames, truth), reach=3)

    ready = [len(session.push(frame)) for frame in frames]

    assert ready == [0, 0, 0, 1, 1, 1, 1, 1, 1]
    assert len(session.flush()) == 3


def test_a_window_forgets_what_lies_behind_its_reach() -> None:
    """A long shot must not fill the memory with frames."""
    window = Window(Recipe((), always(first_alone), reach=2), Motions())
    frame = texture(32, 32, 1)
    view = View.of(frame)

    for _ in range(20):
        window.push(Item(frame, view, alpha=np.ones((8, 8), np.float32)))

    assert len(window._items) <= 2 * 2 + 1


def test_a_carrier_knows_nothing_after_a_flush() -> None:
    frames, truth = clip_of(SCENE, 4)
    look = FakeLook(frames, truth)
    carrier = Carrier(Recipe((look,), always(first_alone), gap=4), Motions())
    assert carrier.flush() == []

    for frame in frames[:2]:
        carrier.push(Item(frame, View.of(frame)))
    carrier.flush()
    done = carrier.push(Item(frames[2], View.of(frames[2])))

    assert len(done) == 1
    assert look.asked == [[0], [1], [2]]


def test_colours_are_found_only_if_wanted() -> None:
    frames, truth = clip_of(SCENE, 2)
    soft = [np.clip(alpha, 0, 1) for alpha in truth]
    recipes = [Recipe((FakeLook(frames, soft),), always(first_alone), finds_colours=finds) for finds in (True, False)]

    with_colours, without = (mattes_of(ShotSession(recipe), frames) for recipe in recipes)

    assert all(matte.foreground is not None for matte in with_colours)
    assert all(matte.foreground is None for matte in without)
