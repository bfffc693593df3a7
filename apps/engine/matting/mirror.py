"""Whether the generalist means what it sees: in the mirror it must be there too."""

from __future__ import annotations

import numpy as np

from apps.engine.matting.base import Frame
from apps.engine.matting.look import Look
from apps.engine.matting.scale import Map, roughly, size_within
from apps.engine.matting.subjects import firmness, overlap

SIDE = 128
"""Short side on which whole subjects are compared."""
FIRM = 0.9
"""Firm share from which a subject needs no second look: guesses at nothing waver."""
SAME, SURELY_SAME = 0.03, 0.5
"""Overlap over union with what is seen in the mirror from which it is a subject: half a group of people has 0.05, of a
guess it is often 0. After a guess, only from the second."""
STILL_THERE = 0.3
"""Overlap over union with the last confirmed subject from which it needs no second look either."""


class Mirror:
    """Confirms, within one shot, what a network says of its frames.

    Shown a picture without a subject, U²-Net guesses, and in the mirror it may guess something else. Since one
    confirmed look speaks for those that follow, a shot costs about one look more.
    """

    def __init__(self, look: Look) -> None:
        self._look = look
        self.forget()

    def forget(self) -> None:
        """The next frame is another shot's."""
        self._confirmed: Map | None = None
        self._has_guessed = False

    def confirmed(self, frame: Frame, alpha: Map) -> Map:
        """What the network said of this frame, or nothing at all."""
        if not alpha.any():
            return alpha
        size = size_within(alpha.shape, SIDE)
        seen = roughly(alpha, *size)
        if not (firmness(seen) >= FIRM or self._is_still_there(seen) or self._is_in_mirror(frame, seen)):
            self._has_guessed = True
            return np.zeros_like(alpha)
        self._confirmed, self._has_guessed = seen, False
        return alpha

    def _is_still_there(self, seen: Map) -> bool:
        return self._confirmed is not None and overlap(seen, self._confirmed) >= STILL_THERE

    def _is_in_mirror(self, frame: Frame, seen: Map) -> bool:
        other = self._look.predict_many([np.ascontiguousarray(frame[:, ::-1])])[0]
        mirrored = roughly(np.ascontiguousarray(other[:, ::-1]), seen.shape[1], seen.shape[0])
        return overlap(seen, mirrored) >= (SURELY_SAME if self._has_guessed else SAME)
