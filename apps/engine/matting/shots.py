"""Shots of a video, told with a look ahead: a picture that comes back after a flash is no new shot."""

from __future__ import annotations

from copy import copy
from typing import NamedTuple

from apps.engine.matting.base import Frame
from apps.engine.matting.temporal import Cuts

FLASH = 3
"""Frames that a flash, or the dark between two lightnings, may last."""


class Told(NamedTuple):
    """A frame and its place in a shot."""

    frame: Frame
    is_new_shot: bool
    is_flash: bool = False
    """What stood before the light changed is there afterwards: the subject is where it is, but cannot be seen well."""


class Shots:
    """Tells each frame's place, in order; a few are held back where a cut may turn out to be a flash."""

    def __init__(self) -> None:
        self._cuts = self._before = Cuts()
        self._held: list[Told] = []

    def push(self, frame: Frame) -> list[Told]:
        """Frames whose place is known now."""
        before = copy(self._cuts)
        told = Told(frame, self._cuts.is_new_shot(frame))
        if not self._held:
            if not (told.is_new_shot and before.is_in_other_light(frame)):
                return [told]
            self._before, self._held = before, [told]
            return []
        back = copy(self._before)
        if not back.is_new_shot(frame):
            self._cuts = back
            flashes = [Told(one.frame, False, is_flash=True) for one in self._held]
            self._held = []
            return [*flashes, Told(frame, False)]
        self._held.append(told)
        is_over = len(self._held) > FLASH or not self._before.is_in_other_light(frame)
        return self.flush() if is_over else []

    def flush(self) -> list[Told]:
        """Frames still held back, as what they were taken for when they came."""
        held, self._held = self._held, []
        return held
