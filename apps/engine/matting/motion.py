"""Where each pixel of one frame is in another, and how far that may be trusted."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.engine.matting.base import Frame
from apps.engine.matting.scale import Map, frame_to, map_to

SHORT_SIDE = 240
"""Motion is smooth: a quarter of HD shows it, in two milliseconds."""
CLOSE_SHORT_SIDE = 320
"""Where a matte is carried along a motion, hair shows a miss of half a pixel."""
LONGEST = 8 / 3
"""Of a view, in its short sides."""
MIN_SIDE = 32
"""The flow begins with patches of eight pixels at a quarter of the size; where they do not fit, OpenCV fails."""
MATCH = 8.0
"""Difference of colour after the motion, in 8-bit steps, at which trust falls to a third. Camera noise stays below."""
RETURN = 1.0
"""Distance by which the way there and back may miss its start for the same loss of trust: in pixels of a view of
SHORT_SIDE or less."""
KEPT = 48
"""Motions remembered: a frame's neighbours ask for the same ones."""

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
        picture = frame_to(frame, *size)
        return cls(picture, np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8))


@dataclass(slots=True)
class Motion:
    """The way from one view to another: `bring` moves what is known of the other to this one's places."""

    flow: NDArray[np.float32]
    trust: Map
    """0..1 at the view's size: the colours match and the way back leads home."""

    def bring(self, values: Map) -> Map:
        """The other frame's values, at any size, as they lie in this frame."""
        height, width = values.shape[:2]
        across, down = places(self.flow, width, height)
        moved = cv2.remap(values, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved, values.dtype)

    def trust_at(self, height: int, width: int) -> Map:
        return map_to(self.trust, width, height)


def places(flow: NDArray[np.float32], width: int, height: int) -> tuple[Map, Map]:
    """A flow as absolute columns and rows at another size."""
    scaled = flow
    if flow.shape[:2] != (height, width):
        scaled = np.asarray(cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    across = scaled[..., 0] * (width / flow.shape[1]) + np.arange(width, dtype=np.float32)
    down = scaled[..., 1] * (height / flow.shape[0]) + np.arange(height, dtype=np.float32)[:, None]
    return across, down


class Motions:
    """Motions between the views of one shot, each worked out once; `closely`: with care for those that carry."""

    def __init__(self, *, closely: bool = False) -> None:
        self._quick = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._close = _close_flow() if closely else self._quick
        self._flows: OrderedDict[tuple[int, int], tuple[View, View, NDArray[np.float32]]] = OrderedDict()
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

    def _keep(self, here: View, there: View, flow: NDArray[np.float32]) -> Motion:
        motion = self._judged(flow, here, there)
        # The views are kept with the entry, so that no other object can take over their ids.
        self._motions[id(here), id(there)] = (here, there, motion)
        _shorten(self._motions)
        return motion

    def _judged(self, flow: NDArray[np.float32], here: View, there: View) -> Motion:
        """The flow with its trust; for the way back the quick one is good enough."""
        height, width = here.gray.shape
        across, down = places(flow, width, height)
        seen = cv2.remap(there.picture, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        trust = cv2.LUT(cv2.blur(_difference(here.picture, np.asarray(seen, np.uint8)), (5, 5)), _MATCH_TRUST)
        back = cv2.remap(self._flow(there, here), across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        missed = flow + back
        bearable = RETURN * max(1.0, min(height, width) / SHORT_SIDE)
        miss = cv2.multiply(missed, missed, scale=-1 / bearable**2)
        return Motion(flow, trust * cv2.exp(cv2.add(miss[..., 0], miss[..., 1])))

    def _flow(self, here: View, there: View) -> NDArray[np.float32]:
        key = (id(here), id(there))
        if key not in self._flows:
            self._flows[key] = (here, there, _calc(self._quick, here, there))
            _shorten(self._flows)
        return self._flows[key][2]


def _close_flow() -> cv2.DISOpticalFlow:
    """From half the view's size up, and smoothed once: twice the quick one's worth of time on a view of its size."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow.setPatchStride(4)
    flow.setGradientDescentIterations(16)
    flow.setVariationalRefinementIterations(1)
    return flow


def _calc(method: cv2.DISOpticalFlow, here: View, there: View) -> NDArray[np.float32]:
    return np.asarray(method.calc(here.gray, there.gray, np.zeros((*here.gray.shape, 2), np.float32)), np.float32)


def _difference(first: Frame, second: Frame) -> NDArray[np.uint8]:
    """Mean over the colours of the absolute difference."""
    return np.asarray(cv2.transform(cv2.absdiff(first, second), np.full((1, 3), 1 / 3)), np.uint8)


def _shorten(entries: OrderedDict[Any, Any]) -> None:
    while len(entries) > KEPT:
        entries.popitem(last=False)
