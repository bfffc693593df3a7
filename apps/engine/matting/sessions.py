"""One pass over one video: frames are looked at, carried, steadied and finished, shot by shot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from apps.engine.matting import refine
from apps.engine.matting.base import Frame, Matte
from apps.engine.matting.follow import followed
from apps.engine.matting.look import Look
from apps.engine.matting.mirror import Mirror
from apps.engine.matting.motion import CLOSE_SHORT_SIDE, SHORT_SIDE, Motions, View
from apps.engine.matting.rvm import RVM
from apps.engine.matting.scale import Map
from apps.engine.matting.shots import Shots, Told
from apps.engine.matting.temporal import Heard, Known, across, brought, carried, put_back, restored, steadied


@dataclass(frozen=True, slots=True)
class Recurrent:
    """What a network with a memory said of a frame."""

    alpha: Map
    colour: Map


Combine = Callable[[Frame, tuple[Map, ...], Recurrent | None], Map]
"""What all networks said of one frame, as one alpha at some working size."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the networks of a model work together."""

    looks: tuple[Look, ...]
    """The first one says what the subject is."""
    combine: Callable[[], Combine]
    """Makes the function for one shot; it may remember."""
    recurrent: Callable[[], RVM] | None = None
    gap: int = 1
    """Every so many frames are looked at; those between are carried."""
    first_every: int = 1
    """The first network takes part in every so many of these looks; in the others its alpha is carried too.

    Then it is left out as well where a look is due to doubt, unless its own carried alpha is too doubtful.
    """
    too_doubtful_first: float = 0.05
    """As `too_doubtful`, of that carried alpha; what the other networks see of the frame makes up for some doubt."""
    hears_others: Callable[[tuple[Map, ...]], bool] | None = None
    """Whether the other networks' alphas make a difference in `combine`; where they did not on either side of a frame,
    only the first one's are carried, and only its doubt counts. By default they do."""
    mirrors: bool = False
    """What the first network sees is left out where it does not see it in the mirror too."""
    carries_closely: bool = True
    """Along motions worked out with more care than those that only steady."""
    too_doubtful: float = 0.05
    """Doubtful area of a carried matte, as a share of the subject's, from which the frame is looked at itself."""
    batch: int = 1
    """Frames that are looked at in one call."""
    reach: int = 0
    """Frames on either side that a matte is held against."""
    steadies: bool = True
    restores: bool = False
    follows: bool = False
    """A subject that comes or goes on its own course, where a network lost it."""
    finds_colours: bool = True


@dataclass(slots=True, eq=False)
class Item:
    """A frame on its way through the session."""

    frame: Frame
    view: View
    flashes: list[Frame] = field(default_factory=list)
    """Frames just before it in which nothing can be seen well."""
    remembered: Recurrent | None = None
    looks: tuple[Map, ...] = ()
    is_inferred: bool = False
    hears_others: bool = True
    alpha: Map = field(default_factory=lambda: np.zeros((1, 1), np.float32))
    area: float = 0.0
    """Of the subject, as a share of the picture."""


