"""QuickTime with ProRes 4444 and its alpha, and what all of the mp4 family share."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from apps.engine.depth import Deep
from apps.engine.encode.base import Cutout, Muxed, Spec, ToYuv, fine_clock, open_codec, rgba_of, tag_colour, ticks
from apps.engine.formats import FORMATS, Format

# A fixed quantiser: the encoder's own rate control is six times slower and no better to look at.
PRORES = {"profile": "4444", "vendor": "apl0", "flags": "+qscale", "global_quality": str(2 * 118)}


class MovFamilyWriter(Muxed):
    name: ClassVar[str]
    """The format's."""

    def __init__(
        self, path: Path, spec: Spec, container: str, codec: str, pixel_format: str, options: dict[str, str]
    ) -> None:
        self.clock: Fraction = fine_clock(spec.source_clock)
        # Where a track begins late is written on the movie's clock, by default in whole milliseconds.
        flags = {"movie_timescale": str(self.clock.denominator)}
        if container == "mp4":
            flags["movflags"] = "+faststart"
        super().__init__(path, spec, container, flags)
        self._stream = cast(VideoStream, self._out.add_stream(codec, rate=spec.rate, options=dict(options)))
        self._stream.width, self._stream.height = self.row.frame_size(spec.width, spec.height)
        self._stream.pix_fmt = pixel_format
        self._stream.codec_context.time_base = self._stream.time_base = self.clock
        self._stream.codec_context.thread_count = max(1, spec.threads)
        tag_colour(self._stream.codec_context)
        open_codec(self._stream.codec_context)
        self._attach_sound()
        self._to_yuv = ToYuv(pixel_format)

    @property
    def row(self) -> Format:
        return FORMATS[self.name]

    def write(self, cutout: Cutout) -> None:
        frame = self._frame(cutout)
        frame.pts, frame.time_base = ticks(cutout.time, self.clock), self.clock
        frame.duration = max(1, ticks(cutout.end, self.clock) - frame.pts)
        self._mux(list(self._stream.encode(frame)), cutout.time)

    def close(self) -> None:
        packets: list[Packet[Stream]] = list(self._stream.encode(None))
        self._mux(packets, None)
        self._finish()

    def _frame(self, cutout: Cutout) -> VideoFrame:
        return self._to_yuv.convert(self._pixels(cutout))

    def _pixels(self, cutout: Cutout) -> NDArray[np.uint8] | Deep:
        return cutout.rgb


class MovWriter(MovFamilyWriter):
    name = "mov"

    def __init__(self, path: Path, spec: Spec) -> None:
        alpha = {"alpha_bits": "0" if spec.opaque else "16"}
        pixel_format = "yuv444p10le" if spec.opaque else "yuva444p10le"
        super().__init__(path, spec, "mov", "prores_ks", pixel_format, {**PRORES, **alpha})

    def _pixels(self, cutout: Cutout) -> NDArray[np.uint8] | Deep:
        return rgba_of(cutout, opaque=self._spec.opaque)
