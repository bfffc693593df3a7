"""Where each pixel of one frame is in another, and how far that may be trusted."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.engine.matting.base import Frame
from apps.engine.matting.scale import Map, frame_to, halved, halvings, map_to

SHORT_SIDE = 120
"""Motion is smooth: an eighteenth of Full HD shows it, for it is found and judged at half of that."""
CLOSE_SHORT_SIDE = 160
"""Where a matte is carried along a motion, hair shows a small miss; there it is found and judged at this very size."""
LONGEST = 8 / 3
"""Of a view, in its short sides."""
MIN_SIDE = 32
"""Of a view and its half. The flow begins with patches of eight pixels at a quarter of the size; where they do not fit,
OpenCV fails."""
MATCH = 8.0
"""Difference of colour after the motion, in 8-bit steps, at which trust falls to a third. Camera noise stays below."""
RETURN = 1 / 240
"""Distance by which the way there and back may miss its start for the same loss of trust, in short sides…"""
LEAST_RETURN = 1 / 3
"""…or, where that is more, in pixels: a flow is no finer."""
RELIT = 0.02
"""Relative change of the mean brightness from which the light itself may be another, as under a lamp or in a fade…"""
MOST_RELIT = 3.0
"""…which is made up for as far as this factor: where it is darker still, hardly anything is left to compare."""
KEPT = 96
"""Motions remembered: a frame's neighbours ask for the same ones."""

Flow = NDArray[np.float32]
"""Per pixel of a view: columns and rows."""

_ONE_MAP: Any = None
"""In place of remap's second map, where the first one has both columns and rows; OpenCV's types forget that it may."""
_MATCH_TRUST = np.exp(-((np.arange(256) / MATCH) ** 2)).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A frame as motion is judged on it: small, upright, in its own proportions."""

    picture: Frame
    gray: NDArray[np.uint8]
    half: View | None = None
    """The same at half the size, where motions are found quickly; None of a half."""

    @classmethod
    def of(cls, frame: Frame, short_side: int = SHORT_SIDE) -> View:
        height, width = frame.shape[:2]
        scale = min(1.0, short_side / min(height, width), LONGEST * short_side / max(height, width))
        size = (max(MIN_SIDE, round(width * scale)), max(MIN_SIDE, round(height * scale)))
        # Most of the way by halves: averaging to any other size costs six times as much.
        for _ in range(halvings(frame.shape, short_side)):
            frame = halved(frame)
        picture = frame_to(frame, *size)
        half = frame_to(picture, *(max(MIN_SIDE, (side + 1) // 2) for side in size))
        return cls(picture, _gray(picture), cls(half, _gray(half)))

    @property
    def brightness(self) -> float:
        """Mean, in 8-bit steps, and above 0."""
        return 1.0 + cv2.mean(self.gray)[0]


Way = tuple[View, ...]
"""From one view over those between to another."""


@dataclass(slots=True)
class Motion:
    """The way from one view to another: `bring` moves what is known of the other to this one's places."""

    flow: Flow
    trust: Map
    """0..1 at the view's size: the colours match and the way back leads home."""

    def bring(self, values: Map) -> Map:
        """The other frame's values, at any size, as they lie in this frame."""
        height, width = values.shape[:2]
        return np.asarray(_moved(values, places(self.flow, width, height)), values.dtype)

    def trust_at(self, height: int, width: int) -> Map:
        return map_to(self.trust, width, height)


def places(flow: Flow, width: int, height: int) -> Flow:
    """A flow as columns and rows at another size."""
    return np.asarray(cv2.add(_resized(flow, width, height), _grid(width, height)), np.float32)


@lru_cache(maxsize=8)
def _grid(width: int, height: int) -> Flow:
    """Each place's own column and row."""
    grid = np.empty((height, width, 2), np.float32)
    grid[..., 0] = np.arange(width)
    grid[..., 1] = np.arange(height)[:, None]
    grid.flags.writeable = False
    return grid


