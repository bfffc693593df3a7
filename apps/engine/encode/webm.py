"""WebM: VP9 colour and, beside it, VP9 alpha without loss, by two encoders at once."""

from __future__ import annotations

import io
import struct
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
from av.packet import Packet, PacketSideData
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from apps.engine.colour import FULL, new_codec
from apps.engine.encode.base import (
    KEYFRAME_INTERVAL,
    Cutout,
    Muxed,
    Spec,
    ToYuv,
    gray_frame,
    open_codec,
    tag_colour,
    ticks,
)
from apps.engine.errors import EngineFault

BLOCK_ADDITIONAL = 15
"""FFmpeg's number of the side data that becomes a Matroska BlockAddition."""

ALPHA_ADDITION_ID = 1

ENCODER_CLOCK = Fraction(1, 1_000_000)
"""Finer than the file's: the encoder refuses two frames at one time, which 1 ms cannot tell apart at 1000 fps."""

# Both encoders place keyframes on one fixed grid, so a player that seeks finds colour and alpha together.
COMMON = {
    "deadline": "realtime",
    "row-mt": "1",
    "lag-in-frames": "0",
    "g": str(KEYFRAME_INTERVAL),
    "keyint_min": str(KEYFRAME_INTERVAL),
}

COLOUR = {**COMMON, "cpu-used": "6", "crf": "16", "b": "0"}
"""Most bytes are alpha's, so these cost a tenth more of them than 24 did, and bring a decibel and a half."""

ALPHA = {**COMMON, "cpu-used": "7", "lossless": "1"}


class WebmWriter(Muxed):
    """FFmpeg's own yuva420p would run both encoders one after the other, and alpha at the colour's quality."""

    clock = Fraction(1, 1000)

    def __init__(self, path: Path, spec: Spec) -> None:
        super().__init__(path, spec, "webm", {})
        self._colour = _make_encoder(spec, COLOUR, is_alpha=False)
        self._alpha = None if spec.opaque else _make_encoder(spec, ALPHA, is_alpha=True)
        self._stream = _add_stream(self._out, spec, self._colour)
        self._attach_sound()
        self._to_yuv = ToYuv("yuv420p")
        self._beside = ThreadPoolExecutor(1, "alpha")
        self._spans: deque[tuple[int, int]] = deque()
        self._colour_packets: deque[Packet[Stream]] = deque()
        self._alpha_packets: deque[Packet[Stream]] = deque()

    def write(self, cutout: Cutout) -> None:
        stamp, end = ticks(cutout.time, self.clock), ticks(cutout.end, self.clock)
        self._spans.append((stamp, end - stamp))
        waiting = None
        if self._alpha is not None:
            gray = gray_frame(cutout.alpha, "yuv420p")
            gray.pts, gray.time_base = ticks(cutout.time, ENCODER_CLOCK), ENCODER_CLOCK
            waiting = self._beside.submit(self._alpha.encode, gray)
        frame = self._to_yuv.convert(cutout.rgb)
        frame.pts, frame.time_base = ticks(cutout.time, ENCODER_CLOCK), ENCODER_CLOCK
        self._colour_packets += self._colour.encode(frame)
        if waiting is not None:
            self._alpha_packets += waiting.result()
        self._mux(self._paired(), cutout.time)

    def close(self) -> None:
        self._colour_packets += self._colour.encode(None)
        if self._alpha is not None:
            self._alpha_packets += self._alpha.encode(None)
        self._mux(self._paired(), None)
        if self._spans:
            raise EngineFault("The VP9 encoders gave back fewer frames than they got.")
        self._finish()
        self._beside.shutdown()

    def abandon(self) -> None:
        self._beside.shutdown(cancel_futures=True)

    def _paired(self) -> list[Packet[Stream]]:
        """Packets that are complete, on the file's clock, with their alpha attached."""
        ready = []
        while self._colour_packets and (self._alpha is None or self._alpha_packets):
            packet = self._colour_packets.popleft()
            if self._alpha is not None:
                _attach_alpha(packet, self._alpha_packets.popleft())
            packet.stream, packet.time_base = self._stream, self.clock
            packet.pts, packet.duration = self._spans.popleft()
            packet.dts = packet.pts
            ready.append(packet)
        return ready


def _make_encoder(spec: Spec, options: dict[str, str], *, is_alpha: bool) -> VideoCodecContext:
    codec = new_codec("libvpx-vp9", "w")
    codec.width, codec.height, codec.pix_fmt = spec.width, spec.height, "yuv420p"
    codec.time_base, codec.framerate = ENCODER_CLOCK, spec.rate
    codec.options, codec.thread_count = dict(options), max(1, spec.threads)
    tag_colour(codec)
    if is_alpha:
        codec.color_range = FULL
    open_codec(codec)
    return codec


def _add_stream(out: av.container.OutputContainer, spec: Spec, colour: VideoCodecContext) -> VideoStream:
    """A stream from a template opens no encoder of its own (0.8 GB at 4K), and its pixel format writes AlphaMode."""
    with av.open(io.BytesIO(), "w", format="webm") as donor:
        stream = out.add_stream_from_template(donor.add_stream("libvpx-vp9", rate=spec.rate))
    stream.width, stream.height, stream.time_base = spec.width, spec.height, WebmWriter.clock
    stream.pix_fmt = "yuv420p" if spec.opaque else "yuva420p"
    tag_colour(stream.codec_context)
    if colour.extradata:
        stream.codec_context.extradata = colour.extradata
    return stream


def _attach_alpha(packet: Packet[Stream], alpha: Packet[Stream]) -> None:
    data = struct.pack(">Q", ALPHA_ADDITION_ID) + bytes(alpha)
    side = cast(Any, PacketSideData)(BLOCK_ADDITIONAL, len(data))
    side.update(data)
    packet.set_sidedata(side)
