"""A second look at a file, with nothing of the engine: when its frames are shown, and how many can be decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

Track = TypeVar("Track", VideoStream, AudioStream)


@dataclass(frozen=True, slots=True)
class Times:
    """Of the frames, in seconds from the start of the earliest stream that counts; `tick` is their rounding."""

    frames: list[Fraction]
    tick: Fraction


def source_times(path: Path) -> Times:
    """Of the video that a player would choose, by its packets."""
    with path.open("rb") as file, av.open(file, "r", metadata_errors="replace") as container:
        video, audio = _video(container), _default(container.streams.audio)
        tick = Fraction(video.time_base or 1)
        start = (video.start_time or 0) * tick
        if audio is not None and audio.start_time is not None:
            start = min(start, audio.start_time * Fraction(audio.time_base or 1))
        stamps = {
            packet.pts * tick
            for packet in container.demux(video)
            if packet.pts is not None and packet.size and not packet.is_discard
        }
    return Times(sorted(stamp - start for stamp in stamps), tick)


def output_times(path: Path) -> Times:
    """Of a delivered file, by decoding all of it."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        video.thread_type = "AUTO"
        tick = Fraction(video.time_base or 1)
        stamps = [frame.pts * tick for frame in container.decode(video) if frame.pts is not None]
    return Times(stamps, tick)


def strayed(shown: Times, source: Times) -> Fraction:
    """How far the worst output frame is from the nearest time that the source has, beyond what clocks round."""
    allowed = (shown.tick + source.tick) / 2
    worst = max((min(abs(time - known) for known in source.frames) for time in shown.frames), default=Fraction(0))
    return max(Fraction(0), worst - allowed)


def _video(container: InputContainer) -> VideoStream:
    pictures = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    tracks = [stream for stream in container.streams.video if not stream.disposition & pictures and stream.width]
    chosen = _default(sorted(tracks, key=lambda stream: stream.width * stream.height, reverse=True))
    assert chosen is not None
    return chosen


def _default(tracks: Sequence[Track]) -> Track | None:
    usable = [track for track in tracks if track.codec_context is not None]
    return next((track for track in usable if track.disposition & Disposition.default), next(iter(usable), None))
