"""process() from file to proved file, with the green-screen keyer on clips whose matte is known."""

from __future__ import annotations

import json
import subprocess
import threading
import time
import wave
import zipfile
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from apps.engine.child import Limits
from apps.engine.encode import Cutout, MatteWriter
from apps.engine.errors import (
    BadOptions,
    Canceled,
    EngineFault,
    InputRefused,
    LimitExceeded,
    ModelNotInstalled,
    VerificationFailed,
)
from apps.engine.formats import FORMATS
from apps.engine.matting.base import Matte
from apps.engine.matting.load import load
from apps.engine.options import Background, Options
from apps.engine.pipeline import process
from apps.engine.readback import read_back
from apps.engine.report import Progress, Result
from apps.engine.task import Task
from tests.clips import (
    FRAMES,
    HEIGHT,
    RATE,
    SUBJECT,
    WIDTH,
    make_alpha_clip,
    make_clip,
    make_picture,
    make_truncated,
    matte,
)

EVERY = sorted(FORMATS)
MAGENTA = Background("color", (255, 0, 255))


def chroma():
    return load("chroma", models_dir=Path("/nowhere"))


class SlowModel:
    """Looks two frames ahead, as temporal models do; says everything is subject."""

    name, version, device = "light", "slow@1", "cpu"

    def __init__(
        self, *, seconds: float = 0, ahead: int = 2, lost: int = 0, error: Exception | None = None, alpha: int = 255
    ) -> None:
        self.seconds, self.ahead, self.lost, self.error, self.alpha = seconds, ahead, lost, error, alpha

    def session(self, width: int, height: int) -> SlowModel:
        self.held: list[Matte] = []
        return self

    def push(self, frame: np.ndarray) -> list[Matte]:
        time.sleep(self.seconds)
        if self.error is not None and len(self.held) == self.ahead:
            raise self.error
        self.held.append(Matte(np.full(frame.shape[:2], self.alpha, np.uint8), None, inferred=len(self.held) % 2 == 0))
        return [self.held.pop(0)] if len(self.held) > self.ahead else []

    def flush(self) -> list[Matte]:
        rest, self.held = self.held[self.lost :], []
        return rest


def run(source: Path, target: Path, options: Options, *, model=None, tell=None, canceled=None, **fields) -> Result:
    task = Task(source, target, options, load_model=(lambda: model) if model else chroma, threads=1, **fields)
    return process(task, tell=tell or (lambda progress: None), canceled=canceled or threading.Event())


def options(name: str, **changes) -> Options:
    background = Background() if FORMATS[name].alpha else MAGENTA
    return Options(**{"model": "light", "format": name, "background": background, **changes})


def only(folder: Path, *names: str) -> bool:
    return sorted(entry.name for entry in folder.iterdir()) == sorted(names)


@pytest.mark.parametrize("name", EVERY)
def test_every_format_carries_the_known_matte(tmp_path, name):
    clip = make_clip(tmp_path / "in.mp4", sound_seconds=FRAMES / RATE)
    target, kept = tmp_path / f"out{FORMATS[name].suffix}", tmp_path / "matte.mkv"

    result = run(clip, target, options(name), matte=kept)

    assert (result.status, result.frames, result.frames_inferred) == ("completed", FRAMES, FRAMES)
    assert result.decoded_seconds == pytest.approx(FRAMES / RATE)
    found = [frame.alpha for frame in read_back(kept, "matte", opaque=False)]
    assert len(found) == FRAMES
    # Coding noise in the source leaves a little; the disc itself must be there.
    assert np.mean([np.abs(alpha.astype(int) - matte(n)).mean() for n, alpha in enumerate(found)]) < 1.5
    output = result.outputs[0]
    assert (output.kind, output.format, output.width, output.height) == ("result", name, WIDTH, HEIGHT)
    assert output.alpha_mode == {"mp4": "none", "gif": "binary"}.get(name, "straight")
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

    kept = [frame.alpha for frame in read_back(tmp_path / "m.mkv", "matte", opaque=False)]
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

    clock = {"gif": 10, "mp4": 0, "mov": 0}.get(name, 1)
    shown = [float(frame.time * 1000) for frame in read_back(target, name, opaque=name == "mp4")]
    assert [abs(told - time) <= clock / 2 for told, time in zip(shown, times, strict=True)] == [True] * len(times)
    padded = [notice.code for notice in result.warnings if notice.code == "size_padded"]
    assert padded == (["size_padded"] if name == "mp4" else [])


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

    alpha = [frame.alpha for frame in read_back(tmp_path / "m.mkv", "matte", opaque=False)]
    assert np.abs(alpha[1].astype(int) - matte(1)).max() <= 8


