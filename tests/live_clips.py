"""Clips for the live tests, drawn by code: a disc moving before a green screen, a tone, and the known matte."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

SCREEN = (20, 190, 40)
DISC = (225, 70, 60)
SOUND_RATE = 48_000
CLOCK = 90_000  # pts ticks a second

TURNED_RIGHT = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
"""The display matrix of a film held upright: shown a quarter turn clockwise."""


@dataclass(frozen=True)
class Clip:
    """What a file shows: `times` of its frames in seconds, and when its tone begins."""

    path: Path
    width: int
    height: int
    times: tuple[float, ...]
    seconds: float
    sound_starts: float = 0.0

    def matte(self, number: int) -> NDArray[np.uint8]:
        """As coded, before any rotation."""
        return disc(self.width, self.height, self.times[number])


def disc(width: int, height: int, second: float) -> NDArray[np.uint8]:
    """Alpha of the disc at a moment, with a soft edge of two pixels."""
    rows, columns = np.mgrid[:height, :width]
    x = width * (0.5 + 0.2 * np.sin(2 * second))
    y = height * (0.5 + 0.1 * np.cos(3 * second))
    radius = min(width, height) * 0.28
    alpha = np.clip((radius - np.hypot(columns - x, rows - y)) / 2 + 0.5, 0, 1)
    return np.round(alpha * 255).astype(np.uint8)


def draw(
    path: Path,
    *,
    width: int = 160,
    height: int = 120,
    times: Sequence[float] = tuple(number / 25 for number in range(25)),
    seconds: float = 1.0,
    sound_starts: float = 0.0,
    pixels: str = "yuv420p",
) -> Clip:
    """An H.264 and AAC clip in MP4; `times` need no constant step."""
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = width, height, pixels
        video.time_base = video.codec_context.time_base = Fraction(1, CLOCK)
        video.options = {"crf": "12", "preset": "veryfast", "threads": "1"}
        audio = file.add_stream("aac", rate=SOUND_RATE, layout="mono")
        for second in times:
            alpha = disc(width, height, second)[..., None] / 255
            picture = np.round(alpha * np.array(DISC) + (1 - alpha) * np.array(SCREEN)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = round(second * CLOCK), Fraction(1, CLOCK)
            file.mux(video.encode(frame))
        file.mux(video.encode(None))
        clock = np.arange(round((seconds - sound_starts) * SOUND_RATE)) / SOUND_RATE
        tone = np.round(9000 * np.sin(2 * np.pi * 440 * clock)).astype(np.int16)
        samples = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        samples.sample_rate, samples.pts = SOUND_RATE, round(sound_starts * SOUND_RATE)
        file.mux(audio.encode(samples))
        file.mux(audio.encode(None))
    return Clip(path, width, height, tuple(times), seconds, sound_starts)


def difficult(path: Path) -> Clip:
    """Turned, of odd size, with frames at uneven times and a sound that begins late."""
    steps = [0.02, 0.05, 0.033, 0.1, 0.04]
    times = [0.0]
    while times[-1] < 1.8:
        times.append(round(times[-1] + steps[len(times) % len(steps)], 4))
    clip = draw(path, width=151, height=101, times=times, seconds=times[-1] + 0.04, sound_starts=0.5, pixels="yuv444p")
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44  # the first track is the video
    data[at : at + len(TURNED_RIGHT)] = TURNED_RIGHT
    path.write_bytes(data)
    return clip


def damaged(path: Path) -> Path:
    """Its first half is sound and the rest zeros: it can be looked at and priced, and its end cannot be decoded."""
    draw(path)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat")
    end = start - 4 + int.from_bytes(data[start - 4 : start], "big")
    from_here = start + (end - start) // 2
    data[from_here:end] = bytes(end - from_here)
    path.write_bytes(data)
    return path
