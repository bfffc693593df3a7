"""A network that is shown the truth answers with it, at its own size."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from apps.engine.matting.modnet import MODNet
from apps.engine.matting.opening import Opened, Opener
from apps.engine.matting.u2net import U2Net
from bench.oracle import Truth
from bench.video import frames_of
from tests import clips
from tests.bench.drawn import make_clip

SIDE = 32


class Blind:
    """A network that must not be asked."""

    def get_inputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="input", shape=[1, 3, SIDE, SIDE])]


@pytest.fixture
def truth(tmp_path: Path) -> Truth:
    make_clip(tmp_path, group="human")
    return Truth(tmp_path / "input.mp4", tmp_path / "alpha.mkv")


@pytest.mark.parametrize(("kind", "name"), [(U2Net, "u2net"), (MODNet, "modnet")])
def test_a_network_answers_with_the_true_matte_of_each_frame(
    tmp_path: Path, truth: Truth, monkeypatch: pytest.MonkeyPatch, kind: type[U2Net | MODNet], name: str
) -> None:
    monkeypatch.setattr(Opener, "open", lambda opener, name: Opened(Blind(), "tag", "cpu"))
    frames = list(frames_of(tmp_path / "input.mp4"))

    with truth.for_product():
        opened = Opener(tmp_path, device="cpu", threads=1).open(name)
        alphas = kind(opened.session, SIDE).predict_many([frames[4], frames[1]])

    for alpha, index in zip(alphas, (4, 1), strict=True):
        expected = cv2.resize(clips.matte(index), alpha.shape[::-1], interpolation=cv2.INTER_AREA) / 255
        assert np.abs(alpha - expected).max() < 0.01


def test_a_frame_of_another_clip_is_refused(truth: Truth) -> None:
    with pytest.raises(KeyError):
        truth.picture(np.zeros((clips.HEIGHT, clips.WIDTH, 3), np.uint8))


def test_a_mirror_image_has_the_mirrored_matte(tmp_path: Path, truth: Truth) -> None:
    frame = next(iter(frames_of(tmp_path / "input.mp4")))

    mirrored = truth.picture(np.ascontiguousarray(frame[:, ::-1]))

    assert np.array_equal(mirrored, truth.picture(frame)[:, ::-1])
    assert not np.array_equal(mirrored, truth.picture(frame))
