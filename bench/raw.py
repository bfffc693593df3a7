"""`python -m bench.raw NETWORK IN MATTE`: a bare network frame by frame, the figure that the product has to beat.

Its output, brought to the frame's size, and nothing else: no cuts, no
steadying, no fusion, no edge. U²-Net and IS-Net are stretched to each frame's
own minimum and maximum, as rembg does. RVM's memory is fed back, as its
authors do. Kept apart from `apps/engine/matting`, so that it stays the same
while the product changes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from apps.engine.matting.opening import Opener
from apps.engine.matting.scale import Map, frame_to, map_to
from bench.answers import RECORD, Answers
from bench.video import Alpha, Frame, frames_of, print_costs, write_matte

Look = Callable[[Frame], Map]
"""A frame's alpha, 0..1, at the network's size. May remember earlier frames."""

MODNET_SHORT, MODNET_LONG, MODNET_MULTIPLE = 512, 1024, 32
RVM_COARSE_SHORT = 384

IMAGENET = (np.array([0.485, 0.456, 0.406], np.float32) * 255, np.array([0.229, 0.224, 0.225], np.float32) * 255)
"""To the last bit as the product feeds it, so that its runs can recall what is answered here."""


def _square(session: Any, side: int, mean: Any, spread: Any) -> Look:
    name = session.get_inputs()[0].name

    def look(frame: Frame) -> Map:
        values = (frame_to(frame, side, side).astype(np.float32) - mean) / spread
        raw: Map = session.run(None, {name: _planes(values)})[0][0, 0]
        low, high = float(raw.min()), float(raw.max())
        return (raw - low) / max(high - low, 1e-6)

    return look


def _modnet(session: Any) -> Look:
    name = session.get_inputs()[0].name

    def look(frame: Frame) -> Map:
        height, width = frame.shape[:2]
        scale = min(MODNET_SHORT / min(height, width), MODNET_LONG / max(height, width))
        sides = [max(1, round(side * scale / MODNET_MULTIPLE)) * MODNET_MULTIPLE for side in (width, height)]
        values = frame_to(frame, sides[0], sides[1]).astype(np.float32) / 127.5 - 1
        alpha: Map = session.run(None, {name: _planes(values)})[0][0, 0]
        return alpha

    return look


def _rvm(session: Any) -> Look:
    states = [np.zeros((1, 1, 1, 1), np.float32)] * 4

    def look(frame: Frame) -> Map:
        nonlocal states
        ratio = min(1.0, RVM_COARSE_SHORT / min(frame.shape[:2]))
        feed = {"src": _planes(frame.astype(np.float32) / 255), "downsample_ratio": np.array([ratio], np.float32)}
        feed.update({f"r{index}i": state for index, state in enumerate(states, 1)})
        alpha, *states = session.run(["pha", "r1o", "r2o", "r3o", "r4o"], feed)
        shown: Map = alpha[0, 0]
        return shown

    return look


def _planes(values: Map) -> Map:
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32)


NETWORKS: dict[str, Callable[[Any], Look]] = {
    "u2net": lambda session: _square(session, 320, *IMAGENET),
    "u2netp": lambda session: _square(session, 320, *IMAGENET),
    "modnet": _modnet,
    "isnet": lambda session: _square(session, 1024, 128, 256),
    "rvm": _rvm,
}


def open_raw(network: str, *, models_dir: Path, threads: int, answers: Answers | None = None) -> Look:
    """On the CPU, quantised where the product would use that file."""
    opened = Opener(models_dir, device="cpu", threads=threads).open(network)
    return NETWORKS[network]((answers.through(opened, network) if answers else opened).session)


def _full(alpha: Map, frame: Frame) -> Alpha:
    height, width = frame.shape[:2]
    return np.rint(np.clip(map_to(alpha, width, height), 0, 1) * 255).astype(np.uint8)


def main() -> None:
    began = time.monotonic()
    parser = argparse.ArgumentParser(prog="python -m bench.raw")
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("source", type=Path)
    parser.add_argument("matte", type=Path)
    parser.add_argument("--models-dir", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--answers", type=Path, required=True, help="where the answers are kept for other runs")
    given = parser.parse_args()
    answers = Answers(given.answers, RECORD)
    look = open_raw(given.network, models_dir=given.models_dir, threads=given.threads, answers=answers)
    frames = write_matte(given.matte, (_full(look(frame), frame) for frame in frames_of(given.source)))
    print_costs(began, frames)


if __name__ == "__main__":
    main()
