"""The quality report: silent on true mattes, and finding what was planted into them, of the right kind and in time."""

from __future__ import annotations

import json
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from apps.engine.quality import MAX_FLAGS, MAX_POINTS, Quality
from apps.engine.report import in_short
from tests import planting, scenes
from tests.scenes import RATE, Scene, scene

MEASURES = ("edge_stability", "foreground_integrity", "temporal_consistency")
FIRST, END = 14, 26
CLOSE = 2.01 / RATE
"""Two frames, in seconds."""


def judged(scene: Scene, *, cutouts=None, rate: float = RATE) -> dict:
    quality = Quality()
    for place, (picture, matte) in enumerate(zip(scene.pictures, scene.mattes, strict=True)):
        cutout = cutouts[place] if cutouts else picture
        quality.add(place / rate, (place + 1) / rate, picture=picture, alpha=matte, cutout=cutout)
    return quality.report()


def flags(report: dict) -> list[dict]:
    return [flag for name in MEASURES for flag in report[name]["flags"]]


@pytest.fixture(scope="module")
def walk() -> Scene:
    return scene()


def doubled(true: Scene) -> Scene:
    """Every frame shown twice, as 25 frames a second are in a file of 50."""
    return Scene(*([plane for plane in planes for _ in range(2)] for planes in (true.pictures, true.mattes)))


def unseen_in_the_dark(light: Callable[[int], float]) -> Scene:
    """A fade, in which nobody finds a subject where there is hardly any light."""
    true = scene(light=light)
    mattes = [matte if light(place) > 0.15 else np.zeros_like(matte) for place, matte in enumerate(true.mattes)]
    return Scene(true.pictures, mattes)


def out_and_back(place: int) -> float:
    """Eight frames from full light to none, two of darkness, and eight back."""
    return min(1.0, abs(place - 21) / 8 - 1 / 8) if abs(place - 21) > 1 else 0.0


def repeated_in_code(true: Scene) -> Scene:
    """Every second frame is the one before it, but for what coding leaves: a step in a tenth of the pixels."""
    rng = np.random.default_rng(4)
    pictures = [
        picture if place % 2 == 0 else cv2.add(picture, (rng.random(picture.shape) < 0.1).astype(np.uint8))
        for place, picture in enumerate(true.pictures)
    ]
    return Scene(pictures, true.mattes)


TRUE = {
    "strolling": lambda: scene(),
    "standing still": lambda: scene(scenes.still, pan=0),
    "running": lambda: scene(scenes.running),
    "running with motion blur": lambda: scene(scenes.running, blur=True),
    "entering an empty frame": lambda: scene(scenes.entering),
    "leaving": lambda: scene(scenes.leaving),
    "sensor noise": lambda: scene(noise=8),
    "nothing but noise moves": lambda: scene(scenes.still, pan=0, noise=12),
    "a cut": lambda: scene(frames=20) + scene(scenes.running, frames=20, seed=5),
    "a fast pan": lambda: scene(pan=7),
    "a lamp that flickers": lambda: scene(light=lambda place: 1 - 0.15 * (place % 3 == 0)),
    "a fade to black": lambda: scene(light=lambda place: max(0.0, 1 - place / 30)),
    "a fade to black in which the subject is lost": lambda: unseen_in_the_dark(lambda at: max(0.0, 1 - at / 25)),
    "a fade from black in which the subject is found": lambda: unseen_in_the_dark(lambda at: min(1.0, at / 25)),
    "a quick fade from black": lambda: unseen_in_the_dark(lambda at: min(1.0, at / 8)),
    "running through a quick fade to black and back": lambda: scene(scenes.running, light=out_and_back),
    "a quick fade to black and back in a fast pan": lambda: scene(pan=7, light=out_and_back),
    "each frame twice": lambda: doubled(scene()),
}


@pytest.mark.parametrize("name", TRUE)
def test_a_true_matte_is_not_blamed(name):
    report = judged(TRUE[name]())

    assert flags(report) == []
    assert all(report[measure]["score"] >= 90 for measure in MEASURES)


@pytest.mark.parametrize("name", TRUE)
def test_true_colours_are_not_blamed(name):
    """Along soft edges they rightly differ from the picture's, and in each frame by another share."""
    true = TRUE[name]()

    report = judged(true, cutouts=true.foregrounds)

    assert flags(report) == []
    assert report["temporal_consistency"]["score"] >= 90


