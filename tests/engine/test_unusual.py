"""Rare but honest files: every pixel layout, odd clocks, more than one track; all are shown as they are meant."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.packet import Packet
from av.video.frame import VideoFrame

from apps.engine.colour import ToRgb, new_codec
from apps.engine.decode import Decoder, Picture
from apps.engine.errors import InputRefused
from apps.engine.facts import Track, survey
from apps.engine.options import Options
from apps.engine.source import open_source
from tests.clips import HEIGHT, RATE, SUBJECT, WIDTH, make_clip, make_picture, picture
from tests.engine.work import run


def decode(path: Path, tmp_path: Path) -> tuple[list[Picture], list[str]]:
    found = survey(path)
    with open_source(path) as source:
        decoder = Decoder(source, found, scratch=tmp_path, threads=1)
        pictures = list(decoder.pictures())
        return pictures, [notice.code for notice in decoder.notices()]


def write(path: Path, codec: str, pixel_format: str, *, width=WIDTH, height=HEIGHT, frames=3, rate=RATE) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        for index in range(frames):
            frame = VideoFrame.from_ndarray(picture(index, width=width, height=height), format="rgb24")
            frame = frame.reformat(format=pixel_format)
            frame.pts, frame.time_base = index, Fraction(1, rate)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mkv", "ffv1", "yuv410p"), ("a.mkv", "ffv1", "yuv411p"), ("a.mkv", "ffv1", "yuv440p"),
        ("a.mkv", "ffv1", "yuv422p10le"), ("a.mkv", "ffv1", "yuv444p16le"), ("a.mkv", "ffv1", "gbrp10le"),
        ("a.mkv", "ffv1", "rgb48le"), ("a.mkv", "ffv1", "rgba64le"), ("a.avi", "rawvideo", "uyvy422"),
        ("a.avi", "rawvideo", "bgr24"), ("a.mov", "png", "rgb48be"), ("a.mov", "qtrle", "argb"),
        ("a.mov", "v210", "yuv422p10le"), ("a.avi", "magicyuv", "gbrp"), ("a.avi", "huffyuv", "yuv422p"),
        ("a.avi", "utvideo", "yuv420p"), ("a.mkv", "mpeg2video", "yuv422p"), ("a.avi", "cinepak", "rgb24"),
    ],
)  # fmt: skip
def test_every_pixel_layout_shows_the_right_colours(tmp_path, name, codec, pixel_format):
    pictures, notices = decode(write(tmp_path / name, codec, pixel_format), tmp_path)

    middle = pictures[1].rgb[round(HEIGHT * 0.4), round(WIDTH * 0.32)]
    assert notices == []
    assert np.abs(middle.astype(int) - SUBJECT).max() < 12


@pytest.mark.parametrize("pixel_format", ["rgb555be", "rgb565be", "bgr555be", "bgr565be"])
def test_big_endian_pixels_are_not_mixed_up(tmp_path, pixel_format):
    """The scaler's shortcut to 24 bits forgets their byte order."""
    red, green, blue = 8, 200, 40
    bits = 15 if "555" in pixel_format else 16
    first, last = (red, blue) if pixel_format.startswith("rgb") else (blue, red)
    word = first >> 3 << (bits - 5) | green >> (3 if bits == 15 else 2) << 5 | last >> 3
    frame = VideoFrame(16, 8, pixel_format)
    np.frombuffer(memoryview(frame.planes[0]), ">u2")[:] = word

    shown, alpha = ToRgb(new_codec("rawvideo", "r"), tmp_path).convert(frame)

    assert alpha is None
    assert np.abs(shown[4, 8].astype(int) - (red, green, blue)).max() <= 8


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 1), (4096, 2)])
def test_the_smallest_and_the_thinnest_frames(tmp_path, width, height):
    pictures, _ = decode(write(tmp_path / "a.mkv", "ffv1", "yuv444p", width=width, height=height), tmp_path)

    assert [shown.rgb.shape for shown in pictures] == [(height, width, 3)] * 3


@pytest.mark.parametrize(("width", "height"), [(1, 1), (7, 1), (1, 2000), (2, 2000)])
def test_what_is_a_pixel_wide_or_high_goes_all_the_way(tmp_path, width, height):
    source = write(tmp_path / "a.mov", "png", "rgb24", width=width, height=height)

    result = run(source, tmp_path / "out.mov", Options(model="chroma", format="mov"), matte=tmp_path / "matte.mkv")

    assert (result.outputs[0].width, result.outputs[0].height, result.frames) == (width, height, 3)


@pytest.mark.parametrize("rate", [1, 240, 1000])
def test_slow_and_fast_clocks(tmp_path, rate):
    found = survey(write(tmp_path / "a.mkv", "ffv1", "yuv420p", frames=10, rate=rate))
    pictures, _ = decode(tmp_path / "a.mkv", tmp_path)

    assert found.facts.fps == pytest.approx(rate, rel=0.2)
    assert [shown.time for shown in pictures] == sorted({shown.time for shown in pictures})
    assert float(pictures[-1].time) == pytest.approx(9 / rate, abs=0.001)


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path):
    with pytest.raises(InputRefused, match="larger than 36 million pixels"):
        survey(write(tmp_path / "a.mkv", "mjpeg", "yuvj420p", width=10_000, height=4000, frames=1))


