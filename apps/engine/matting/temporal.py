"""Mattes over time: shots told apart, mattes carried along the motion, and flicker told from movement."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from apps.engine.matting.base import Frame
from apps.engine.matting.motion import Motion, Motions, View
from apps.engine.matting.scale import Map, disc, map_to, roughly

ALIKE = 0.4
"""Difference of alpha up to which a neighbour is heard by itself: flicker is small, a hand that moved is not."""
AGREED = 0.4
"""Difference between the neighbours before and after up to which both are heard, however the frame differs."""

SURE = 0.9
"""Alpha of what is surely subject."""
LOST = 0.004
"""Share of the picture from which a lost part is put back; what is smaller may well be an error there, not here."""

DISAGREE = 0.25
"""Difference of two carried alphas from which the pixel is not obvious."""
BLIND = 0.02
"""Trust below which a neighbour says nothing of a pixel."""
UNSEEN = 0.05
"""Share of an empty picture that may be new before somebody has to look at it."""
NO_CLUE = 1e-6
"""Where neither neighbour is trusted, both count by their distance."""

THUMB = (32, 32)
CUT_LEVEL = 24.0
"""Mean change of the thumbnails, in 8-bit steps, that a camera or a dancer does not make from one frame to the next."""
CUT_JUMP = 3.0
"""And it is this many times the usual change of the shot."""
USUAL = 0.2
"""Weight of the newest frame in the shot's usual change."""
DARK_CUT_LEVEL = 4.0
"""Between dark shots no cut changes much; this is a cut where the thumbnails are also unlike."""
PLAIN = 1.0
"""Standard deviation, in 8-bit steps, of a thumbnail that shows nothing."""
SAME = 0.9
"""Correlation from which they show the same in another light: it fades, or a lamp goes on."""
UNLIKE = 0.4
"""Correlation of two thumbnails below which they show different things; a shaken camera stays above 0.5."""


class Cuts:
    """Tells the first frame of each shot."""

    def __init__(self) -> None:
        self._last: Map | None = None
        self._usual: float | None = None
        """Change from frame to frame; None until the shot has two."""

    def is_new_shot(self, frame: Frame) -> bool:
        """Also true for the very first frame."""
        thumb = roughly(frame, *THUMB).astype(np.float32)
        last, self._last = self._last, thumb
        if last is None:
            return True
        change = float(np.abs(thumb - last).mean())
        is_cut = self._is_cut(change, last, thumb)
        if is_cut:
            self._usual = None
        else:
            self._usual = change if self._usual is None else self._usual + USUAL * (change - self._usual)
        return is_cut

    def is_in_other_light(self, frame: Frame) -> bool:
        """Whether it may be the last frame again, brighter, darker or blank; False before the first.

        And after a blank one: what comes then is the first that can be seen.
        """
        if self._last is None or _is_plain(self._last):
            return False
        likeness = _correlation(self._last, roughly(frame, *THUMB).astype(np.float32))
        return likeness is None or likeness >= UNLIKE

    def _is_cut(self, change: float, last: Map, thumb: Map) -> bool:
        if change <= max(DARK_CUT_LEVEL, CUT_JUMP * (self._usual or 0.0)):
            return False
        is_large, likeness = change > CUT_LEVEL, _correlation(last, thumb)
        if likeness is None:
            return is_large
        # Between dark shots little changes, and a shot may begin in the middle of a shaken camera's move.
        return likeness < (SAME if is_large and self._usual is not None else UNLIKE)


def _correlation(first: Map, second: Map) -> float | None:
    """-1..1, whatever the light; None where one of them is all of one colour."""
    ours, theirs = (one - one.mean((0, 1)) for one in (first, second))
    spread = float(ours.std() * theirs.std())
    return None if _is_plain(first) or _is_plain(second) else float((ours * theirs).mean()) / spread


def _is_plain(thumb: Map) -> bool:
    """All of one colour."""
    return float((thumb - thumb.mean((0, 1))).std()) <= PLAIN


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """A view with its alphas, each at its own size; the first is what the subject is judged by."""

    view: View
    alphas: tuple[Map, ...]


def carried(
    here: View, before: Known, after: Known, nearness: float, motions: Motions
) -> tuple[tuple[Map, ...], float]:
    """The alphas of a frame between two known ones, brought along the motion from both.

    `nearness` is 0 at `before` and 1 at `after`. Also the doubt: the area
    where the two disagree and neither is trusted, as a share of the
    subject's; when it is large, the frame must be looked at itself.
    """
    past, future = motions.for_carrying(here, before.view), motions.for_carrying(here, after.view)
    pairs = [(past.bring(one), future.bring(other)) for one, other in zip(before.alphas, after.alphas, strict=True)]
    alphas = tuple(_mixed(one, other, past, future, nearness) for one, other in pairs)
    if bool(before.alphas[0].any()) != bool(after.alphas[0].any()):
        # A subject that is in one of them only comes or goes here: half of it would be wrong either way.
        return alphas, 1.0
    return alphas, _doubt(*pairs[0], past, future)