PLANTED = {
    "edge_flicker": [
        lambda mattes: planting.flicker(mattes, FIRST, END, pixels=1),
        lambda mattes: planting.flicker(mattes, FIRST, END, pixels=2),
        lambda mattes: planting.wobble(mattes, FIRST, END, pixels=2),
    ],
    "edge_lag": [lambda mattes: planting.lag(mattes, FIRST, END)],
    "hole": [lambda mattes: planting.hole(mattes, FIRST, FIRST + 4)],
    "part_lost": [lambda mattes: planting.loss(mattes, FIRST, FIRST + 4)],
    "opacity_pulse": [
        lambda mattes: planting.pulse(mattes, FIRST, END, depth=0.1),
        lambda mattes: planting.pulse(mattes, FIRST, END, depth=0.2, period=12),
    ],
}
CASES = [(kind, number) for kind, plants in PLANTED.items() for number in range(len(plants))]


@pytest.mark.parametrize(("kind", "number"), CASES)
def test_a_planted_fault_is_named_and_placed(walk, kind, number):
    report = judged(Scene(walk.pictures, PLANTED[kind][number](walk.mattes)))

    found = flags(report)
    end = FIRST + 4 if kind in ("hole", "part_lost") else END
    assert {flag["kind"] for flag in found} == {kind}
    assert min(flag["start"] for flag in found) == pytest.approx(FIRST / RATE, abs=CLOSE)
    assert max(flag["end"] for flag in found) == pytest.approx(end / RATE, abs=CLOSE)


@pytest.mark.parametrize(("kind", "number"), CASES)
def test_a_planted_fault_is_found_where_each_frame_is_shown_twice(walk, kind, number):
    faulty = repeated_in_code(doubled(Scene(walk.pictures, PLANTED[kind][number](walk.mattes))))

    found = flags(judged(faulty, rate=2 * RATE))

    end = FIRST + 4 if kind in ("hole", "part_lost") else END
    assert {flag["kind"] for flag in found} == {kind}
    assert min(flag["start"] for flag in found) == pytest.approx(FIRST / RATE, abs=2 * CLOSE)
    assert max(flag["end"] for flag in found) == pytest.approx(end / RATE, abs=2 * CLOSE)


@pytest.mark.parametrize("light", [lambda at: 1 - 0.15 * (at % 3 == 0), lambda at: max(0.0, 1 - at / 38)])
def test_flicker_is_found_under_a_lamp_that_flickers_and_in_a_slow_fade(light):
    """Neither is so quick that the picture could not be followed."""
    true = scene(light=light)

    found = flags(judged(Scene(true.pictures, planting.flicker(true.mattes, 8, 20))))

    assert {flag["kind"] for flag in found} == {"edge_flicker"}
    assert min(flag["start"] for flag in found) == pytest.approx(8 / RATE, abs=CLOSE)


def test_a_pulse_is_found_in_a_picture_that_stands_quite_still(walk):
    """Nothing but the cutout's light changes: these frames are no repetitions."""
    still = Scene([walk.pictures[0]] * len(walk.pictures), [walk.mattes[0]] * len(walk.mattes))

    report = judged(still, cutouts=planting.pulse(still.pictures, FIRST, END, depth=0.1))

    assert [flag["kind"] for flag in flags(report)] == ["brightness_pulse"]


def test_a_cutout_that_pulses_while_the_video_does_not_is_named_and_placed(walk):
    report = judged(walk, cutouts=planting.pulse(walk.pictures, FIRST, END, depth=0.1))

    (flag,) = flags(report)
    assert flag["kind"] == "brightness_pulse"
    assert flag["start"] == pytest.approx(FIRST / RATE, abs=CLOSE)
    assert flag["end"] == pytest.approx(END / RATE, abs=CLOSE)


def test_background_that_joins_the_subject_for_a_moment_is_a_gain(walk):
    mattes = [matte.copy() for matte in walk.mattes]
    for matte in mattes[FIRST : FIRST + 4]:
        matte[20:60, 20:60] = 255

    (flag,) = flags(judged(Scene(walk.pictures, mattes)))

    assert flag["kind"] == "part_gained"
    assert (flag["start"], flag["end"]) == (FIRST / RATE, (FIRST + 4) / RATE)


