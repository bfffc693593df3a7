"""What the matte did over time: scores, plain words and the moments to look at, from one pass over the frames.

Judged without knowing the right matte, from what must hold of any: edges move
with the picture, parts do not come and go while the picture stays, and the
subject's opacity and light do not pulse.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.engine.signs import Observer, Picture, Signs

VERSION = 1
"""Of the report's shape and of what its scores mean."""

SERIES = ("flicker", "doubt", "lag", "hole", "lost", "gained", "opacity", "brightness")

FLICKER = 0.02
"""Small pixels of wobble along all slow edges, averaged over five frames; true mattes stay below a third of it."""
EXCUSED = 0.07
"""Wobble per small pixel by which motion could not be followed."""
MOST_FLICKER = 0.3
"""One frame counts for no more, so that a single jump is not taken for flicker."""
LAG = 0.012
"""By how much better the last picture fits, averaged over five frames."""
MOST_LAG = 0.05
"""One frame counts for no more either way."""
AVERAGED = 5
PART = 0.005
"""Share of the subject; less goes and comes with true mattes of fast motion."""
PULSE = 0.02
"""Two percent up and down again within a second are seen on any plain background."""
PULSE_SECONDS = 1.0
PAIR_SECONDS = 2.0
"""What is lost and comes back sooner was one event."""
MERGE_SECONDS = 0.25

MAX_FLAGS = 12
MAX_POINTS = 240
GOOD, FAIR = 85, 60
CLEAR, STRONG = 2.0, 5.0
"""Times the threshold from which a flag is more than slight."""

Series = NDArray[np.float64]

WORDS = {
    "edge_flicker": "The edge flickers although the picture there stands still.",
    "edge_lag": "The edge trails behind the subject's motion.",
    "hole": "A hole opens inside the subject.",
    "part_lost": "A part of the subject disappears at once.",
    "part_gained": "Something that was background appears at once.",
    "opacity_pulse": "The subject becomes more and less transparent.",
    "brightness_pulse": "The cutout becomes brighter and darker than the video.",
}

VERDICTS = {
    "edge_stability": {
        "good": "Edges stay still where the picture does and move where it moves.",
        "fair": "Edges are restless in places.",
        "poor": "Edges flicker or trail behind for much of the clip.",
    },
    "foreground_integrity": {
        "good": "The subject stays whole.",
        "fair": "Parts of the subject come or go in places.",
        "poor": "Parts of the subject keep coming and going.",
    },
    "temporal_consistency": {
        "good": "Opacity and brightness are steady.",
        "fair": "Opacity or brightness pulses in places.",
        "poor": "Opacity or brightness pulses for much of the clip.",
    },
}
NOTHING = "There was no subject to follow over time."


@dataclass(frozen=True, slots=True)
class Flag:
    """A moment to look at, in seconds of the result."""

    start: float
    end: float
    kind: str
    words: str
    severity: str
    """`slight`, `clear` or `strong`."""


@dataclass(frozen=True, slots=True)
class Span:
    """Frames `first` to `last` that show `kind`, `times` as much as is tolerated."""

    first: int
    last: int
    kind: str
    times: float