def _moved(values: Any, whence: Flow) -> Any:
    """What lay there, here."""
    return cv2.remap(values, whence, _ONE_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


class Motions:
    """Motions between the views of one shot, each worked out once; `closely`: with care for those that carry."""

    def __init__(self, *, closely: bool = False) -> None:
        self._quick = _quick_flow()
        self._close = _close_flow() if closely else None
        self._flows: OrderedDict[tuple[int, int], tuple[View, View, Flow]] = OrderedDict()
        self._motions: OrderedDict[tuple[int, int], tuple[View, View, Motion]] = OrderedDict()

    def forget(self) -> None:
        self._flows.clear()
        self._motions.clear()

    def between(self, *way: View) -> Motion:
        """What the last view of the way knows can then be brought to the first, step by step over those between."""
        here, there = way[0], way[-1]
        known = self._motions.get((id(here), id(there)))
        return known[2] if known else self._keep(here, there, self._quickly(way))

    def for_carrying(self, here: View, there: View) -> Motion:
        """The same in one leap and judged at the views' own size, with care where that was asked for.

        `between` knows it from then on.
        """
        known = self._motions.get((id(here), id(there)))
        return known[2] if known else self._keep(here, there, self._carefully(here, there))

    def _carefully(self, here: View, there: View) -> Motion:
        height, width = here.gray.shape
        # For the way back the quick one is good enough.
        back = _resized(self._flow((there, here)), width, height)
        if self._close is None:
            return _judged(here, there, _resized(self._flow((here, there)), width, height), back)
        return _judged(here, there, _calc(self._close, here, there), back)

    def _quickly(self, way: Way) -> Motion:
        return _judged(_half(way[0]), _half(way[-1]), self._flow(way), self._flow(way[::-1]))

    def _keep(self, here: View, there: View, motion: Motion) -> Motion:
        # The views are kept with the entry, so that no other object can take over their ids.
        self._motions[id(here), id(there)] = (here, there, motion)
        _shorten(self._motions)
        return motion

    def _flow(self, way: Way) -> Flow:
        """At half the views' size."""
        key = (id(way[0]), id(way[-1]))
        if key not in self._flows:
            is_step = len(way) == 2
            flow = (
                _calc(self._quick, *map(_half, way)) if is_step else _joined(self._flow(way[:-1]), self._flow(way[-2:]))
            )
            self._flows[key] = (way[0], way[-1], flow)
            _shorten(self._flows)
        return self._flows[key][2]


def _judged(here: View, there: View, flow: Flow, back: Flow) -> Motion:
    """The flow with its trust."""
    height, width = here.gray.shape
    whence = places(flow, width, height)
    trust = cv2.LUT(cv2.blur(_difference(*in_one_light(here, there, whence)), (3, 3)), _MATCH_TRUST)
    missed = cv2.add(_moved(back, whence), flow)
    bearable = max(LEAST_RETURN, RETURN * min(height, width))
    miss = cv2.transform(cv2.multiply(missed, missed), np.full((1, 2), -1 / bearable**2))
    return Motion(flow, np.asarray(cv2.multiply(trust, cv2.exp(miss)), np.float32))


def in_one_light(here: View, there: View, whence: Flow) -> tuple[Frame, Frame]:
    """Both pictures as they lie here, the brighter one dimmed to the light of the other."""
    picture, moved = here.picture, np.asarray(_moved(there.picture, whence), np.uint8)
    if abs(here.brightness / there.brightness - 1) < RELIT:
        return picture, moved
    # A subject that comes into view changes the mean too, but not what most pixels say.
    ratios = (here.gray + np.float32(2)) / (_gray(moved) + np.float32(2))
    gain = float(np.clip(np.median(ratios), 1 / MOST_RELIT, MOST_RELIT))
    if gain < 1:
        return picture, np.asarray(cv2.convertScaleAbs(moved, alpha=gain), np.uint8)
    return np.asarray(cv2.convertScaleAbs(picture, alpha=1 / gain), np.uint8), moved


def _quick_flow() -> cv2.DISOpticalFlow:
    """This fine is enough to steady with."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    flow.setFinestScale(0)
    return flow


def _close_flow() -> cv2.DISOpticalFlow:
    """Smoothed once, and of the whole view: five times the quick one's worth of time."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow.setFinestScale(0)
    flow.setPatchStride(4)
    flow.setGradientDescentIterations(8)
    flow.setVariationalRefinementIterations(1)
    return flow


def _calc(method: cv2.DISOpticalFlow, here: View, there: View) -> Flow:
    return np.asarray(method.calc(here.gray, there.gray, np.zeros((*here.gray.shape, 2), np.float32)), np.float32)


def _joined(first: Flow, second: Flow) -> Flow:
    """Two ways, one after the other."""
    height, width = first.shape[:2]
    return np.asarray(cv2.add(first, _moved(second, places(first, width, height))), np.float32)


def _half(view: View) -> View:
    assert view.half is not None
    return view.half


def _resized(flow: Flow, width: int, height: int) -> Flow:
    """The same motion at another size of the view."""
    scale = (width / flow.shape[1], height / flow.shape[0])
    if scale == (1.0, 1.0):
        return flow
    scaled = flow * np.array(scale, np.float32)
    return np.asarray(cv2.resize(scaled, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _gray(picture: Frame) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def _difference(first: Frame, second: Frame) -> NDArray[np.uint8]:
    """Mean over the colours of the absolute difference."""
    return np.asarray(cv2.transform(cv2.absdiff(first, second), np.full((1, 3), 1 / 3)), np.uint8)


def _shorten(entries: OrderedDict[Any, Any]) -> None:
    while len(entries) > KEPT:
        entries.popitem(last=False)
