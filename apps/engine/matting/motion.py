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
"""Motion is smooth: a ninth of Full HD shows it. It is found at half of that, so a larger view shows no more of it."""
CLOSE_SHORT_SIDE = 160
"""Where a matte is carried along a motion, hair shows a small miss; there it is found at this very size."""
LONGEST = 8 / 3
"""Of a view, in its short sides."""
MIN_SIDE = 32
"""The flow begins with patches of eight pixels at a quarter of the size; where they do not fit, OpenCV fails."""
MATCH = 8.0
"""Difference of colour after the motion, in 8-bit steps, at which trust falls to a third. Camera noise stays below."""
RETURN = 0.5
"""Distance by which the way there and back may miss its start for the same loss of trust: in pixels of a view of
SHORT_SIDE or less."""
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

    @classmethod
    def of(cls, frame: Frame, short_side: int = SHORT_SIDE) -> View:
        height, width = frame.shape[:2]
        scale = min(1.0, short_side / min(height, width), LONGEST * short_side / max(height, width))
        size = (max(MIN_SIDE, round(width * scale)), max(MIN_SIDE, round(height * scale)))
        # Most of the way by halves: averaging to any other size costs six times as much.
        for _ in range(halvings(frame.shape, short_side)):
            frame = halved(frame)
        picture = frame_to(frame, *size)
        return cls(picture, np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8))


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
    scale = (width / flow.shape[1], height / flow.shape[0])
    if scale == (1.0, 1.0):
        return np.asarray(cv2.add(flow, _grid(width, height)), np.float32)
    scaled = cv2.resize(flow * np.array(scale, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.add(scaled, _grid(width, height), dst=scaled), np.float32)


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
        self._close = _close_flow() if closely else self._quick
        self._flows: OrderedDict[tuple[int, int], tuple[View, View, Flow]] = OrderedDict()
        self._motions: OrderedDict[tuple[int, int], tuple[View, View, Motion]] = OrderedDict()

    def forget(self) -> None:
        self._flows.clear()
        self._motions.clear()

    def between(self, here: View, there: View) -> Motion:
        """What `there` knows can then be brought `here`."""
        known = self._motions.get((id(here), id(there)))
        return known[2] if known else self._keep(here, there, self._flow(here, there))

    def for_carrying(self, here: View, there: View) -> Motion:
        """The same, worked out with care where that was asked for; `between` knows it from then on."""
        known = self._motions.get((id(here), id(there)))
        if known:
            return known[2]
        is_close = self._close is not self._quick
        return self._keep(here, there, _calc(self._close, here, there) if is_close else self._flow(here, there))

    def _keep(self, here: View, there: View, flow: Flow) -> Motion:
        motion = self._judged(flow, here, there)
        # The views are kept with the entry, so that no other object can take over their ids.
        self._motions[id(here), id(there)] = (here, there, motion)
        _shorten(self._motions)
        return motion

    def _judged(self, flow: Flow, here: View, there: View) -> Motion:
        """The flow with its trust; for the way back the quick one is good enough."""
        height, width = here.gray.shape
        whence = places(flow, width, height)
        trust = cv2.LUT(cv2.blur(_difference(here.picture, _moved(there.picture, whence)), (3, 3)), _MATCH_TRUST)
        missed = cv2.add(_moved(self._flow(there, here), whence), flow)
        bearable = RETURN * max(1.0, min(height, width) / SHORT_SIDE)
        miss = cv2.transform(cv2.multiply(missed, missed), np.full((1, 2), -1 / bearable**2))
        return Motion(flow, np.asarray(cv2.multiply(trust, cv2.exp(miss)), np.float32))

    def _flow(self, here: View, there: View) -> Flow:
        key = (id(here), id(there))
        if key not in self._flows:
            self._flows[key] = (here, there, _calc(self._quick, here, there))
            _shorten(self._flows)
        return self._flows[key][2]


def _quick_flow() -> cv2.DISOpticalFlow:
    """At half the view's size: this fine is enough to steady with."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    flow.setFinestScale(1)
    return flow


def _close_flow() -> cv2.DISOpticalFlow:
    """At the view's own size, and smoothed once: five times the quick one's worth of time."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow.setFinestScale(0)
    flow.setPatchStride(4)
    flow.setGradientDescentIterations(16)
    flow.setVariationalRefinementIterations(1)
    return flow


def _calc(method: cv2.DISOpticalFlow, here: View, there: View) -> Flow:
    return np.asarray(method.calc(here.gray, there.gray, np.zeros((*here.gray.shape, 2), np.float32)), np.float32)


def _difference(first: Frame, second: Frame) -> NDArray[np.uint8]:
    """Mean over the colours of the absolute difference."""
    return np.asarray(cv2.transform(cv2.absdiff(first, second), np.full((1, 3), 1 / 3)), np.uint8)


def _shorten(entries: OrderedDict[Any, Any]) -> None:
    while len(entries) > KEPT:
        entries.popitem(last=False)
