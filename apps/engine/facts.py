"""What a file really holds, judged by demuxing every packet and decoding one frame; headers are not believed."""

from __future__ import annotations

import itertools
import statistics
from array import array
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame

from apps.engine.child import Limits
from apps.engine.colour import is_hdr
from apps.engine.errors import InputRefused, LimitExceeded
from apps.engine.geometry import Orientation
from apps.engine.missing import Holes, present, refuse_below_half
from apps.engine.report import Facts
from apps.engine.seek import entries_of
from apps.engine.source import MAX_PIXELS, Source, open_source
from apps.engine.splices import Jumps, Splices, splice
from apps.engine.torn import bytes_present, is_torn

MAX_BLIND_PACKETS = 300
"""Packets tried for a first picture before the file is called undecodable; a recording may begin mid-scene."""

NO_PICTURE = (
    "No picture in this video can be decoded. The file is damaged, its codec unsupported, "
    f"or its pictures are larger than {MAX_PIXELS // 10**6} million pixels."
)

MAX_DISPLAY_SIDE = 16_384

MAX_LEAP_SECONDS = 30
"""Of silence behind the last picture, before more sound."""


@dataclass(slots=True)
class Track:
    """The packets of one stream, in its own ticks."""

    time_base: Fraction
    header_start: int | None
    is_sound: bool = False
    stamps: array[int] = field(default_factory=lambda: array("q"))
    end: int | None = None
    is_torn: bool = False
    """A packet was damaged, or came out of order."""
    _latest: int | None = None
    keys: array[int] = field(default_factory=lambda: array("q"))
    """Of the stamps, those at which decoding can begin; whether exactly is seek.py's to judge."""
    has_all_stamps: bool = True
    untimed: Counter[int] = field(default_factory=Counter)
    """Packets without a time, by their duration: program streams time only some frames, and second fields none."""
    jumps: Jumps = field(default_factory=Jumps)
    last_position: int = 0
    """In the file, of a packet."""

    def add(self, packet: Packet[Stream]) -> None:
        if packet.dts is not None:
            self.jumps.see(packet.dts * self.time_base, packet.pos or 0, len(self.stamps))
        self.last_position = max(self.last_position, packet.pos or 0)
        if packet.is_corrupt or (packet.dts is not None and self._latest is not None and packet.dts < self._latest):
            self.is_torn = True
        self._latest = packet.dts
        if packet.pts is None or packet.is_discard:
            self.has_all_stamps = False
            if not packet.is_discard:
                self.untimed[packet.duration or 0] += 1
            return
        self.stamps.append(packet.pts)
        if packet.is_keyframe:
            self.keys.append(packet.pts)
        length = packet.duration or 0
        if self.is_sound and length * self.time_base > MAX_LEAP_SECONDS:
            # No codec's: a damaged number, that would have us write hours of silence.
            length = 0
        end = packet.pts + length
        self.end = end if self.end is None else max(self.end, end)

    def move(self, first: int, last: int, ticks: int) -> None:
        """Set these stamps to another time; what the container says of the track counts no more."""
        for index in range(first, last):
            self.stamps[index] += ticks
        self.header_start = None

    @property
    def start_time(self) -> Fraction:
        """Seconds; what the container says, where it says anything."""
        first = min(self.stamps) if self.stamps else 0
        start = first if self.header_start is None else self.header_start
        return start * self.time_base

    @property
    def end_time(self) -> Fraction:
        return Fraction(self.end or 0) * self.time_base

    def end_without_leaps(self, other: Fraction) -> Fraction:
        """Seconds at which it ends, where what comes long after the rest of it and after `other` is a damaged time.

        Such a time would have us write hours of silence.
        """
        end = other
        for stamp in sorted(self.stamps):
            time = stamp * self.time_base
            if time > end + MAX_LEAP_SECONDS:
                return end
            end = max(end, time)
        return self.end_time


@dataclass(slots=True)
class Survey:
    """Facts, and the exact times that the work needs."""

    facts: Facts
    origin: Fraction
    """Start of the earliest chosen stream: zero of every output's clock."""
    video_start: Fraction
    frame_time: Fraction
    """A typical frame's duration."""
    audio_span: tuple[Fraction, Fraction] | None
    is_sound_torn: bool
    """Its packets are damaged or out of order, so that they cannot be copied."""
    present: Fraction
    """The share of the video that its packets hold, 1 when nothing is missing."""
    orientation: Orientation
    """Of the first picture; where the frame size changes, all pictures get the first one's."""
    stored_size: tuple[int, int]
    """Width and height of the first picture as it is coded."""
    is_cut_off: bool
    """Clearly less is there than was recorded, or the last packet is torn."""
    has_untimed: bool = False
    """Some frames come without a time, as is usual in their container, and follow the one before."""
    entries: array[int] = field(default_factory=lambda: array("q"))
    """Keyframes, in the video's ticks, that are as good to begin at as the start; none where that is not sure."""
    splices: Splices = field(default_factory=Splices)
    """Through which every packet goes before its times are believed."""


