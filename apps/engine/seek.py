"""Where decoding may begin so that the frames after it are, to the bit, those of a decode from the start."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from fractions import Fraction

from av.packet import Packet
from av.video.stream import VideoStream

from apps.engine.source import Source

CONTAINERS = ("mov,", "matroska,")
"""As FFmpeg's names for them begin: those whose index leads to the packet that was asked for."""

CODECS = {"av1", "ffv1", "hevc", "mjpeg", "png", "prores", "vp8", "vp9"}
"""What they call a keyframe needs nothing that was before it, by their standards."""

MIN_SKIP = 1
"""Seconds; less is decoded sooner than it is looked for."""


def entries_of(source: Source, keys: array[int], stamps: array[int], first: int | None) -> array[int]:
    """The keyframes at which one may begin, by their times; none where that is not sure.

    `first` is the time of the first frame that was decoded: it must be the
    earliest of all, because times are counted from it.
    """
    container, codec = source.container.format.name, source.video.codec_context.codec.canonical_name
    # Elsewhere H.264 also calls frames so from which the picture only recovers.
    is_known = codec in CODECS or (codec == "h264" and container.startswith("mov,"))
    if not is_known or not container.startswith(CONTAINERS) or not keys or len(set(stamps)) != len(stamps):
        return array("q")
    return array("q", sorted(keys)) if first == min(keys) == min(stamps) else array("q")


def entry_before(keys: array[int], clock: Fraction, seconds: Fraction) -> int | None:
    """The last keyframe within so many seconds of the first; None when it is as well to begin at the start."""
    if not keys:
        return None
    entry = keys[bisect_right(keys, keys[0] + seconds / clock) - 1]
    return entry if (entry - keys[0]) * clock >= MIN_SKIP else None


def packets_from(source: Source, entry: int | None) -> Iterator[Packet[VideoStream]]:
    """The video's packets from this keyframe on, or all of them."""
    container, stream = source.container, source.video
    if entry is not None:
        container.seek(entry, stream=stream)
        packets = container.demux(stream)
        for packet in packets:
            if packet.size and packet.is_keyframe and packet.pts == entry:
                yield packet
                yield from packets
                return
        # The index led astray.
        container.seek(0, stream=stream)
    yield from container.demux(stream)
