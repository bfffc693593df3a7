"""What every model promises: frames in, one matte per frame out, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
"""height × width × 3, RGB, display-referred 0–255, C-contiguous."""

Alpha = NDArray[np.uint8]
"""height × width; 0 is background, 255 is subject."""


@dataclass(frozen=True, slots=True)
class Matte:
    """One frame's alpha at the frame's own size.

    `foreground` is the subject's straight colour where the model (or the
    refinement after it) knows it; None means the frame's own colour.
    `inferred` is False where the networks that see single frames did not look
    at it and their answers were carried from its neighbours.
    """

    alpha: Alpha
    foreground: Frame | None
    inferred: bool = True


class Session(Protocol):
    """One pass over one video; holds the recurrent state, never shared.

    A session may look ahead: `push` returns the mattes that became ready, so
    none at first and several later; `flush` returns the rest. Over a whole
    clip there is exactly one matte per frame, in order.
    """

    def push(self, frame: Frame) -> list[Matte]: ...

    def flush(self) -> list[Matte]: ...


class Model(Protocol):
    """Loaded weights, one per process; cheap to make sessions from."""

    name: str
    """The public name: original, light, human, pro (or chroma)."""
    version: str
    """The networks used with their weights' short hashes, e.g. `u2net-int8@8d10d2f3+rvm@64cf47fe`."""
    networks: Sequence[Mapping[str, str]]
    """Each with its precision and the hashes of its file and of the weights that was made from; none: no weights."""
    device: str
    """`cpu`, `cuda`: where it really runs."""

    def session(self, width: int, height: int) -> Session: ...
