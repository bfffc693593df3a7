"""Each named stage does something in each model that claims it, and nothing in the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
import pytest

from apps.engine.errors import BadOptions
from apps.engine.matting import models, stages, weights
from apps.engine.matting.base import Frame, Matte, Model
from apps.engine.matting.load import BUILDERS
from apps.engine.matting.scale import Map, map_to
from apps.engine.options import MODELS
from tests.engine.drawn import HEIGHT, WIDTH, FakeLook, Scene, mattes_of, texture

PERSON = Scene()
DOG = (slice(30, 66), slice(255, 291))
"""What the generalists see and the people networks do not; its shades are nobody's."""
BESIDE = (slice(150, 190), slice(20, 60))
"""Wall that one people network takes for a person, about which the others are unsure."""
PASSER_BY = (slice(140, 190), slice(250, 285))
"""Somebody far behind, whom only the recurrent network sees; the shades are nobody else's."""
COUNT = 9
BAD = (4, 5)
"""Frames in which every network loses half of the person; whatever its gap is, a model looks at one of them."""
UNSURE = 0
"""The frame in which the smaller generalist sees half of the person, and is not sure of that."""
EVERY = [(name, permissive) for name, permissive in {build: key for key, build in BUILDERS.items()}.values()]
"""One setting of licences for each builder."""
IN_THE_SESSION = sorted(set(stages.STAGES) - {"despill", "follow", "mirror"})
"""Apart from those that matter only where a network guesses, and where somebody comes."""


def frame_of(index: int) -> Frame:
    frame = PERSON.frame(index)
    frame[DOG] = texture(36, 36, 7, shades=((60, 20, 60), (160, 90, 160)))
    frame[PASSER_BY] = texture(35, 50, 8, shades=((20, 60, 20), (60, 140, 60)))
    return frame


def seen(index: int, *, dog: float = 0.0, beside: float = 0.0, passer_by: float = 0.0, body: float = 1.0) -> Map:
    """What a network says of a frame."""
    alpha = PERSON.alpha(index) * np.float32(body)
    alpha[DOG], alpha[BESIDE], alpha[PASSER_BY] = dog, np.maximum(alpha[BESIDE], beside), passer_by
    if index in BAD:
        # Half of the person, and a flicker in the other half.
        alpha[: PERSON.start[1], :200] = 0
        alpha[PERSON.start[1] + 10 : PERSON.start[1] + 25, 120:150] -= np.float32(0.3)
    return alpha


class Cast:
    """Stands in for all networks: each sees the same clip in its own way, at its own size."""

    def __init__(self) -> None:
        self.frames = [frame_of(index) for index in range(COUNT)]
        self.looks: list[FakeLook] = []
        self._known: dict[tuple[object, ...], list[Matte]] = {}

    def look(self, side: int | None, **says: float) -> FakeLook:
        alphas = [seen(index, **says) for index in range(COUNT)]
        look = FakeLook(self.frames, alphas if side is None else [map_to(one, side, side) for one in alphas])
        self.looks.append(look)
        return look

    def u2net(self, session: object, side: int) -> FakeLook:
        if side == models.DETAIL_SIDE:
            return self.look(side, dog=0.8, beside=0.6)
        look = self.look(side, dog=1, beside=0.6)
        half = PERSON.alpha(UNSURE) * np.float32(0.7)
        half[: PERSON.start[1]] = 0
        look.alphas[UNSURE] = map_to(half, side, side)
        return look

    def isnet(self, session: object) -> FakeLook:
        look = self.look(256, dog=0.8, beside=0.6)
        look.side = 256  # type: ignore[attr-defined]
        return look

    def modnet(self, session: object, side: int) -> FakeLook:
        return self.look(None, body=0.95)

    def rvm(self, *session: object) -> People:
        return People(self)

    def mattes(self, name: str, permissive: bool, *without: str, device: str = "cpu") -> list[Matte]:
        key = (name, permissive, without, device)
        if key not in self._known:
            self.looks.clear()
            model = self.model(name, permissive, *without, device=device)
            self._known[key] = mattes_of(model.session(WIDTH, HEIGHT), self.frames)
        return self._known[key]

    def model(self, name: str, permissive: bool, *without: str, device: str = "cpu") -> Model:
        opened = [models.Opened(network, device, network) for network in weights.needed_by(name, permissive=permissive)]
        return BUILDERS[name, permissive](*opened, without=frozenset(without))


class People:
    """The recurrent network, which takes a patch of wall for somebody."""

    def __init__(self, cast: Cast) -> None:
        self._cast = cast

    def reset(self) -> None:
        pass

    def step(self, frame: Frame) -> tuple[Map, Map]:
        index = next(at for at, one in enumerate(self._cast.frames) if one is frame)
        return seen(index, beside=1, passer_by=1), frame.astype(np.float32) / 255


@pytest.fixture(scope="module")
def cast() -> Iterator[Cast]:
    cast = Cast()
    with pytest.MonkeyPatch.context() as patch:
        for name, fake in (("U2Net", cast.u2net), ("ISNet", cast.isnet), ("MODNet", cast.modnet), ("RVM", cast.rvm)):
            patch.setattr(models, name, fake)
        yield cast


