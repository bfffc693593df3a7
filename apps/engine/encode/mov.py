"""The mp4 family: QuickTime with ProRes 4444 and its alpha, and MP4 with H.264 over an opaque background."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from apps.engine.encode.base import (
    KEYFRAME_INTERVAL,
    Cutout,
    Muxed,
    Spec,
    ToYuv,
    fine_clock,
    open_codec,
    tag_colour,
    ticks,
)

# A fixed quantiser: the encoder's own rate control is six times slower and no better to look at.
PRORES = {"profile": "4444", "vendor": "apl0", "flags": "+qscale", "global_quality": str(2 * 118)}

H264 = {"preset": "veryfast", "crf": "18", "profile": "high"}


class _MovFamilyWriter(Muxed):
    def __init__(
        self, path: Path, spec: Spec, name: str, codec: str, pixel_format: str, options: dict[str, str]
    ) -> None:
        self.clock: Fraction = fine_clock(spec.source_clock)
        # Where a track begins late is written on the movie's clock, by default in whole milliseconds.
        container = {"movie_timescale": str(self.clock.denominator)}
        if name == "mp4":
            container["movflags"] = "+faststart"
        super().__init__(path, spec, name, name, container)
        self._stream = cast(VideoStream, self._out.add_stream(codec, rate=spec.rate, options=dict(options)))
        self._stream.width, self._stream.height = self.size(spec)
        self._stream.pix_fmt = pixel_format
        self._stream.codec_context.time_base = self._stream.time_base = self.clock
        self._stream.codec_context.thread_count = max(1, spec.threads)
        tag_colour(self._stream.codec_context)
        open_codec(self._stream.codec_context)
        self._attach_sound()
        self._to_yuv = ToYuv(pixel_format)

    @staticmethod
    def size(spec: Spec) -> tuple[int, int]:
        return spec.width, spec.height

    def write(self, cutout: Cutout) -> None:
        frame = self._to_yuv.convert(self._pixels(cutout))
        frame.pts, frame.time_base = ticks(cutout.time, self.clock), self.clock
        frame.duration = max(1, ticks(cutout.end, self.clock) - frame.pts)
        self._mux(list(self._stream.encode(frame)), cutout.time)

    def close(self) -> None:
        packets: list[Packet[Stream]] = list(self._stream.encode(None))
        self._mux(packets, None)
        self._finish()

    def _pixels(self, cutout: Cutout) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return cutout.rgb


class MovWriter(_MovFamilyWriter):
    def __init__(self, path: Path, spec: Spec) -> None:
        alpha = {"alpha_bits": "0" if spec.opaque else "16"}
        pixel_format = "yuv444p10le" if spec.opaque else "yuva444p10le"
        super().__init__(path, spec, "mov", "prores_ks", pixel_format, {**PRORES, **alpha})

    def _pixels(self, cutout: Cutout) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return cutout.rgb if self._spec.opaque else np.dstack([cutout.rgb, cutout.alpha])


class Mp4Writer(_MovFamilyWriter):
    def __init__(self, path: Path, spec: Spec) -> None:
        super().__init__(path, spec, "mp4", "libx264", "yuv420p", {**H264, "g": str(KEYFRAME_INTERVAL)})

    @staticmethod
    def size(spec: Spec) -> tuple[int, int]:
        """Even sides: its chroma has half the samples of its luma."""
        return spec.width + spec.width % 2, spec.height + spec.height % 2

    def _pixels(self, cutout: Cutout) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        width, height = self.size(self._spec)
        down, right = height - self._spec.height, width - self._spec.width
        if not down and not right:
            return cutout.rgb
        return np.asarray(cv2.copyMakeBorder(cutout.rgb, 0, down, 0, right, cv2.BORDER_REPLICATE), np.uint8)