class ShotSession:
    """Looks a few frames ahead within a shot; at a cut everything starts anew."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._shots, self._motions = Shots(), Motions(closely=recipe.carries_closely)
        self._view_side = CLOSE_SHORT_SIDE if recipe.carries_closely else SHORT_SIDE
        self._people = People(recipe.recurrent()) if recipe.recurrent else None
        self._carrier = Carrier(recipe, self._motions)
        self._window = Window(recipe, self._motions)
        self._combine = recipe.combine()
        self._flashes: list[Frame] = []
        self._last: Known | None = None

    def push(self, frame: Frame) -> list[Matte]:
        return self._take(self._shots.push(frame))

    def flush(self) -> list[Matte]:
        return self._take(self._shots.flush()) + self._end_shot()

    def _take(self, told: list[Told]) -> list[Matte]:
        mattes = []
        for frame, is_new_shot, is_flash in told:
            if is_flash:
                self._flashes.append(frame)
                continue
            if is_new_shot:
                mattes += self._begin_shot()
            item = Item(frame, View.of(frame, self._view_side), self._flashes)
            self._flashes = []
            item.remembered = self._people.look(frame) if self._people is not None else None
            mattes += self._pass_on(self._carrier.push(item))
        return mattes

    def _begin_shot(self) -> list[Matte]:
        mattes = self._end_shot()
        self._motions.forget()
        self._combine = self._recipe.combine()
        if self._people is not None:
            self._people.forget()
        return mattes

    def _end_shot(self) -> list[Matte]:
        mattes = self._pass_on(self._carrier.flush())
        for item, alpha in self._window.flush():
            mattes += self._finished(item, alpha)
        return mattes

    def _pass_on(self, items: list[Item]) -> list[Matte]:
        mattes = []
        for item in items:
            item.alpha = self._combine(item.frame, item.looks, item.remembered)
            item.area = float((item.alpha > 0.5).mean())
            for one, alpha in self._window.push(item):
                mattes += self._finished(one, alpha)
        return mattes

    def _finished(self, item: Item, alpha: Map) -> list[Matte]:
        """Its matte, after those of the flashes before it."""
        last, self._last = self._last, Known(item.view, (alpha,))
        mattes = []
        for index, frame in enumerate(item.flashes, 1):
            assert last is not None
            between = across(last, self._last, index / (len(item.flashes) + 1), self._motions)
            mattes.append(replace(self._coloured(frame, between, None), inferred=False))
        return [*mattes, replace(self._coloured(item.frame, alpha, item.remembered), inferred=item.is_inferred)]

    def _coloured(self, frame: Frame, alpha: Map, remembered: Recurrent | None) -> Matte:
        if not self._recipe.finds_colours:
            return refine.uncoloured(frame, alpha)
        if remembered is not None:
            return refine.with_foreground(frame, alpha, remembered.colour)
        return refine.finished(frame, alpha)


class People:
    """RVM over a shot; it only has to be told when a new one begins."""

    def __init__(self, network: RVM) -> None:
        self._network = network
        self._was_empty = False

    def forget(self) -> None:
        self._network.reset()
        self._was_empty = False

    def look(self, frame: Frame) -> Recurrent:
        alpha, colour = self._network.step(frame)
        is_empty = float(alpha.max()) < 0.5
        if self._was_empty and not is_empty:
            # It remembers that nobody was there and fades people in over three frames; without memory they are whole.
            self._network.reset()
            alpha, colour = self._network.step(frame)
        self._was_empty = is_empty
        return Recurrent(alpha, colour)


class Carrier:
    """Looks at every `gap`-th frame and carries the others, unless that is too doubtful."""

    def __init__(self, recipe: Recipe, motions: Motions) -> None:
        self._recipe, self._motions = recipe, motions
        self._span = recipe.gap * recipe.first_every
        self._mirror = Mirror(recipe.looks[0]) if recipe.mirrors else None
        self._known: Item | None = None
        self._waiting: list[Item] = []

    def push(self, item: Item) -> list[Item]:
        self._waiting.append(item)
        is_first = self._known is None and self._recipe.batch == 1
        if is_first or len(self._waiting) >= max(self._span, self._recipe.batch):
            return self._fill()
        return []

    def flush(self) -> list[Item]:
        """The last frames of a shot; what comes next is another one's."""
        items = self._fill() if self._waiting else []
        self._known = None
        if self._mirror is not None:
            self._mirror.forget()
        return items

    def _fill(self) -> list[Item]:
        items, self._waiting = self._waiting, []
        keys = sorted({*range(self._span - 1, len(items), self._span), len(items) - 1})
        if self._known is None:
            keys = sorted({0, *keys})
        self._look([items[key] for key in keys])
        start = 0
        for key in keys:
            if self._known is not None:
                self._through(self._known, items[start:key], items[key])
            self._known, start = items[key], key + 1
        return items

    def _look(self, items: list[Item]) -> None:
        frames = [item.frame for item in items]
        found = [look.predict_many(frames) for look in self._recipe.looks]
        if self._mirror is not None:
            found[0] = [self._mirror.confirmed(frame, alpha) for frame, alpha in zip(frames, found[0], strict=True)]
        for index, item in enumerate(items):
            self._looked(item, tuple(alphas[index] for alphas in found))

    def _looked(self, item: Item, looks: tuple[Map, ...]) -> None:
        item.looks, item.is_inferred = looks, True
        if self._recipe.hears_others is not None:
            item.hears_others = self._recipe.hears_others(looks)

    def _through(self, before: Item, items: list[Item], after: Item) -> None:
        """Fill the frames between two that all networks looked at."""
        if not (before.hears_others or after.hears_others):
            self._between(before, items, after)
            return
        last, start = before, 0
        for at in range(self._recipe.gap - 1, len(items), self._recipe.gap):
            self._look_between(items[at], before, after, (at + 1) / (len(items) + 1))
            self._between(last, items[start:at], items[at])
            last, start = items[at], at + 1
        self._between(last, items[start:], after)

    def _look_between(self, item: Item, before: Item, after: Item, nearness: float) -> None:
        """With all networks, or without the first one where it takes part less often and its alpha can be carried."""
        if self._recipe.first_every == 1:
            self._look([item])
            return
        ends = Known(before.view, before.looks[:1]), Known(after.view, after.looks[:1])
        (first,), doubt = carried(item.view, *ends, nearness, self._motions)
        if doubt > self._recipe.too_doubtful_first:
            self._look([item])
            return
        self._looked(item, (first, *(look.predict_many([item.frame])[0] for look in self._recipe.looks[1:])))

    def _between(self, before: Item, items: list[Item], after: Item) -> None:
        """Fill the frames between two known ones, looking at the middle one where carrying fails."""
        if not items:
            return
        ends = Known(before.view, before.looks), Known(after.view, after.looks)
        hears_others = before.hears_others or after.hears_others
        limit = self._recipe.too_doubtful if hears_others else self._recipe.too_doubtful_first
        done = []
        for index, item in enumerate(items, 1):
            alphas, doubt = carried(item.view, *ends, index / (len(items) + 1), self._motions)
            if doubt > limit:
                middle = len(items) // 2
                if hears_others:
                    self._look_between(items[middle], before, after, (middle + 1) / (len(items) + 1))
                else:
                    self._look([items[middle]])
                self._between(before, items[:middle], items[middle])
                self._between(items[middle], items[middle + 1 :], after)
                return
            done.append(alphas)
        for item, alphas in zip(items, done, strict=True):
            item.looks = alphas


