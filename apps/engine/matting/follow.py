"""A subject that comes or goes, followed by its own pace where no flow finds it.

At the picture's edge a network takes a strip of a subject for nothing, and a
fast subject is nowhere in the next frame that a flow would look. But frames
before or after, it is known, and from frame to frame it moves evenly.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.engine.matting.base import Frame
from apps.engine.matting.motion import Motions, View, in_one_light, places
from apps.engine.matting.scale import Map, map_to
from apps.engine.matting.temporal import LOST

SOLID = 0.8
"""Alpha from which a pixel is the subject's own, as it is looked for elsewhere."""
LEAST = 1 / 1000
"""Of the picture, as much of a subject as must be in view to be found."""
FEWER = 0.75
"""Share of the largest subject around below which some of it may be lost in a frame."""
FIRST_STEP, NEXT_STEP = 1 / 4, 3 / 40
"""How far a subject may get in a frame, in short sides: at all, and off its course so far."""
UNLIKE = 20.0
"""Mean difference, in 8-bit steps, from which the background does not explain a place; in the dark all is alike."""
BETTER = 0.6
"""The subject does, when its own difference is less than this share of the background's…"""
CLEARLY = 10.0
"""…and a pixel of it, when it is less by half of this, where the background's is this much."""
UNSEEN = 30.0
"""Difference that stands for what lies outside the other picture."""
AROUND = (5, 5)
"""Pixels of a view over which differences are averaged: a course has no fractions."""

Shift = NDArray[np.floating[Any]]
"""Columns and rows from a place of one view to the same thing in another, as in a flow."""


class Sighting(Protocol):
    """A frame of a shot, with what is known of it."""

    view: View
    alpha: Map
    area: float
    """Of what is subject, as a share of the picture."""


def followed(here: Sighting, before: Sequence[Sighting], after: Sequence[Sighting], motions: Motions) -> Map | None:
    """Alpha of a subject that some neighbour has and this frame shows too, on its course; None where there is none.

    The neighbours are those of the same shot, nearest first. A subject is
    followed from one side, where it is whole, and what the other side has in
    its place is the background, which must explain the picture worse.
    """
    found = []
    for side, other in ((before, after), (after, before)):
        area = max((one.area for one in side), default=0.0)
        if other and area >= LOST and here.area < FEWER * area:
            background = _background(here, other, motions)
            ways = ([here, *side[:count]] for count, one in enumerate(side, 1) if one.area >= FEWER * area)
            seen = [one for way in ways if (one := _as_it_shows(way, background)) is not None]
            if seen:
                found.append(max(seen, key=itemgetter(0))[1])
    return np.asarray(np.maximum.reduce(found)) if found else None


def _as_it_shows(way: Sequence[Sighting], background: Map) -> tuple[float, Map] | None:
    """How much of the first frame the last one's subject explains, and its alpha there; None if it is not there."""
    here, known, views = way[0], way[-1], [one.view for one in way]
    subject = map_to(known.alpha, *_size(here.view))
    shift = _course(views, np.asarray(subject > SOLID, np.float32))
    if shift is None:
        return None
    place = _shifted(subject, shift) > SOLID
    difference = _difference(here.view.picture, _shifted(known.view.picture, shift), shift)
    own, others = (float(one[place].mean()) if place.any() else 0.0 for one in (difference, background))
    if others < UNLIKE or own > BETTER * others:
        return None
    worse = background - difference
    # What both explain is background: a lamp that a neighbour took for subject shows the same wherever it is.
    trust = np.clip(worse / CLEARLY + 0.5, 0, 1) * np.clip(background / CLEARLY, 0, 1)
    return float(worse[place].sum()), _as_far_as(trust, known.alpha, shift)


def _as_far_as(trust: Map, alpha: Map, shift: Shift) -> Map:
    """A neighbour's alpha at its own size, on its place here."""
    height, width = alpha.shape
    scale = (width / trust.shape[1], height / trust.shape[0])
    shown: Map = map_to(trust, width, height) * _shifted(alpha, np.rint(shift * scale))
    return shown


