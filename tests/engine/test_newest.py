"""The picture of the newest frame, for whoever watches the work."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np

from apps.engine import newest, pipeline
from apps.engine.encode import Cutout
from apps.engine.newest import NewestFrame
from tests.clips import make_clip
from tests.engine.work import only, options, run


def cutout(red: int) -> Cutout:
    alpha = np.zeros((600, 1200), np.uint8)
    alpha[:, :600] = 255
    rgb = np.zeros((600, 1200, 3), np.uint8)
    rgb[..., 0] = red
    return Cutout(0, Fraction(0), Fraction(1), rgb, alpha)


def test_it_is_small_and_keeps_alpha_and_colour(tmp_path):
    path = tmp_path / "newest.webp"

    NewestFrame(path).show(cutout(200))

    shown = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert shown.shape == (240, 480, 4)
    assert (shown[120, 100, 3], shown[120, 400, 3]) == (255, 0)
    assert abs(int(shown[120, 100, 2]) - 200) < 8


def test_it_is_written_anew_only_when_its_time_has_come(tmp_path, monkeypatch):
    path, now = tmp_path / "newest.webp", 100.0
    monkeypatch.setattr(newest.time, "monotonic", lambda: now)
    frame = NewestFrame(path)
    frame.show(cutout(200))
    first = path.read_bytes()

    now += newest.EVERY_SECONDS / 2
    frame.show(cutout(50))
    assert path.read_bytes() == first

    now += newest.EVERY_SECONDS
    frame.show(cutout(50))
    assert path.read_bytes() != first


def test_it_is_there_while_the_work_goes_on_and_gone_after_it(tmp_path, monkeypatch):
    clip, path = make_clip(tmp_path / "in.mp4"), tmp_path / "newest.webp"
    verify, seen = pipeline.verify, []

    def watched(*args, **kwargs):
        seen.append(path.exists())
        verify(*args, **kwargs)

    monkeypatch.setattr(pipeline, "verify", watched)

    run(clip, tmp_path / "out.webm", options("webm"), newest=path)

    assert seen == [True]
    assert only(tmp_path, "in.mp4", "out.webm")
