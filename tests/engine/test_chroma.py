"""The keyer against mattes that are known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from apps.engine.matting.chroma import ChromaModel, find_key

HEIGHT, WIDTH = 180, 320


def soft_disc(softness: float) -> NDArray[np.float64]:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.clip((50 - np.hypot(x - 160, y - 90)) / softness + 0.5, 0, 1)


def on_screen(alpha: NDArray[np.float64], colour: tuple[int, int, int], screen: tuple[int, int, int]) -> np.ndarray:
    mixed = alpha[..., None] * np.array(colour) + (1 - alpha[..., None]) * np.array(screen)
    return np.rint(mixed).astype(np.uint8)


@pytest.mark.parametrize("screen", [(0, 255, 0), (9, 162, 70), (0, 71, 187)], ids=["green", "studio green", "blue"])
@pytest.mark.parametrize("colour", [(200, 30, 40), (120, 120, 120), (230, 220, 205)], ids=["red", "gray", "cream"])
def test_chroma_recovers_a_soft_edge(colour: tuple[int, int, int], screen: tuple[int, int, int]) -> None:
    alpha = soft_disc(4)

    matte = ChromaModel().session(WIDTH, HEIGHT).push(on_screen(alpha, colour, screen))[0]

    assert np.abs(matte.alpha / 255 - alpha).max() < 0.08
    assert np.abs(matte.alpha / 255 - alpha).mean() < 0.001


def test_chroma_takes_the_screen_out_of_the_edge() -> None:
    colour = (200, 30, 40)
    alpha = soft_disc(4)

    matte = ChromaModel().session(WIDTH, HEIGHT).push(on_screen(alpha, colour, (0, 255, 0)))[0]

    assert matte.foreground is not None
    assert np.abs(matte.foreground[alpha > 0.1].astype(int) - colour).max() <= 8


def test_chroma_keeps_a_patterned_subject_opaque() -> None:
    """Dark and bright stripes up to the edge: shading is not transparency."""
    frame = np.full((HEIGHT, WIDTH, 3), (0, 255, 0), np.uint8)
    frame[40:140, 100:220] = 230
    frame[40:140:2, 100:220] = 25

    matte = ChromaModel().session(WIDTH, HEIGHT).push(frame)[0]

    assert set(matte.alpha[40:140, 100:220].ravel().tolist()) == {255}
    assert int(matte.alpha.astype(bool).sum()) == 100 * 120


def test_chroma_of_the_bare_screen_is_empty() -> None:
    matte = ChromaModel().session(WIDTH, HEIGHT).push(on_screen(np.zeros((HEIGHT, WIDTH)), (0, 0, 0), (9, 162, 70)))[0]

    assert int(matte.alpha.max()) == 0
    assert matte.foreground is not None
    assert int(matte.foreground.max()) == 0


def test_find_key_sees_no_screen_in_a_gray_frame() -> None:
    assert find_key(np.full((20, 30, 3), 128, np.uint8)) is None
