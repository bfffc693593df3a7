"""What every writer of an output format is given, and promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np
from av.codec.context import CodecContext
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from apps.engine.audio import CopiedSound, EncodedSound, SoundSource
from apps.engine.colour import BT709, FULL, LIMITED
from apps.engine.depth import ONES, WHITE, Deep, Rest, all_ones, joined
from apps.engine.errors import EngineFault

MIN_CLOCK_RATE = 10_000
MAX_CLOCK_RATE = 1_000_000
"""Ticks a second of an mp4-family track: fine enough for any source, coarse enough for 32-bit readers."""

KEYFRAME_INTERVAL = 60
"""Frames; short enough to seek in a browser."""


@dataclass(slots=True)
class Cutout:
    """One frame to write; times count from the output's zero. Straight colour, its hidden parts filled."""

    index: int
    time: Fraction
    end: Fraction
    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8]
    """As it is to be encoded; all 255 over an opaque background."""
    rest: Rest | None = None
    """What deep colours have beyond eight bits; there when the spec says deep."""


@dataclass(slots=True)
class Spec:
    """What is to be written."""

    width: int
    height: int
    rate: Fraction
    """A typical number of frames a second; a hint for encoders, timestamps are exact."""
    source_clock: Fraction
    opaque: bool
    threads: int
    sound: SoundSource | None = None
    deep: bool = False
    """Colours of more than eight bits, for formats that hold them."""


class Writer(Protocol):
    """Writes one file. `close` finishes it; `abandon` only lets go of it, and the caller deletes what is there.

    A clip may be written in pieces: each a file of its own that begins with any
    frame, has no sound, and keeps the whole's times and frame numbers. A writer
    of the same spec takes finished pieces in by `append`, in order and before
    the first `write`, and lays the sound beside all of it.
    """

    clock: Fraction
    """Seconds of the output's tick."""

    def write(self, cutout: Cutout) -> None: ...

    def append(self, piece: Path) -> None:
        """Take in a finished piece's frames as they are coded; refuses one that was coded otherwise."""

    def close(self) -> None: ...

    def abandon(self) -> None: ...


WriterFactory = Callable[[Path, Spec], Writer]


def url(path: Path) -> str:
    """A path that FFmpeg cannot take for a protocol, whatever characters are in it."""
    return f"file:{path}"


def fine_clock(source_clock: Fraction) -> Fraction:
    """A tick that holds the source's times exactly where that is possible."""
    rate = source_clock.denominator
    while rate < MIN_CLOCK_RATE:
        rate *= 2
    return Fraction(1, min(rate, MAX_CLOCK_RATE))


def ticks(time: Fraction, clock: Fraction) -> int:
    return round(time / clock)


def tag_colour(codec: VideoCodecContext) -> None:
    """BT.709, limited range, said aloud: players guess otherwise."""
    codec.color_range, codec.colorspace = LIMITED, BT709
    codec.color_primaries = codec.color_trc = BT709


def tag_picture(frame: VideoFrame) -> None:
    """The same of one frame, which an encoder may believe more than its own settings."""
    frame.color_range, frame.colorspace = LIMITED, BT709
    frame.color_primaries = frame.color_trc = BT709


def open_codec(codec: CodecContext) -> None:
    """Open, and refuse options that the encoder did not understand: it would only ignore them."""
    codec.open()
    if codec.options:
        raise EngineFault(f"{codec.name} does not know the options {sorted(codec.options)}.")


SOURCES = {(3, 1): "rgb24", (4, 1): "rgba", (3, 2): "rgb48le", (4, 2): "rgba64le"}
"""The scaler's names, by channels and bytes of a sample."""


SHARP = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
"""Half a decibel more of a 4:2:0 source's colours comes through to a 4:2:0 file than with the decoder's `EXACT`."""


