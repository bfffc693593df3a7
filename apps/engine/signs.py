"""What one frame of a cutout shows when it is held against the frame before: a few numbers, from small pictures.

No verdicts here: quality.py makes them from the whole clip's numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.engine.matting.temporal import Cuts

Picture = NDArray[np.uint8]
Map = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

SMALL_SIDE = 120
"""Halved while the short side stays at least this: 135 for 1080p, 180 for 720p. A pixel's wobble still shows there
as a change of alpha, and optical flow costs a millisecond."""

MIN_SIDE = 32
"""Smaller pictures are enlarged: optical flow begins with patches of eight pixels at a quarter of the size, and where
those do not fit, OpenCV fails or crashes."""

FEW = 20.0
"""Edge pixels below which a frame's mean says little; added to every count that is divided by."""

NOISE = 4.0
MOST_NOISE = 12.0
"""Change of colour, in 8-bit steps above twice the frame's usual, up to which it is still the same thing. Where the
usual change is larger than noise makes it, motion could not be followed, and nothing is taken for the same."""

COARSE, COARSE_NOISE = 9, 4.0
"""Fur that stirs is another colour in each pixel and the same on average: what changes by less in windows of this side,
in 8-bit steps, is the same thing too where parts come and go. Larger windows, or twice the steps, blame true mattes."""

WINDOW = 7
"""Side of the windows in which alpha is held against colour."""

SLIPS = 0.15
"""Error of the flow per pixel of motion."""

SLOW = 1.0
"""Small pixels a frame."""

DARK = 1e-3
"""Variance of colour, of 0..1, in a window that says little about where an edge is: eight steps of 255."""

BLANK = 3.0
"""Standard deviation of a picture, in 8-bit steps, in which nothing can be made out."""

CHANGED = 0.05
"""Mean change of alpha in a window that tells early from late."""

SOLID, GONE = 0.7, 0.35
"""Alpha of a place that surely belonged to the subject, and surely does not."""

INSIDE = 204
"""Of 255. Below it the old background's light has been taken out of the cutout, so that it rightly differs."""

FLAT = 0.08
"""Change of alpha between neighbours up to which a place counts as the subject's inside."""

FADE = 0.1
"""Logarithm of the whole picture's change of light from which parts may rightly come or go: out of the dark, or into
it."""
FADES_ON, LEAP = 0.05, 0.25
"""The same, twice on end the same way, or at once, from which nothing in the picture can be followed well: motion is
found by light that stays. A lamp that flickers goes there and back, and less far."""

REPEATED = 0.3
"""Mean change of colour, in 8-bit steps, up to which a frame repeats the last one, as where 25 are shown as 50."""
HELD = 0.01
"""Small pixels along the edge, and change of the cutout's light, up to which its matte is repeated too."""


@dataclass(frozen=True, slots=True)
class Signs:
    """One frame against the last one that was not the same; all 0 for a repeated one and for the first of a shot.

    `flicker` and `doubt` are in small pixels along the edge, `lag` is how
    much better the matte fits the last picture than its own (−1..1), the
    areas are shares of the subject, `opacity` and `brightness` logarithms of
    a ratio.
    """

    flicker: float = 0.0
    doubt: float = 0.0
    lag: float = 0.0
    hole: float = 0.0
    lost: float = 0.0
    gained: float = 0.0
    opacity: float = 0.0
    """Change of alpha inside the subject."""
    brightness: float = 0.0
    """Change of the cutout's light, held against the picture's own light in the same place."""
    has_subject: bool = False


