"""process() from file to proved file, with the green-screen keyer on clips whose matte is known."""

from __future__ import annotations

import json
import subprocess
import wave
import zipfile
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from apps.engine.formats import FORMATS
from apps.engine.options import Background
from apps.engine.readback import read_back, read_matte
from tests.clips import (
    FRAMES,
    HEIGHT,
    RATE,
    SUBJECT,
    WIDTH,
    make_alpha_clip,
    make_clip,
    make_picture,
    matte,
)
from tests.engine.work import MAGENTA, KnownModel, SlowModel, only, options, run

EVERY = sorted(FORMATS)


@pytest.mark.parametrize("name", EVERY)
def test_every_format_carries_the_known_matte(tmp_path, name):
    clip = make_clip(tmp_path / "in.mp4", sound_seconds=FRAMES / RATE)
    target, kept = tmp_path / f"out{FORMATS[name].suffix}", tmp_path / "matte.mkv"

    result = run(clip, target, options(name), matte=kept)

    assert (result.status, result.frames, result.frames_inferred) == ("completed", FRAMES, FRAMES)
    assert result.decoded_seconds == pytest.approx(FRAMES / RATE)
    found = [frame.alpha for frame in read_matte(kept)]
    assert len(found) == FRAMES
    # Coding noise in the source leaves a little; the disc itself must be there.
    assert np.mean([np.abs(alpha.astype(int) - matte(n)).mean() for n, alpha in enumerate(found)]) < 1.5
    output = result.outputs[0]
    assert (output.kind, output.format) == ("result", name)
    assert (output.width, output.height) == (WIDTH, HEIGHT * 2 if name == "stacked_mp4" else HEIGHT)
    assert output.alpha_mode == {"mp4": "none", "matte_mp4": "none", "gif": "binary"}.get(name, "straight")
    assert output.has_audio is FORMATS[name].audio
    assert output.bytes == target.stat().st_size
    assert only(tmp_path, "in.mp4", target.name, "matte.mkv")


def test_an_independent_decoder_sees_the_cutout(tmp_path, ffmpeg):
    """Alpha to one step, and the subject's own colour where it is solid."""
    target = tmp_path / "out.webm"
    run(make_clip(tmp_path / "in.mkv"), target, options("webm"), matte=tmp_path / "m.mkv")

    command = [ffmpeg, "-v", "error", "-c:v", "libvpx-vp9", "-i", str(target)]
    raw = ["-f", "rawvideo", "-"]
    alpha = subprocess.run(
        [*command, "-vf", "alphaextract", "-pix_fmt", "gray", *raw], check=True, capture_output=True
    ).stdout
    colour = subprocess.run([*command, "-pix_fmt", "rgb24", *raw], check=True, capture_output=True).stdout
    seen = np.frombuffer(alpha, np.uint8).reshape(-1, HEIGHT, WIDTH)
    shown = np.frombuffer(colour, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)

    kept = [frame.alpha for frame in read_matte(tmp_path / "m.mkv")]
    assert len(seen) == FRAMES
    assert max(int(np.abs(found.astype(int) - told).max()) for found, told in zip(seen, kept, strict=True)) <= 1
    assert np.abs(shown[4][inside(4)].mean(axis=0) - SUBJECT).max() < 4


def inside(index: int) -> np.ndarray:
    """The disc without its rim, where 4:2:0 mixes colours."""
    return np.asarray(cv2.erode(matte(index), np.ones((9, 9), np.uint8))) == 255


@pytest.mark.parametrize("name", EVERY)
def test_variable_times_and_odd_sizes_survive(tmp_path, name):
    times = [0, 40, 80, 200, 240, 400, 440, 480, 900, 940, 980, 1020]
    clip = make_clip(tmp_path / "in.mkv", width=97, height=65, times_ms=times)
    target = tmp_path / "out"

    result = run(clip, target, options(name))

    clock = {"gif": 10, "webm": 1, "webp": 1, "png_sequence": 1}.get(name, 0)
    shown = [float(frame.time * 1000) for frame in read_back(target, name, opaque=name == "mp4")]
    assert [abs(told - time) <= clock / 2 for told, time in zip(shown, times, strict=True)] == [True] * len(times)
    padded = [notice.code for notice in result.warnings if notice.code == "size_padded"]
    assert padded == (["size_padded"] if name.endswith("mp4") else [])


