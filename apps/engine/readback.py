"""Written files read back frame by frame, by decoders that keep alpha: what verification looks at."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray
from PIL import Image

from apps.engine.colour import EXACT, new_codec
from apps.engine.encode.base import plane_samples, url
from apps.engine.encode.stacked import alpha_of, upper_half
from apps.engine.errors import VerificationFailed
from apps.engine.formats import FORMATS, Format

ALL_WHITE = 250
"""Alpha from which the lower half of an opaque stacked picture counts as white; H.264 is not exact beside the seam."""


@dataclass(slots=True)
class Shown:
    """One frame as a player would show it."""

    time: Fraction
    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None


def read_back(path: Path, format_name: str, *, opaque: bool) -> Iterator[Shown]:
    """The frames of one of our files, in order. Whatever the decoder raises, the caller counts as a failure."""
    row = FORMATS[format_name]
    if row.demuxer is not None:
        return _read_container(path, row, opaque=opaque)
    if format_name in ("gif", "webp"):
        return _read_animation(path, format_name, opaque=opaque)
    return _read_sequence(path, opaque=opaque)


def read_matte(path: Path) -> Iterator[Shown]:
    """The matte that is kept beside a result: alpha and times, no colours."""
    with av.open(url(path), format="matroska") as container:
        clock = Fraction(container.streams.video[0].time_base or 1)
        for frame in container.decode(video=0):
            gray = np.asarray(frame.to_ndarray(), np.uint8)
            yield Shown(_time(frame, clock), np.empty((0, 0, 3), np.uint8), gray)


def _read_container(path: Path, row: Format, *, opaque: bool) -> Iterator[Shown]:
    with av.open(url(path), format=row.demuxer) as container:
        stream = container.streams.video[0]
        has_mark = stream.metadata.get("alpha_mode") == "1"
        if row.name == "webm" and has_mark == opaque:
            raise VerificationFailed(f"The file's AlphaMode is {'set' if has_mark else 'missing'}.")
        decoder = stream.codec_context
        if row.name == "webm":
            # The default decoder drops alpha without a word.
            decoder = new_codec("libvpx-vp9", "r")
        scaler = VideoReformatter()
        clock = Fraction(stream.time_base or 1)
        for packet in container.demux(stream):
            for frame in _decode(decoder, packet):
                colours = upper_half(frame) if row.stacked else frame
                shown = _shown(colours, _time(frame, clock), scaler)
                yield _with_drawn_matte(shown, frame, row, opaque=opaque)


def _time(frame: VideoFrame, clock: Fraction) -> Fraction:
    if frame.pts is None:
        raise VerificationFailed("A frame has no time.")
    return frame.pts * clock


def _decode(decoder: VideoCodecContext, packet: Packet[Any]) -> list[VideoFrame]:
    return decoder.decode(packet if packet.size else None)


def _shown(frame: VideoFrame, time: Fraction, scaler: VideoReformatter) -> Shown:
    has_alpha = any(part.is_alpha for part in frame.format.components)
    alpha = _alpha_plane(frame) if has_alpha else None
    picture = scaler.reformat(
        frame, format="rgb24", src_colorspace=Colorspace.ITU709, src_color_range=ColorRange.MPEG,
        dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.JPEG, interpolation=EXACT, threads=1,
    )  # fmt: skip
    return Shown(time, np.asarray(picture.to_ndarray(), np.uint8), alpha)


def _with_drawn_matte(shown: Shown, frame: VideoFrame, row: Format, *, opaque: bool) -> Shown:
    """Where the matte is a picture, or part of one, it becomes alpha; the colours keep what is theirs."""
    if row.shows_matte:
        return Shown(shown.time, shown.rgb, alpha_of(frame, row=0))
    if not row.stacked:
        return shown
    seam = frame.height // 2
    alpha = alpha_of(frame, row=seam)
    if opaque and int(alpha.min()) < ALL_WHITE:
        raise VerificationFailed("The lower half of an opaque stacked picture is not white.")
    return Shown(shown.time, shown.rgb, None if opaque else alpha)


def _alpha_plane(frame: VideoFrame) -> NDArray[np.uint8]:
    """The last plane, brought to eight bits by rounding."""
    bits = frame.format.components[3].bits
    if bits == 8:
        return np.ascontiguousarray(plane_samples(frame, 3)[:, : frame.width])
    samples = plane_samples(frame, 3, np.uint16)[:, : frame.width]
    top = 2**bits - 1
    return np.asarray((samples.astype(np.uint32) * 255 + top // 2) // top, np.uint8)


def _read_animation(path: Path, format_name: str, *, opaque: bool) -> Iterator[Shown]:
    with Image.open(path, formats=[format_name.upper()]) as image:
        time = Fraction(0)
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            image.load()
            pixels = np.asarray(image.convert("RGBA"), np.uint8)
            rgb = np.ascontiguousarray(pixels[..., :3])
            # A GIF frame without a hole says so by naming no transparent colour; its alpha is then all 255.
            has_alpha = not opaque and (format_name == "gif" or image.mode == "RGBA")
            yield Shown(time, rgb, np.ascontiguousarray(pixels[..., 3]) if has_alpha else None)
            time += Fraction(round(image.info.get("duration", 0)), 1000)


def _read_sequence(path: Path, *, opaque: bool) -> Iterator[Shown]:
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        listed = [entry["file"] for entry in manifest["frames"]]
        stored = [name for name in archive.namelist() if name.startswith("frames/")]
        if listed != stored or manifest["count"] != len(stored):
            raise VerificationFailed("The manifest does not list the pictures that are there.")
        for entry in manifest["frames"]:
            data = np.frombuffer(archive.read(entry["file"]), np.uint8)
            pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
            if pixels is None:
                raise VerificationFailed(f"{entry['file']} cannot be decoded.")
            pixels = _eight_bits(pixels)
            alpha = np.ascontiguousarray(pixels[..., 3]) if pixels.shape[2] == 4 and not opaque else None
            yield Shown(Fraction(entry["time_ms"], 1000), np.ascontiguousarray(pixels[..., 2::-1]), alpha)


def _eight_bits(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Of a deep picture rounded, or as they are."""
    return np.asarray(pixels if pixels.dtype == np.uint8 else cv2.convertScaleAbs(pixels, alpha=1 / 257), np.uint8)