class Observer:
    """Looks at each frame once, in order; remembers only the last one, small."""

    def __init__(self) -> None:
        self._cuts = Cuts()
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._last: _Look | None = None
        self._wobble: Map | None = None
        self._step = 0.0
        self._grid: Map = np.empty((0, 0, 2), np.float32)

    def look(self, picture: Picture, alpha: Picture, cutout: Picture) -> Signs:
        """`cutout` holds the subject's straight colours; where alpha is 0 they do not count."""
        small = _small(picture)
        part = _small(alpha).astype(np.float32) / 255
        light = _light(picture, alpha, cutout, 2 * max(1, len(picture) // len(small)))
        now = _Look(small, np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8), part, bool(part.any()), light)
        is_cut = self._cuts.is_new_shot(small)
        last = self._last
        if last is None or is_cut or last.part.shape != part.shape:
            self._last, self._wobble, self._step = now, None, 0.0
            return Signs(has_subject=now.has_subject)
        if _is_repeated(last, now):
            # Between two moments that are each shown twice an edge still goes out and comes back.
            return Signs(has_subject=now.has_subject)
        self._last = now
        is_blank = float(now.gray.std()) < BLANK
        if is_blank or not (now.has_subject or last.has_subject):
            self._wobble = None
            return Signs(has_subject=now.has_subject)
        if self._is_in_fade(last, now):
            self._wobble = None
            return Signs(brightness=_brighter(last, now), has_subject=True)
        return self._compare(last, now)

    def _is_in_fade(self, last: _Look, now: _Look) -> bool:
        before, self._step = self._step, _light_step(last, now)
        if float(last.gray.std()) < BLANK or abs(self._step) > LEAP:
            return True
        return min(before, self._step) > FADES_ON or max(before, self._step) < -FADES_ON

    def _compare(self, last: _Look, now: _Look) -> Signs:
        # A map of the last flow would be taken for a first guess, across a frame in which nothing was compared.
        flow = self._flow.calc(now.gray, last.gray, None)  # type: ignore[call-overload]
        if self._grid.shape != flow.shape:
            height, width = now.part.shape
            self._grid = np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)
        way = self._grid + flow
        before = _carried(last.part, way)
        speed = cv2.magnitude(flow[..., 0], flow[..., 1])
        doubt = _doubt(flow, speed)
        seen = _carried(last.small, way)
        red, green, blue = cv2.split(cv2.absdiff(now.small, seen))
        strange = cv2.blur(cv2.max(cv2.max(red, green), blue), (3, 3))
        same = strange < min(2 * float(np.median(strange[::3, ::3])), MOST_NOISE) + NOISE
        edge = cv2.morphologyEx((now.part + before) / 2, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) / 2
        moved = _moved(now.part - before, now.part - last.part, speed)
        flicker = self._flicker(moved, edge, doubt, same, way)
        if not (last.has_subject and now.has_subject):
            # A subject that comes or goes takes all of its edge along, which is no wobble.
            flicker, self._wobble = 0.0, None
        hole = lost = gained = 0.0
        if abs(self._step) <= FADE:
            hole, lost, gained = _changes(before, now.part, doubt, same | _alike(now.small, seen))
        return Signs(
            flicker=flicker,
            doubt=float((edge * doubt).sum() / (edge.sum() + FEW)),
            lag=_lag(last, now),
            hole=hole,
            lost=lost,
            gained=gained,
            opacity=_opacity(before, now.part, edge, same),
            brightness=_brighter(last, now),
            has_subject=True,
        )

    def _flicker(self, moved: Map, edge: Map, doubt: Map, same: Mask, way: Map) -> float:
        """How far the edge went out and came back, or in and back, where the picture did neither.

        A place that alpha leaves for good, or a flow that is a little wrong
        each time, moves twice the same way and does not count.
        """
        earlier, self._wobble = self._wobble, moved
        if earlier is None:
            return 0.0
        earlier = _carried(earlier, way)
        back = np.where(earlier * moved < 0, np.minimum(np.abs(earlier), np.abs(moved)), 0)
        weight = (same & (edge > FLAT)) / (1 + doubt * doubt)
        return float((back * weight).sum() / ((edge * weight).sum() + FEW))


@dataclass(frozen=True, slots=True)
class _Look:
    """A frame, small, as the next one needs it."""

    small: Picture
    gray: Picture
    part: Map
    has_subject: bool
    light: float | None


