"""A trim that begins late is not decoded from the start, and nobody can tell."""

from __future__ import annotations

import dataclasses
from array import array
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from apps.engine.decode import Decoder, Picture
from apps.engine.errors import InputRefused
from apps.engine.facts import survey
from apps.engine.seek import entry_before, packets_from
from apps.engine.source import open_source
from tests.clips import make_clip
from tests.engine.drawn import SCENE

FRAMES, RATE = 60, 10

CASES = {
    "h264 with reordered frames.mp4": ("libx264", {"g": "8", "bf": "3", "x264-params": "b-pyramid=2:ref=4"}, "yuv420p"),
    "hevc with open groups.mp4": ("libx265", {"x265-params": "keyint=10:open-gop=1:log-level=none"}, "yuv420p"),
    "hevc.mkv": ("libx265", {"x265-params": "keyint=10:bframes=3:log-level=none"}, "yuv420p"),
    "vp9.webm": ("libvpx-vp9", {"g": "9", "deadline": "realtime", "cpu-used": "8"}, "yuv420p"),
    "av1.mp4": ("libsvtav1", {"g": "10", "preset": "12", "svtav1-params": "lookahead=0"}, "yuv420p"),
    "prores.mov": ("prores_ks", {}, "yuv422p10le"),
    "mjpeg.mov": ("mjpeg", {}, "yuvj420p"),
}


def write(path: Path, codec: str, options: dict[str, str], pixel_format: str) -> Path:
    """Six seconds of a textured scene, so that every prediction counts."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = 160, 120, pixel_format
        for index in range(FRAMES):
            pixels = np.ascontiguousarray(SCENE.frame(index % 20)[::2, ::2])
            out.mux(stream.encode(VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pixel_format)))
        out.mux(stream.encode(None))
    return path


def decode(path: Path, tmp_path: Path, trim: tuple[float, float | None], *, seeks: bool = True) -> list[Picture]:
    found = survey(path)
    if not seeks:
        found = dataclasses.replace(found, entries=array("q"))
    with open_source(path) as source:
        return list(Decoder(source, found, scratch=tmp_path, trim=trim, threads=2).pictures())


@pytest.mark.parametrize("name", CASES)
def test_frames_after_a_seek_are_the_same_to_the_bit(tmp_path, name):
    path = write(tmp_path / name.replace(" ", "-"), *CASES[name])
    found = survey(path)
    clock = found.entries and (found.entries[1] - found.entries[0])
    assert clock, "nothing would be skipped, so nothing would be tested"

    for trim in ((2.05, None), (3.7, 4.4), (5.9, 9.0)):
        whole, skipped = decode(path, tmp_path, trim, seeks=False), decode(path, tmp_path, trim)
        assert [(shown.time, shown.end) for shown in skipped] == [(shown.time, shown.end) for shown in whole]
        assert len(whole) > 0
        assert all(np.array_equal(one.rgb, other.rgb) for one, other in zip(skipped, whole, strict=True))


def test_what_lies_before_the_entry_is_not_decoded(tmp_path):
    path = write(tmp_path / "a.mp4", *CASES["h264 with reordered frames.mp4"])
    found = survey(path)

    with open_source(path) as source:
        clock = Fraction(source.video.time_base)
        entry = entry_before(found.entries, clock, Fraction("4.5"))
        assert entry is not None
        count = sum(1 for packet in packets_from(source, entry) if packet.size)

    assert 3 < (entry - found.entries[0]) * clock <= Fraction("4.5")
    assert count < FRAMES / 2


@pytest.mark.parametrize(("seconds", "entry"), [("0.5", None), ("0.99", None), ("1", 10), ("2.49", 20), ("9", 50)])
def test_the_entry_is_the_last_keyframe_before(seconds, entry):
    keys = array("q", range(0, 60, 10))

    assert entry_before(keys, Fraction(1, 10), Fraction(seconds)) == entry
    assert entry_before(array("q"), Fraction(1, 10), Fraction(seconds)) is None


def test_an_entry_that_is_not_there_means_the_whole_file(tmp_path):
    path = write(tmp_path / "a.mp4", *CASES["h264 with reordered frames.mp4"])

    with open_source(path) as source:
        assert sum(1 for packet in packets_from(source, 12_345_678) if packet.size) == FRAMES


@pytest.mark.parametrize("name", ["a.ts", "a.avi", "h264.mkv"])
def test_where_keyframes_are_not_to_be_trusted_nothing_is_skipped(tmp_path, name):
    assert not survey(write(tmp_path / name, "libx264", {"g": "8"}, "yuv420p")).entries


@pytest.mark.parametrize(
    ("times", "trim", "end"),
    [
        ([0, 1000, 2000, 3000], (0.0, 2.5), 2.5),
        ([0, 1000, 2000, 3000], (1.0, 1.2), 1.2),
        ([0, 1000, 2000, 3000], (0.0, 3.02), 3.02),
        ([0, 40, 80, 120], (0.0, 9.0), 0.16),
    ],
)
def test_the_last_frame_stays_until_the_trim_ends(tmp_path, times, trim, end):
    clip = make_clip(tmp_path / "a.mkv", frames=4, times_ms=times)

    assert decode(clip, tmp_path, trim)[-1].end == pytest.approx(end, abs=0.001)


@pytest.mark.parametrize("trim", [(0.05, 0.07), (0.45, None)])
def test_a_trim_in_which_no_frame_begins_is_no_damaged_file(tmp_path, trim):
    clip = make_clip(tmp_path / "a.mkv")

    with open_source(clip) as source:
        decoder = Decoder(source, survey(clip), scratch=tmp_path, trim=trim)
        assert list(decoder.pictures()) == []
        with pytest.raises(InputRefused, match="trim less"):
            decoder.notices()
