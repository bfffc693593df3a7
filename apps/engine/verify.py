"""Proof that a written file is what was promised: it is reopened, decoded to its end and held against the record."""

from __future__ import annotations

import wave
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from apps.engine.audio import SPAN_TOLERANCE, measure
from apps.engine.compose import binary
from apps.engine.encode.base import url
from apps.engine.encode.png import AUDIO_NAME
from apps.engine.errors import VerificationFailed
from apps.engine.formats import FORMATS
from apps.engine.readback import Shown, read_back, read_matte
from apps.engine.record import NANOSECOND, Record, checksum, thumbnail


@dataclass(frozen=True, slots=True)
class AlphaBound:
    """How far a frame's alpha may be from its matte, of 255."""

    worst: int
    mean: float = 0.25
    by_detail: float = 0.0
    """More mean for each level by which neighbouring pixels differ on average: H.264 errs where the matte changes."""

    def mean_for(self, matte: NDArray[np.uint8]) -> float:
        return self.mean + (self.by_detail * detail(matte) if self.by_detail else 0.0)


ALPHA_BOUNDS = {
    "webm": AlphaBound(1),
    "mov": AlphaBound(1),
    "gif": AlphaBound(0),
    "webp": AlphaBound(0),
    "png_sequence": AlphaBound(0),
    # A third above the worst that was measured: 53 stacked and 34 alone on real mattes, 73 and 68 on noise.
    # Of 255 levels 219 are coded, which alone costs a quarter where all is half transparent; and stacked, H.264
    # spends no more on a matte than on colours.
    "stacked_mp4": AlphaBound(96, mean=1.2, by_detail=0.05),
    "matte_mp4": AlphaBound(96, mean=0.6, by_detail=0.02),
}

UNREADABLE = (av.FFmpegError, OSError, EOFError, ValueError, LookupError, SyntaxError, zipfile.BadZipFile)
"""What the decoders of our formats raise over a file that is not what it should be."""

COLOUR_TOLERANCE = {
    "webm": 6.0, "mov": 3.0, "mp4": 6.0, "gif": 10.0, "webp": 6.0, "png_sequence": 0.5, "stacked_mp4": 6.0,
    "matte_mp4": 3.0,
}  # fmt: skip
"""Mean difference of a frame's thumbnail, of 255: catches a wrong matrix, range or picture, not coding noise."""


@dataclass(slots=True)
class Promise:
    """What a file must hold."""

    format: str
    width: int
    height: int
    """Of the frames; what is padded beyond them does not count."""
    clock: Fraction
    opaque: bool
    record: Record
    matte: Path | None
    """What the result's alpha is held against: the kept matte, or beside it the alpha that was made from it. None when
    it is not compared pixel by pixel: a preview's is another size."""
    audio_span: tuple[Fraction, Fraction] | None
    """On the output's clock; None when it must have no sound."""


def verify(path: Path, promise: Promise, *, step: Callable[[int], None] = lambda done: None) -> None:
    """Raise VerificationFailed unless the file keeps its promise; `step` hears of every frame proved."""
    try:
        _verify_frames(path, promise, step)
        _verify_audio(path, promise)
    except UNREADABLE as error:
        raise VerificationFailed(f"The {promise.format} file cannot be read back: {error!r}") from error


def verify_matte(path: Path, promise: Promise) -> None:
    """The kept matte, frame by frame, by checksum: it is without loss or wrong."""
    count = 0
    for count, shown in enumerate(_read_matte(path), 1):
        if count > len(promise.record):
            break
        _check_time(shown, count - 1, promise, clock=Fraction(1, 1000))
        if shown.alpha is None or checksum(shown.alpha) != promise.record.checksum(count - 1):
            raise VerificationFailed(f"Frame {count} of the kept matte is not the matte that was encoded.")
    _check_count(count, promise)


def _read_matte(path: Path) -> Iterator[Shown]:
    try:
        yield from read_matte(path)
    except av.FFmpegError as error:
        raise VerificationFailed(f"The kept matte cannot be read back: {error!r}") from error


def _verify_frames(path: Path, promise: Promise, step: Callable[[int], None]) -> None:
    mattes = None if promise.opaque or promise.matte is None else _read_matte(promise.matte)
    count = 0
    for count, shown in enumerate(read_back(path, promise.format, opaque=promise.opaque), 1):
        if count > len(promise.record):
            break
        _check_time(shown, count - 1, promise, clock=promise.clock)
        _check_size(shown, count, promise)
        matte = next(mattes, None) if mattes is not None else None
        if mattes is not None:
            _check_alpha(shown, matte, count, promise)
        _check_colour(shown, matte, count, promise)
        step(count)
    _check_count(count, promise)