def _is_repeated(last: _Look, now: _Look) -> bool:
    if cv2.norm(last.small, now.small, cv2.NORM_L1) > REPEATED * now.small.size:
        return False
    if (last.light is None) != (now.light is None) or abs((now.light or 0.0) - (last.light or 0.0)) > HELD:
        return False
    edge = cv2.morphologyEx(now.part, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) / 2
    return float(cv2.norm(last.part, now.part, cv2.NORM_L1)) <= HELD * (float(edge.sum()) + FEW)


def _light_step(last: _Look, now: _Look) -> float:
    # One step of darkness, so that noise in a black picture is no fade.
    return float(np.log((now.gray.mean() + 1) / (last.gray.mean() + 1)))


def _brighter(last: _Look, now: _Look) -> float:
    return 0.0 if now.light is None or last.light is None else now.light - last.light


def _alike(picture: Picture, other: Picture) -> Mask:
    """Where two pictures are of the same colour on average."""
    red, green, blue = cv2.split(cv2.absdiff(*(cv2.blur(one, (COARSE, COARSE)) for one in (picture, other))))
    alike: Mask = cv2.max(cv2.max(red, green), blue) < COARSE_NOISE
    return alike


def _moved(along: Map, still: Map, speed: Map) -> Map:
    """Change of alpha that the flow does not explain; where hardly anything moves, noise may bend the flow, and only
    what also changed in place counts."""
    agreed = np.where(along * still > 0, np.sign(along) * np.minimum(np.abs(along), np.abs(still)), 0)
    moved: Map = np.where(speed < SLOW, agreed, along).astype(np.float32)
    return moved


def _doubt(flow: Map, speed: Map) -> Map:
    """Small pixels by which the flow may be wrong: much where things move past each other, little in a smooth pan."""
    span = np.ones((7, 7), np.uint8)
    differs = cv2.morphologyEx(flow, cv2.MORPH_GRADIENT, span)
    doubt: Map = cv2.magnitude(differs[..., 0], differs[..., 1]) / 2 + SLIPS * speed
    return doubt


def _small(picture: Picture) -> Picture:
    # Halving again and again is several times faster than one step to any size.
    while min(picture.shape[:2]) >= 2 * SMALL_SIDE:
        height, width = picture.shape[0] // 2, picture.shape[1] // 2
        even = picture[: 2 * height, : 2 * width]
        picture = np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    height, width = picture.shape[:2]
    if min(width, height) < MIN_SIDE:
        size = (max(MIN_SIDE, width), max(MIN_SIDE, height))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    return picture


def _carried(values: NDArray[Any], way: Map) -> Any:
    # The stubs know of two maps only; one of both is twice as fast.
    return cv2.remap(values, way, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]


def _mean(values: Map) -> Map:
    return np.asarray(cv2.blur(values, (WINDOW, WINDOW)), np.float32)


def _sum(values: Map) -> Map:
    """Of the three channels; numpy takes ten times as long for so short an axis."""
    return np.asarray(cv2.transform(values, np.ones((1, 3), np.float32)), np.float32)


def _product(first: Map, second: Map) -> Map:
    return np.asarray(cv2.multiply(first, second), np.float32)


def _thrice(values: Map) -> Map:
    """The same for three channels."""
    return np.asarray(cv2.merge([values] * 3), np.float32)


def _lag(last: _Look, now: _Look) -> float:
    """Where the matte changes, how much better it explains the last picture's colours than its own picture's."""
    changed = _mean(np.abs(now.part - last.part))
    # Only the part of the frame that has something to say: that is several times cheaper.
    left, top, width, height = cv2.boundingRect((changed > CHANGED).astype(np.uint8))
    if not width:
        return 0.0
    around = np.s_[max(0, top - WINDOW) : top + height + WINDOW, max(0, left - WINDOW) : left + width + WINDOW]
    part, changed = now.part[around], changed[around]
    mean = _mean(part)
    varies = _mean(_product(part, part)) - _product(mean, mean)
    fits, spreads = zip(*(_fit(look.small[around], part, mean, varies) for look in (last, now)), strict=True)
    contrast = np.minimum(*spreads)
    # In the dark the last frame of a fade would fit better for its light alone.
    weight = changed * (varies > 0.01) * (contrast / (contrast + DARK))
    return float(((fits[0] - fits[1]) * weight).sum() / (weight.sum() + CHANGED * FEW))