def survey(path: Path, *, limits: Limits | None = None, keep_audio: bool = True) -> Survey:
    """Look at every packet; refuses what has no decodable picture, and what is over the limits.

    Sound that is not kept has no say in the origin.
    """
    with open_source(path) as source:
        source.video.codec_context.thread_count = 1
        video = Track(_clock(source.video), source.video.start_time)
        audio = Track(_clock(source.audio), source.audio.start_time, is_sound=True) if source.audio else None
        holes = Holes.of(source)
        frame, broken = _demux(source, video, audio, holes)
        if frame is None:
            raise InputRefused(NO_PICTURE)
        if frame.pts is not None and video.header_start is not None:
            # The container names its first packet's time; a picture that is shown may come before that one.
            video.header_start = min(video.header_start, frame.pts)
        splices = splice(source.container.format.name, video, audio)
        missing = holes.missing(splices)
        found = _judge(source, video, audio, frame, missing, is_broken=broken or is_torn(path), keep_audio=keep_audio)
        found.splices, found.present = splices, min(found.present, bytes_present(path))
        if video.has_all_stamps and not found.is_cut_off and not found.facts.is_interlaced:
            found.entries = entries_of(source, video.keys, video.stamps, frame.pts)
    refuse_below_half(found.present)
    if limits is not None:
        heard = found.audio_span[1] - found.origin if found.audio_span else Fraction(0)
        check_limits(found.facts, limits, seconds=max(found.facts.duration, float(heard)))
    return found


def _clock(stream: Stream) -> Fraction:
    return Fraction(stream.time_base or Fraction(1, 1000))


def _demux(source: Source, video: Track, audio: Track | None, holes: Holes) -> tuple[VideoFrame | None, bool]:
    """Fill the tracks; returns the first frame, and whether reading broke off with an error or in a packet."""
    frame: VideoFrame | None = None
    blind = 0
    is_torn = False
    try:
        # All streams: a hole is one only if no other stream's packets fill it.
        for packet in source.container.demux():
            if packet.size:
                holes.see(packet)
            if packet.stream is not source.video:
                if audio is not None and packet.stream is source.audio and packet.size:
                    audio.add(packet)
                continue
            if packet.size:
                video.add(packet)
                is_torn = packet.is_corrupt
            if frame is None and blind < MAX_BLIND_PACKETS:
                blind += 1
                frame = _first_frame(source, packet)
    except av.FFmpegError:
        return frame, True
    return frame, is_torn


def _first_frame(source: Source, packet: Packet[Stream]) -> VideoFrame | None:
    try:
        frames = source.video.codec_context.decode(packet if packet.size else None)
    except av.FFmpegError:
        return None
    return frames[0] if frames else None


def _judge(
    source: Source,
    video: Track,
    audio: Track | None,
    frame: VideoFrame,
    missing: Fraction,
    *,
    is_broken: bool,
    keep_audio: bool,
) -> Survey:
    stamps = sorted(set(video.stamps))
    # A second field is no frame of its own.
    untimed = 0 if frame.interlaced_frame else video.untimed.total()
    typical = _typical(source, video, stamps, untimed)
    frame_time = Fraction(typical) * video.time_base
    if stamps:
        last = stamps[-1] + (0 if (video.end or 0) > stamps[-1] else round(typical))
        # Those without a time may be the last ones too.
        video.end = max(video.end or 0, last, stamps[0] + round(typical * (len(stamps) + untimed)) if untimed else 0)
    has_audio = audio is not None and bool(audio.stamps)
    audio_span = None
    if audio is not None and has_audio and keep_audio:
        audio_span = audio.start_time, audio.end_without_leaps(video.end_time)
    origin = min(video.start_time, audio_span[0]) if audio_span else video.start_time
    span = Fraction(stamps[-1] - stamps[0]) * video.time_base if len(stamps) > 1 else Fraction(0)
    # Some codecs have hidden frames, at the time of one that is shown; more of them than that are no codec's doing.
    counted = len(stamps) if len(video.stamps) <= 2 * len(stamps) else len(video.stamps)
    rate = 1 / frame_time if untimed and frame_time else _rate(counted, span, frame_time)
    length = video.end_time - origin
    orientation = Orientation.of(frame, source.pixel_shape)
    facts = _facts(source, video, frame, orientation, frame_time, rate, untimed, has_audio=has_audio, length=length)
    end = max(video.end_time, audio.end_time if audio is not None else Fraction(0))
    length = video.end_time - stamps[0] * video.time_base if stamps else Fraction(0)
    share = present(source, frames=facts.frames, span=length, start=origin, end=end, missing=missing)
    # Headers round: a frame or two and five hundredths are nothing.
    is_cut_off = share < Fraction(19, 20) and (1 - share) * facts.frames > 2
    is_sound_torn = audio is not None and audio.is_torn
    told = facts, origin, video.start_time, frame_time, audio_span, is_sound_torn, share, orientation
    return Survey(*told, (frame.width, frame.height), is_broken or is_cut_off, bool(untimed))