class Window:
    """Completes and steadies each item with its neighbours on both sides."""

    def __init__(self, recipe: Recipe, motions: Motions) -> None:
        self._recipe, self._motions, self._reach = recipe, motions, recipe.reach
        self._items: list[Item] = []
        self._next = 0

    def push(self, item: Item) -> list[tuple[Item, Map]]:
        self._items.append(item)
        return self._ready(len(self._items) - self._reach)

    def flush(self) -> list[tuple[Item, Map]]:
        ready = self._ready(len(self._items))
        self._items, self._next = [], 0
        return ready

    def _ready(self, end: int) -> list[tuple[Item, Map]]:
        ready = []
        while self._next < end:
            ready.append((self._items[self._next], self._steadied(self._next)))
            self._next += 1
            if self._next > self._reach:
                del self._items[0]
                self._next -= 1
                end -= 1
        return ready

    def _steadied(self, at: int) -> Map:
        here = self._items[at]
        past = self._items[max(0, at - self._reach) : at][::-1]
        future = self._items[at + 1 : at + 1 + self._reach]
        before, after = self._heard(here, past), self._heard(here, future)
        alpha = restored(here.alpha, [before, after]) if self._recipe.restores else here.alpha
        part = followed(here, past, future, self._motions) if self._recipe.follows else None
        if part is not None:
            alpha = put_back(alpha, part)
        if not (self._recipe.steadies and alpha.any()):
            # An empty frame stays empty: its neighbours' subject has not come yet, or has gone.
            return alpha
        rings = [[*before[near : near + 1], *after[near : near + 1]] for near in range(self._reach)]
        heard = [[one for one in ring if one[0].any()] for ring in rings]
        return steadied(alpha, [ring for ring in heard if ring])

    def _heard(self, here: Item, others: list[Item]) -> list[Heard]:
        """What the others, nearest first, say of this one."""
        views = tuple(item.view for item in (here, *others))
        ways = (views[: index + 2] for index in range(len(others)))
        return [brought(self._motions.between(*way), item.alpha) for way, item in zip(ways, others, strict=True)]