def test_a_matte_alone_is_the_matte_whatever_the_background(tmp_path):
    target, kept = tmp_path / "out.mp4", tmp_path / "m.mkv"
    options_ = options("matte_mp4", background=MAGENTA)

    result = run(make_clip(tmp_path / "in.mkv"), target, options_, matte=kept)

    pairs = zip(read_back(target, "matte_mp4", opaque=False), read_matte(kept), strict=True)
    assert max(float(np.abs(shown.alpha.astype(int) - told.alpha).mean()) for shown, told in pairs) < 0.25
    assert [notice.code for notice in result.warnings] == ["opaque_background"]


def test_a_stacked_picture_over_a_background_is_opaque(tmp_path):
    target = tmp_path / "out.mp4"
    options_ = options("stacked_mp4", background=MAGENTA)

    result = run(make_clip(tmp_path / "in.mkv"), target, options_)

    shown = next(read_back(target, "stacked_mp4", opaque=True)).rgb
    assert np.abs(shown[-1, -1].astype(int) - MAGENTA.color).max() < 8
    assert result.outputs[0].alpha_mode == "none"
    assert [notice.code for notice in result.warnings] == ["opaque_background"]


@pytest.mark.parametrize("name", ["webm", "mov", "mp4"])
@pytest.mark.parametrize("codec", ["aac", "flac", "libopus"])
def test_late_sound_stays_in_step(tmp_path, name, codec):
    """The tone begins 240 ms after the picture, copied or encoded anew."""
    suffix = ".mp4" if codec == "aac" else ".mkv"
    clip = make_clip(tmp_path / f"in{suffix}", sound_seconds=0.4, sound_starts=0.24, audio_codec=codec)
    target = tmp_path / f"out.{name}"

    run(clip, target, options(name))

    assert tone_begins(target) == pytest.approx(0.24, abs=0.012)


def tone_begins(path: Path) -> float:
    """When the sound is first clearly heard."""
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            samples = frame.to_ndarray().astype(np.float64)
            samples /= 32768 if frame.format.name.startswith("s16") else 1
            shaped = samples.reshape(-1, frame.layout.nb_channels).T if not frame.format.is_planar else samples
            loud = np.flatnonzero(np.abs(shaped[0]) > 0.1)
            if len(loud):
                return frame.time + loud[0] / frame.sample_rate
    raise AssertionError("silence")


def test_late_video_keeps_its_distance_from_the_sound(tmp_path):
    clip = make_clip(tmp_path / "in.mkv", times_ms=[300 + 40 * n for n in range(FRAMES)], sound_seconds=0.8)

    run(clip, tmp_path / "out.webm", options("webm"))
    run(clip, tmp_path / "out.gif", options("gif"))

    assert next(read_back(tmp_path / "out.webm", "webm", opaque=False)).time == Fraction(3, 10)
    assert next(read_back(tmp_path / "out.gif", "gif", opaque=False)).time == 0


@pytest.mark.parametrize("name", EVERY)
def test_a_trim_cuts_picture_and_sound_alike(tmp_path, name):
    clip = make_clip(tmp_path / "in.mp4", frames=20, sound_seconds=0.8)
    target = tmp_path / "out"

    result = run(clip, target, options(name, trim=(0.2, 0.6)))

    assert (result.frames, result.decoded_seconds) == (10, pytest.approx(0.4))
    assert next(read_back(target, name, opaque=name == "mp4")).time == 0
    assert [point["t"] for point in result.quality["timeline"]] == pytest.approx(
        [n / RATE for n in range(10)], abs=1e-3
    )
    assert result.outputs[0].has_audio is FORMATS[name].audio


def test_a_png_sequence_carries_times_and_sound(tmp_path):
    clip = make_clip(tmp_path / "in.mp4", sound_seconds=0.3, sound_starts=0.1)
    target = tmp_path / "out.zip"

    run(clip, target, options("png_sequence"))

    with zipfile.ZipFile(target) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        with archive.open("audio.wav") as file, wave.open(file) as sound:
            seconds = sound.getnframes() / sound.getframerate()
    assert (manifest["count"], manifest["alpha"], manifest["rate"]) == (FRAMES, "straight", "25/1")
    assert [entry["time_ms"] for entry in manifest["frames"]] == [40 * n for n in range(FRAMES)]
    assert seconds == pytest.approx(0.4, abs=0.05)


