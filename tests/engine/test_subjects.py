"""Whose a part of the picture is: the people networks', or that of those who know other things."""

from __future__ import annotations

import numpy as np
import pytest

from apps.engine.matting import subjects
from apps.engine.matting.scale import Map


def blank() -> Map:
    return np.zeros((240, 320), np.float32)


def person() -> Map:
    alpha = blank()
    alpha[40:220, 40:120] = 1
    return alpha


def beside(share: float, *, sure: float = 1.0, gap: int = 60) -> Map:
    """Something of this share of the person's area, `gap` pixels to the right."""
    alpha = blank()
    side = round((share * float(person().sum())) ** 0.5)
    alpha[60 : 60 + side, 120 + gap : 120 + gap + side] = sure
    return alpha


def test_another_subject_beside_a_person_is_not_theirs() -> None:
    dog = beside(0.5)

    zone = subjects.others(person(), np.maximum(person(), dog))

    assert zone[dog == 1].min() > 0.9
    assert zone[person() == 1].max() < 0.05


def test_a_small_remainder_beside_a_person_is_ignored() -> None:
    """A palm tree at a shoulder."""
    assert not subjects.others(person(), np.maximum(person(), beside(subjects.SIZABLE / 3))).any()


def test_what_the_generalists_doubt_is_no_subject() -> None:
    assert not subjects.others(person(), np.maximum(person(), beside(0.5, sure=0.6))).any()


def test_what_touches_a_person_is_theirs() -> None:
    """A bag, or hair that their network lost."""
    assert not subjects.others(person(), np.maximum(person(), beside(0.05, gap=0))).any()


def test_a_person_alone_is_theirs() -> None:
    assert not subjects.others(person(), person()).any()


@pytest.mark.parametrize("people", [blank(), 0.9 * subjects.NOBODY * person()], ids=["nothing", "faint"])
def test_without_people_everything_is_the_generalists(people: Map) -> None:
    assert subjects.others(people, beside(0.5)).min() == 1
    assert subjects.others(people, blank()).min() == 1


def test_a_stray_patch_on_an_animal_is_no_person() -> None:
    horse, patch = person(), blank()
    patch[40:100, 40:90] = 1

    assert patch.sum() < subjects.MINOR * horse.sum()
    assert subjects.others(patch, horse).min() == 1


def test_surroundings_are_a_little_more_than_the_subject() -> None:
    near = subjects.surroundings(person())

    assert np.all(near >= person())
    assert near[60:200, 122:126].min() > 0.5
    assert near[:, 160:].max() == 0
    assert not subjects.surroundings(blank()).any()


@pytest.mark.parametrize(
    ("portrait", "whole", "expected"),
    [
        (person(), person(), 1.0),
        (person(), beside(0.5), 0.0),
        (person(), blank(), 0.0),
        (blank(), person(), 0.0),
        (blank(), blank(), 0.0),
    ],
    ids=["the same", "another thing", "invented", "not seen", "nothing at all"],
)
def test_likeness_says_whether_both_see_the_same(portrait: Map, whole: Map, expected: float) -> None:
    assert subjects.likeness(portrait, whole) == expected


def test_likeness_grows_with_the_overlap() -> None:
    low, high = subjects.ALIKE
    rows = 180 * (low + high) / 2
    part = person()
    part[40 + round(rows) :] = 0

    assert subjects.likeness(part, person()) == pytest.approx(0.5, abs=0.05)


def test_likeness_compares_at_the_portrait_networks_size() -> None:
    assert subjects.likeness(person(), person()[::2, ::2]) == pytest.approx(1, abs=0.05)


def half(*, sure: float) -> Map:
    """What a generalist has left of the person."""
    return person() * np.where(np.arange(person().shape[0])[:, None] < 130, np.float32(sure), np.float32(0))


def wavering() -> Map:
    """As a portrait network invents somebody in rocks: firm in part, and half believed in much around it."""
    alpha = person()
    alpha[40:220, 120:152] = 0.5
    return alpha


def test_a_person_of_whom_an_unsure_generalist_sees_a_half_is_known() -> None:
    assert subjects.half_seen(person(), half(sure=0.7)) == 1


@pytest.mark.parametrize(
    ("portrait", "whole"),
    [
        (person(), half(sure=1.0)),
        (person() * np.float32(0.7), half(sure=0.7)),
        (wavering(), half(sure=0.7)),
        (person(), beside(0.5, sure=0.7)),
        (person(), blank()),
        (blank(), half(sure=0.7)),
        (blank(), blank()),
    ],
    ids=[
        "a bottle both are sure of",
        "a ghost",
        "an invention",
        "another thing",
        "invented",
        "not seen",
        "nothing at all",
    ],
)
def test_what_is_no_half_of_a_person_is_left_to_the_generalist(portrait: Map, whole: Map) -> None:
    assert subjects.half_seen(portrait, whole) == 0


@pytest.mark.parametrize(("width", "height"), [(1, 1), (16, 16), (1024, 32), (32, 1024)])
def test_any_size_of_map_can_be_judged(width: int, height: int) -> None:
    one, other = (np.random.default_rng(seed).random((height, width), np.float32) for seed in (1, 2))

    assert subjects.others(one, other).shape == (height, width)
    assert subjects.surroundings(one).shape == (height, width)
    assert 0 <= subjects.likeness(one, other) <= 1
