"""Sources of more than eight bits keep them in the formats that hold them; what is hidden keeps none."""

from __future__ import annotations

import json
import zipfile
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.frame import VideoFrame

from apps.engine import depth
from apps.engine.colour import ToRgb, new_codec
from apps.engine.encode.base import plane_samples
from apps.engine.options import Background, Options
from tests.clips import RATE, make_clip
from tests.engine.work import ScriptedModel, run

LEVELS = np.arange(64, 941)
"""Luma of ten bits from black to white."""
WIDTH, HEIGHT = len(LEVELS), 24


def ramp(path: Path, pixel_format: str = "yuv444p10le", *, frames: int = 2) -> Path:
    """Grey from black to white, every level once, without loss."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
        stream.codec_context.color_range, stream.codec_context.colorspace = 1, 1
        for index in range(frames):
            frame = VideoFrame(WIDTH, HEIGHT, pixel_format)
            plane_samples(frame, 0, np.uint16)[:, :WIDTH] = LEVELS
            for plane in (1, 2):
                plane_samples(frame, plane, np.uint16)[:] = 512
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def deep_rgb(path: Path) -> np.ndarray:
    """One frame of sixteen bits a colour, noise; returned as it is."""
    pixels = np.random.default_rng(5).integers(0, 65536, (HEIGHT, WIDTH, 3), np.uint16)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "gbrp16le"
        frame = VideoFrame.from_ndarray(pixels, format="gbrp16le")
        frame.pts, frame.time_base = 0, Fraction(1, RATE)
        out.mux([*stream.encode(frame), *stream.encode(None)])
    return pixels


def solid(frames: int = 2) -> ScriptedModel:
    return ScriptedModel([np.full((HEIGHT, WIDTH), 255, np.uint8)] * frames)


def pictures(path: Path) -> tuple[dict, list[np.ndarray]]:
    """The manifest, and the PNGs as they are stored."""
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        data = [np.frombuffer(archive.read(entry["file"]), np.uint8) for entry in manifest["frames"]]
    return manifest, [cv2.imdecode(one, cv2.IMREAD_UNCHANGED) for one in data]


@pytest.mark.parametrize("pixel_format", ["yuv444p10le", "yuv420p10le"])
@pytest.mark.parametrize("background", [Background(), Background("color", (0, 0, 255))])
def test_prores_keeps_every_level_of_a_ten_bit_ramp(tmp_path, pixel_format, background):
    asked = Options(model="light", format="mov", background=background)
    run(ramp(tmp_path / "a.mkv", pixel_format), tmp_path / "out.mov", asked, model=solid())

    with av.open(str(tmp_path / "out.mov")) as out:
        (frame, _) = out.decode(video=0)
    luma = plane_samples(frame, 0, np.uint16)[:HEIGHT, :WIDTH] / 2 ** (frame.format.components[0].bits - 10)
    assert np.abs(luma - LEVELS).max() <= 3
    assert len(np.unique(luma[HEIGHT // 2].round())) > 700


def test_pngs_keep_every_level_of_a_ten_bit_ramp_in_sixteen_bits(tmp_path):
    run(ramp(tmp_path / "a.mkv"), tmp_path / "out.zip", Options(model="light", format="png_sequence"), model=solid())

    manifest, (first, _) = pictures(tmp_path / "out.zip")
    assert (manifest["bits"], first.dtype, first.shape) == (16, np.uint16, (HEIGHT, WIDTH, 4))
    assert (first[..., 3] == 65535).all()
    expected = (LEVELS - 64) / 876 * 65535
    assert np.abs(first[..., :3] - expected[None, :, None]).max() <= 65535 / 876 / 2


def test_rgb_of_sixteen_bits_comes_back_to_the_two_hundredth_of_a_step(tmp_path):
    pixels = deep_rgb(tmp_path / "a.mkv")

    run(tmp_path / "a.mkv", tmp_path / "out.zip", Options(model="light", format="png_sequence"), model=solid(1))

    _, (shown,) = pictures(tmp_path / "out.zip")
    assert np.abs(shown[..., 2::-1].astype(int) - pixels).max() <= 2


def test_what_is_hidden_or_half_seen_keeps_no_deep_colour(tmp_path):
    """In the low bits the removed background would still be there to be read."""
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[:, :300], alpha[:, 300:400] = 0, 128
    model = ScriptedModel([alpha] * 2)

    run(ramp(tmp_path / "a.mkv"), tmp_path / "out.zip", Options(model="light", format="png_sequence"), model=model)

    _, (first, _) = pictures(tmp_path / "out.zip")
    low_bits = first[..., :3] % 257
    assert not low_bits[:, :400].any()
    assert low_bits[:, 400:].any()


def test_eight_bits_stay_eight(tmp_path):
    clip = make_clip(tmp_path / "a.mp4", frames=2)

    run(clip, tmp_path / "out.zip", Options(model="chroma", format="png_sequence"))

    manifest, (first, _) = pictures(tmp_path / "out.zip")
    assert (manifest["bits"], first.dtype) == (8, np.uint8)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p10le", "yuva444p10le", "gbrp10le", "rgb48le", "rgba64le"])
def test_deep_and_shallow_frames_show_the_same_colours(tmp_path, pixel_format):
    pixels = np.random.default_rng(3).integers(0, 256, (12, 16, 4), np.uint8)
    frame = VideoFrame.from_ndarray(np.kron(pixels, np.ones((4, 4, 1), np.uint8)), format="rgba")
    frame = frame.reformat(format=pixel_format, dst_colorspace="ITU709", dst_color_range="MPEG")
    codec = new_codec("rawvideo", "r")

    rgb, alpha = ToRgb(codec, tmp_path).convert(frame)
    deep, deep_alpha = ToRgb(codec, tmp_path, deep=True).convert(frame)

    assert np.abs(depth.split(deep)[0].astype(int) - rgb).max() <= 1
    assert (alpha is None) == (deep_alpha is None)
    assert alpha is None or np.abs(alpha.astype(int) - deep_alpha).max() <= 1


def test_the_rest_of_a_frame_is_at_most_half_a_step_and_gives_it_back_exactly():
    deep = np.random.default_rng(1).integers(0, depth.WHITE + 1, (40, 50, 3), np.uint16)

    rgb, rest = depth.split(deep)

    assert np.array_equal(depth.joined(rgb, rest), deep)
