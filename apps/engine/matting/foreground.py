"""The subject's straight colour: what it looks like without the light of its old background."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.engine.matting.base import Alpha, Frame
from apps.engine.matting.scale import Map, frame_to, halved, halvings

WORK_SIDE = 180
"""Short side down to which a frame is halved before colours are spread: they vary slowly, full size costs 16 times."""
COARSEST_SIDE = 6
"""Short side at which spreading starts: its reach covers hair, motion blur and glass."""
ROUNDS = 2
"""Looks at each size; a third gains nothing that shows."""
FALLBACK = 0.01
"""Weight of the coarser size's colour, so that it holds wherever a pixel has none of its own near."""
DOUBT = 0.3
"""Variance of what alpha itself gets wrong, as a share of the colours': a wrong one must not be answered in full."""
PAINTED = 0.2
"""Share of a network's own foreground on soft edges: measured best on people."""
NEUTRAL = 128
"""Colour of a subject too faint to have one at the working size."""

Planes = NDArray[np.float32]
"""3 × height × width: one weight per pixel goes with all three colours without being copied for each."""

_PART = (np.arange(256) / 255).astype(np.float32)
_REST = 1 - _PART
_GAIN, _GAIN_BEHIND = (one / (_PART**2 + _REST**2 + DOUBT) for one in (_PART, _REST))
"""Least-squares share of what is unexplained that each layer takes, both being equally doubtful."""


def estimate(frame: Frame, alpha: Alpha) -> Frame | None:
    """The subject's straight colour; None where alpha has no edge or no subject.

    Inside the subject it is the frame; on soft edges the old background's
    light is taken out; outside, the edge's colour runs on, so that scaling and
    chroma subsampling find no old background there.
    """
    if not has_edge(alpha):
        return None
    near, behind = _around(frame, alpha)
    # Zero wraps to 255: one comparison finds what is neither nothing nor all.
    soft = np.flatnonzero(alpha - np.uint8(1) < 254)
    cv2.copyTo(frame, cv2.inRange(alpha, 255, 255), near)
    if soft.size:
        seen, ours, theirs = (one.reshape(-1, 3).take(soft, 0) for one in (frame, near, behind))
        near.reshape(-1, 3)[soft] = _solved(seen, ours, theirs, alpha.reshape(-1, 1)[soft])
    return near


def _solved(seen: Frame, near: Frame, behind: Frame, part: Alpha) -> Frame:
    """The subject's colour in a list of pixels, from what was seen and what is around."""
    ours, theirs = near.astype(np.float32), behind.astype(np.float32)
    share, gain = (_three(_looked_up(part, table)).reshape(-1, 3) for table in (_PART, _GAIN))
    ours += gain * (seen - theirs - share * (ours - theirs))
    return np.asarray(cv2.convertScaleAbs(np.maximum(ours, 0)), np.uint8)


def has_edge(alpha: Alpha) -> bool:
    """Whether there is both a subject and something that is not wholly it."""
    return bool(alpha.max() > 0 and alpha.min() < 255)


def blend(frame: Frame, alpha: Alpha, painted: Frame) -> Frame | None:
    """The same, where a network painted the foreground too (at any size): its strokes count for a fifth on soft edges.

    More of it would bring the background back: a network paints what it sees
    wherever it doubts that there is a subject. Never outside, for the same reason.
    """
    result = estimate(frame, alpha)
    if result is None:
        return None
    height, width = alpha.shape
    mixed = cv2.addWeighted(result, 1 - PAINTED, frame_to(painted, width, height), PAINTED, 0)
    cv2.copyTo(mixed, cv2.inRange(alpha, 1, 254), result)
    return result


def _around(frame: Frame, alpha: Alpha) -> tuple[Frame, Frame]:
    """Subject's and background's colour around every pixel.

    From coarse to fine, both layers are corrected by what they do not explain
    of the picture, and spread over their neighbours by how much each knows.
    """
    height, width = alpha.shape
    times = halvings(alpha.shape, WORK_SIDE)
    small, part = _padded(frame, 1 << times), _padded(alpha, 1 << times)
    for _ in range(times):
        small, part = halved(small), halved(part)
    levels = [(small, part)]
    while min(levels[-1][1].shape) > COARSEST_SIDE:
        levels.append((halved(levels[-1][0]), halved(levels[-1][1])))
    ours, theirs = _overall(small, _looked_up(part, _PART)), _overall(small, _looked_up(part, _REST))
    for picture, share in reversed(levels):
        ours, theirs = _refined(_planes(picture), share, _larger(ours, share.shape), _larger(theirs, share.shape))
    return _full(ours, times, width, height), _full(theirs, times, width, height)


def _refined(picture: Planes, part: Alpha, ours: Planes, theirs: Planes) -> tuple[Planes, Planes]:
    share, rest, gain, gain_behind = (_looked_up(part, table) for table in (_PART, _REST, _GAIN, _GAIN_BEHIND))
    norm, norm_behind = (1 / (cv2.blur(one, (3, 3)) + np.float32(FALLBACK)) for one in (share, rest))
    for _ in range(ROUNDS):
        unexplained = ours - theirs
        unexplained *= share
        unexplained += theirs
        np.subtract(picture, unexplained, out=unexplained)
        ours = _means(ours, gain * unexplained, share, norm)
        unexplained *= gain_behind
        theirs = _means(theirs, unexplained, rest, norm_behind)
    return ours, theirs


def _means(before: Planes, change: Planes, weight: Map, norm: Map) -> Planes:
    """The changed colour, averaged over its neighbours by their share of it; `before` and `change` are used up."""
    change += before
    np.clip(change, 0, 255, out=change)
    change *= weight
    before *= np.float32(FALLBACK)
    for plane, spread in zip(change, before, strict=True):
        spread += cv2.blur(plane, (3, 3))
    before *= norm
    return before


def _overall(picture: Frame, weight: Map) -> Planes:
    total = float(weight.sum())
    colour: NDArray[np.float64] = np.full(3, NEUTRAL, np.float64)
    if total > 0:
        colour = weight.reshape(-1) @ picture.reshape(-1, 3) / total
    return np.full((3, 1, 1), colour[:, None, None], np.float32)


def _planes(picture: Frame) -> Planes:
    return np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32)


def _larger(planes: Planes, shape: tuple[int, ...]) -> Planes:
    larger = np.empty((3, *shape), np.float32)
    for plane, target in zip(planes, larger, strict=True):
        cv2.resize(plane, shape[::-1], target, interpolation=cv2.INTER_LINEAR)
    return larger


def _looked_up(part: Alpha, table: Map) -> Map:
    return np.asarray(cv2.LUT(part, table), np.float32)


def _three(values: Map) -> Map:
    return np.asarray(cv2.merge([values, values, values]), np.float32)


def _padded(values: NDArray[np.uint8], multiple: int) -> NDArray[np.uint8]:
    """Halving must not shift the picture, so odd rows are repeated rather than cut."""
    below, right = -values.shape[0] % multiple, -values.shape[1] % multiple
    if not below and not right:
        return values
    return np.asarray(cv2.copyMakeBorder(values, 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8)


def _full(colour: Map, times: int, width: int, height: int) -> Frame:
    size = (colour.shape[2] << times, colour.shape[1] << times)
    eight_bit = cv2.merge([cv2.convertScaleAbs(plane) for plane in colour])
    return np.ascontiguousarray(cv2.resize(eight_bit, size, interpolation=cv2.INTER_LINEAR)[:height, :width])