class ToYuv:
    """RGB arrays to an encoder's frames."""

    def __init__(self, pixel_format: str) -> None:
        self._format = pixel_format
        self._scaler = VideoReformatter()

    def convert(self, pixels: NDArray[np.uint8] | Deep) -> VideoFrame:
        source = VideoFrame.from_ndarray(pixels, format=SOURCES[pixels.shape[2], pixels.itemsize])
        frame = self._scaler.reformat(
            source, format=self._format, src_colorspace=Colorspace.ITU709, src_color_range=ColorRange.JPEG,
            dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG, interpolation=SHARP, threads=1,
        )  # fmt: skip
        tag_picture(frame)
        return frame


def rgba_of(cutout: Cutout, *, opaque: bool, white: int = WHITE) -> NDArray[np.uint8] | Deep:
    """Colour and, unless opaque, alpha; of a deep cutout in sixteen bits, with this white and alpha up to all ones."""
    if cutout.rest is None:
        return cutout.rgb if opaque else np.dstack([cutout.rgb, cutout.alpha])
    colours = joined(cutout.rgb, cutout.rest)
    colours = colours if white == WHITE else all_ones(colours)
    return colours if opaque else np.dstack([colours, cutout.alpha.astype(np.uint16) * (ONES // 255)])


def plane_samples(frame: VideoFrame, index: int, kind: type[np.uint8 | np.uint16] = np.uint8) -> NDArray[Any]:
    """One plane's samples, rows padded as the frame keeps them; writing here writes the frame."""
    plane = frame.planes[index]
    return np.frombuffer(memoryview(plane), kind).reshape(plane.height, -1)


def gray_frame(alpha: NDArray[np.uint8], pixel_format: str) -> VideoFrame:
    """Alpha as the luma of a frame, sample for sample; the scaler would be off by one."""
    height, width = alpha.shape
    frame = VideoFrame(width, height, pixel_format)
    plane_samples(frame, 0)[:height, :width] = alpha
    for index in range(1, len(frame.planes)):
        plane_samples(frame, index)[:] = 128
    frame.color_range = FULL
    return frame


class Muxed:
    """A container with one video stream and perhaps sound, fed in step."""

    def __init__(self, path: Path, spec: Spec, container: str, options: dict[str, str]) -> None:
        self._spec = spec
        self._out = av.open(url(path), "w", format=container, options=options)
        self._container = container
        self._stream: VideoStream
        self._sound: CopiedSound | EncodedSound | None = None

    def _attach_sound(self) -> None:
        """After the video stream, which players expect first."""
        if self._spec.sound is not None:
            self._sound = self._spec.sound.attach(self._out, self._container)

    def append(self, piece: Path) -> None:
        with av.open(url(piece), format=self._container) as source:
            stream = source.streams.video[0]
            if not self._codes_like(stream):
                raise EngineFault("A piece was coded by other settings than the rest.")
            for packet in self._unwrapped(source.demux(stream), stream):
                if packet.pts is None:
                    continue
                time = packet.pts * Fraction(packet.time_base)
                packet.stream = self._stream
                self._mux([packet], time)

    def _codes_like(self, stream: VideoStream) -> bool:
        """A stream's frames can only stand beside ours if one header describes both."""
        own, theirs = self._stream.codec_context, stream.codec_context
        return (own.width, own.height) == (theirs.width, theirs.height) and self._parameters_fit(stream)

    def _parameters_fit(self, stream: VideoStream) -> bool:
        return bytes(self._stream.codec_context.extradata or b"") == bytes(stream.codec_context.extradata or b"")

    def _unwrapped(self, packets: Iterator[Packet[Any]], stream: VideoStream) -> Iterator[Packet[Any]]:
        """The packets as the encoder gave them, where the container changes them."""
        return packets

    def _mux(self, packets: list[Packet[Stream]], until: Fraction | None) -> None:
        self._out.mux(packets)
        if self._sound is not None:
            self._sound.write_until(until)

    def _finish(self) -> None:
        self._out.close()

    def abandon(self) -> None:
        """Nothing to let go of: the container's file goes with the object."""