def test_a_model_may_look_ahead(tmp_path):
    result = run(make_clip(tmp_path / "in.mp4"), tmp_path / "out.webm", options("webm"), model=SlowModel(ahead=5))

    assert result.frames == FRAMES
    assert 0 < result.frames_inferred < FRAMES


def test_a_model_that_loses_a_frame_is_our_fault(tmp_path):
    with pytest.raises(EngineFault, match="too few"):
        run(make_clip(tmp_path / "in.mp4"), tmp_path / "out.webm", options("webm"), model=SlowModel(lost=1))

    assert only(tmp_path, "in.mp4")


def test_the_first_error_stops_all_and_leaves_nothing(tmp_path):
    broken = SlowModel(error=RuntimeError("weights went missing"))

    with pytest.raises(RuntimeError, match="weights went missing"):
        run(make_clip(tmp_path / "in.mp4"), tmp_path / "out.webm", options("webm"), model=broken,
            matte=tmp_path / "m.mkv", foreground=tmp_path / "fgr")  # fmt: skip

    assert only(tmp_path, "in.mp4")


@pytest.mark.parametrize("name", EVERY)
def test_canceling_leaves_nothing(tmp_path, name):
    clip, canceled = make_clip(tmp_path / "in.mp4", frames=40, sound_seconds=1), threading.Event()
    threading.Timer(0.5, canceled.set).start()

    with pytest.raises(Canceled):
        run(clip, tmp_path / "out", options(name), model=SlowModel(seconds=0.1), canceled=canceled,
            matte=tmp_path / "m.mkv")  # fmt: skip

    assert only(tmp_path, "in.mp4")


@pytest.mark.parametrize("name", EVERY)
def test_a_result_that_fails_its_proof_is_not_delivered(tmp_path, name, monkeypatch):
    """The kept matte is not what was encoded, as a bug in a writer would have it."""
    clip = make_clip(tmp_path / "in.mp4")
    write = MatteWriter.write

    def spoil(self: MatteWriter, cutout: Cutout) -> None:
        shifted = np.roll(cutout.alpha, 3, axis=1)
        write(self, Cutout(cutout.index, cutout.time, cutout.end, cutout.rgb, shifted))

    monkeypatch.setattr(MatteWriter, "write", spoil)

    with pytest.raises(VerificationFailed):
        run(clip, tmp_path / "out", options(name))

    assert only(tmp_path, "in.mp4")


def test_a_file_that_was_there_stays_until_the_new_one_is_proved(tmp_path):
    target = tmp_path / "out.webm"
    target.write_bytes(b"older")

    with pytest.raises(EngineFault):
        run(make_clip(tmp_path / "in.mp4"), target, options("webm"), model=SlowModel(lost=1))
    kept = target.read_bytes()
    run(tmp_path / "in.mp4", target, options("webm"))

    assert kept == b"older"
    assert target.stat().st_size > 1000
    assert only(tmp_path, "in.mp4", "out.webm")


def test_a_broken_input_is_refused_before_the_model_is_loaded(tmp_path):
    (tmp_path / "in.mp4").write_bytes(b"no video")

    with pytest.raises(InputRefused):
        run(tmp_path / "in.mp4", tmp_path / "out.webm", options("webm"), model=SlowModel())

    assert only(tmp_path, "in.mp4")


