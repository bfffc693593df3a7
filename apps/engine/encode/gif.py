"""GIF: a palette of its own for every frame, alpha yes or no, delays from absolute times."""

from __future__ import annotations

import os
import shutil
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

HEAD_BYTES = 13

DESCRIPTOR_FLAGS, HAS_PALETTE = 17, 0x80
"""Where in a frame its picture's flags are, and the one that a palette follows."""

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
        """Of the encoder's frames, that is: a piece may lie before it."""

    def append(self, piece: Path) -> None:
        with piece.open("rb") as source:
            head = source.read(HEAD_BYTES + len(LOOP_FOREVER))
            if head[6:10] != struct.pack("<HH", self._spec.width, self._spec.height):
                raise EngineFault("A piece was coded by other settings than the rest.")
            if self._file.tell() == 0:
                self._file.write(head)
            # Every frame has a palette of its own and so can stand in any file.
            shutil.copyfileobj(source, self._file)
            self._file.seek(-len(TRAILER), os.SEEK_CUR)

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
        if not self._spec.opaque:
            # Unseen, but no two palettes alike: the encoder forgets which entry is transparent in one that it knows.
            palette[TRANSPARENT, 0] = 1 + self._count % 2 if self._count else 0
        # Entries are 32-bit ARGB in the machine's order.
        entries = palette.astype(np.uint32) << np.array([16, 8, 0, 24], np.uint32)
        np.frombuffer(memoryview(frame.planes[1]), np.uint32)[:256] = entries.sum(axis=1, dtype=np.uint32)
        frame.pts, frame.time_base = self._count, self.clock
        self._count += 1
        return frame

    def _append(self, data: bytes) -> None:
        if self._is_first:
            # Signature and screen come with the first frame; the loop mark belongs right behind them.
            if self._file.tell() == 0:
                self._file.write(data[:HEAD_BYTES] + LOOP_FOREVER)
            data, self._is_first = data[HEAD_BYTES:], False
        if data[:3] != GRAPHIC_CONTROL or not data[DESCRIPTOR_FLAGS] & HAS_PALETTE:
            raise EngineFault("The GIF encoder gave back something else.")
        flags, colour = data[3], data[6]
        if not self._spec.opaque:
            # The encoder leaves a frame without holes standing, and it would be seen through the next one's holes.
            # What it clears to is transparent only to readers that know a transparent colour: one it does not use.
            colour = colour if flags & HAS_HOLES else TRANSPARENT
            flags = HAS_HOLES | CLEARED
        control = GRAPHIC_CONTROL + struct.pack("<BHB", flags, self._delays.popleft(), colour)
        self._file.write(control + data[7:])


def _make_codec(spec: Spec) -> VideoCodecContext:
    codec = new_codec("gif", "w")
    codec.width, codec.height, codec.pix_fmt = spec.width, spec.height, "pal8"
    codec.time_base = GifWriter.clock
    codec.options = {"global_palette": "0"}
    if not spec.opaque:
        # Its crop of transparent borders overlooks the last row, and cuts off what is visible only there; and what
        # it leaves out as unchanged is gone once every frame is cleared after its time.
        codec.options = {"global_palette": "0", "gifflags": "-offsetting-transdiff"}
    open_codec(codec)
    return codec