def _facts(
    source: Source,
    video: Track,
    frame: VideoFrame,
    orientation: Orientation,
    frame_time: Fraction,
    rate: Fraction,
    untimed: int,
    *,
    has_audio: bool,
    length: Fraction,
) -> Facts:
    if max(orientation.width, orientation.height) > MAX_DISPLAY_SIDE:
        raise InputRefused(f"The picture is larger than {MAX_DISPLAY_SIDE} pixels on one side.")
    sound = source.audio.codec_context if source.audio is not None and has_audio else None
    gaps = [after - before for before, after in itertools.pairwise(sorted(set(video.stamps)))]
    spread = max(gaps) - min(gaps) if gaps else 0
    return Facts(
        container=source.container.format.name,
        video_codec=source.video.codec_context.codec.canonical_name,
        pixel_format=frame.format.name,
        width=orientation.width,
        height=orientation.height,
        fps=round(float(rate), 3),
        frames=len(video.stamps) + untimed,
        duration=round(float(max(length, frame_time)), 6),
        rotation=orientation.degrees,
        has_audio=sound is not None,
        audio_codec=sound.codec.canonical_name if sound else None,
        audio_channels=sound.channels if sound else None,
        audio_rate=sound.sample_rate if sound else None,
        has_alpha=source.has_alpha,
        is_hdr=is_hdr(frame, source.video.codec_context),
        is_interlaced=bool(frame.interlaced_frame),
        # Where frames between have no time, gaps of different lengths say nothing.
        is_variable_rate=not untimed and spread > 2 and spread > frame_time / video.time_base / 20,
    )


def _typical(source: Source, video: Track, stamps: list[int], untimed: int) -> float:
    """Ticks from frame to frame; where only some have a time, what the others' packets say, else an equal share."""
    gaps = [after - before for before, after in itertools.pairwise(stamps)]
    typical = statistics.median(gaps) if gaps else _lone_duration(source, video)
    if not untimed:
        return typical
    return video.untimed.most_common(1)[0][0] or typical * len(stamps) / (len(stamps) + untimed)


def _rate(frames: int, span: Fraction, frame_time: Fraction) -> Fraction:
    """Frames a second; of many that all claim one time, as many as there are in a frame's time."""
    if span:
        return (frames - 1) / span
    return frames / frame_time if frame_time else Fraction(25)


def _lone_duration(source: Source, video: Track) -> int:
    """Ticks of a clip's only frame: what its packet says, else the declared rate, else 1/25 s."""
    if video.stamps and video.end is not None and video.end > video.stamps[0]:
        return video.end - video.stamps[0]
    rate = source.video.average_rate or Fraction(25)
    return max(1, round(1 / (rate * video.time_base)))


def check_limits(facts: Facts, limits: Limits, *, seconds: float | None = None) -> None:
    """Raise LimitExceeded naming what is over and what is allowed; `seconds` is what a trim leaves."""
    seconds = facts.duration if seconds is None else seconds
    if limits.max_seconds is not None and seconds > limits.max_seconds:
        raise LimitExceeded(
            f"This video is {seconds:.1f} seconds long; at most {limits.max_seconds:g} seconds are allowed. "
            "Shorten it.",
            param="max_seconds",
        )
    if limits.max_side is not None and max(facts.width, facts.height) > limits.max_side:
        raise LimitExceeded(
            f"This video is {facts.width} × {facts.height} pixels; at most {limits.max_side} × {limits.max_side} "
            "are allowed. Scale it down.",
            param="max_side",
        )
    if limits.max_fps is not None and facts.fps > limits.max_fps + 0.5:
        raise LimitExceeded(
            f"This video has {facts.fps:g} frames a second; at most {limits.max_fps:g} are allowed. "
            "Convert it to a lower frame rate.",
            param="max_fps",
        )