class Quality:
    """Fed with every frame once, in order. Forty bytes of memory a frame, and one small picture."""

    def __init__(self) -> None:
        self._observer = Observer()
        self._times = array("d")
        self._series = {name: array("f") for name in SERIES}
        self._subjects = 0
        self._end = self._origin = 0.0

    def add(self, time: float, end: float, *, picture: Picture, alpha: Picture, cutout: Picture) -> None:
        """`picture` is the input's, `alpha` the finished matte, `cutout` the subject's straight colours."""
        signs: Signs = self._observer.look(picture, alpha, cutout)
        self._times.append(time)
        for name, values in self._series.items():
            values.append(getattr(signs, name))
        self._subjects += signs.has_subject
        self._end = end

    def report(self, *, origin: float = 0.0) -> dict[str, Any]:
        """Plain data, its times counted from `origin`; docs/quality.md explains it to users."""
        self._origin = origin
        known = {name: np.frombuffer(values, np.float32).astype(np.float64) for name, values in self._series.items()}
        late = np.maximum(_averaged(np.clip(known["lag"], -MOST_LAG, MOST_LAG)) / LAG, 0)
        parts, lost = _integrity(known, late, self._rate)
        judged = [_edges(known, late, parts), (parts, lost), _consistency(known, self._rate)]
        measures = {name: self._measure(name, bad, spans) for name, (bad, spans) in zip(VERDICTS, judged, strict=True)}
        duration = self._when(len(self._times))
        return {
            "version": VERSION,
            "duration": duration,
            **measures,
            "timeline": self._timeline([bad for bad, _ in judged]) if self._is_known else [],
        }

    @property
    def _is_known(self) -> bool:
        """Whether there was a subject to follow."""
        return self._subjects >= 2

    @property
    def _rate(self) -> float:
        """Frames a second, as most of the clip has it."""
        steps = np.diff(self._times)
        usual = float(np.median(steps)) if len(steps) else 0.0
        return 1 / usual if usual > 0 else 25.0

    def _measure(self, name: str, bad: Series, spans: list[Span]) -> dict[str, Any]:
        if not self._is_known:
            return {"score": None, "verdict": "unknown", "words": NOTHING, "flags": [], "more_flags": 0}
        score = round(100 - 12 * float(np.minimum(bad, 1).mean()) - 88 * float(np.sqrt(_loss(bad).mean())))
        verdict = "good" if score >= GOOD else "fair" if score >= FAIR else "poor"
        flags = [span for kind in WORDS for span in _merged(spans, kind, max(2, round(MERGE_SECONDS * self._rate)))]
        worst = sorted(flags, key=lambda span: span.times * (span.last - span.first + 1), reverse=True)[:MAX_FLAGS]
        return {
            "score": max(0, score),
            "verdict": verdict,
            "words": VERDICTS[name][verdict],
            "flags": [asdict(self._flag(span)) for span in sorted(worst, key=lambda span: span.first)],
            "more_flags": len(flags) - len(worst),
        }

    def _flag(self, span: Span) -> Flag:
        end = self._when(span.last + 1)
        severity = "strong" if span.times >= STRONG else "clear" if span.times >= CLEAR else "slight"
        return Flag(self._when(span.first), end, span.kind, WORDS[span.kind], severity)

    def _when(self, index: int) -> float:
        """Second in the result at which frame `index` is shown, or at which the last one goes."""
        return round((self._times[index] if index < len(self._times) else self._end) - self._origin, 3)

    def _timeline(self, bads: list[Series]) -> list[dict[str, Any]]:
        """At most MAX_POINTS points; each shows the worst of the frames it stands for."""
        count = len(self._times)
        edges = sorted({round(place) for place in np.linspace(0, count, min(count, MAX_POINTS) + 1)})
        names = ("edge", "integrity", "consistency")
        return [
            {
                "t": self._when(first),
                **{
                    name: round(100 * (1 - float(_loss(bad[first:last]).max())))
                    for name, bad in zip(names, bads, strict=True)
                },
            }
            for first, last in pairwise(edges)
        ]


def _loss(bad: Series) -> Series:
    """0 where there is nothing to see, 1 where it is spoilt; `bad` is 1 where a flag begins."""
    return np.asarray(np.clip((bad - 0.5) / 3.5, 0, 1))


def _averaged(values: Series) -> Series:
    return np.convolve(values, np.ones(AVERAGED) / AVERAGED, "same")[: len(values)] if len(values) else values


def _near(level: Series) -> NDArray[np.bool_]:
    """Frames at or above 1, and two to each side."""
    return np.asarray(_averaged((level >= 1).astype(np.float64)) > 0)


def _edges(known: dict[str, Series], late: Series, parts: Series) -> tuple[Series, list[Span]]:
    wobble = np.clip(known["flicker"] - EXCUSED * known["doubt"], 0, MOST_FLICKER) / FLICKER
    # An edge that is late, or that runs around a lost part, also wobbles; one cause is told once.
    wobble = np.where(_near(late) | _near(parts), 0, wobble)
    restless = _averaged(wobble)
    spans = [*_spans(restless, "edge_flicker", wobble), *_spans(late, "edge_lag", known["lag"] / LAG)]
    return np.maximum(restless, late), spans


