"""GIF: a palette of its own for every frame, alpha yes or no, delays from absolute times."""

from __future__ import annotations

import struct
from collections import deque
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from apps.engine.colour import new_codec
from apps.engine.encode.base import Cutout, Spec, open_codec, plane_samples, ticks
from apps.engine.encode.palette import TRANSPARENT, quantise
from apps.engine.errors import EngineFault

LOOP_FOREVER = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"

GRAPHIC_CONTROL = b"\x21\xf9\x04"

MAX_DELAY = 65_535

TRAILER = b";"

HAS_HOLES, CLEARED = 0b00000001, 0b00001000
"""Flags of a frame: it has a transparent colour; it makes room for the next one."""


class GifWriter:
    """Writes the file itself: FFmpeg's muxer refuses two frames within one hundredth of a second."""

    clock = Fraction(1, 100)

    def __init__(self, path: Path, spec: Spec) -> None:
        self._spec = spec
        self._codec = _make_codec(spec)
        self._file = path.open("wb")
        self._count = 0
        self._delays: deque[int] = deque()
        self._is_first = True

    def write(self, cutout: Cutout) -> None:
        delay = ticks(cutout.end, self.clock) - ticks(cutout.time, self.clock)
        self._delays.append(min(delay, MAX_DELAY))
        for packet in self._codec.encode(self._frame(cutout)):
            self._append(bytes(packet))

    def close(self) -> None:
        for packet in self._codec.encode(None):
            self._append(bytes(packet))
        if self._delays:
            raise EngineFault("The GIF encoder gave back fewer frames than it got.")
        self._file.write(TRAILER)
        self._file.close()

    def abandon(self) -> None:
        self._file.close()

    def _frame(self, cutout: Cutout) -> VideoFrame:
        indices, palette = quantise(cutout.rgb, None if self._spec.opaque else cutout.alpha)
        frame = VideoFrame(self._spec.width, self._spec.height, "pal8")
        plane_samples(frame, 0)[:, : self._spec.width] = indices
        # Entries are 32-bit ARGB in the machine's order.
        entries = palette.astype(np.uint32) << np.array([16, 8, 0, 24], np.uint32)
        np.frombuffer(memoryview(frame.planes[1]), np.uint32)[:256] = entries.sum(axis=1, dtype=np.uint32)
        frame.pts, frame.time_base = self._count, self.clock
        self._count += 1
        return frame

    def _append(self, data: bytes) -> None:
        start = 0
        if self._is_first:
            # Signature, screen and its palette come with the first frame; the loop mark belongs right behind them.
            start = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
            self._file.write(data[:start] + LOOP_FOREVER)
            self._is_first = False
        if data[start : start + 3] != GRAPHIC_CONTROL:
            raise EngineFault("The GIF encoder gave back something else.")
        flags, colour = data[start + 3], data[start + 6]
        if not self._spec.opaque:
            # The encoder leaves a frame without holes standing, and it would be seen through the next one's holes.
            # What it clears to is transparent only to readers that know a transparent colour: one it does not use.
            colour = colour if flags & HAS_HOLES else TRANSPARENT
            flags = HAS_HOLES | CLEARED
        control = GRAPHIC_CONTROL + struct.pack("<BHB", flags, self._delays.popleft(), colour)
        self._file.write(control + data[start + 7 :])


def _make_codec(spec: Spec) -> VideoCodecContext:
    codec = new_codec("gif", "w")
    codec.width, codec.height, codec.pix_fmt = spec.width, spec.height, "pal8"
    codec.time_base = GifWriter.clock
    if not spec.opaque:
        # Its crop of transparent borders overlooks the last row, and cuts off what is visible only there. Its
        # differences need the frame before to stay.
        codec.options = {"gifflags": "-offsetting-transdiff"}
    open_codec(codec)
    return codec