def differences(first: Sequence[Matte], second: Sequence[Matte]) -> tuple[bool, bool, bool]:
    """Whether they differ in which frames were inferred, clearly in alpha, and in whether there is a foreground."""
    pairs = list(zip(first, second, strict=True))
    return (
        any(one.inferred != other.inferred for one, other in pairs),
        max(np.abs(one.alpha.astype(int) - other.alpha).max() for one, other in pairs) > 8,
        any((one.foreground is None) != (other.foreground is None) for one, other in pairs),
    )


CHANGE: dict[str, Callable[[tuple[bool, bool, bool]], bool]] = {
    "carry": lambda found: found[0],
    "foreground": lambda found: found == (False, False, True),
}
"""What leaving a stage out changes; alpha, and nothing else, unless said here."""


@pytest.mark.parametrize(("name", "permissive"), EVERY)
@pytest.mark.parametrize("stage", IN_THE_SESSION)
def test_a_stage_matters_where_it_is_claimed_and_nowhere_else(
    cast: Cast, name: str, permissive: bool, stage: str
) -> None:
    whole = cast.mattes(name, permissive)

    found = differences(whole, cast.mattes(name, permissive, stage))

    if stage in stages.of(name, permissive):
        assert CHANGE.get(stage, lambda found: found == (False, True, False))(found)
    else:
        assert found == (False, False, False)


@pytest.mark.parametrize(("name", "permissive"), EVERY)
def test_what_the_generalist_guesses_counts_only_without_the_mirror(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, name: str, permissive: bool
) -> None:
    def guessing(session: object, side: int) -> FakeLook:
        look = cast.look(side, body=0, beside=0.8)
        look.unseen_in_mirror = range(COUNT)
        return look

    def nobody_beside(people: People, frame: Frame) -> tuple[Map, Map]:
        return PERSON.alpha(0), frame.astype(np.float32) / 255

    monkeypatch.setattr(models, "U2Net", guessing)
    monkeypatch.setattr(People, "step", nobody_beside)

    def shown(*without: str) -> float:
        mattes = mattes_of(cast.model(name, permissive, *without).session(WIDTH, HEIGHT), cast.frames)
        return max(float(matte.alpha[BESIDE].mean()) / 255 for matte in mattes)

    if "mirror" in stages.of(name, permissive):
        assert shown() < 0.1 < 0.25 < shown("mirror")
    else:
        assert shown() == shown("mirror")


@pytest.mark.parametrize(("name", "permissive"), EVERY)
def test_somebody_who_comes_in_is_followed_in_every_model(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, name: str, permissive: bool
) -> None:
    """No network sees them before a good part is in the picture."""
    comes, first = Scene(speed=(32, 3), start=(-16, 100)), 3
    frames, truth = ([one(at - first) for at in range(7)] for one in (comes.frame, comes.alpha))
    look = FakeLook(frames, [alpha if at > first + 1 else np.zeros_like(alpha) for at, alpha in enumerate(truth)])
    look.side = HEIGHT  # type: ignore[attr-defined]
    for network in ("U2Net", "ISNet", "MODNet"):
        monkeypatch.setattr(models, network, lambda *session_and_side: look)
    monkeypatch.setattr(People, "step", lambda people, frame: (*look.predict_many([frame]), frame / np.float32(255)))

    def shown(*without: str) -> float:
        mattes = mattes_of(cast.model(name, permissive, *without).session(WIDTH, HEIGHT), frames)
        return float(mattes[first].alpha.mean()) / 255

    assert shown("follow") == 0
    assert shown() > 0.7 * truth[first].mean()


def test_what_a_network_lost_is_put_back_without_steadying_too(cast: Cast) -> None:
    """Else the row without it would count what `restore` and `follow` are worth as well."""
    without_both = cast.mattes("original", False, "steady", "restore")

    assert differences(cast.mattes("original", False, "steady"), without_both) == (False, True, False)


@pytest.mark.parametrize(("name", "permissive"), EVERY)
def test_on_a_gpu_every_frame_is_inferred_several_at_once(cast: Cast, name: str, permissive: bool) -> None:
    mattes = cast.mattes(name, permissive, device="cuda")

    assert [matte.inferred for matte in mattes] == [True] * COUNT
    for look in cast.looks:
        assert look.asked == [list(range(models.CUDA_BATCH)), list(range(models.CUDA_BATCH, COUNT))]


@pytest.mark.parametrize(("name", "permissive"), EVERY)
def test_on_a_cpu_only_some_are_inferred(cast: Cast, name: str, permissive: bool) -> None:
    inferred = [matte.inferred for matte in cast.mattes(name, permissive)]

    assert inferred[0]
    assert inferred[-1]
    assert 2 <= sum(inferred) < COUNT