def _integrity(known: dict[str, Series], late: Series, rate: float) -> tuple[Series, list[Span]]:
    """What goes and comes back, or comes and goes again, is one event and lasts as long as the fault does."""
    gone = np.maximum(known["hole"], known["lost"]) / PART
    come = known["gained"] / PART
    # Behind a fast subject a late matte loses and gains whole parts; that is told as lag.
    gone, come = (np.where(_near(late), 0, values) for values in (gone, come))
    is_hole = known["hole"] >= known["lost"]
    spans = list(_events(gone, come, is_hole, round(PAIR_SECONDS * rate)))
    bad = np.minimum(np.maximum(gone, come), 0.9)
    for span in spans:
        bad[span.first : span.last + 1] = np.maximum(bad[span.first : span.last + 1], span.times)
    return bad, spans


def _events(gone: Series, come: Series, is_hole: NDArray[np.bool_], patience: int) -> Iterator[Span]:
    waiting: Span | None = None
    for index in map(int, np.flatnonzero((gone >= 1) | (come >= 1))):
        is_gone = bool(gone[index] >= come[index])
        times = float(max(gone[index], come[index]))
        if waiting is not None and index - waiting.first <= patience and is_gone == (waiting.kind == "part_gained"):
            yield Span(waiting.first, index - 1, waiting.kind, max(times, waiting.times))
            waiting = None
            continue
        if waiting is not None:
            yield waiting
        kind = "part_gained" if not is_gone else "hole" if is_hole[index] else "part_lost"
        waiting = Span(index, index, kind, times)
    if waiting is not None:
        yield waiting


def _consistency(known: dict[str, Series], rate: float) -> tuple[Series, list[Span]]:
    window = int(np.clip(round(PULSE_SECONDS * rate), 9, 301))
    bad = np.zeros(len(known["opacity"]))
    spans: list[Span] = []
    for kind in ("opacity", "brightness"):
        level = _pulses(np.cumsum(known[kind]), window, max(3, round(rate / 8))) / PULSE
        level = np.maximum(level, np.abs(known[kind]) / PULSE)
        spans += _spans(level, f"{kind}_pulse", level)
        bad = np.maximum(bad, level)
    return bad, spans


def _pulses(level: Series, window: int, moment: int) -> Series:
    """How far each frame stands out above or below its neighbours on both sides; a lasting change does not.

    Nor does a calm stretch between two pulses: within `moment` something must move.
    """
    line, kernel = level[None].astype(np.float32), np.ones((1, window), np.uint8)
    above = line - cv2.morphologyEx(line, cv2.MORPH_OPEN, kernel)
    below = cv2.morphologyEx(line, cv2.MORPH_CLOSE, kernel) - line
    moves = cv2.morphologyEx(line, cv2.MORPH_GRADIENT, np.ones((1, moment), np.uint8))
    return np.asarray(np.minimum(np.maximum(above, below), 2 * moves)[0], np.float64)


def _spans(level: Series, kind: str, own: Series) -> Iterator[Span]:
    """Runs of frames at or above 1, without those that only their neighbours lifted there."""
    above = np.flatnonzero(np.diff(np.concatenate(([0], (level >= 1).astype(np.int8), [0]))))
    for first, end in zip(above[::2], above[1::2], strict=True):
        loud = np.flatnonzero(own[first:end] >= 1)
        if len(loud):
            yield Span(int(first + loud[0]), int(first + loud[-1]), kind, float(level[first:end].max()))


def _merged(spans: list[Span], kind: str, gap: int) -> list[Span]:
    merged: list[Span] = []
    for span in sorted((span for span in spans if span.kind == kind), key=lambda span: span.first):
        if merged and span.first - merged[-1].last <= gap:
            last = merged.pop()
            span = Span(last.first, max(last.last, span.last), kind, max(last.times, span.times))
        merged.append(span)
    return merged
