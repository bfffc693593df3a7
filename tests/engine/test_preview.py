"""The small copy beside a result: its form, and that it is proved too."""

from __future__ import annotations

import pytest

from apps.engine.errors import VerificationFailed
from apps.engine.preview import PreviewWriter, size_of
from apps.engine.readback import read_back
from tests.clips import FRAMES, RATE, SUBJECT, make_clip
from tests.engine.work import MAGENTA, only, options, run


@pytest.mark.parametrize(
    ("size", "small"),
    [((1920, 1080), (640, 360)), ((1080, 1920), (360, 640)), ((97, 65), (96, 64)), ((3000, 2), (640, 2))],
)
def test_its_sides_are_even_and_at_most_640(size, small):
    assert size_of(*size) == small


def test_a_transparent_result_has_a_stacked_one_with_its_times_and_sound(tmp_path):
    times = [0, 40, 80, 200, 240, 400, 440, 480, 900, 940, 980, 1020]
    clip = make_clip(tmp_path / "in.mkv", width=800, height=450, times_ms=times, sound_seconds=1)

    result = run(clip, tmp_path / "out.webm", options("webm"), preview=tmp_path / "p.mp4")

    output = result.outputs[-1]
    told = (output.kind, output.format, output.width, output.height, output.alpha_mode, output.has_audio)
    assert told == ("preview", "stacked_mp4", 640, 720, "straight", True)
    shown = list(read_back(tmp_path / "p.mp4", "stacked_mp4", opaque=False))
    assert [float(frame.time * 1000) for frame in shown] == times
    centre = shown[0].rgb[144, 192]
    assert abs(centre.astype(int) - SUBJECT).max() < 8
    assert (shown[0].alpha[144, 192], shown[0].alpha[-1, -1]) == (255, 0)
    assert only(tmp_path, "in.mkv", "out.webm", "p.mp4")


def test_an_opaque_result_has_a_plain_one(tmp_path):
    result = run(
        make_clip(tmp_path / "in.mp4"), tmp_path / "out.mov", options("mov", background=MAGENTA),
        preview=tmp_path / "p.mp4",
    )  # fmt: skip

    output = result.outputs[-1]
    assert (output.kind, output.format, output.alpha_mode, output.frames) == ("preview", "mp4", "none", FRAMES)
    assert output.duration == pytest.approx(FRAMES / RATE)


def test_a_preview_that_lacks_a_frame_delivers_nothing(tmp_path, monkeypatch):
    clip = make_clip(tmp_path / "in.mp4")
    write = PreviewWriter.write
    monkeypatch.setattr(PreviewWriter, "write", lambda self, cutout: cutout.index == 3 or write(self, cutout))

    with pytest.raises(VerificationFailed, match="is at"):
        run(clip, tmp_path / "out.webm", options("webm"), preview=tmp_path / "p.mp4")

    assert only(tmp_path, "in.mp4")
