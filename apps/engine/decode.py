"""A video's frames as people see them: display order, exact times, upright, square pixels, progressive, SDR."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np
from av.codec.context import Flags
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from apps.engine.colour import ToRgb, is_hdr, new_codec
from apps.engine.depth import Rest, split
from apps.engine.errors import InputRefused, LimitExceeded
from apps.engine.facts import Survey
from apps.engine.missing import refuse_below_half
from apps.engine.report import Notice
from apps.engine.seek import entry_before, packets_from
from apps.engine.source import MAX_PIXELS, Source

log = logging.getLogger(__name__)

MAX_CONSECUTIVE_ERRORS = 500
"""Undecodable packets in a row before the rest of a file is given up."""

ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""FFmpeg's own decoders of these drop the alpha without a word."""


@dataclass(slots=True)
class Picture:
    """One display frame. `time` counts from the survey's origin; `end` is when the next frame comes."""

    index: int
    time: Fraction
    end: Fraction
    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    """The input's own; None where it has none, or hides nothing."""
    rest: Rest | None = None
    """What `rgb` was rounded by; None unless it was asked for."""


class Decoder:
    """One pass over a video. What it had to mend is in `notices` afterwards."""

    def __init__(
        self,
        source: Source,
        survey: Survey,
        *,
        scratch: Path,
        trim: tuple[float, float | None] | None = None,
        max_seconds: float | None = None,
        threads: int = 0,
        deep: bool = False,
    ) -> None:
        self._source = source
        self._survey = survey
        self._trim = trim
        self._max_seconds = max_seconds
        self._codec = self._make_codec(threads)
        self._is_deep = deep
        self._to_rgb = ToRgb(self._codec, scratch, deep=deep)
        self._deinterlacer: Deinterlacer | None = None
        self._last: Fraction | None = None
        self._first: Fraction | None = None
        self._entry = entry_before(survey.entries, self.clock, _exact(trim[0])) if trim else None
        if self._entry is not None:
            self._first = survey.entries[0] * self.clock - survey.origin
        self._errors = self._corrupt = self._repaired = 0
        self._wanted_packets = self._shown = 0
        self._was_hdr = self._was_resized = self._gave_up = False

    def _make_codec(self, threads: int) -> VideoCodecContext:
        codec = self._source.video.codec_context
        name = ALPHA_DECODERS.get(codec.codec.canonical_name)
        if name is not None and self._source.has_alpha:
            codec = new_codec(name, "r")
            codec.options = {"max_pixels": str(MAX_PIXELS)}
        # Frame threads hand a damaged last packet's error out at the flush, and with it the frames behind it are lost.
        codec.thread_type = "SLICE" if self._survey.is_cut_off else "AUTO"
        # As players do: a frame with a damaged corner is better than a gap.
        codec.flags |= Flags.output_corrupt
        codec.thread_count = threads
        return codec

    def pictures(self) -> Iterator[Picture]:
        """Every kept frame; each waits for the next one, because only that tells how long it stays."""
        waiting: Picture | None = None
        for frame, time in self._timed_frames():
            assert self._first is not None
            since_first = time - self._first
            if self._trim is not None and since_first < _exact(self._trim[0]):
                continue
            if self._is_past_the_end(since_first):
                if waiting is not None:
                    waiting.end = time
                break
            if waiting is not None:
                waiting.end = time
                yield waiting
            waiting = Picture(self._shown, time, time + self._duration(frame), *self._display(frame))
            self._shown += 1
            self._check_length(time + self._duration(frame))
        if waiting is not None:
            if self._trim is not None and self._trim[1] is not None and self._first is not None:
                # Shown until the trim ends, whenever the next frame would have come: the sound ends there too.
                waiting.end = min(waiting.end, self._first + _exact(self._trim[1]))
            yield waiting

    @property
    def clock(self) -> Fraction:
        """Seconds of the input's tick."""
        return Fraction(self._source.video.time_base or Fraction(1, 1000))

    @property
    def absolute_end(self) -> Fraction | None:
        """Where a trim ends, in the input's own seconds; known from the first frame on."""
        if self._trim is None or self._trim[1] is None or self._first is None:
            return None
        return self._survey.origin + self._first + _exact(self._trim[1])

    def _is_past_the_end(self, since_first: Fraction) -> bool:
        return self._trim is not None and self._trim[1] is not None and since_first >= _exact(self._trim[1])

    def _check_length(self, end: Fraction) -> None:
        assert self._first is not None
        start = _exact(self._trim[0]) if self._trim else Fraction(0)
        seconds = end - self._first - start
        if self._max_seconds is not None and seconds > _exact(self._max_seconds):
            raise LimitExceeded(
                f"This video runs longer than the {self._max_seconds:g} seconds that are allowed. Shorten it.",
                param="max_seconds",
            )

    def _timed_frames(self) -> Iterator[tuple[VideoFrame, Fraction]]:
        """Frames with strictly rising times from the origin."""
        for frame in self._progressive_frames():
            time = self._time(frame)
            if self._first is None:
                self._first = time
            self._last = time
            yield frame, time

    def _time(self, frame: VideoFrame) -> Fraction:
        untimed = self._survey.has_untimed
        start = self._survey.video_start - self._survey.origin
        if frame.pts is None:
            self._repaired += not untimed
            return start if self._last is None else self._last + self._typical
        time = frame.pts * Fraction(frame.time_base or self.clock) - self._survey.origin
        if self._last is not None and time <= self._last:
            # Of several frames in one packet more than one may get its time.
            self._repaired += not untimed
            return self._last + (self._typical if untimed else self.clock)
        return time

    @property
    def _typical(self) -> Fraction:
        return self._survey.frame_time or Fraction(1, 25)

    def _duration(self, frame: VideoFrame) -> Fraction:
        ticks = Fraction(frame.time_base or 0) * (frame.duration or 0)
        return min(ticks, 100 * self._typical) if ticks else self._typical

    def _progressive_frames(self) -> Iterator[VideoFrame]:
        for frame in self._decoded_frames():
            if frame.is_corrupt:
                self._corrupt += 1
            if self._deinterlacer is None and frame.interlaced_frame:
                self._deinterlacer = Deinterlacer()
            if self._deinterlacer is None:
                yield frame
            else:
                yield from self._deinterlacer.push(frame)
        if self._deinterlacer is not None:
            yield from self._deinterlacer.flush()

    def _decoded_frames(self) -> Iterator[VideoFrame]:
        in_a_row = 0
        for packet in self._packets():
            try:
                frames = self._codec.decode(packet)
                in_a_row = 0
            except av.FFmpegError as error:
                if isinstance(error, MemoryError):
                    raise
                frames = []
                self._errors += 1
                in_a_row += 1
            for frame in frames:
                # Frames that come out while the decoder is flushed carry none.
                frame.time_base = self._source.video.time_base
                yield frame
            if in_a_row >= MAX_CONSECUTIVE_ERRORS:
                self._gave_up = True
                return

    def _packets(self) -> Iterator[Packet[av.VideoStream] | None]:
        """Up to where the file can be read, then the None that flushes the decoder."""
        try:
            for packet in self._survey.splices.mended(packets_from(self._source, self._entry)):
                if packet.size:
                    self._wanted_packets += self._is_wanted(packet)
                    yield packet
        except av.FFmpegError:
            self._gave_up = True
        yield None

    def _is_wanted(self, packet: Packet[av.VideoStream]) -> bool:
        """Whether a frame is expected of it: a second field has no time of its own, and a trim leaves frames out."""
        if packet.is_discard or (packet.pts is None and (self._trim or not self._survey.has_untimed)):
            return False
        if self._trim is None or packet.pts is None:
            return True
        time = packet.pts * self.clock - self._survey.video_start
        start, end = self._trim
        return time >= _exact(start) and (end is None or time < _exact(end))

    def _display(self, frame: VideoFrame) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None, Rest | None]:
        self._was_resized |= (frame.width, frame.height) != self._survey.stored_size
        self._was_hdr |= is_hdr(frame, self._codec)
        pixels, alpha = self._to_rgb.convert(frame)
        upright = self._survey.orientation.upright
        # Editors write ProRes 4444 and PNG with an alpha plane of which nobody made use: that is no cutout yet.
        alpha = None if alpha is None or alpha.min() == 255 else upright(alpha)
        if not self._is_deep:
            return upright(np.asarray(pixels, np.uint8)), alpha, None
        rgb, rest = split(upright(np.asarray(pixels, np.uint16)))
        return rgb, alpha, rest

    def notices(self) -> list[Notice]:
        """What its user should know; refuses a file of which less than half could be shown."""
        if not self._shown and not self._wanted_packets and self._trim is not None and self._first is not None:
            start, end = self._trim
            span = f"from {start:g} s on" if end is None else f"between {start:g} and {end:g} s"
            raise InputRefused(f"No frame of this video begins {span}: trim less of it.")
        if not self._shown:
            raise InputRefused("No picture in this video can be decoded. The file is damaged or its codec unsupported.")
        share = Fraction(self._shown, max(self._shown, self._wanted_packets))
        # What lies outside a trim may be missing.
        refuse_below_half(share if self._trim else share * self._survey.present)
        found = []
        if self._survey.is_cut_off or self._gave_up:
            found.append(Notice("input_truncated", "The file ends early or is damaged; what could be read was used."))
        if self._errors or self._corrupt:
            count = max(self._errors, self._corrupt)
            found.append(Notice("corrupt_frames", f"{count} damaged frames in the input; they may show errors."))
        if self._repaired:
            found.append(Notice("timestamps_repaired", f"{self._repaired} frames had no usable time and were set."))
        if self._survey.splices:
            parts = len(self._survey.splices) + 1
            found.append(Notice("timestamps_repaired", f"{parts} recordings with their own clocks were set in a row."))
        if self._was_hdr:
            found.append(Notice("hdr_tone_mapped", "The HDR input was converted to standard dynamic range."))
        if self._was_resized:
            found.append(Notice("size_changed", "The frame size changes within the input; all frames got the first."))
        return found


