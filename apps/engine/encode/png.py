"""PNG pictures: numbered in a ZIP with a manifest and the sound, or loose in a folder."""

from __future__ import annotations

import json
import shutil
import zipfile
from array import array
from fractions import Fraction
from pathlib import Path

from apps.engine.audio import SampleReader, write_wave
from apps.engine.depth import ONES
from apps.engine.encode.base import Cutout, Spec, rgba_of, ticks
from apps.engine.encode.still import PNG, StillPool
from apps.engine.errors import EngineFault

ZIP_DATE = (1980, 1, 1, 0, 0, 0)
"""The same clip makes the same bytes."""

AUDIO_NAME = "audio.wav"

SOUND_RATE = 48_000

PIXEL_FORMATS = {
    (False, False): "rgba", (True, False): "rgb24", (False, True): "rgba64be", (True, True): "rgb48be",
}  # fmt: skip
"""By whether it is opaque, and deep."""


class PngSequenceWriter:
    """Stored, not deflated: PNG data does not shrink again. Larger than 4 GB is fine (ZIP64)."""

    clock = Fraction(1, 1000)

    def __init__(self, path: Path, spec: Spec) -> None:
        self._spec = spec
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True)
        self._sound_path = path.with_name(path.name.removesuffix(".part") + ".wav.part")
        name = PIXEL_FORMATS[spec.opaque, spec.deep]
        self._pool: StillPool[int] = StillPool("png", name, PNG, workers=spec.threads)
        self._first = 0
        self._stamps = array("q")
        self._end = 0

    def append(self, piece: Path) -> None:
        with zipfile.ZipFile(piece) as archive:
            manifest = json.loads(archive.read("manifest.json"))
            if (manifest["width"], manifest["height"], manifest["alpha"], manifest["bits"]) != (
                self._spec.width, self._spec.height, self._alpha_mode, self._bits,
            ):  # fmt: skip
                raise EngineFault("A piece was coded by other settings than the rest.")
            if not self._stamps:
                self._first = manifest["start_number"] - 1
            for entry in manifest["frames"]:
                self._zip.writestr(zipfile.ZipInfo(entry["file"], ZIP_DATE), archive.read(entry["file"]))
                self._stamps.append(entry["time_ms"])
        self._end = manifest["duration_ms"]

    def write(self, cutout: Cutout) -> None:
        if not self._stamps:
            self._first = cutout.index
        self._stamps.append(ticks(cutout.time, self.clock))
        self._end = ticks(cutout.end, self.clock)
        pixels = rgba_of(cutout, opaque=self._spec.opaque, white=ONES)
        for index, data in self._pool.add(cutout.index, pixels):
            self._append(index, data)

    def close(self) -> None:
        for index, data in self._pool.finish():
            self._append(index, data)
        has_audio = self._add_sound()
        self._zip.writestr(zipfile.ZipInfo("manifest.json", ZIP_DATE), json.dumps(self._manifest(has_audio), indent=1))
        self._zip.close()

    def abandon(self) -> None:
        self._pool.abandon()
        self._zip.close()

    def _append(self, index: int, data: bytes) -> None:
        self._zip.writestr(zipfile.ZipInfo(frame_name(index), ZIP_DATE), data)

    def _add_sound(self) -> bool:
        sound = self._spec.sound
        if sound is None:
            return False
        try:
            write_wave(SampleReader(sound, SOUND_RATE), self._sound_path)
            self._zip.write(self._sound_path, AUDIO_NAME)
        finally:
            self._sound_path.unlink(missing_ok=True)
        return True

    @property
    def _alpha_mode(self) -> str:
        return "none" if self._spec.opaque else "straight"

    @property
    def _bits(self) -> int:
        return 16 if self._spec.deep else 8

    def _manifest(self, has_audio: bool) -> dict[str, object]:
        return {
            "schema": 1,
            "width": self._spec.width,
            "height": self._spec.height,
            "count": len(self._stamps),
            "start_number": self._first + 1,
            "alpha": self._alpha_mode,
            "color": "sRGB",
            "bits": self._bits,
            "rate": f"{self._spec.rate.numerator}/{self._spec.rate.denominator}",
            "duration_ms": self._end,
            "audio": AUDIO_NAME if has_audio else None,
            "frames": [{"file": frame_name(n), "time_ms": stamp} for n, stamp in enumerate(self._stamps, self._first)],
        }


def frame_name(index: int) -> str:
    """Numbered from 1, as compositing tools expect."""
    return f"frames/frame_{index + 1:06d}.png"


class ForegroundWriter:
    """Straight foreground colours as `NNNNN.png`, numbered from 0."""

    clock = Fraction(1, 1000)

    def __init__(self, folder: Path, spec: Spec) -> None:
        folder.mkdir()
        self._folder = folder
        self._pool: StillPool[int] = StillPool("png", "rgb24", PNG, workers=spec.threads)

    def append(self, piece: Path) -> None:
        for picture in sorted(piece.iterdir()):
            shutil.copyfile(picture, self._folder / picture.name)

    def write(self, cutout: Cutout) -> None:
        for index, data in self._pool.add(cutout.index, cutout.rgb):
            self._save(index, data)

    def close(self) -> None:
        for index, data in self._pool.finish():
            self._save(index, data)

    def abandon(self) -> None:
        self._pool.abandon()

    def _save(self, index: int, data: bytes) -> None:
        (self._folder / f"{index:05d}.png").write_bytes(data)