def test_a_truncated_input_is_delivered_with_a_warning(tmp_path):
    result = run(make_truncated(tmp_path / "in.mp4"), tmp_path / "out.webm", options("webm"))

    assert "input_truncated" in [notice.code for notice in result.warnings]
    assert 0 < result.frames < 40


def test_a_model_that_is_missing_is_said_to_be(tmp_path):
    def missing():
        raise ModelNotInstalled("light is not installed.")

    task = Task(make_clip(tmp_path / "in.mp4"), tmp_path / "out.webm", options("webm"), load_model=missing)
    with pytest.raises(ModelNotInstalled):
        process(task, tell=print, canceled=threading.Event())


def test_limits_count_what_a_trim_keeps(tmp_path):
    clip, limits = make_clip(tmp_path / "in.mp4"), Limits(max_seconds=0.3)

    with pytest.raises(LimitExceeded, match=r"0\.3 seconds"):
        run(clip, tmp_path / "out.webm", options("webm"), limits=limits)
    result = run(clip, tmp_path / "out.webm", options("webm", trim=(0.1, 0.3)), limits=limits)

    assert result.frames == 5


@pytest.mark.parametrize("name", ["gif", "webp"])
def test_what_an_animation_cannot_hold_is_refused_with_the_way_out(tmp_path, name):
    long = make_clip(tmp_path / "long.mp4", rate=1, frames=21)
    tall = make_clip(tmp_path / "tall.mp4", width=722, height=724, frames=2)

    with pytest.raises(LimitExceeded, match="Trim to 20 seconds"):
        run(long, tmp_path / "out", options(name))
    with pytest.raises(LimitExceeded, match="Scale it down"):
        run(tall, tmp_path / "out", options(name))

    assert run(long, tmp_path / "out", options(name, trim=(0.0, 3.0))).frames == 3


def test_a_trim_behind_the_end_is_refused(tmp_path):
    with pytest.raises(BadOptions, match="behind the end") as refusal:
        run(make_clip(tmp_path / "in.mp4"), tmp_path / "out.webm", options("webm", trim=(5.0, 6.0)))

    assert refusal.value.param == "trim.start"


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"target": "in.mp4"}, "output"),
        ({"target": "sub/../in.mp4"}, "output"),
        ({"matte": "out.webm"}, "matte"),
        ({"matte": "in.mp4"}, "matte"),
        ({"target": "none/out.webm"}, "output"),
        ({"foreground": "full"}, "fgr"),
        ({"target": "full"}, "output"),
    ],
)
def test_paths_that_would_harm_are_refused(tmp_path, changes, param):
    make_clip(tmp_path / "in.mp4")
    (tmp_path / "sub").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    paths = {name: tmp_path / path for name, path in {"target": "out.webm", **changes}.items()}

    with pytest.raises(BadOptions) as refusal:
        Task(tmp_path / "in.mp4", options=options("webm"), load_model=chroma, **paths)

    assert refusal.value.param == param


def test_progress_rises_and_names_its_stages(tmp_path, monkeypatch):
    monkeypatch.setattr("apps.engine.progress.INTERVAL_SECONDS", 0.01)
    told: list[Progress] = []

    run(make_clip(tmp_path / "in.mp4", frames=30), tmp_path / "out.webm", options("webm"), tell=told.append,
        model=SlowModel(seconds=0.02))  # fmt: skip

    percents = [progress.percent for progress in told]
    assert percents == sorted(percents)
    assert {progress.stage for progress in told} == {"processing", "verifying"}
    assert told[-1].frames_total == 30


def test_damaged_sound_is_delivered_at_full_length(tmp_path):
    clip = make_clip(tmp_path / "in.mp4", frames=25, sound_seconds=1)
    data = bytearray(clip.read_bytes())
    with av.open(str(clip)) as container:
        spots = [packet.pos for packet in container.demux(audio=0) if packet.pos is not None and packet.size]
    for spot in spots[10:20]:
        data[spot : spot + 40] = b"\xff" * 40
    clip.write_bytes(bytes(data))

    result = run(clip, tmp_path / "out.webm", options("webm"))

    assert result.outputs[0].has_audio is True
