"""Recordings joined end to end, each with a clock of its own: where one ends, and what brings the next into line."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from statistics import median_low
from typing import TYPE_CHECKING, TypeVar

from av.packet import Packet
from av.stream import Stream

if TYPE_CHECKING:
    from apps.engine.facts import Track

AnyStream = TypeVar("AnyStream", bound=Stream)

CONTAINERS = ("mpeg", "mpegts")
"""That may be joined by laying one file behind the other: nothing but their stamps says what time it is."""

BACK, AHEAD = Fraction(1, 2), Fraction(10)
"""Seconds between neighbouring packets that no reordering and no pause explains."""


@dataclass(frozen=True, slots=True)
class Jump:
    """Where one stream's clock began anew."""

    index: int
    """Of the first stamp on the new clock."""
    position: int
    """Of its packet in the file."""
    is_back: bool


@dataclass(slots=True)
class Jumps:
    """Of one stream, seen packet by packet; a stray stamp, after which the old clock goes on, is none."""

    found: list[Jump] = field(default_factory=list)
    _last: Fraction | None = None
    _before: Fraction = Fraction(0)
    _doubtful: Jump | None = None

    def see(self, time: Fraction, position: int, index: int) -> None:
        """A packet's place in the stream, in the file and among the stamps."""
        if self._doubtful is not None and self._last is not None:
            if abs(time - self._last) <= abs(time - self._before):
                self.found.append(self._doubtful)
            else:
                self._last = self._before
            self._doubtful = None
        if self._last is not None and not -BACK < time - self._last < AHEAD:
            self._doubtful, self._before = Jump(index, position, time < self._last), self._last
        self._last = time


@dataclass(frozen=True, slots=True)
class Splices:
    """Byte positions from which on every stamp is moved by so many seconds; empty for nearly every file."""

    positions: tuple[int, ...] = ()
    shifts: tuple[Fraction, ...] = ()

    def __len__(self) -> int:
        return len(self.positions)

    def mended(self, packets: Iterator[Packet[AnyStream]]) -> Iterator[Packet[AnyStream]]:
        """One stream's packets on the one clock."""
        shift = Fraction(0)
        for packet in packets:
            if self.positions and packet.size:
                if packet.pos is not None and packet.pos >= 0:
                    shift = (Fraction(0), *self.shifts)[bisect_right(self.positions, packet.pos)]
                ticks = round(shift / Fraction(packet.time_base))
                packet.pts = None if packet.pts is None else packet.pts + ticks
                packet.dts = None if packet.dts is None else packet.dts + ticks
            yield packet


def splice(container: str, video: Track, audio: Track | None) -> Splices:
    """Bring the tracks' stamps onto one clock; what moves their packets alike is the answer.

    Each part begins when all of the one before it has ended, its sound as far
    from its pictures as it was. Where the streams do not agree about their
    clocks it was damage, and nothing is moved.
    """
    tracks = [track for track in (video, audio) if track is not None and track.stamps]
    seams = _seams(video, audio) if container in CONTAINERS and video.stamps else []
    if not seams:
        return Splices()
    shifts: list[Fraction] = []
    bounds = [(0,) * len(tracks), *(indices for _, indices in seams), tuple(len(track.stamps) for track in tracks)]
    end = Fraction(0)
    for firsts, lasts in pairwise(bounds):
        parts = [part for part in zip(tracks, firsts, lasts, strict=True) if part[2] > part[1]]
        shift = end - min(_start(*part) for part in parts) if shifts else Fraction(0)
        shifts.append(shift)
        for track, first, last in parts:
            track.move(first, last, round(shift / track.time_base))
            track.end = _end(track, first, last)
        end = max(_end(*part) * part[0].time_base for part in parts)
    return Splices(tuple(position for position, _ in seams), tuple(shifts[1:]))


def _seams(video: Track, audio: Track | None) -> list[tuple[int, tuple[int, ...]]]:
    """(position in the file, index of the first stamp behind it in each track)."""
    seen = video.jumps.found
    seams: list[tuple[int, tuple[int, ...]]] = []
    if audio is None or not audio.stamps:
        # Without sound that leaps along, a leap ahead may as well be a picture that stood for long.
        return [(jump.position, (jump.index,)) for jump in seen if jump.is_back]
    heard = list(audio.jumps.found)
    for jump in seen:
        if heard and heard[0].is_back == jump.is_back:
            other = heard.pop(0)
            seams.append((min(jump.position, other.position), (jump.index, other.index)))
        elif not heard and audio.last_position < jump.position:
            seams.append((jump.position, (jump.index, len(audio.stamps))))
        else:
            return []
    return seams if not heard else []


def _start(track: Track, first: int, last: int) -> Fraction:
    """Seconds."""
    return min(track.stamps[first:last]) * track.time_base


def _end(track: Track, first: int, last: int) -> int:
    """Tick at which the last of these goes: it stays as long as most do."""
    stamps = sorted(track.stamps[first:last])
    gaps = [after - before for before, after in pairwise(stamps)]
    return stamps[-1] + (median_low(gaps) if gaps else 0)