def across(before: Known, after: Known, nearness: float, motions: Motions) -> Map:
    """The first alpha of a frame that shows nothing itself, brought that part of the way from either side."""
    past, future = motions.between(after.view, before.view), motions.between(before.view, after.view)
    one = Motion(np.float32(nearness) * past.flow, past.trust).bring(before.alphas[0])
    other = Motion(np.float32(1 - nearness) * future.flow, future.trust).bring(after.alphas[0])
    mean: Map = one + np.float32(nearness) * (other - one)
    return mean


def _mixed(one: Map, other: Map, past: Motion, future: Motion, nearness: float) -> Map:
    heard = (1 - nearness) * (past.trust_at(*one.shape) + NO_CLUE)
    rather = nearness * (future.trust_at(*one.shape) + NO_CLUE)
    mixed: Map = (heard * one + rather * other) / (heard + rather)
    return mixed


def _doubt(one: Map, other: Map, past: Motion, future: Motion) -> float:
    height, width = past.trust.shape
    one, other = map_to(one, width, height), map_to(other, width, height)
    blind = np.maximum(past.trust, future.trust) < BLIND
    subject = int((np.maximum(one, other) > 0.5).sum())
    if not subject:
        return float(blind.mean()) / UNSEEN
    return float((blind & (np.abs(one - other) > DISAGREE)).sum()) / subject


Heard = tuple[Map, Map]
"""A neighbour's alpha as it lies in this frame, and the trust in it."""


def brought(motion: Motion, other: Map) -> Heard:
    return motion.bring(other), motion.trust_at(*other.shape)


def steadied(alpha: Map, rings: list[list[Heard]]) -> Map:
    """The mean of a matte and its neighbours' along the motion, where they may be heard.

    `rings` holds, per distance in time, one or two neighbours. One is heard
    where it differs little; two that agree with each other are heard anyway,
    since what differs from both of its sides is a flicker and no movement.
    """
    total, weight = alpha.copy(), np.ones_like(alpha)
    for ring in rings:
        agreed = _agreed(*ring) if len(ring) == 2 else None
        for other, trust in ring:
            heard = _likeness(other - alpha, ALIKE)
            trust = trust * (heard if agreed is None else cv2.max(heard, agreed))
            total += trust * other
            weight += trust
    steady: Map = total / weight
    return steady


def restored(alpha: Map, sides: list[list[Heard]]) -> Map:
    """The matte with whole parts put back that a network lost for a moment.

    `sides` holds the neighbours before and those after, nearest first. A part
    that is surely subject in the two nearest of one side, and that the
    picture shows here too, is subject here: subjects do not blink.
    """
    parts = [cv2.min(_sure(*side[0]), _sure(*side[1])) for side in sides if len(side) >= 2]
    return put_back(alpha, np.maximum.reduce(parts)) if parts else alpha


def put_back(alpha: Map, part: Map) -> Map:
    """The matte with the large parts of what is surely subject that it lacks, and their edges."""
    lost = np.asarray(part * (alpha < SURE / 2) > SURE / 2, np.uint8)
    if int(lost.sum()) < LOST * alpha.size:
        return alpha
    _count, labels, stats, _ = cv2.connectedComponentsWithStats(lost)
    large = np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= LOST * alpha.size) + 1
    if not len(large):
        return alpha
    zone = cv2.dilate(np.isin(labels, large).astype(np.uint8), disc(max(1, min(alpha.shape) // 40)))
    whole: Map = np.where(zone > 0, cv2.max(alpha, part), alpha)
    return whole


def _agreed(before: Heard, after: Heard) -> Map:
    """0..1: how far two neighbours say the same, as far as either may say anything."""
    voices = np.minimum(1, cv2.min(before[1], after[1]) / BLIND)
    agreed: Map = voices * _likeness(before[0] - after[0], AGREED)
    return agreed


def _sure(other: Map, trust: Map) -> Map:
    sure: Map = other * np.minimum(1, 2 * trust)
    return sure


def _likeness(difference: Map, scale: float) -> Map:
    return np.asarray(cv2.exp(cv2.multiply(difference, difference, scale=-1 / scale**2)), np.float32)
