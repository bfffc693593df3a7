"""One contract over every model: chroma always, the others where their weights are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings

from apps.engine.errors import BadOptions, ModelNotInstalled
from apps.engine.matting import weights
from apps.engine.matting.base import Frame, Matte, Model
from apps.engine.matting.load import load
from apps.engine.matting.selftest import figure
from tests.conftest import missing

GREEN = (40, 130, 60)
EVERY = [
    pytest.param("chroma", False, id="chroma"),
    *(pytest.param(name, False, id=name) for name in weights.NEEDS),
    *(pytest.param(name, True, id=f"{name}-permissive") for name in ("human", "pro")),
]
NETWORKS = EVERY[1:]

Loader = Callable[[str, bool], Model]


@pytest.fixture(scope="module")
def loaded() -> Loader:
    """Each model once per module; skips aloud where its weights are missing."""
    kept: dict[tuple[str, bool], Model] = {}

    def one(name: str, permissive: bool) -> Model:
        models_dir = Path(settings.MODELS_DIR)
        here = {row.name for row in weights.status(models_dir) if row.installed}
        lacking = set(weights.needed_by(name, permissive=permissive)) - here
        if lacking:
            missing(f"the weights {', '.join(sorted(lacking))} of model {name}")
        if (name, permissive) not in kept:
            kept[name, permissive] = load(name, models_dir=models_dir, device="cpu", permissive=permissive)
        return kept[name, permissive]

    return one


def mattes_of(model: Model, frames: list[Frame]) -> list[Matte]:
    session = model.session(frames[0].shape[1], frames[0].shape[0])
    return [matte for frame in frames for matte in session.push(frame)] + session.flush()


def middle(matte: Matte) -> float:
    """Where the subject's middle is across the width, 0..1."""
    columns = matte.alpha.mean(0)
    return float((columns * np.arange(len(columns))).sum() / columns.sum() / len(columns))


def screen_figure(across: float) -> Frame:
    """The figure on a flat green screen, for the keyer."""
    frame = np.full((288, 384, 3), (0, 255, 0), np.uint8)
    left = int(384 * across) - 40
    frame[60:260, left : left + 80] = (200, 60, 50)
    return frame


@pytest.mark.parametrize(("name", "permissive"), EVERY)
@pytest.mark.parametrize(
    ("width", "height", "count"),
    [(321, 243, 3), (16, 16, 2), (1024, 24, 2), (24, 600, 1), (1, 1, 1)],
    ids=["odd", "tiny", "ribbon", "tower", "pixel"],
)
def test_model_gives_one_matte_per_frame(
    loaded: Loader, name: str, permissive: bool, width: int, height: int, count: int
) -> None:
    frames = [np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8) for seed in range(count)]

    mattes = mattes_of(loaded(name, permissive), frames)

    assert [matte.alpha.shape for matte in mattes] == [(height, width)] * count
    assert {matte.alpha.dtype for matte in mattes} == {np.dtype(np.uint8)}
    for matte in mattes:
        if matte.foreground is not None:
            assert matte.foreground.shape == (height, width, 3)
            assert matte.foreground.dtype == np.uint8
            assert matte.foreground.flags.c_contiguous


@pytest.mark.parametrize(("name", "permissive"), EVERY)
def test_model_keeps_the_order_of_frames(loaded: Loader, name: str, permissive: bool) -> None:
    """The figure walks; each matte must be where its own frame's figure is."""
    places = [0.3, 0.33, 0.36, 0.39, 0.42, 0.45, 0.48]
    drawn = [screen_figure(x) if name == "chroma" else figure(GREEN, x) for x in places]

    mattes = mattes_of(loaded(name, permissive), drawn)

    assert [round(middle(matte) - place, 2) for matte, place in zip(mattes, places, strict=True)] == pytest.approx(
        [0.0] * len(places), abs=0.015
    )


@pytest.mark.parametrize(("name", "permissive"), EVERY)
def test_model_of_an_empty_clip_has_nothing_to_flush(loaded: Loader, name: str, permissive: bool) -> None:
    assert loaded(name, permissive).session(64, 48).flush() == []


@pytest.mark.parametrize(("name", "permissive"), EVERY)
def test_model_says_what_it_is(loaded: Loader, name: str, permissive: bool) -> None:
    model = loaded(name, permissive)

    assert (model.name, model.device) == (name, "cpu")
    for network in weights.needed_by(name, permissive=permissive):
        assert f"@{weights.networks()[network].sources[0].files[0].sha256[:8]}" in model.version
        assert network in model.version
    assert {row["network"] for row in model.networks} == set(weights.needed_by(name, permissive=permissive))
    assert all(len(row["sha256"]) == len(row["weights_sha256"]) == 64 for row in model.networks)


@pytest.mark.parametrize(("name", "permissive"), NETWORKS)
def test_model_leaves_empty_frames_empty(loaded: Loader, name: str, permissive: bool) -> None:
    """A plain wall: stretching the network's faint answer would invent a subject."""
    wall = np.repeat(np.linspace(90, 160, 384).astype(np.uint8)[None, :, None], 288, 0).repeat(3, 2)

    mattes = mattes_of(loaded(name, permissive), [wall] * 3)

    assert [int(matte.alpha.max()) for matte in mattes] == [0, 0, 0]


@pytest.mark.parametrize(("name", "permissive"), NETWORKS)
def test_model_shows_an_entering_subject_at_once(loaded: Loader, name: str, permissive: bool) -> None:
    empty, full = figure(GREEN, 3.0), figure(GREEN, 0.5)

    mattes = mattes_of(loaded(name, permissive), [empty, empty, full, full])

    shares = [matte.alpha.mean() / 255 for matte in mattes]
    assert shares[:2] == [0, 0]
    assert shares[2:] == pytest.approx([0.205, 0.205], abs=0.03)


@pytest.mark.parametrize(("name", "permissive"), NETWORKS)
def test_model_forgets_the_shot_before_a_cut(loaded: Loader, name: str, permissive: bool) -> None:
    before, after = figure((40, 60, 90), 0.25), figure((190, 180, 150), 0.75)

    mattes = mattes_of(loaded(name, permissive), [before, before, before, after, after])

    left_half = [float(matte.alpha[:, :150].mean()) for matte in mattes]
    assert min(left_half[:3]) > 60
    assert max(left_half[3:]) < 3


@pytest.mark.parametrize(("name", "permissive"), NETWORKS)
def test_model_that_is_not_installed_names_what_is_missing(tmp_path: Path, name: str, permissive: bool) -> None:
    with pytest.raises(ModelNotInstalled) as caught:
        load(name, models_dir=tmp_path, permissive=permissive)

    install = "models install " + " ".join(weights.needed_by(name, permissive=permissive))
    assert str(caught.value).endswith(install)
    assert caught.value.code == "model_not_installed"


def test_load_refuses_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(BadOptions, match="model must be one of original, light, human, pro, chroma") as caught:
        load("best", models_dir=tmp_path)

    assert caught.value.param == "model"


def test_load_refuses_a_device_that_is_not_here(tmp_path: Path) -> None:
    with pytest.raises(BadOptions, match="device must be one of auto, cpu, cuda"):
        load("light", models_dir=tmp_path, device="gpu")