def thinned(pictures: Iterator[Picture], gap: Fraction) -> Iterator[Picture]:
    """Those that come at least `gap` seconds after the last kept one, numbered anew; each stays until the next."""
    if not gap:
        yield from pictures
        return
    kept: Picture | None = None
    count = 0
    for picture in pictures:
        if kept is not None and picture.time - kept.time < gap:
            kept.end = picture.end
            continue
        if kept is not None:
            yield kept
        kept, kept.index, count = picture, count, count + 1
    if kept is not None:
        yield kept


class Deinterlacer:
    """One progressive frame for every interlaced one, at the same time."""

    def __init__(self) -> None:
        self._graph: av.filter.Graph | None = None
        self._key: tuple[int, int, str] | None = None

    def push(self, frame: VideoFrame) -> list[VideoFrame]:
        key = (frame.width, frame.height, frame.format.name)
        ready = []
        if key != self._key:
            ready = self.flush()
            self._graph, self._key = self._build(frame), key
        assert self._graph is not None
        self._graph.push(frame)
        return ready + self._pull()

    def flush(self) -> list[VideoFrame]:
        if self._graph is None:
            return []
        self._graph.push(None)
        ready, self._graph, self._key = self._pull(), None, None
        return ready

    def _build(self, frame: VideoFrame) -> av.filter.Graph:
        graph = av.filter.Graph()
        steps = [
            graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base),
            graph.add("bwdif", "mode=send_frame:deint=interlaced"),
            graph.add("buffersink"),
        ]
        graph.link_nodes(*steps).configure()
        return graph

    def _pull(self) -> list[VideoFrame]:
        assert self._graph is not None
        ready = []
        while True:
            try:
                ready.append(self._graph.vpull())
            except (av.BlockingIOError, av.EOFError):
                return ready


def _exact(seconds: float) -> Fraction:
    """The number as it was written: 0.1 is a tenth, not the nearest binary fraction."""
    return Fraction(repr(float(seconds)))