def _fit(picture: Picture, part: Map, mean: Map, varies: Map) -> tuple[Map, Map]:
    """Per window, how much of the colours' variance alpha explains, and that variance."""
    colour = cv2.GaussianBlur(picture, (3, 3), 0).astype(np.float32) / 255
    mean_colour = _mean(colour)
    spread = _sum(_mean(_product(colour, colour)) - _product(mean_colour, mean_colour))
    together = _mean(_product(colour, _thrice(part))) - _product(mean_colour, _thrice(mean))
    return _sum(_product(together, together)) / ((varies + 1e-3) * (spread + 2e-4)), spread


def _changes(before: Map, part: Map, doubt: Map, same: Mask) -> tuple[float, float, float]:
    """Shares of the subject that became a hole, that went, and that came, while the picture there stayed the same."""
    area = float(np.maximum(before, part).sum()) + FEW
    gone = (before > SOLID) & (part < GONE) & same
    come = (before < GONE) & (part > SOLID) & same
    hole = lost = 0.0
    for spot in _spots(gone, lambda: _reach(before, doubt, cv2.erode) > SOLID):
        ring = cv2.dilate(spot, np.ones((7, 7), np.uint8)) - cv2.dilate(spot, np.ones((5, 5), np.uint8))
        is_inside = part[ring > 0].size > 0 and float((part[ring > 0] > GONE).mean()) > 0.9
        if is_inside:
            hole += float(spot.sum())
        else:
            lost += float(spot.sum())
    gained = sum(float(spot.sum()) for spot in _spots(come, lambda: _reach(before, doubt, cv2.dilate) < GONE))
    return hole / area, lost / area, gained / area


def _reach(values: Map, doubt: Map, grow: Any) -> Map:
    """The lowest or highest alpha that motion might have brought to each place."""
    near = grow(values, np.ones((3, 3), np.uint8))
    further = grow(near, np.ones((3, 3), np.uint8))
    far = grow(further, np.ones((5, 5), np.uint8))
    reach: Map = np.where(doubt < 1, near, np.where(doubt < 3, further, far))
    return reach


def _spots(mask: Mask, also: Callable[[], Mask]) -> list[Picture]:
    """Connected places, without slivers along edges; `also` is dear, and asked only when there is a place at all."""
    solid = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    if not cv2.hasNonZero(solid):
        return []
    solid = cv2.morphologyEx((mask & also()).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels = cv2.connectedComponents(solid, connectivity=4)
    return [(labels == label).astype(np.uint8) for label in range(1, min(count, 8))]


def _opacity(before: Map, part: Map, edge: Map, same: Mask) -> float:
    """The change that most of the inside shares: glass turns, a pulse takes all of it along."""
    inside = same & (edge < FLAT) & (before > GONE) & (part > GONE)
    if np.count_nonzero(inside) < FEW:
        return 0.0
    return float(np.log(np.median(part[inside][::4] / before[inside][::4])))


def _light(picture: Picture, alpha: Picture, cutout: Picture, step: int) -> float | None:
    """The cutout's brightness inside the subject over the picture's in the same places; None without an inside."""
    places = np.s_[step // 2 :: step, step // 2 :: step]
    inside = (alpha[places] > INSIDE).astype(np.uint8)
    if np.count_nonzero(inside) < FEW:
        return None
    ours, seen = (sum(cv2.mean(np.ascontiguousarray(rgb[places]), inside)[:3]) for rgb in (cutout, picture))
    # Eight steps of darkness a channel, so that a black cat does not pulse by one.
    return float(np.log((ours + 24) / (seen + 24)))
