"""What every network that sees single frames promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from apps.engine.matting.base import Frame
from apps.engine.matting.scale import Map


class Look(Protocol):
    """A network that knows nothing of other frames: alphas of some frames, each at its own working size."""

    def predict_many(self, frames: Sequence[Frame]) -> list[Map]: ...