@pytest.mark.parametrize(("name", "permissive"), EVERY)
def test_the_person_is_found_and_the_dog_by_those_who_know_dogs(cast: Cast, name: str, permissive: bool) -> None:
    last = cast.mattes(name, permissive)[-1].alpha

    assert last[PERSON.alpha(COUNT - 1) == 1].mean() > 220
    if (name, permissive) == ("human", False):
        assert last[DOG].mean() < 10
    else:
        assert last[DOG][10:-10, 10:-10].mean() > 128
    assert last[:20].max() < 10


@pytest.mark.parametrize("blind", ["u2net", "isnet"])
def test_a_dog_beside_a_person_is_kept_by_pro_if_one_generalist_sees_it(blind: str) -> None:
    """Each of them loses it for seconds, in turn; that must not make it blink."""
    cast = Cast()
    with pytest.MonkeyPatch.context() as patch:
        for name, fake in (("U2Net", cast.u2net), ("ISNet", cast.isnet), ("MODNet", cast.modnet), ("RVM", cast.rvm)):
            patch.setattr(models, name, fake)
        session = cast.model("pro", False).session(WIDTH, HEIGHT)
    for name, look in zip(("u2net", "isnet"), cast.looks, strict=False):
        for alpha in look.alphas:
            alpha[map_to(seen(0, dog=1) - seen(0), *alpha.shape[::-1]) > 0] = name != blind

    mattes = mattes_of(session, cast.frames)

    assert min(matte.alpha[DOG][10:-10, 10:-10].mean() for matte in mattes) > 128


def test_people_before_a_wall_are_told_by_its_colour(cast: Cast) -> None:
    with_colours, without = (
        cast.mattes("human", False, *left)[-1].alpha[BESIDE][15:-15, 15:-15].mean() for left in ((), ("colours",))
    )

    assert with_colours < 25
    assert without > 100


@pytest.mark.parametrize("name", ["human", "pro"])
def test_somebody_whom_the_network_with_a_memory_has_whole_stays_whole(cast: Cast, name: str) -> None:
    # A ghost of somebody in the person's colours is filled too, whole person or not.
    kept, without = (
        cast.mattes(name, False, "patches", *left)[-1].alpha[PASSER_BY][8:-8, 8:-8] for left in ((), ("bodies",))
    )

    assert kept.min() > 240
    assert without.mean() < 150


def test_somebody_of_whom_the_generalist_sees_a_half_stays_whole(cast: Cast) -> None:
    upper = (PERSON.alpha(UNSURE) == 1) & (np.arange(HEIGHT)[:, None] < PERSON.start[1] - 5)

    kept, without = (cast.mattes("human", True, *left)[UNSURE].alpha[upper].mean() for left in ((), ("halves",)))

    assert kept > 228
    assert without < kept - 10


def test_every_model_has_its_stages() -> None:
    for name, permissive in product(MODELS, (False, True)):
        assert set(stages.of(name, permissive)) <= set(stages.STAGES)
    assert {stage for name, permissive in EVERY for stage in stages.of(name, permissive)} == set(stages.STAGES)


def test_parse_reads_names_and_refuses_others_with_the_choices() -> None:
    assert stages.parse("carry,steady", "light", permissive=False) == {"carry", "steady"}
    assert stages.parse("", "pro", permissive=True) == stages.parse(None, "chroma", permissive=True) == frozenset()

    with pytest.raises(BadOptions, match=r"pro has no stage speed: choose from carry, steady, .*despill\.") as caught:
        stages.parse("steady,speed", "pro", permissive=False)

    assert caught.value.param == "without"


def test_a_stage_that_the_model_does_not_have_cannot_be_left_out() -> None:
    """Its ablation would show that it is worth nothing."""
    with pytest.raises(BadOptions, match="light has no stage fuse: choose from carry, steady, restore, follow, mirror"):
        stages.parse("fuse", "light", permissive=False)


def test_versions_name_every_network_with_its_size(cast: Cast) -> None:
    tags = ["isnet/256", f"u2net/{models.WHOLE_SIDE}", "rvm", f"modnet/{models.FINE_PORTRAIT_SIDE}"]

    assert cast.model("pro", False).version == "+".join(tags)
    assert cast.model("light", False).version == f"u2net/{models.LIGHT_SIDE}"


def test_a_portrait_networks_ghosts_do_not_haunt_an_empty_room(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """It invents people; where neither of the others sees anybody, nobody is there."""
    ghost, nobody = PERSON.alpha(0) * np.float32(0.2), np.zeros((HEIGHT, WIDTH), np.float32)
    monkeypatch.setattr(models, "MODNet", lambda session, side: FakeLook(cast.frames, [ghost] * COUNT))
    monkeypatch.setattr(models, "U2Net", lambda session, side: FakeLook(cast.frames, [nobody] * COUNT))
    monkeypatch.setattr(People, "step", lambda self, frame: (nobody, frame.astype(np.float32) / 255))

    for name, permissive in (("original", False), ("human", False), ("human", True)):
        mattes = mattes_of(cast.model(name, permissive).session(WIDTH, HEIGHT), cast.frames)

        assert [int(matte.alpha.max()) for matte in mattes] == [0] * COUNT
