"""GIF: a palette of its own for every frame, alpha yes or no, delays from absolute times."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from apps.engine.colour import new_codec
from apps.engine.encode.base import Cutout, Spec, open_codec, ticks
from apps.engine.errors import EngineFault

LOOP_FOREVER = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"

GRAPHIC_CONTROL = b"\x21\xf9\x04"

MAX_DELAY = 65_535

TRAILER = b";"


class GifWriter:
    """Writes the file itself: FFmpeg's muxer refuses two frames within one hundredth of a second."""

    clock = Fraction(1, 100)

    def __init__(self, path: Path, spec: Spec) -> None:
        self._spec = spec
        self._file = path.open("wb")
        self._graph = _make_graph(spec)
        self._codec: VideoCodecContext | None = None
        self._count = 0
        self._delays: list[int] = []
        self._is_first = True

    def write(self, cutout: Cutout) -> None:
        delay = ticks(cutout.end, self.clock) - ticks(cutout.time, self.clock)
        self._delays.append(min(delay, MAX_DELAY))
        frame = VideoFrame.from_ndarray(np.dstack([cutout.rgb, cutout.alpha]), format="rgba")
        frame.pts, frame.time_base = self._count, self.clock
        self._count += 1
        self._graph.push(frame)
        self._drain()

    def close(self) -> None:
        self._graph.push(None)
        self._drain()
        if self._codec is not None:
            for packet in self._codec.encode(None):
                self._append(bytes(packet))
        if self._delays:
            raise EngineFault("The GIF encoder gave back fewer frames than it got.")
        self._file.write(TRAILER)
        self._file.close()

    def abandon(self) -> None:
        self._file.close()

    def _drain(self) -> None:
        while True:
            try:
                frame = self._graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return
            if self._codec is None:
                self._codec = new_codec("gif", "w")
                self._codec.width, self._codec.height = self._spec.width, self._spec.height
                self._codec.pix_fmt, self._codec.time_base = "pal8", self.clock
                open_codec(self._codec)
            for packet in self._codec.encode(frame):
                self._append(bytes(packet))

    def _append(self, data: bytes) -> None:
        start = 0
        if self._is_first:
            # Signature, screen and its palette come with the first frame; the loop mark belongs right behind them.
            start = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
            self._file.write(data[:start] + LOOP_FOREVER)
            self._is_first = False
        if data[start : start + 3] != GRAPHIC_CONTROL:
            raise EngineFault("The GIF encoder gave back something else.")
        delay = struct.pack("<H", self._delays.pop(0))
        self._file.write(data[start : start + 4] + delay + data[start + 6 :])


def _make_graph(spec: Spec) -> av.filter.Graph:
    transparent = 0 if spec.opaque else 1
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=spec.width, height=spec.height, format=VideoFormat("rgba"), time_base=GifWriter.clock
    )
    split = graph.add("split")
    palette = graph.add("palettegen", f"stats_mode=single:reserve_transparent={transparent}")
    use = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=5:alpha_threshold=128:diff_mode=rectangle")
    sink = graph.add("buffersink")
    source.link_to(split)
    split.link_to(palette, 0, 0)
    split.link_to(use, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph
