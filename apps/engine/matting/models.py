"""The public models: networks put together so that each name keeps its promise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apps.engine.matting import refine
from apps.engine.matting.base import Frame, Matte, Session
from apps.engine.matting.fuse import fuse
from apps.engine.matting.isnet import ISNet
from apps.engine.matting.modnet import MODNet
from apps.engine.matting.runtime import Opened
from apps.engine.matting.rvm import RVM
from apps.engine.matting.scale import Map, frame_to, map_to
from apps.engine.matting.temporal import Cuts, Neighbour, Steady, between
from apps.engine.matting.u2net import EMPTY_BELOW, U2Net

Look = Callable[[Frame], Map]
"""A frame's alpha at some working size; knows nothing of other frames."""

ORIGINAL_SIDE = 320
LIGHT_SIDE = 256
PRO_PERMISSIVE_SIDE = 512

TOO_DOUBTFUL = 0.03
"""Doubtful area between two inferred frames, as a share of the subject's, from which `light` infers the frame too."""


class BuiltModel:
    """A model whose sessions are made by one function."""

    def __init__(self, name: str, version: str, device: str, make: Callable[[], Session]) -> None:
        self.name, self.version, self.device = name, version, device
        self._make = make

    def session(self, width: int, height: int) -> Session:
        return self._make()


class StillSession:
    """Every frame is looked at by itself; then alpha is steadied within the shot."""

    def __init__(self, look: Look) -> None:
        self._look, self._cuts, self._steady = look, Cuts(), Steady()

    def push(self, frame: Frame) -> list[Matte]:
        if self._cuts.is_new_shot(frame):
            self._steady.reset()
        alpha = self._look(frame)
        return [refine.finished(frame, self._steady.step(alpha, frame_to(frame, alpha.shape[1], alpha.shape[0])))]

    def flush(self) -> list[Matte]:
        return []


class SkippingSession:
    """Looks at every second frame; the one between is made from its neighbours unless something new is in it."""

    def __init__(self, network: U2Net) -> None:
        self._network, self._cuts, self._steady = network, Cuts(), Steady()
        self._known: Neighbour | None = None
        self._held: tuple[Frame, Frame] | None = None

    def push(self, frame: Frame) -> list[Matte]:
        small = self._network.shrink(frame)
        if self._cuts.is_new_shot(frame):
            mattes = self.flush()
            self._steady.reset()
            self._known = None
            return [*mattes, self._infer(frame, small)]
        if self._held is None:
            self._held = (frame, small)
            return []
        return self._fill(frame, small)

    def flush(self) -> list[Matte]:
        """The held frame has no later neighbour, so it is looked at itself."""
        held, self._held = self._held, None
        return [self._infer(*held)] if held else []

    def _infer(self, frame: Frame, small: Frame) -> Matte:
        alpha = self._steady.step(self._network.predict(small), small)
        self._known = (alpha, small)
        return refine.finished(frame, alpha)

    def _fill(self, frame: Frame, small: Frame) -> list[Matte]:
        """The newest frame is inferred; then the held one has both neighbours."""
        assert self._held is not None
        assert self._known is not None
        (held, held_small), before = self._held, self._known
        self._held = None
        raw = self._network.predict(small)
        alpha, doubt = between(before, held_small, (raw, small))
        # A subject that is in one neighbour only comes or goes here: half of it would be wrong either way.
        is_plain = doubt <= TOO_DOUBTFUL and bool(before[0].any()) == bool(raw.any())
        first = refine.finished(held, alpha, inferred=False) if is_plain else self._infer(held, held_small)
        steady = self._steady.step(raw, small)
        self._known = (steady, small)
        return [first, refine.finished(frame, steady)]


class RecurrentSession:
    """RVM remembers the shot by itself; it only has to be told when a new one begins."""

    def __init__(self, session: Any) -> None:
        self._network, self._cuts = RVM(session), Cuts()
        self._was_empty = False

    def push(self, frame: Frame) -> list[Matte]:
        if self._cuts.is_new_shot(frame):
            self._network.reset()
        alpha, colour = self._network.step(frame)
        is_empty = float(alpha.max()) < EMPTY_BELOW
        if self._was_empty and not is_empty:
            # It remembers that nobody was there and fades people in over three frames; without memory they are whole.
            self._network.reset()
            alpha, colour = self._network.step(frame)
        self._was_empty = is_empty
        return [refine.with_foreground(frame, alpha, colour)]

    def flush(self) -> list[Matte]:
        return []


def original(opened: Opened) -> BuiltModel:
    network = U2Net(opened.session, ORIGINAL_SIDE)
    look = _looking(network)
    return BuiltModel("original", f"{opened.tag}/{ORIGINAL_SIDE}", opened.device, lambda: StillSession(look))


def light(opened: Opened) -> BuiltModel:
    network = U2Net(opened.session, LIGHT_SIDE)
    return BuiltModel("light", f"{opened.tag}/{LIGHT_SIDE}", opened.device, lambda: SkippingSession(network))


def human(opened: Opened) -> BuiltModel:
    return BuiltModel("human", opened.tag, opened.device, lambda: RecurrentSession(opened.session))


def human_permissive(fine: Opened, robust: Opened) -> BuiltModel:
    portrait, whole = MODNet(fine.session), U2Net(robust.session, ORIGINAL_SIDE)
    version = f"{fine.tag}+{robust.tag}/{ORIGINAL_SIDE}"

    def look(frame: Frame) -> Map:
        return _fused(whole, portrait.predict, frame)

    return BuiltModel("human", version, fine.device, lambda: StillSession(look))


def pro(fine: Opened, robust: Opened) -> BuiltModel:
    detail, whole = ISNet(fine.session), U2Net(robust.session, ORIGINAL_SIDE)
    version = f"{fine.tag}/{detail.side}+{robust.tag}/{ORIGINAL_SIDE}"

    def look(frame: Frame) -> Map:
        return _fused(whole, detail.predict, frame)

    return BuiltModel("pro", version, fine.device, lambda: StillSession(look))


def pro_permissive(opened: Opened) -> BuiltModel:
    """The same network twice: larger for the edge, and at its own size, also mirrored, for what the subject is.

    Larger alone it loses whole animals.
    """
    detail = U2Net(opened.session, PRO_PERMISSIVE_SIDE)
    whole = U2Net(opened.session, ORIGINAL_SIDE, flip=True)
    version = f"{opened.tag}/{PRO_PERMISSIVE_SIDE}+{ORIGINAL_SIDE}-flip"

    def look(frame: Frame) -> Map:
        return _fused(whole, _looking(detail), frame)

    return BuiltModel("pro", version, opened.device, lambda: StillSession(look))


def _looking(network: U2Net) -> Look:
    return lambda frame: network.predict(network.shrink(frame))


def _fused(whole: U2Net, fine: Look, frame: Frame) -> Map:
    """The fine network is not asked about a frame in which the robust one sees nobody."""
    robust = whole.predict(whole.shrink(frame))
    if not robust.any():
        return robust
    detail = fine(frame)
    return fuse(map_to(robust, detail.shape[1], detail.shape[0]), detail)
