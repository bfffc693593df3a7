"""Prove on this machine that a prepared network computes what it should: a drawn scene in, known numbers out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from apps.engine.errors import InstallFailed
from apps.engine.matting.base import Frame
from apps.engine.matting.isnet import ISNet
from apps.engine.matting.modnet import MODNet
from apps.engine.matting.runtime import open_session
from apps.engine.matting.rvm import RVM
from apps.engine.matting.scale import Map
from apps.engine.matting.u2net import U2Net

TOLERANCE = 0.02
"""How far a mean may lie from the expected one: rounding on another CPU moves it by 1e-4, a wrong graph by 0.1."""

PORTRAIT_SIDE = 384

LEAST_IOU = 0.95
"""Between float32 and a copy in fewer bits, on the worst of the drawn scenes."""

SHADES = ((70, 110, 60), (40, 40, 60), (180, 170, 150))
"""Backgrounds of the drawn scenes."""


def scenes() -> list[Frame]:
    """Three drawings of a person-like figure, each elsewhere and before another background."""
    return [figure(shade, 0.35 + 0.15 * index) for index, shade in enumerate(SHADES)]


def figure(shade: tuple[int, int, int], across: float) -> Frame:
    """A figure whose middle is at `across` (0..1) of the width, before a shaded wall."""
    height, width = 288, 384
    ramp = np.linspace(0.6, 1.4, width)[None, :, None] * np.linspace(1.2, 0.8, height)[:, None, None]
    picture = np.clip(np.array(shade) * ramp, 0, 255).astype(np.uint8)
    x = int(width * across)
    cv2.ellipse(picture, (x, 270), (78, 110), 0, 180, 360, (150, 30, 40), -1, cv2.LINE_AA)
    cv2.rectangle(picture, (x - 16, 140), (x + 16, 175), (205, 150, 120), -1)
    cv2.ellipse(picture, (x, 105), (42, 54), 0, 0, 360, (225, 175, 145), -1, cv2.LINE_AA)
    cv2.ellipse(picture, (x, 82), (46, 40), 0, 180, 360, (60, 35, 20), -1, cv2.LINE_AA)
    for side in (-16, 16):
        cv2.circle(picture, (x + side, 100), 5, (30, 20, 20), -1, cv2.LINE_AA)
    cv2.ellipse(picture, (x, 130), (14, 6), 0, 0, 180, (150, 60, 60), -1, cv2.LINE_AA)
    return np.ascontiguousarray(cv2.GaussianBlur(picture, (0, 0), 0.8))


def _u2net(session: Any, side: int) -> list[Map]:
    return U2Net(session, side).predict_many(scenes())


def _isnet(session: Any, side: int) -> list[Map]:
    return ISNet(session, side).predict_many(scenes())


def _modnet(session: Any, side: int) -> list[Map]:
    return MODNet(session, PORTRAIT_SIDE).predict_many(scenes())


def _rvm(session: Any, side: int) -> list[Map]:
    """Alpha and colours of two steps, so that the recurrent state is proved too."""
    network, scene = RVM(session), scenes()[0]
    network.step(scene)
    alpha, foreground = network.step(scene)
    return [alpha, foreground.mean(2)]


RUNS: dict[str, Callable[[Any, int], list[Map]]] = {"u2net": _u2net, "isnet": _isnet, "modnet": _modnet, "rvm": _rvm}
"""By preparation."""


def prove(preparation: str, folder: Path, expected: Mapping[str, Any]) -> dict[str, Any]:
    """Run the prepared files. Raises when float32 is wrong; removes int8 when it strays from float32."""
    run, side = RUNS[preparation], int(expected["side"])
    plain = run(open_session(folder / "model.onnx"), side)
    means = [round(float(one.mean()), 4) for one in plain]
    if not np.allclose(means, expected["means"], atol=TOLERANCE, rtol=0):
        raise InstallFailed(f"The self-test gave {means}, expected {expected['means']}: it would cut out wrongly.")
    result: dict[str, Any] = {"means": means, "precision": "fp32", "said": "Self-test passed."}
    quantised = folder / "model.int8.onnx"
    if quantised.is_file():
        iou = _iou(plain, run(open_session(quantised), side))
        result["int8_iou"] = round(iou, 4)
        if iou > LEAST_IOU:
            result.update(precision="int8", said=f"Self-test passed; int8 agrees with float32 (IoU {iou:.3f}).")
        else:
            quantised.unlink()
            result["said"] = f"Self-test passed; int8 strays on this CPU (IoU {iou:.3f}), so float32 is used: slower."
    return result


def agreement(preparation: str, side: int, plain: Any, other: Any) -> float:
    """IoU of what two sessions make of the drawn scenes, the worst of them."""
    run = RUNS[preparation]
    return _iou(run(plain, side), run(other, side))


def _iou(first: list[Map], second: list[Map]) -> float:
    """The worst of the scenes."""
    scores = []
    for one, other in zip(first, second, strict=True):
        a, b = one >= 0.5, other >= 0.5
        union = int((a | b).sum())
        scores.append(int((a & b).sum()) / union if union else 1.0)
    return min(scores)
