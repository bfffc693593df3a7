"""Our files as an FFmpeg that is not ours reads them; alpha in WebM by libvpx, since FFmpeg's own VP9 drops it."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from tests.conftest import missing

SOUND_RATE = 48_000

Frames = NDArray[np.uint8]
"""frames × height × width × RGBA"""


def need_ffmpeg() -> None:
    if not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
        missing("an independent ffmpeg")


def frames(path: Path, format_name: str) -> Frames:
    """Every frame, straight RGBA."""
    if format_name == "webp":
        # Debian's FFmpeg does not read animated WebP; Pillow's libwebp does.
        with Image.open(path) as picture:
            return np.stack([np.array(frame.convert("RGBA")) for frame in ImageSequence.Iterator(picture)])
    if format_name == "png_sequence":
        with zipfile.ZipFile(path) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".png"))
            return np.stack([np.array(Image.open(io.BytesIO(archive.read(name))).convert("RGBA")) for name in names])
    decoder = ["-c:v", "libvpx-vp9"] if format_name == "webm" else []
    width, height = size(path)
    raw = _run(
        "ffmpeg", *decoder, "-i", str(path), "-map", "0:v:0", "-fps_mode", "passthrough",
        "-f", "rawvideo", "-pix_fmt", "rgba", "-",
    )  # fmt: skip
    shown = np.frombuffer(raw, np.uint8).reshape(-1, height, width, 4)
    if format_name == "stacked_mp4":
        # As a player does: the colours with the grey below as their alpha.
        return np.concatenate([shown[:, : height // 2, :, :3], shown[:, height // 2 :, :, 1:2]], axis=3)
    if format_name == "matte_mp4":
        return np.concatenate([shown[..., :3], shown[..., 1:2]], axis=3)
    return shown


def size(path: Path) -> tuple[int, int]:
    stream = _ask(path, "-select_streams", "v:0", "-show_entries", "stream=width,height")["streams"][0]
    return stream["width"], stream["height"]


def times(path: Path, format_name: str) -> list[float]:
    """Seconds at which each frame is shown."""
    if format_name == "webp":
        with Image.open(path) as picture:
            lengths = [_length(frame) for frame in ImageSequence.Iterator(picture)]
        return [float(start) for start in np.cumsum([0, *lengths[:-1]])]
    rows = _ask(path, "-select_streams", "v:0", "-show_entries", "frame=pts_time")["frames"]
    return [float(row["pts_time"]) for row in rows]


def _length(frame: Image.Image) -> float:
    frame.load()  # Pillow knows how long a frame is shown only once it has read it
    return float(frame.info["duration"]) / 1000


def sound(path: Path) -> NDArray[np.int16]:
    """Mono, from second 0 of the file, with silence where a late stream has not begun."""
    raw = _run(
        "ffmpeg", "-i", str(path), "-map", "0:a:0", "-af", "aresample=async=1:first_pts=0",
        "-ac", "1", "-ar", str(SOUND_RATE), "-f", "s16le", "-",
    )  # fmt: skip
    return np.frombuffer(raw, np.int16)


def onset(samples: NDArray[np.int16]) -> float:
    """Second at which the tone begins."""
    return float(np.argmax(np.abs(samples) > 2000)) / SOUND_RATE


def _ask(path: Path, *questions: str) -> dict[str, list[dict[str, str]]]:
    answer = _run("ffprobe", *questions, "-of", "json", str(path))
    read: dict[str, list[dict[str, str]]] = json.loads(answer)
    return read


def _run(tool: str, *arguments: str) -> bytes:
    done = subprocess.run([tool, "-v", "error", *arguments], capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
