"""Proof that a written file is what was promised: it is reopened, decoded to its end and held against the record."""

from __future__ import annotations

import wave
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from apps.engine.audio import SPAN_TOLERANCE, measure
from apps.engine.compose import binary
from apps.engine.encode.base import url
from apps.engine.encode.png import AUDIO_NAME
from apps.engine.errors import VerificationFailed
from apps.engine.readback import Shown, read_back
from apps.engine.record import NANOSECOND, Record, checksum, thumbnail

ALPHA_TOLERANCE = {"webm": 1, "mov": 1, "gif": 0, "webp": 0, "png_sequence": 0}
"""Largest difference of one pixel's alpha from the matte, of 255."""

ALPHA_MEAN_TOLERANCE = 0.25

UNREADABLE = (av.FFmpegError, OSError, EOFError, ValueError, LookupError, SyntaxError, zipfile.BadZipFile)
"""What the decoders of six formats raise over a file that is not what it should be."""

COLOUR_TOLERANCE = {"webm": 6.0, "mov": 3.0, "mp4": 6.0, "gif": 10.0, "webp": 6.0, "png_sequence": 0.5}
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
    matte: Path
    """What the result's alpha is held against: the kept matte, or beside it the alpha that was made from it."""
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
        yield from read_back(path, "matte", opaque=False)
    except av.FFmpegError as error:
        raise VerificationFailed(f"The kept matte cannot be read back: {error!r}") from error


def _verify_frames(path: Path, promise: Promise, step: Callable[[int], None]) -> None:
    mattes = None if promise.opaque else _read_matte(promise.matte)
    count = 0
    for count, shown in enumerate(read_back(path, promise.format, opaque=promise.opaque), 1):
        if count > len(promise.record):
            break
        _check_time(shown, count - 1, promise, clock=promise.clock)
        _check_size(shown, count, promise)
        if mattes is not None:
            _check_alpha(shown, next(mattes, None), count, promise)
        _check_colour(shown, count, promise)
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
    even = promise.format == "mp4"
    expected = (
        promise.width + (promise.width % 2 if even else 0),
        promise.height + (promise.height % 2 if even else 0),
    )
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
    difference = np.abs(shown.alpha.astype(np.int16) - expected)
    worst, mean = int(difference.max()), float(difference.mean())
    if worst > ALPHA_TOLERANCE[promise.format] or mean > ALPHA_MEAN_TOLERANCE:
        raise VerificationFailed(
            f"The alpha of frame {count} differs from the matte by up to {worst}, {mean:.2f} mean."
        )


def _check_colour(shown: Shown, count: int, promise: Promise) -> None:
    picture = shown.rgb[: promise.height, : promise.width]
    found = thumbnail(np.ascontiguousarray(picture), shown.alpha)
    expected = promise.record.thumbnail(count - 1)
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
    if format_name in ("gif", "webp"):
        return None
    return measure(url(path), "matroska" if format_name == "webm" else format_name)


def _wave_span(path: Path) -> tuple[Fraction, Fraction] | None:
    with zipfile.ZipFile(path) as archive:
        if AUDIO_NAME not in archive.namelist():
            return None
        with archive.open(AUDIO_NAME) as file, wave.open(file) as sound:
            return Fraction(0), Fraction(sound.getnframes(), sound.getframerate())
