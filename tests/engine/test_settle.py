"""Disputes between people networks: the gap under an arm, the hole in a coat, and everything both agree on."""

from __future__ import annotations

import numpy as np
import pytest

from apps.engine.matting.base import Frame
from apps.engine.matting.scale import Map
from apps.engine.matting.settle import DISPUTE, Settler
from tests.engine.drawn import HEIGHT, WIDTH, blank, cloth_before_wall, texture

BODY = (slice(60, 220), slice(100, 220))
GAP = (slice(110, 160), slice(170, 205))
"""Wall that shows between an arm and the body."""
HOLE = (slice(110, 160), slice(120, 155))
"""Cloth in the middle of the body."""


def drawn() -> tuple[Frame, Map]:
    """A body of cloth before a wall, with a gap through which the wall shows; and its alpha."""
    truth = blank()
    truth[BODY] = 1
    truth[GAP] = 0
    return cloth_before_wall(truth), truth


def inner(region: tuple[slice, slice]) -> tuple[slice, slice]:
    """Without the rim, where colours of both sides mix into one region."""
    rows, columns = region
    return slice(rows.start + 10, rows.stop - 10), slice(columns.start + 10, columns.stop - 10)


@pytest.mark.parametrize("vote", [0.0, 0.5], ids=["the vote says wall", "the vote does not know"])
def test_a_gap_filled_by_the_first_network_is_opened(vote: float) -> None:
    frame, truth = drawn()
    first, third = truth.copy(), truth.copy()
    first[GAP], third[GAP] = 1, vote

    settled = Settler().settle(frame, first, truth, third)

    assert settled[inner(GAP)].mean() < 0.1
    assert np.abs(settled - truth).mean() < 0.01


def test_a_hole_punched_by_the_second_network_is_closed() -> None:
    frame, truth = drawn()
    second, third = truth.copy(), truth.copy()
    second[HOLE], third[HOLE] = 0, 0.5

    settled = Settler().settle(frame, truth, second, third)

    assert settled[inner(HOLE)].mean() > 0.9
    assert np.abs(settled - truth).mean() < 0.01


def test_a_wall_that_the_first_network_takes_for_a_body_is_dropped_by_its_colour() -> None:
    """All three see the body, two of them something beside it, where there is only wall."""
    frame, truth = drawn()
    first, third = truth.copy(), truth.copy()
    beside = (slice(100, 160), slice(230, 275))
    first[beside], third[beside] = 1, 0.6

    with_colours, without = (
        Settler(uses_colours=uses).settle(frame, first, truth, third)[inner(beside)].mean() for uses in (True, False)
    )

    assert with_colours < 0.1
    assert without > 0.5


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_where_both_agree_the_mean_is_taken(share: float) -> None:
    """A hair more or less: neither is wrong, and their mean errs least."""
    frame, truth = drawn()
    faint = np.float32(0.9 * DISPUTE[0])
    first, second = np.clip(truth, faint, 1), truth

    settled = Settler().settle(frame, first, second, truth, share=share)

    assert settled == pytest.approx((1 - share) * first + share * second, abs=1e-3)


def test_nothing_stays_nothing() -> None:
    frame, _ = drawn()

    settled = Settler().settle(frame, blank(), blank(), blank())

    assert not settled.any()


def test_a_vote_alone_makes_no_subject() -> None:
    frame, _ = drawn()

    assert not Settler().settle(frame, blank(), blank(), blank() + 1).any()


@pytest.mark.parametrize("uses_colours", [True, False])
@pytest.mark.parametrize(("vote", "expected"), [(1.0, 1.0), (0.0, 0.0)])
def test_without_known_colours_the_votes_decide(uses_colours: bool, vote: float, expected: float) -> None:
    """One grey everywhere, and no pixel that all take for subject: colours prove nothing."""
    grey, region = np.full((HEIGHT, WIDTH, 3), 120, np.uint8), blank()
    region[BODY] = 1
    settler = Settler(uses_colours=uses_colours)

    # Both ways round: the first one's habit must not outweigh a clear vote.
    settled = [
        settler.settle(grey, *pair, vote * region)[inner(BODY)].mean()
        for pair in ((region, blank()), (blank(), region))
    ]

    assert settled == pytest.approx([expected] * 2, abs=0.3)
    assert all((one > 0.5) == (expected > 0.5) for one in settled)


def test_without_a_clear_vote_the_first_network_is_believed() -> None:
    grey, region = np.full((HEIGHT, WIDTH, 3), 120, np.uint8), blank()
    region[BODY] = 1

    settled = [
        Settler(uses_colours=False).settle(grey, *pair, 0.5 * region)[inner(BODY)].mean()
        for pair in ((region, blank()), (blank(), region))
    ]

    assert settled[0] > 0.6
    assert settled[1] < 0.4


def test_colours_of_earlier_frames_are_remembered() -> None:
    """A sleeve hides the wall for a moment; what stands open beside it is still known as wall."""
    frame, truth = drawn()
    settler = Settler()
    settler.settle(frame, truth, truth, truth)
    first, third = truth.copy(), truth.copy()
    first[GAP] = 1
    # Nothing is surely background in this one.
    third[truth == 0] = 0.5

    known = settler.settle(frame, first, truth, third)[inner(GAP)].mean()
    new = Settler().settle(frame, first, truth, third)[inner(GAP)].mean()

    assert known < 0.1
    assert new > 0.5


@pytest.mark.parametrize(("width", "height"), [(1, 1), (16, 16), (1024, 64), (64, 2048), (900, 700)])
def test_any_size_can_be_settled(width: int, height: int) -> None:
    frame = texture(width, height, 1)
    alphas = [np.random.default_rng(seed).random((height, width), np.float32) for seed in range(3)]

    settled = Settler().settle(frame, *alphas)

    assert settled.shape == (height, width)
    assert settled.dtype == np.float32
    assert settled.min() >= -1e-5
    assert settled.max() <= 1 + 1e-5
