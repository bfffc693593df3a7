"""The matte alone, without loss: what was encoded as alpha, for verification and for whoever keeps it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from apps.engine.colour import FULL
from apps.engine.encode.base import Cutout, Muxed, Spec, gray_frame, open_codec, ticks

FFV1 = {"level": "3", "slices": "4", "g": "1"}

THIN = {"level": "1", "g": "1"}
"""For what is one pixel wide or high: the encoder can cut no slices from that."""


class MatteWriter(Muxed):
    clock = Fraction(1, 1000)

    def __init__(self, path: Path, spec: Spec) -> None:
        super().__init__(path, spec, "matroska", {})
        options = dict(FFV1 if min(spec.width, spec.height) > 1 else THIN)
        self._stream = self._out.add_stream("ffv1", rate=spec.rate, options=options)
        self._stream.width, self._stream.height, self._stream.pix_fmt = spec.width, spec.height, "gray"
        self._stream.codec_context.time_base = self._stream.time_base = self.clock
        self._stream.codec_context.thread_count = 1
        self._stream.codec_context.color_range = FULL
        open_codec(self._stream.codec_context)

    def write(self, cutout: Cutout) -> None:
        frame = gray_frame(cutout.alpha, "gray")
        frame.pts, frame.time_base = ticks(cutout.time, self.clock), self.clock
        frame.duration = ticks(cutout.end, self.clock) - frame.pts
        self._mux(list(self._stream.encode(frame)), cutout.time)

    def close(self) -> None:
        self._mux(list(self._stream.encode(None)), None)
        self._finish()