def test_of_two_tracks_the_first_counts_when_neither_is_the_default(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        streams = [out.add_stream("libx264", rate=RATE) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(5):
            for stream, pixels in zip(streams, (picture(index), 255 - picture(index)), strict=True):
                frame = VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
                frame.pts, frame.time_base = index, Fraction(1, RATE)
                out.mux(stream.encode(frame))
        for stream in streams:
            out.mux(stream.encode(None))

    pictures, _ = decode(path, tmp_path)

    assert len(pictures) == 5
    assert float(np.abs(pictures[2].rgb.astype(int) - picture(2)).mean()) < 12


def test_a_cover_that_comes_first_is_not_the_film(tmp_path):
    clip, cover = make_clip(tmp_path / "a.mp4", frames=5), make_picture(tmp_path / "cover.jpg", width=800, height=600)
    with av.open(str(clip)) as source, av.open(str(tmp_path / "b.mkv"), "w") as out:
        out.add_attachment("cover.jpg", "image/jpeg", cover.read_bytes())
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux():
            if packet.size:
                packet.stream = stream
                out.mux(packet)

    assert (survey(tmp_path / "b.mkv").facts.width, survey(tmp_path / "b.mkv").facts.frames) == (WIDTH, 5)


def test_times_that_begin_below_zero_or_late_are_kept(tmp_path):
    early = survey(make_clip(tmp_path / "a.mkv", frames=5, times_ms=[-200, -160, -120, -80, -40]))
    late, _ = decode(make_clip(tmp_path / "b.mkv", frames=5, times_ms=[5000 + 40 * n for n in range(5)]), tmp_path)

    assert early.facts.duration == pytest.approx(0.2, abs=0.001)
    assert [float(shown.time) for shown in late] == [0, 0.04, 0.08, 0.12, 0.16]


def test_frames_without_a_time_of_their_own_come_one_after_the_other(tmp_path):
    """A program stream of H.264 times every second packet or fewer."""
    path = tmp_path / "a.vob"
    with av.open(str(path), "w", format="vob") as out:
        stream = out.add_stream("libx264", rate=RATE, options={"bf": "2", "x264-params": "scenecut=0:keyint=12"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(48):
            frame = VideoFrame.from_ndarray(picture(index, width=64, height=48), format="rgb24")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with av.open(str(path)) as container:
        assert any(packet.size and packet.pts is None for packet in container.demux(video=0))

    facts = survey(path).facts
    pictures, notices = decode(path, tmp_path)

    assert (facts.frames, facts.fps, facts.is_variable_rate) == (48, RATE, False)
    assert abs(facts.duration - 48 / RATE) < 2 / RATE
    assert [shown.time - pictures[0].time for shown in pictures] == [Fraction(n, RATE) for n in range(48)]
    assert notices == []


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_the_turn_is_told_as_other_tools_tell_it(tmp_path, rotation, mirrored):
    """ffprobe's angle, clockwise: for a mirror it counts to the picture that stands on its head."""
    facts = survey(make_clip(tmp_path / "a.mp4", rotation=rotation, mirrored=mirrored, frames=2)).facts

    with av.open(str(tmp_path / "a.mp4")) as container:
        told = next(container.decode(video=0)).rotation
    assert facts.rotation == -told % 360
    assert (facts.width, facts.height) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_animated_pictures_are_pictures(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w", format="apng" if suffix == "png" else "webp") as out:
        stream = out.add_stream("apng" if suffix == "png" else "libwebp_anim", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "rgba" if suffix == "png" else "bgra"
        for index in range(3):
            frame = VideoFrame.from_ndarray(picture(index), format="rgb24").reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))

    with pytest.raises(InputRefused, match="picture"):
        survey(path.rename(tmp_path / "a.mp4"))


def test_sound_that_says_it_lasts_for_a_day_ends_when_it_began(tmp_path):
    """A chained Ogg file's last packet counts from the other end of its clock; a day of silence would be written."""
    track = Track(Fraction(1, 48_000), 0, is_sound=True)
    for pts, duration in ((0, 1024), (1024, 1024), (2048, 2**32 - 2048)):
        packet = Packet(8)
        packet.pts = packet.dts = pts
        packet.duration, packet.time_base = duration, track.time_base
        track.add(packet)

    assert track.end_time == Fraction(2048, 48_000)


def test_a_trim_into_pictures_of_another_size_gets_the_first_ones_size(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        for index in range(2 * RATE):
            scale = 1 if index < RATE else 2
            codec = new_codec("mjpeg", "w")
            codec.width, codec.height, codec.pix_fmt = scale * WIDTH, scale * HEIGHT, "yuvj420p"
            codec.time_base = Fraction(1, RATE)
            pixels = picture(index, width=scale * WIDTH, height=scale * HEIGHT)
            frame = VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuvj420p")
            frame.pts, frame.time_base = index, codec.time_base
            for packet in codec.encode(frame) + codec.encode(None):
                packet.stream = stream
                out.mux(packet)

    result = run(path, tmp_path / "out.mov", Options(model="chroma", format="mov", trim=(1.0, 1.2)))

    assert (result.outputs[0].width, result.outputs[0].height, result.frames) == (WIDTH, HEIGHT, 5)
    assert [notice.code for notice in result.warnings] == ["size_changed"]