def _check_count(count: int, promise: Promise) -> None:
    if count != len(promise.record):
        more = "more than " if count > len(promise.record) else f"{count} instead of "
        raise VerificationFailed(f"The file has {more}{len(promise.record)} frames.")


def _check_time(shown: Shown, index: int, promise: Promise, *, clock: Fraction) -> None:
    expected = promise.record.time(index)
    if abs(shown.time - expected) > clock / 2 + NANOSECOND:
        raise VerificationFailed(f"Frame {index + 1} is at {float(shown.time)} s instead of {float(expected)} s.")


def _check_size(shown: Shown, count: int, promise: Promise) -> None:
    height, width = shown.rgb.shape[:2]
    expected = FORMATS[promise.format].padded(promise.width, promise.height)
    if (width, height) != expected:
        raise VerificationFailed(f"Frame {count} is {width} × {height} instead of {expected[0]} × {expected[1]}.")


def _check_alpha(shown: Shown, matte: Shown | None, count: int, promise: Promise) -> None:
    if shown.alpha is None:
        raise VerificationFailed(f"Frame {count} has no alpha.")
    if matte is None or matte.alpha is None:
        raise VerificationFailed(f"The kept matte has no frame {count}.")
    if checksum(matte.alpha) != promise.record.proof(count - 1):
        raise VerificationFailed(f"Frame {count} of the kept matte is not the matte that was encoded.")
    expected = binary(matte.alpha) if promise.format == "gif" else matte.alpha
    difference = cv2.absdiff(np.ascontiguousarray(shown.alpha[: promise.height, : promise.width]), expected)
    worst, mean = int(difference.max()), float(difference.mean())
    bound = ALPHA_BOUNDS[promise.format]
    if worst > bound.worst or mean > bound.mean_for(expected):
        raise VerificationFailed(
            f"The alpha of frame {count} differs from the matte by up to {worst}, {mean:.2f} mean."
        )


def detail(matte: NDArray[np.uint8]) -> float:
    """By how much neighbours differ on average, across and down together."""
    levels = matte.astype(np.int16)
    return sum(float(np.abs(step).mean()) for step in (np.diff(levels, axis=0), np.diff(levels, axis=1)) if step.size)


def _check_colour(shown: Shown, matte: Shown | None, count: int, promise: Promise) -> None:
    visible = slice(promise.height), slice(promise.width)
    picture = np.ascontiguousarray(shown.rgb[visible])
    if FORMATS[promise.format].shows_matte and matte is not None and matte.alpha is not None:
        found, expected = thumbnail(picture, None), thumbnail(np.dstack([matte.alpha] * 3), None)
    else:
        expected = promise.record.thumbnail(count - 1)
        alpha = None if shown.alpha is None else np.ascontiguousarray(shown.alpha[visible])
        found = thumbnail(picture, alpha, side=len(expected))
    mean = float(np.abs(found.astype(np.int16) - expected).mean())
    if mean > COLOUR_TOLERANCE[promise.format]:
        raise VerificationFailed(f"The picture of frame {count} is not the one that was encoded (off by {mean:.1f}).")


def _verify_audio(path: Path, promise: Promise) -> None:
    found = _wave_span(path) if promise.format == "png_sequence" else _audio_span(path, promise.format)
    expected = promise.audio_span
    if (found is None) != (expected is None):
        raise VerificationFailed("The sound is missing." if found is None else "There is sound that nobody asked for.")
    if found is None or expected is None:
        return
    start = Fraction(0) if promise.format == "png_sequence" else expected[0]
    if abs(found[0] - start) > SPAN_TOLERANCE or abs(found[1] - expected[1]) > SPAN_TOLERANCE:
        raise VerificationFailed(
            f"The sound runs from {float(found[0]):.3f} to {float(found[1]):.3f} s instead of "
            f"{float(start):.3f} to {float(expected[1]):.3f} s."
        )


def _audio_span(path: Path, format_name: str) -> tuple[Fraction, Fraction] | None:
    demuxer = FORMATS[format_name].demuxer
    if demuxer is None:
        return None
    return measure(url(path), demuxer)


def _wave_span(path: Path) -> tuple[Fraction, Fraction] | None:
    with zipfile.ZipFile(path) as archive:
        if AUDIO_NAME not in archive.namelist():
            return None
        with archive.open(AUDIO_NAME) as file, wave.open(file) as sound:
            return Fraction(0), Fraction(sound.getnframes(), sound.getframerate())
