"""How much of a video is there: a cut-off or damaged file is told from a whole one by what its packets hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import av
from av.packet import Packet
from av.stream import Stream

from apps.engine.errors import InputTruncated
from apps.engine.source import Source
from apps.engine.splices import Splices

MIN_PRESENT = Fraction(1, 2)
"""With less of it, a result would not be what anybody asked for: refused, and nothing is charged."""

HOLE_BYTES = 2048
"""Skipped in one piece; less is the container's own bookkeeping."""

HOLE_SECONDS = Fraction(1, 5)

SEQUENTIAL = ("matroska", "mpeg", "flv", "ogg", "asf", "avi")
"""Containers (their names' beginnings) that are read in the order of their bytes, so that a jump means damage."""


@dataclass(slots=True)
class Holes:
    """Where a demuxer silently leapt over bytes it could not read, and time is missing with them.

    Time alone tells nothing: a screen recording may show one picture for minutes.
    """

    is_sequential: bool
    _found: list[tuple[int, int, Fraction]] = field(default_factory=list)
    """(from this byte, to that one, seconds)."""
    _position: int = 0
    _time: Fraction | None = None

    @classmethod
    def of(cls, source: Source) -> Holes:
        return cls(source.container.format.name.startswith(SEQUENTIAL))

    def see(self, packet: Packet[Stream]) -> None:
        """Every packet of every stream, in the order in which it was read."""
        if not self.is_sequential or packet.dts is None or packet.pos is None or packet.pos < 0:
            return
        time = packet.dts * Fraction(packet.time_base)
        if self._time is not None and packet.pos - self._position > HOLE_BYTES:
            gap = time - self._time
            if gap > HOLE_SECONDS:
                self._found.append((self._position, packet.pos, gap))
        self._position = max(self._position, packet.pos + packet.size)
        self._time = time if self._time is None else max(time, self._time)

    def missing(self, splices: Splices) -> Fraction:
        """Seconds; between two recordings nothing is missing, whatever their clocks say."""
        return sum(
            (gap for start, stop, gap in self._found if not any(start < at <= stop for at in splices.positions)),
            Fraction(0),
        )


def present(
    source: Source, *, frames: int, span: Fraction, start: Fraction, end: Fraction, missing: Fraction
) -> Fraction:
    """The share of the video that its packets hold, at most 1: the most lenient of what can be known.

    `span` is the video packets' length, `start` and `end` those of all packets
    and `missing` what lay in holes, all in seconds. Where a header promises nothing that can be believed,
    only holes count.
    """
    whole = max(_claims(source, frames, span, start, end), default=Fraction(1))
    patched = 1 - missing / span if span > 0 else Fraction(1)
    return max(Fraction(0), min(Fraction(1), whole, patched))


def _claims(source: Source, frames: int, span: Fraction, start: Fraction, end: Fraction) -> Iterator[Fraction]:
    """What is there ÷ what each believable part of the header promises."""
    video, container = source.video, source.container
    if video.frames:
        yield Fraction(frames, video.frames)
        tick = Fraction(video.time_base or 1)
        # An edit list may leave most samples out on purpose; the track's length knows of it.
        if container.format.name.startswith("mov") and video.duration:
            yield span / (video.duration * tick)
        # AVI counts a frame for every tick, also those that a capture left out.
        if container.format.name == "avi":
            yield span / (video.frames * tick)
    elif container.duration and not container.format.name.startswith(("mov", "mpeg")):
        # Live fragments declare 40 hours, and transport streams declare nothing.
        length = Fraction(container.duration, av.time_base)
        # Matroska's length counts from zero, however late the first packet comes; others' from there.
        yield (end - start) / (length - start) if 0 < start < length else end / length


def refuse_below_half(share: Fraction) -> None:
    """Raise InputTruncated unless at least half of the video is there."""
    if share < MIN_PRESENT:
        raise InputTruncated(
            f"Only {float(share):.0%} of this video can be read: it was cut off or is damaged. "
            "Send the whole file again."
        )
