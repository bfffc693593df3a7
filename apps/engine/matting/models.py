"""The public models: networks put together so that each name keeps its promise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np

from apps.engine.matting import subjects
from apps.engine.matting.base import Frame, Session
from apps.engine.matting.fuse import agreed, fuse
from apps.engine.matting.isnet import ISNet
from apps.engine.matting.look import Look
from apps.engine.matting.modnet import MODNet
from apps.engine.matting.opening import Opened
from apps.engine.matting.patches import Patches
from apps.engine.matting.rvm import RVM
from apps.engine.matting.scale import Map, map_to
from apps.engine.matting.sessions import Combine, Recipe, Recurrent, ShotSession
from apps.engine.matting.settle import Settler
from apps.engine.matting.u2net import U2Net

WHOLE_SIDE = 320
LIGHT_SIDE = 224
DETAIL_SIDE = 512
"""U²-Net for edges, where no finer network may be used."""
PORTRAIT_SIDE, FINE_PORTRAIT_SIDE = 320, 512


class Pace(NamedTuple):
    """When the networks of a model look at a frame again."""

    gap: int
    """Frames from one look to the next."""
    doubt: float
    """Doubtful area of a carried matte, as a share of the subject's, from which the frame is looked at itself."""
    first_every: int = 1
    """Looks of all networks from one of the first to the next; what the subject is changes slower than its edge."""


LIGHT_PACE, FINE_PACE = Pace(gap=8, doubt=0.1), Pace(gap=2, doubt=0.015)
ORIGINAL_PACE = Pace(gap=5, doubt=0.02, first_every=2)
"""U²-Net costs more than twice of what MODNet does."""
FIRST_DOUBT = 0.06
REACH, LIGHT_REACH = 4, 3
"""Frames on either side that a matte is steadied with, and in which what it lost is looked for."""
CUDA_BATCH = 8
"""On a GPU looking costs less than carrying, so every frame is looked at, several in one call."""

WHOLE_SHARE = 0.1
"""Of the agreed edge that is the generalist's beside a portrait network: its edges are soft."""


class BuiltModel:
    """A model whose sessions follow one recipe."""

    def __init__(self, name: str, opened: Sequence[Opened], recipe: Recipe) -> None:
        self.name, self.device = name, opened[0].device
        self.version = "+".join(one.tag for one in opened)
        self.networks: Sequence[Mapping[str, str]] = [one.record for one in opened]
        self._recipe = recipe

    def session(self, width: int, height: int) -> Session:
        return ShotSession(self._recipe)


Without = frozenset[str]
"""Stages left out, to measure what they are worth."""


def light(whole: Opened, *, without: Without = frozenset()) -> BuiltModel:
    looks = (U2Net(whole.session, LIGHT_SIDE),)
    tags = [whole.at(LIGHT_SIDE)]
    return _built("light", tags, looks, lambda: _alone, LIGHT_PACE, without, is_quick=True)


def original(whole: Opened, portrait: Opened, *, without: Without = frozenset()) -> BuiltModel:
    """The generalist, and where it sees what a portrait network sees too, that one's edges."""
    return _portrayed("original", whole, portrait, PORTRAIT_SIDE, ORIGINAL_PACE, without)


def human_permissive(whole: Opened, portrait: Opened, *, without: Without = frozenset()) -> BuiltModel:
    return _portrayed("human", whole, portrait, FINE_PORTRAIT_SIDE, FINE_PACE, without)


def _portrayed(name: str, whole: Opened, portrait: Opened, side: int, pace: Pace, without: Without) -> BuiltModel:
    looks = (U2Net(whole.session, WHOLE_SIDE), MODNet(portrait.session, side))
    tags = [whole.at(WHOLE_SIDE), portrait.at(side)]

    def hears_portrait(found: tuple[Map, ...]) -> bool:
        robust, fine = found
        robust = map_to(robust, fine.shape[1], fine.shape[0])
        return "subjects" in without or _believed(fine, robust, without)[1] > 0

    return _built(name, tags, looks, lambda: _portrait_in_whole(without), pace, without, hears_others=hears_portrait)


def human(recurrent: Opened, portrait: Opened, whole: Opened, *, without: Without = frozenset()) -> BuiltModel:
    looks = (U2Net(whole.session, WHOLE_SIDE), MODNet(portrait.session, FINE_PORTRAIT_SIDE))
    tags = [recurrent, portrait.at(FINE_PORTRAIT_SIDE), whole.at(WHOLE_SIDE)]

    def combining() -> Combine:
        settled = _settling(without, keeps_bodies=True)

        def combine(frame: Frame, found: tuple[Map, ...], people: Recurrent | None) -> Map:
            assert people is not None
            height, width = people.alpha.shape
            vote, second = (map_to(one, width, height) for one in found)
            return settled(frame, people.alpha, _near(second, people.alpha, vote), vote, 0.5)

        return combine

    people = partial(RVM, recurrent.session, recurrent.device)
    return _built("human", tags, looks, combining, FINE_PACE, without, people, mirrors=False)


