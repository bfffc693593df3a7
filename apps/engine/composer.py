"""From a frame and its matte to what is written: the edge and the place as asked, the background behind."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from apps.engine import compose
from apps.engine.compose import Alpha, Rgb, make_background
from apps.engine.decode import Picture
from apps.engine.depth import kept
from apps.engine.encode import Cutout
from apps.engine.errors import EngineFault
from apps.engine.matting.base import Matte
from apps.engine.matting.despill import Despill
from apps.engine.placing import place
from apps.engine.plan import Plan
from apps.engine.quality import Quality
from apps.engine.report import Facts
from apps.engine.rim import recolour, reshape
from apps.engine.task import Task


@dataclass(slots=True)
class Composed:
    """A frame ready to be written: what the format shows, and the model's own matte, which is kept."""

    cutout: Cutout
    matte: Cutout
    """Its colours are the subject's own, for whoever wants them apart."""


class Composer:
    """One pass over one video."""

    def __init__(self, task: Task, plan: Plan, facts: Facts, quality: Quality) -> None:
        self._edge = plan.edge
        self._layout = layout = plan.layout
        self._is_binary = task.options.format == "gif"
        self._background = make_background(plan.background, task.background_image, layout.width, layout.height)
        reshapes = self._edge.reshapes or not layout.is_plain(facts.width, facts.height)
        self.alters = self._background is None and reshapes
        """Whether the alpha that is delivered is another than the kept matte's."""
        self._keeps_foreground = task.foreground is not None
        self._quality = quality
        self._despill = Despill(0.0 if "despill" in task.without else self._edge.despill)
        self.largest_share = self.largest_shown = 0.0
        """Of the frame that the subject covered at most, as the model saw it and as it is shown."""

    def compose(self, picture: Picture, matte: Matte) -> Composed:
        alpha, foreground = self._subject(picture, matte)
        # Judged as the model made it: what is asked of the edge is no fault of the matte.
        times = float(picture.time), float(picture.end)
        self._quality.add(*times, picture=picture.rgb, alpha=alpha, cutout=foreground)
        shown = reshape(alpha, self._edge)
        rgb, shown = place(recolour(foreground, alpha, shown), shown, self._layout)
        rest = None if picture.rest is None else kept(picture.rest, shown)
        rgb, encoded = self._lay(rgb, shown)
        own = rgb
        if self._keeps_foreground and encoded is not alpha:
            own = compose.fill_hidden(foreground, alpha)
        self.largest_share = max(self.largest_share, cv2.mean(alpha)[0] / 255)
        self.largest_shown = max(self.largest_shown, cv2.mean(shown)[0] / 255)
        return Composed(
            Cutout(picture.index, picture.time, picture.end, rgb, encoded, rest),
            Cutout(picture.index, picture.time, picture.end, own, alpha),
        )

    def _subject(self, picture: Picture, matte: Matte) -> tuple[Alpha, Rgb]:
        """The model's matte without its noise, and straight colours without the old background's light."""
        alpha, foreground = matte.alpha, matte.foreground
        if alpha.shape != picture.rgb.shape[:2]:
            raise EngineFault(f"The model gave a matte of {alpha.shape} for a frame of {picture.rgb.shape[:2]}.")
        foreground = picture.rgb if foreground is None else foreground
        if picture.alpha is not None:
            # Already cut out once: what was transparent stays so, and its colour is straight already.
            alpha, foreground = compose.multiply(alpha, picture.alpha), picture.rgb
        else:
            foreground = self._despill.step(picture.rgb, alpha, foreground)
        return compose.snap(alpha), foreground

    def _lay(self, rgb: Rgb, alpha: Alpha) -> tuple[Rgb, Alpha]:
        """Over the background, or straight with its hidden colours filled."""
        if self._background is not None:
            return compose.over(rgb, alpha, self._background), np.full_like(alpha, 255)
        encoded = compose.binary(alpha) if self._is_binary else alpha
        return compose.fill_hidden(rgb, encoded), encoded