def _course(way: Sequence[View], subject: Map) -> Shift | None:
    """The shift to the last view's subject from its place in the first one, found step by step; None if it is lost."""
    shift: Shift = np.zeros(2)
    pace, reach = shift, FIRST_STEP
    for view in way[-2::-1]:
        found = _found(view, way[-1], subject, shift + pace, round(reach * min(subject.shape)))
        if found is None:
            return None
        shift, pace, reach = found, found - shift, NEXT_STEP
    return shift


def _found(here: View, there: View, subject: Map, guess: Shift, reach: int) -> Shift | None:
    """The shift within `reach` of a guess at which the subject differs least, as far as it is in the picture."""
    least = LEAST * subject.size
    if int(subject.sum()) < least:
        return None
    left, top, width, height = cv2.boundingRect(subject.astype(np.uint8))
    mask = subject[top : top + height, left : left + width]
    colours = there.picture[top : top + height, left : left + width] * mask[..., None]
    corner, size = np.array((left, top)) - guess - reach, (width + 2 * reach, height + 2 * reach)
    picture = np.asarray(_shifted(here.picture, corner, size), np.float32)
    is_in_picture = _shifted(np.ones_like(subject), corner, size)
    pixels = _products(is_in_picture, mask)
    difference = (
        _products(is_in_picture, np.asarray((colours**2).sum(2)))
        - 2 * _products(picture, colours)
        + _products(np.asarray((picture**2).sum(2)), mask)
    )
    mean = np.where(pixels >= least, difference / np.maximum(pixels, 1), np.inf)
    row, column = np.unravel_index(int(mean.argmin()), mean.shape)
    return guess + reach - (column, row) if np.isfinite(mean[row, column]) else None


def _products(picture: Map, patch: Map) -> Map:
    """Sums of the patch's products with the picture, at each place where it fits."""
    return np.asarray(cv2.matchTemplate(picture, patch, cv2.TM_CCORR), np.float32)


def _camera(way: tuple[View, ...], motions: Motions) -> Shift:
    """The shift of most of the picture."""
    motion = motions.between(*way)
    trusted = motion.flow[motion.trust > 0.5]
    middle = np.median(trusted if len(trusted) else motion.flow.reshape(-1, 2), axis=0)
    return np.asarray(middle * (_size(way[0])[0] / motion.flow.shape[1]))


def _background(here: Sighting, side: Sequence[Sighting], motions: Motions) -> Map:
    """How the picture differs from what a side has there, moved with the camera: least of all neighbours.

    But for the nearest, unless it is alone: of a subject that comes slowly it may show the same as this one. Where
    all of them have a subject it hides the background, which may well explain the picture there.
    """
    differences = []
    for count in range(min(2, len(side)), len(side) + 1):
        way = tuple(one.view for one in (here, *side[:count]))
        camera, size = _camera(way, motions), _size(here.view)
        whence = places(np.broadcast_to(camera, (*size[::-1], 2)).astype(np.float32), *size)
        difference = _difference(*in_one_light(here.view, way[-1], whence), np.rint(camera))
        subject = _shifted(map_to(side[count - 1].alpha, *size), np.rint(camera)) > 0.5
        hidden = cv2.dilate(subject.astype(np.uint8), np.ones(AROUND, np.uint8)) > 0
        differences.append(np.where(hidden, np.float32(np.inf), difference))
    least = np.minimum.reduce(differences)
    return np.where(np.isfinite(least), least, np.float32(0))


def _difference(picture: Frame, other: Frame, shift: Shift) -> Map:
    """Between a picture and another one, shifted to its places."""
    difference = cv2.absdiff(picture, other).mean(2, dtype=np.float32)
    is_there = _shifted(np.ones_like(difference), shift) > 0
    return np.asarray(cv2.blur(np.where(is_there, difference, np.float32(UNSEEN)), AROUND), np.float32)


def _shifted(values: Any, shift: Shift, size: tuple[int, int] | None = None) -> Any:
    """What lies there, here; 0 where that is outside."""
    way = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    return cv2.warpAffine(values, way, size or values.shape[1::-1], flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)


def _size(view: View) -> tuple[int, int]:
    """Width and height."""
    return view.gray.shape[1], view.gray.shape[0]