def test_a_subject_of_stirring_fur_that_disappears_is_a_loss():
    """Its hairs look different in each frame, and are the same animal all the same."""
    rng = np.random.default_rng(7)
    ground = cv2.GaussianBlur(rng.integers(40, 200, (240, 320, 3)).astype(np.uint8), (0, 0), 4)
    fur = [np.clip(150 + 40 * rng.standard_normal((60, 60, 3)), 0, 255).astype(np.uint8) for _ in range(20)]
    pictures, matte = [ground.copy() for _ in fur], np.zeros((240, 320), np.uint8)
    for picture, hairs in zip(pictures, fur, strict=True):
        picture[150:210, 200:260] = cv2.GaussianBlur(hairs, (0, 0), 1)
        picture[60:220, 60:140] = 90
    matte[60:220, 60:140] = matte[150:210, 200:260] = 255
    alone = matte.copy()
    alone[:, 200:] = 0

    (flag,) = flags(judged(Scene(pictures, [matte] * 10 + [alone] * 10)))

    assert flag["kind"] == "part_lost"
    assert flag["start"] == 10 / RATE
    assert flags(judged(Scene(pictures, [matte] * 20))) == []


def test_a_worse_fault_scores_lower(walk):
    scores = [
        judged(Scene(walk.pictures, planting.flicker(walk.mattes, FIRST, end)))["edge_stability"]["score"]
        for end in (FIRST, FIRST + 6, FIRST + 20)
    ]

    assert scores == sorted(scores, reverse=True)
    assert scores[0] >= 90
    assert scores[-1] < 60


def test_a_fault_pulls_down_its_own_measure_only(walk):
    report = judged(Scene(walk.pictures, planting.pulse(walk.mattes, FIRST, END)))

    assert report["temporal_consistency"]["verdict"] == "poor"
    assert report["foreground_integrity"]["verdict"] == "good"
    assert report["edge_stability"]["verdict"] == "good"


def test_the_timeline_dips_where_the_fault_is(walk):
    timeline = judged(Scene(walk.pictures, planting.hole(walk.mattes, FIRST, FIRST + 4)))["timeline"]

    low = [point["t"] for point in timeline if point["integrity"] < 50]
    assert low == [place / RATE for place in range(FIRST, FIRST + 4)]


def test_a_long_clip_has_a_short_report(walk):
    """Every second has its hole: the worst are listed, the rest counted, the drawing stays small."""
    mattes = walk.mattes
    for first in range(5, 35, 10):
        mattes = planting.hole(mattes, first, first + 3)
    long = Scene(walk.pictures * 10, mattes * 10)

    report = judged(long)

    integrity = report["foreground_integrity"]
    assert len(integrity["flags"]) == MAX_FLAGS
    assert integrity["more_flags"] == 30 - MAX_FLAGS
    assert len(report["timeline"]) == MAX_POINTS
    assert json.loads(json.dumps(report)) == report


def test_without_a_subject_nothing_is_judged(walk):
    report = judged(Scene(walk.pictures, [np.zeros_like(matte) for matte in walk.mattes]))

    assert [report[name]["score"] for name in MEASURES] == [None] * 3
    assert {report[name]["verdict"] for name in MEASURES} == {"unknown"}
    assert flags(report) == report["timeline"] == []


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_clip_of_few_frames_has_a_report(walk, frames):
    report = judged(Scene(walk.pictures[:frames], walk.mattes[:frames]))

    assert len(report["timeline"]) == (frames if frames > 1 else 0)
    assert flags(report) == []


@pytest.mark.parametrize("size", [(16, 16), (2, 900), (900, 2), (1, 1)])
def test_any_shape_of_frame_can_be_judged(size):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(4)]

    report = judged(Scene(frames, [np.full(size, 255, np.uint8)] * 4))

    assert flags(report) == []


def test_times_are_counted_from_the_results_beginning(walk):
    quality = Quality()
    for place, (picture, matte) in enumerate(zip(walk.pictures[:3], walk.mattes, strict=False)):
        quality.add(5 + place, 6 + place, picture=picture, alpha=matte, cutout=picture)

    report = quality.report(origin=5)

    assert [point["t"] for point in report["timeline"]] == [0, 1, 2]
    assert report["duration"] == 3


def test_one_line_says_it_all(walk):
    report = judged(Scene(walk.pictures, planting.hole(walk.mattes, FIRST, FIRST + 4)))

    line = in_short(report)

    assert line == (
        f"edge stability {report['edge_stability']['score']}, foreground integrity "
        f"{report['foreground_integrity']['score']}, temporal consistency 100; 1 to look at"
    )


@pytest.mark.parametrize("size", [(1, 1), (2000, 2), (120, 11), (24, 500)])
def test_pictures_too_small_for_optical_flow_are_judged_too(size):
    """OpenCV raises for some of them, and for others it takes the whole process down."""
    picture = np.random.default_rng(3).integers(0, 256, (*size, 3), np.uint8)
    mattes = [np.full(size, alpha, np.uint8) for alpha in (200, 255, 200)]

    report = judged(Scene([picture] * 3, mattes))

    assert all(0 <= report[name]["score"] <= 100 for name in MEASURES)