def pro(
    fine: Opened, whole: Opened, recurrent: Opened, portrait: Opened, *, without: Without = frozenset()
) -> BuiltModel:
    looks = (
        U2Net(whole.session, WHOLE_SIDE),
        ISNet(fine.session),
        MODNet(portrait.session, FINE_PORTRAIT_SIDE),
    )
    tags = [fine.at(looks[1].side), whole.at(WHOLE_SIDE), recurrent, portrait.at(FINE_PORTRAIT_SIDE)]

    def combining() -> Combine:
        settled = _settling(without, keeps_bodies=True)
        # Who is a person here, and how whole, RVM has said.
        portrayed = _portrait_in_whole(without | {"halves"})

        def combine(frame: Frame, found: tuple[Map, ...], people: Recurrent | None) -> Map:
            assert people is not None
            height, width = people.alpha.shape
            robust, detail, second = (map_to(one, width, height) for one in found)
            vote = (robust + detail) / 2
            persons = settled(frame, people.alpha, _near(second, people.alpha, vote), vote, 0.5)
            if "subjects" in without:
                return persons
            other = subjects.others(people.alpha, np.maximum(robust, detail))
            if not other.any():
                return persons
            subject = _fused(robust, detail, without)
            if not other.all():
                # Somebody is here, and apart from them one generalist is enough: the dog they play with.
                subject = np.maximum(subject, detail)
            rest = portrayed(frame, (subject, second), people)
            return persons + other * (rest - persons)

        return combine

    people = partial(RVM, recurrent.session, recurrent.device)
    return _built("pro", tags, looks, combining, FINE_PACE, without, people)


def pro_permissive(whole: Opened, portrait: Opened, *, without: Without = frozenset()) -> BuiltModel:
    """The same network twice: larger for the edge, and at its own size for what the subject is.

    Larger alone it loses whole animals, so it is heard only where it sees the same subject.
    """
    looks = (
        U2Net(whole.session, WHOLE_SIDE),
        U2Net(whole.session, DETAIL_SIDE),
        MODNet(portrait.session, FINE_PORTRAIT_SIDE),
    )
    tags = [whole.at(f"{WHOLE_SIDE}+{DETAIL_SIDE}"), portrait.at(FINE_PORTRAIT_SIDE)]

    def combining() -> Combine:
        portray = _portrait_in_whole(without)

        def combine(frame: Frame, found: tuple[Map, ...], people: Recurrent | None) -> Map:
            robust, detail, second = found
            robust = map_to(robust, detail.shape[1], detail.shape[0])
            subject = (fuse if "agree" in without else agreed)(robust, detail)
            return portray(frame, (subject, second), people)

        return combine

    return _built("pro", tags, looks, combining, FINE_PACE, without)


def _built(
    name: str,
    opened: Sequence[Opened],
    looks: tuple[Look, ...],
    combine: Callable[[], Combine],
    pace: Pace,
    without: Without,
    recurrent: Callable[[], RVM] | None = None,
    *,
    hears_others: Callable[[tuple[Map, ...]], bool] | None = None,
    mirrors: bool = True,
    is_quick: bool = False,
) -> BuiltModel:
    on_cuda = opened[0].device == "cuda"
    looks_always = on_cuda or "carry" in without
    recipe = Recipe(
        looks=looks,
        combine=combine if "patches" in without else lambda: _decided(combine()),
        recurrent=recurrent,
        gap=1 if looks_always else pace.gap,
        first_every=1 if looks_always else pace.first_every,
        too_doubtful_first=FIRST_DOUBT,
        hears_others=hears_others,
        mirrors=mirrors and "mirror" not in without,
        carries_closely=not is_quick,
        too_doubtful=pace.doubt,
        batch=CUDA_BATCH if on_cuda else 1,
        reach=LIGHT_REACH if is_quick else REACH,
        steadies="steady" not in without,
        restores="restore" not in without,
        follows="follow" not in without,
        finds_colours="foreground" not in without,
    )
    return BuiltModel(name, opened, recipe)


def _decided(combine: Combine) -> Combine:
    """What the networks said together, its wide half-transparent patches decided."""
    patches = Patches()
    return lambda frame, found, people: patches.decide(frame, combine(frame, found, people))


def _alone(frame: Frame, found: tuple[Map, ...], people: Recurrent | None) -> Map:
    return found[0]


def _settling(without: Without, *, keeps_bodies: bool = False) -> Callable[[Frame, Map, Map, Map, float], Map]:
    settler = Settler(uses_colours="colours" not in without, keeps_bodies=keeps_bodies and "bodies" not in without)

    def settled(frame: Frame, first: Map, second: Map, vote: Map, share: float) -> Map:
        if "settle" in without:
            return (1 - share) * first + share * second
        return settler.settle(frame, first, second, vote, share=share)

    return settled


def _portrait_in_whole(without: Without) -> Combine:
    """The portrait network's matte as far as it sees the generalist's subject, the generalist's otherwise."""
    settled = _settling(without)

    def combine(frame: Frame, found: tuple[Map, ...], people: Recurrent | None) -> Map:
        robust, fine = found
        robust = map_to(robust, fine.shape[1], fine.shape[0])
        if "subjects" in without:
            return settled(frame, fine, robust, subjects.surroundings(robust), WHOLE_SHARE)
        half_seen, trust = _believed(fine, robust, without)
        if not trust:
            return robust
        near = subjects.surroundings(robust)
        whole = robust + np.float32(trust) * (settled(frame, fine, robust, near, WHOLE_SHARE) - robust)
        return whole + np.float32(half_seen) * (cv2.max(whole, fine) - whole)

    return combine


def _believed(fine: Map, robust: Map, without: Without) -> tuple[float, float]:
    """How far the portrait's person may be whole where the generalist's is not, and how far it is heard at all."""
    half_seen = 0.0 if "halves" in without else subjects.half_seen(fine, robust)
    return half_seen, max(half_seen, subjects.likeness(fine, robust))


def _near(portrait: Map, *subject: Map) -> Map:
    """A portrait network's matte without what it invents far from anything the others see."""
    return np.minimum(portrait, subjects.surroundings(np.maximum(*subject)))


def _fused(robust: Map, detail: Map, without: Without) -> Map:
    return (robust + detail) / 2 if "fuse" in without else fuse(robust, detail)
