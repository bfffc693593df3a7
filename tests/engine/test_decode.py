"""Frames as people see them, held against clips whose every pixel is known."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from apps.engine.colour import HLG, PQ, tone_map
from apps.engine.decode import Decoder, Picture
from apps.engine.errors import LimitExceeded
from apps.engine.facts import survey
from apps.engine.source import open_source
from tests.clips import FRAMES, HEIGHT, RATE, SUBJECT, WIDTH, make_alpha_clip, make_clip, make_truncated, matte, picture


def decode(path: Path, tmp_path: Path, **options) -> tuple[list[Picture], list[str]]:
    found = survey(path)
    with open_source(path) as source:
        decoder = Decoder(source, found, scratch=tmp_path, threads=1, **options)
        pictures = list(decoder.pictures())
        return pictures, [notice.code for notice in decoder.notices()]


def error(shown: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(shown.astype(int) - expected).mean())


def test_a_lossless_clip_comes_back_exactly(tmp_path):
    pictures, notices = decode(make_clip(tmp_path / "a.mkv"), tmp_path)

    assert [np.array_equal(shown.rgb, picture(shown.index)) for shown in pictures] == [True] * FRAMES
    assert [shown.time for shown in pictures] == [Fraction(n, RATE) for n in range(FRAMES)]
    assert [shown.end for shown in pictures[:-1]] == [shown.time for shown in pictures[1:]]
    assert notices == []


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_every_turn_and_mirror_is_shown_upright(tmp_path, rotation, mirrored):
    pictures, _ = decode(make_clip(tmp_path / "a.mp4", rotation=rotation, mirrored=mirrored), tmp_path)

    assert pictures[3].rgb.shape == (HEIGHT, WIDTH, 3)
    assert error(pictures[3].rgb, picture(3)) < 4


def test_oblong_pixels_become_square(tmp_path):
    clip = make_clip(tmp_path / "a.mp4", width=90, height=72, pixel_shape=Fraction(64, 45))
    pictures, _ = decode(clip, tmp_path)

    assert pictures[0].rgb.shape == (72, 128, 3)


def test_variable_times_are_kept_to_the_millisecond(tmp_path):
    times = [0, 40, 80, 200, 240, 400, 440, 480, 900, 940, 980, 1020]
    pictures, notices = decode(make_clip(tmp_path / "a.mp4", times_ms=times), tmp_path)

    assert [shown.time * 1000 for shown in pictures] == times
    assert notices == []


@pytest.mark.parametrize(
    ("trim", "kept"),
    [((0.08, 0.2), [2, 3, 4]), ((0.4, None), [10, 11]), ((0.0, 0.04), [0]), ((0.09, 0.13), [3])],
)
def test_a_trim_keeps_the_frames_that_begin_inside(tmp_path, trim, kept):
    pictures, _ = decode(make_clip(tmp_path / "a.mkv"), tmp_path, trim=trim)

    assert [round(shown.time * RATE) for shown in pictures] == kept
    assert [shown.index for shown in pictures] == list(range(len(kept)))


def test_more_than_the_allowed_seconds_stops_the_decoding(tmp_path):
    """Whatever the headers and packets promised before."""
    with pytest.raises(LimitExceeded) as refusal:
        decode(make_clip(tmp_path / "a.mp4"), tmp_path, max_seconds=0.3)

    assert refusal.value.param == "max_seconds"


def test_the_inputs_own_alpha_is_handed_on(tmp_path):
    pictures, _ = decode(make_alpha_clip(tmp_path / "a.mov"), tmp_path)

    assert error(pictures[2].alpha, matte(2)) < 0.5
    assert np.abs(pictures[2].rgb[matte(2) == 255].mean(axis=0) - SUBJECT).max() < 3


def test_an_alpha_plane_that_hides_nothing_is_none(tmp_path):
    """Taken for a cutout, such a clip would keep its old background's colours along every edge."""
    pictures, _ = decode(make_alpha_clip(tmp_path / "a.mov", is_opaque=True), tmp_path)

    assert [shown.alpha for shown in pictures] == [None] * len(pictures)
    assert error(pictures[2].rgb, picture(2)) < 3


def test_a_cut_off_file_gives_what_it_has_and_says_so(tmp_path):
    pictures, notices = decode(make_truncated(tmp_path / "a.mp4"), tmp_path)

    assert 0 < len(pictures) < 40
    assert "input_truncated" in notices


