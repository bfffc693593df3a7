"""From a frame and its matte to what is written: the subject's colours, the edge as asked, the background behind."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from apps.engine import compose
from apps.engine.compose import Alpha, Rgb
from apps.engine.decode import Picture
from apps.engine.edge import Edge
from apps.engine.encode import Cutout
from apps.engine.errors import EngineFault
from apps.engine.matting.base import Matte
from apps.engine.matting.despill import Despill
from apps.engine.options import Options
from apps.engine.quality import Quality
from apps.engine.rim import recolour, reshape
from apps.engine.task import Task


@dataclass(slots=True)
class Composed:
    """A frame ready to be written: what the format shows, and the model's own matte, which is kept."""

    cutout: Cutout
    matte: Cutout
    """Its colours are the subject's own, for whoever wants them apart."""


def effective_edge(options: Options) -> Edge:
    """What the format can show of the edge that was asked for."""
    has_soft_edges = options.format != "gif" or options.is_opaque
    return options.edge if has_soft_edges else replace(options.edge, feather_px=0.0)


class Composer:
    """One pass over one video."""

    def __init__(self, task: Task, background: Rgb | None, quality: Quality) -> None:
        self._edge = effective_edge(task.options)
        self._is_binary = task.options.format == "gif"
        self._background = background
        self._keeps_foreground = task.foreground is not None
        self._quality = quality
        self._despill = Despill(0.0 if "despill" in task.without else self._edge.despill)
        self.largest_share = self.largest_shown = 0.0
        """Of the frame that the subject covered at most, as the model saw it and as it is shown."""

    @property
    def alters(self) -> bool:
        """Whether the alpha that is delivered is another than the kept matte's."""
        return self._background is None and self._edge.reshapes

    def compose(self, picture: Picture, matte: Matte) -> Composed:
        alpha, foreground = self._subject(picture, matte)
        # Judged as the model made it: what is asked of the edge is no fault of the matte.
        times = float(picture.time), float(picture.end)
        self._quality.add(*times, picture=picture.rgb, alpha=alpha, cutout=foreground)
        shown = reshape(alpha, self._edge)
        rgb = recolour(foreground, alpha, shown)
        rgb, encoded = self._lay(rgb, shown)
        own = rgb
        if self._keeps_foreground and encoded is not alpha:
            own = compose.fill_hidden(foreground, alpha)
        self.largest_share = max(self.largest_share, float(alpha.mean()) / 255)
        self.largest_shown = max(self.largest_shown, float(shown.mean()) / 255)
        return Composed(
            Cutout(picture.index, picture.time, picture.end, rgb, encoded),
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
