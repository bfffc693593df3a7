"""The small picture of one frame: which frame, its form, and what of it is transparent."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from apps.engine.encode import Cutout
from apps.engine.poster import Poster
from tests.clips import make_clip
from tests.engine.work import MAGENTA, only, options, run


def cutout(red: int, *, is_empty: bool = False) -> Cutout:
    alpha = np.zeros((600, 1200), np.uint8)
    alpha[:, :600] = 0 if is_empty else 255
    rgb = np.zeros((600, 1200, 3), np.uint8)
    rgb[..., 0] = red
    return Cutout(0, Fraction(0), Fraction(1), rgb, alpha)


def made(path: Path, frames: list[Cutout], *, opaque: bool = False, promised: int = 0) -> np.ndarray:
    poster = Poster(path, frames=promised or len(frames), opaque=opaque)
    for frame in frames:
        poster.show(frame)
    poster.close()
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_it_is_small_and_keeps_alpha(tmp_path):
    shown = made(tmp_path / "p.webp", [cutout(200)] * 9)

    assert shown.shape == (240, 480, 4)
    assert (shown[120, 100, 3], shown[120, 400, 3]) == (255, 0)


def test_over_a_background_it_has_no_alpha(tmp_path):
    assert made(tmp_path / "p.webp", [cutout(200)], opaque=True).shape == (240, 480, 3)


@pytest.mark.parametrize(
    ("empty", "promised", "expected"),
    [
        (set(), 9, 60),  # a third into the clip
        ({3}, 9, 80),  # nothing to see there: the middle
        ({3, 4}, 9, 120),  # nor there: two thirds
        ({1, 2, 3, 4, 5, 6, 7, 8}, 9, 0),  # only the first shows anything
        (set(), 90, 0),  # far fewer frames than were promised
    ],
)
def test_it_is_a_frame_that_shows_something(tmp_path, empty, promised, expected):
    frames = [cutout(20 * number, is_empty=number in empty) for number in range(9)]

    shown = made(tmp_path / "p.webp", frames, promised=promised)

    assert shown[120, 100, 3] == 255
    assert abs(int(shown[120, 100, 2]) - expected) < 9


def test_without_a_frame_there_is_no_poster_and_no_fault(tmp_path):
    """Why no frame came is told by the run, and must not be drowned."""
    poster = Poster(tmp_path / "p.webp", frames=10, opaque=False)

    poster.close()

    assert not (tmp_path / "p.webp").exists()


def test_a_run_writes_and_tells_of_it(tmp_path):
    clip, path = make_clip(tmp_path / "in.mp4", width=800, height=450), tmp_path / "p.webp"

    told = run(clip, tmp_path / "out.mp4", options("mp4", background=MAGENTA), poster=path).outputs[-1]

    facts = (told.kind, told.format, told.width, told.height, told.frames, told.alpha_mode, told.has_audio)
    assert facts == ("poster", "webp", 480, 270, 1, "none", False)
    assert (told.bytes, cv2.imread(str(path)).shape) == (path.stat().st_size, (270, 480, 3))
    assert only(tmp_path, "in.mp4", "out.mp4", "p.webp")