def test_damage_in_the_middle_costs_no_more_than_its_frames(tmp_path):
    clip = make_clip(tmp_path / "a.mp4", frames=40, width=160, height=120)
    data = bytearray(clip.read_bytes())
    for at in range(len(data) // 2, len(data) // 2 + 60):
        data[at] ^= 0xFF
    clip.write_bytes(bytes(data))

    pictures, notices = decode(clip, tmp_path)

    assert len(pictures) >= 38
    times = [shown.time for shown in pictures]
    assert times == sorted(set(times))
    assert notices == ["corrupt_frames"]


def write_yuv(path: Path, *, colour: tuple[int, int, int], codec: str = "ffv1", **tags: int) -> Path:
    """One flat frame of given Y, Cb, Cr samples with given tags."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le" if "color_trc" in tags else "yuv420p"
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        for index in range(3):
            frame = VideoFrame(64, 48, stream.pix_fmt)
            kind = np.uint16 if "color_trc" in tags else np.uint8
            for plane, value in zip(frame.planes, colour, strict=True):
                np.frombuffer(plane, kind)[:] = value
            for name, value in tags.items():
                setattr(frame, name, value)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("tags", "colour"),
    [
        ({"colorspace": 1, "color_range": 1}, (63, 102, 240)),
        ({"colorspace": 5, "color_range": 1}, (81, 90, 240)),
        ({"colorspace": 1, "color_range": 2}, (54, 99, 255)),
        ({"colorspace": 6, "color_range": 2}, (76, 85, 255)),
        ({}, (81, 90, 240)),
    ],
    ids=["709 limited", "601 limited", "709 full", "601 full", "untagged small is 601"],
)
def test_red_is_red_under_every_matrix_and_range(tmp_path, tags, colour):
    pictures, _ = decode(write_yuv(tmp_path / "a.mkv", colour=colour, **tags), tmp_path)

    assert np.abs(pictures[0].rgb.reshape(-1, 3).mean(axis=0) - (255, 0, 0)).max() < 3


def test_hdr_white_becomes_nearly_white_and_is_told(tmp_path):
    """Reference white, 203 nits, is signal 0.58 in PQ."""
    white = 64 + round(0.5807 * 876)
    clip = write_yuv(
        tmp_path / "a.mkv", colour=(white, 512, 512), colorspace=9, color_range=1, color_primaries=9, color_trc=PQ
    )

    pictures, notices = decode(clip, tmp_path)

    assert survey(clip).facts.is_hdr is True
    assert notices == ["hdr_tone_mapped"]
    assert 225 <= pictures[0].rgb.mean() <= 250
    assert np.ptp(pictures[0].rgb.reshape(-1, 3).mean(axis=0)) < 2


@pytest.mark.parametrize("colour", [(200, 60, 50), (80, 160, 90), (60, 80, 190), (180, 170, 40)])
def test_hdr_colours_come_back_as_the_colours_they_were(tmp_path, colour):
    """A BT.709 colour graded as HDR at reference white, below the knee, is that colour again."""
    to_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    nits = 203 * (to_2020 @ ((np.array(colour) / 255) ** 2.4))
    power = (nits / 10_000) ** 0.1593017578125
    red, green, blue = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    luma = 0.2627 * red + 0.6780 * green + 0.0593 * blue
    samples = (64 + 876 * luma, 512 + 896 * (blue - luma) / 1.8814, 512 + 896 * (red - luma) / 1.4746)

    clip = write_yuv(
        tmp_path / "a.mkv",
        colour=tuple(round(float(sample)) for sample in samples),
        colorspace=9,
        color_range=1,
        color_primaries=9,
        color_trc=PQ,
    )
    pictures, _ = decode(clip, tmp_path)

    assert np.abs(pictures[0].rgb.reshape(-1, 3).mean(axis=0) - colour).max() < 10


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_tone_mapping_rises_from_black_to_white_and_keeps_grey_grey(transfer):
    steps = np.linspace(0, 1, 50)
    grey = tone_map(np.repeat(steps[:, None], 3, axis=1), transfer)

    assert grey[0].max() < 0.01
    assert grey[-1].min() > 0.97
    assert (np.diff(grey[:, 0]) >= -1e-9).all()
    assert np.ptp(grey, axis=1).max() < 0.01


@pytest.mark.parametrize("frames", [1, 2, 3, 8])
def test_interlaced_frames_come_out_one_for_one(tmp_path, frames):
    path = tmp_path / "a.mpg"
    with av.open(str(path), "w", format="mpeg") as out:
        stream = out.add_stream("mpeg2video", rate=25, options={"flags": "+ildct+ilme", "top": "1", "b": "4M"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(frames):
            frame = VideoFrame.from_ndarray(picture(index, width=64, height=48), format="rgb24")
            out.mux(stream.encode(frame.reformat(format="yuv420p")))
        out.mux(stream.encode(None))

    pictures, _ = decode(path, tmp_path)

    assert survey(path).facts.is_interlaced is True
    assert len(pictures) == frames
    assert [shown.time - pictures[0].time for shown in pictures] == [Fraction(n, 25) for n in range(frames)]