def test_the_foreground_is_straight_and_numbered_from_zero(tmp_path):
    folder = tmp_path / "fgr"

    run(make_clip(tmp_path / "in.mkv"), tmp_path / "out.mp4", options("mp4"), foreground=folder)

    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"{n:05d}.png" for n in range(FRAMES)]
    with av.open(str(folder / names[2])) as container:
        pixels = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(pixels.astype(int) - SUBJECT).mean() < 1
    assert np.abs(pixels.astype(int) - SUBJECT).max() < 24


@pytest.mark.parametrize("name", EVERY)
def test_every_result_comes_with_the_same_report_on_its_quality(tmp_path, name):
    """Judged before the format has its say: gif's hard alpha and mp4's background are no faults of the matte."""
    clip = make_clip(tmp_path / "in.mkv")

    quality = run(clip, tmp_path / "out", options(name)).quality

    assert quality == run(clip, tmp_path / "out.mov", options("mov")).quality
    assert quality["duration"] == pytest.approx(FRAMES / RATE, abs=1e-3)
    assert quality["edge_stability"]["score"] >= 95
    assert quality["foreground_integrity"]["score"] == quality["temporal_consistency"]["score"] == 100


def test_an_image_lies_behind_the_subject(tmp_path):
    image = make_picture(tmp_path / "sea.png")
    laid = options("mp4", background=Background("image", None, "cover"))

    run(make_clip(tmp_path / "in.mkv"), tmp_path / "out.mp4", laid, background_image=image)

    shown = next(read_back(tmp_path / "out.mp4", "mp4", opaque=True)).rgb
    assert np.abs(shown[matte(0) == 0].mean(axis=0) - (30, 90, 200)).max() < 4
    assert np.abs(shown[inside(0)].mean(axis=0) - SUBJECT).max() < 4


def test_an_opaque_background_in_an_alpha_format_is_told(tmp_path):
    result = run(make_clip(tmp_path / "in.mp4"), tmp_path / "out.webm", options("webm", background=MAGENTA))

    assert [notice.code for notice in result.warnings] == ["opaque_background"]
    assert result.outputs[0].alpha_mode == "none"


def test_a_clip_without_a_subject_is_delivered_and_told(tmp_path):
    clip = make_clip(tmp_path / "in.mp4")

    empty = run(clip, tmp_path / "empty.webm", options("webm"), model=SlowModel(alpha=0)).warnings
    full = run(clip, tmp_path / "full.webm", options("webm"), model=SlowModel()).warnings

    assert ([notice.code for notice in empty], full) == (["empty_matte"], [])


def test_sound_that_cannot_be_kept_is_told_unless_nobody_wanted_it(tmp_path):
    clip = make_clip(tmp_path / "in.mp4", sound_seconds=0.4)

    told = run(clip, tmp_path / "a.gif", options("gif")).warnings
    silent = run(clip, tmp_path / "b.webm", options("webm", keep_audio=False))

    assert [notice.code for notice in told] == ["audio_dropped"]
    assert (silent.warnings, silent.outputs[0].has_audio) == ([], False)


def test_what_was_transparent_in_the_input_stays_so(tmp_path):
    clip = make_alpha_clip(tmp_path / "in.mov")

    run(clip, tmp_path / "out.webm", options("webm"), model=SlowModel(), matte=tmp_path / "m.mkv")

    alpha = [frame.alpha for frame in read_matte(tmp_path / "m.mkv")]
    assert np.abs(alpha[1].astype(int) - matte(1)).max() <= 8


def test_a_model_may_look_ahead(tmp_path):
    result = run(make_clip(tmp_path / "in.mp4"), tmp_path / "out.webm", options("webm"), model=SlowModel(ahead=5))

    assert result.frames == FRAMES
    assert 0 < result.frames_inferred < FRAMES


def test_despill_can_be_left_out(tmp_path):
    """To measure what it is worth: the rim then keeps the screen's light, and nothing else changes."""
    clip = make_clip(tmp_path / "in.mkv")
    for name, left_out in (("with", frozenset()), ("without", frozenset({"despill"}))):
        run(
            clip, tmp_path / f"{name}.webm", options("webm"), model=KnownModel(),
            foreground=tmp_path / name, without=left_out,
        )  # fmt: skip

    cleaned, spilled = (cv2.imread(str(sorted((tmp_path / name).iterdir())[1])) for name in ("with", "without"))

    rim = (matte(1) > 20) & (matte(1) < 235)
    assert (spilled.astype(int) - cleaned)[rim][:, 1].mean() > 10
    assert np.array_equal(spilled[matte(1) == 255], cleaned[matte(1) == 255])
