"""Motion: where things went, and how far that may be trusted."""

from __future__ import annotations

import numpy as np
import pytest

from apps.engine.matting import motion
from apps.engine.matting.motion import Motions, View
from apps.engine.matting.scale import Map
from tests.engine.drawn import HEIGHT, WIDTH, Scene, shifted, texture

KNOWN = [
    pytest.param(320, 240, (3, 2), id="small"),
    pytest.param(240, 320, (-4, 1), id="upright"),
    pytest.param(641, 361, (6, -5), id="odd"),
    pytest.param(1280, 720, (12, 8), id="hd"),
    pytest.param(200, 41, (3, 0), id="flat"),
    pytest.param(64, 64, (2, -1), id="stamp"),
]


def columns_and_rows(width: int, height: int) -> tuple[Map, Map]:
    across, down = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return across, down


def inside(values: Map, by: tuple[int, int]) -> Map:
    """Without the rim, part of which the other frame does not show."""
    rim = max(map(abs, by)) + 8
    return values[rim:-rim, rim:-rim]


def counting(motions: Motions, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows by one with each quick flow that is worked out."""
    asked: list[object] = []
    flow = motions._quick.calc

    class Counting:
        def calc(self, *pictures: object) -> object:
            asked.append(pictures[:2])
            return flow(*pictures)

    monkeypatch.setattr(motions, "_quick", Counting())
    return asked


@pytest.mark.parametrize(("width", "height", "by"), KNOWN)
def test_bring_puts_a_map_back_to_where_things_are_here(width: int, height: int, by: tuple[int, int]) -> None:
    grain = max(4.0, min(width, height) / 60)
    here, there = (shifted(width, height, 1, moved, grain=grain) for moved in ((0, 0), by))

    quick = Motions().between(View.of(here), View.of(there))
    views = (View.of(one, motion.CLOSE_SHORT_SIDE) for one in (here, there))
    close = Motions(closely=True).for_carrying(*views)

    across, down = columns_and_rows(width, height)
    for way, bound, trusted in ((quick, 0.5, 0.85), (close, 0.3, 0.9)):
        missed = np.hypot(way.bring(across) - (across + by[0]), way.bring(down) - (down + by[1]))
        assert np.percentile(inside(missed, by), 95) < bound
        assert inside(way.trust_at(height, width), by).mean() > trusted


def test_bring_moves_a_map_of_another_size_as_far() -> None:
    """Networks answer at their own sizes, some of them square."""
    here, there = shifted(WIDTH, HEIGHT, 1, (0, 0)), shifted(WIDTH, HEIGHT, 1, (16, -9))
    across, down = columns_and_rows(160, 80)

    way = Motions().between(View.of(here), View.of(there))

    assert np.abs(way.bring(across) - (across + 8))[12:-12, 16:-16].mean() < 0.5
    assert np.abs(way.bring(down) - (down - 3))[12:-12, 16:-16].mean() < 0.5


def test_trust_is_low_where_something_new_is() -> None:
    here, there = shifted(WIDTH, HEIGHT, 1, (0, 0)), shifted(WIDTH, HEIGHT, 1, (3, 2))
    there[80:160, 100:220] = texture(120, 80, 99)

    trust = Motions().between(View.of(here), View.of(there)).trust_at(HEIGHT, WIDTH)

    assert trust[95:145, 115:205].mean() < 0.1
    assert trust[20:60, 20:300].mean() > 0.85


def test_trust_is_low_where_the_wall_is_uncovered() -> None:
    scene = Scene(speed=(12, 0), wall_speed=(0, 0))

    trust = Motions().between(View.of(scene.frame(1)), View.of(scene.frame(0))).trust_at(HEIGHT, WIDTH)

    uncovered = (scene.alpha(0) == 1) & (scene.alpha(1) == 0)
    assert trust[uncovered].mean() < 0.4
    assert trust[scene.alpha(1) == 1].mean() > 0.85
    assert trust[:50].mean() > 0.95


def test_trust_is_low_between_strangers() -> None:
    first, second = texture(WIDTH, HEIGHT, 1), texture(WIDTH, HEIGHT, 2)

    assert Motions().between(View.of(first), View.of(second)).trust.mean() < 0.1


@pytest.mark.parametrize("light", [0.4, 0.8, 1.25])
def test_another_light_takes_no_trust_but_what_is_new_has_none(light: float) -> None:
    """A lamp that flickers, a fade: everything is where it was, only the disc has not been seen before."""
    scene = Scene(speed=(0, 0), wall_speed=(0, 0))
    wall, disc = shifted(WIDTH, HEIGHT, 5, (0, 0)), scene.frame(0)
    lit = np.clip(wall * light, 0, 255).astype(np.uint8)

    for here, there in ((wall, lit), (lit, wall)):
        trust = Motions().between(View.of(here), View.of(there)).trust_at(HEIGHT, WIDTH)
        assert np.percentile(trust, 10) > 0.6

    other = np.where(scene.alpha(0)[..., None] > 0, np.clip(disc * light, 0, 255).astype(np.uint8), lit)
    trust = Motions().between(View.of(other), View.of(wall)).trust_at(HEIGHT, WIDTH)
    inner = scene.alpha(0) == 1
    assert np.median(trust[inner]) < 0.2
    assert np.median(trust[~inner]) > 0.8


def test_trust_is_low_where_the_way_back_leads_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """On one flat colour everything matches; only a way back that misses its start shows that the way is wrong."""
    first, second = (View.of(np.full((120, 160, 3), 120, np.uint8)) for _ in range(2))

    def trust(back: float) -> float:
        motions = Motions()
        ways = {id(first): 3.0, id(second): back}
        flow = np.zeros((60, 80, 2), np.float32) + np.array([1, 0], np.float32)
        monkeypatch.setattr(motions, "_flow", lambda way: flow * np.float32(ways[id(way[0])]))
        return float(motions.between(first, second).trust.mean())

    assert trust(-3) == pytest.approx(1)
    assert trust(-3 + 3 * motion.LEAST_RETURN) < 0.01
    assert trust(3) < 0.01


@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (16, 16), (17, 9), (4096, 32), (32, 4096), (1024, 24), (24, 600), (4096, 1)]
)
def test_any_size_of_frame_has_a_motion(width: int, height: int) -> None:
    first, second = (View.of(texture(width, height, seed), motion.CLOSE_SHORT_SIDE) for seed in (1, 2))

    way = Motions(closely=True).for_carrying(first, second)

    assert min(first.gray.shape) >= motion.MIN_SIDE
    assert max(first.gray.shape) <= motion.LONGEST * motion.CLOSE_SHORT_SIDE + 1
    assert way.bring(np.ones((height, width), np.float32)).shape == (height, width)
    assert np.isfinite(way.trust).all()


def test_motions_works_each_pair_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = (View.of(shifted(64, 48, 1, (by, 0))) for by in (0, 1, 2))
    motions = Motions()
    asked = counting(motions, monkeypatch)

    ways = [motions.between(first, second), motions.between(second, first), motions.between(first, second)]
    motions.between(first, third)

    assert ways[0] is ways[2]
    # There and back, once for each of the two pairs.
    assert len(asked) == 4


def test_a_way_over_other_views_is_made_of_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [shifted(WIDTH, HEIGHT, 1, (by, 0)) for by in (0, 3, 6, 9, 12)]
    views = [View.of(frame) for frame in frames]
    motions = Motions()
    asked = counting(motions, monkeypatch)
    across, _ = columns_and_rows(WIDTH, HEIGHT)

    for last in (4, 3, 2, 1):
        way = motions.between(*views[: last + 1])

        missed = inside(way.bring(across) - (across + 3 * last), (3 * last, 0))
        assert np.abs(missed).mean() < 0.5
        assert inside(way.trust_at(HEIGHT, WIDTH), (3 * last, 0)).mean() > 0.9
        # Four steps, there and back, of which the shorter ways are made too.
        assert len(asked) == 8


def test_a_motion_for_carrying_is_the_one_that_steadies_too() -> None:
    first, second = (View.of(shifted(64, 48, 1, (by, 0))) for by in (0, 1))
    motions = Motions(closely=True)

    close = motions.for_carrying(first, second)

    assert motions.between(first, second) is close
    assert not np.array_equal(close.flow, Motions().between(first, second).flow)


def test_motions_forgets() -> None:
    first, second = (View.of(shifted(64, 48, 1, (by, 0))) for by in (0, 1))
    motions = Motions()
    way = motions.between(first, second)

    motions.forget()

    assert motions.between(first, second) is not way


def test_motions_remembers_no_more_than_it_should() -> None:
    views = [View.of(shifted(64, 48, 1, (by, 0))) for by in range(14)]
    motions = Motions()

    for here in views:
        for there in views:
            motions.between(here, there)

    assert len(motions._motions) == motion.KEPT
    assert len(motions._flows) == motion.KEPT
