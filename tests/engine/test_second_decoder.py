"""Every format over every background with every kind of sound, as an FFmpeg reads it that is not ours."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from apps.engine.compose import binary, snap
from apps.engine.formats import FORMATS
from apps.engine.options import Background, Options
from tests import judge
from tests.clips import FRAMES, make_clip, make_picture, matte
from tests.engine.work import KnownModel, run

PICTURE = (30, 90, 200)
BACKGROUNDS = {
    "transparent": Background(),
    "color": Background("color", (250, 10, 240)),
    "image": Background("image", fit="stretch"),
}
TIMES_MS = [0, 40, 80, 133, 150, 300, 340, 380, 420, 470, 500, 560]
STARTS, SECONDS = 0.1, 0.4

SOUNDS = {"aac": ".mp4", "opus": ".mkv", "none": ".mp4"}
"""Each is held as it is by some formats, and by others only when it is encoded anew."""

CODECS = {
    "webm": {"aac": "opus", "opus": "opus"},
    "mov": {"aac": "aac", "opus": "pcm_s16le"},
    "mp4": {"aac": "aac", "opus": "aac"},
    "png_sequence": {"aac": "pcm_s16le", "opus": "pcm_s16le"},
}

SPARE = {"mp4": 12, "webm": 12, "gif": 24}
"""How far a flat background may be off in the mean, of 255: H.264 and VP9 round, a palette more so."""

CASES = [
    (name, background, sound)
    for name, row in FORMATS.items()
    for background in BACKGROUNDS
    for sound in SOUNDS
    if (row.alpha or background != "transparent") and (row.audio or sound == "aac")
]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    made = {}
    for sound, suffix in SOUNDS.items():
        how = {} if sound == "none" else {"sound_seconds": SECONDS, "sound_starts": STARTS}
        codec = {"opus": "libopus"}.get(sound)
        made[sound] = make_clip(folder / f"{sound}{suffix}", times_ms=TIMES_MS, audio_codec=codec, **how)
    return made


def streams(path: Path) -> list[dict]:
    asked = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(path)]
    return json.loads(subprocess.run(asked, capture_output=True, check=True, timeout=60).stdout)["streams"]


def check_pictures(path: Path, name: str, background: str) -> None:
    shown = judge.frames(path, name)
    assert len(shown) == FRAMES
    row = FORMATS[name]
    for index, frame in enumerate(shown):
        drawn = matte(index)
        if background == "transparent" or row.shows_matte:
            expected = binary(drawn) if name == "gif" else snap(drawn)
            off = np.abs(frame[..., 3].astype(int) - expected)
            assert off.mean() <= (0.6 if row.demuxer == "mp4" else 0.25)
            assert off.max() <= (64 if row.demuxer == "mp4" else 1)
            continue
        assert frame[..., 3].min() >= 250
        wanted = PICTURE if background == "image" else BACKGROUNDS["color"].color
        outside = frame[..., :3][drawn == 0].astype(int)
        assert np.abs(outside.mean(axis=0) - wanted).max() <= SPARE.get(row.demuxer or name, 4)


def check_times(path: Path, name: str) -> None:
    if name == "png_sequence":
        with zipfile.ZipFile(path) as archive:
            told = [frame["time_ms"] / 1000 for frame in json.loads(archive.read("manifest.json"))["frames"]]
    else:
        told = judge.times(path, name)
    tick = 0.01 if name == "gif" else 0.001
    assert np.abs(np.array(told) - np.array(TIMES_MS) / 1000).max() <= tick / 2 + 1e-6


def check_sound(path: Path, name: str, sound: str, folder: Path) -> None:
    if name == "png_sequence" and sound != "none":
        with zipfile.ZipFile(path) as archive:
            path = Path(archive.extract("audio.wav", folder))
    heard = [] if name in ("png_sequence", "webp") and path.suffix != ".wav" else streams(path)
    heard = [stream for stream in heard if stream["codec_type"] == "audio"]
    if sound == "none" or not FORMATS[name].audio:
        assert heard == []
        return
    family = "mp4" if FORMATS[name].demuxer == "mp4" else name
    assert [stream["codec_name"] for stream in heard] == [CODECS[family][sound]]
    samples = judge.sound(path)
    assert judge.onset(samples) == pytest.approx(STARTS, abs=0.02)
    assert len(samples) / judge.SOUND_RATE == pytest.approx(STARTS + SECONDS, abs=0.06)


@pytest.mark.parametrize(("name", "background", "sound"), CASES)
def test_a_file_is_what_was_asked_for(tmp_path, clips, name, background, sound):
    judge.need_ffmpeg()
    target = tmp_path / f"out{FORMATS[name].suffix}"
    image = make_picture(tmp_path / "behind.png", color=PICTURE) if background == "image" else None
    asked = Options(model="light", format=name, background=BACKGROUNDS[background])

    run(clips[sound], target, asked, model=KnownModel(), background_image=image)

    check_pictures(target, name, background)
    check_times(target, name)
    check_sound(target, name, sound, tmp_path)
