"""`python -m bench.share IN`: what a model's matte stage costs beside bare U²-Net int8 on the same clip.

The matte stage is everything between a decoded frame and its finished matte:
pre-processing, inference, steadying, refinement. Decoding, the estimate of the
foreground's colours, loading and warming up are left out. Bare U²-Net takes the clip's first half before the model and
its second half after it, so that a busy minute of the machine weighs on both.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apps.engine.matting.base import Model
from apps.engine.matting.load import load
from bench.raw import Look, open_raw
from bench.video import Frame, frames_of

YARDSTICK = "u2net"
WARM_UP = 2


class Watch:
    """CPU seconds of all threads, and seconds on the wall, added up over several stretches."""

    def __init__(self) -> None:
        self.cpu_seconds = self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.cpu_seconds += time.process_time() - cpu
        self.seconds += time.perf_counter() - wall


def run_matte_stage(model: Model, frames: list[Frame]) -> int:
    height, width = frames[0].shape[:2]
    session = model.session(width, height)
    return sum(len(session.push(frame)) for frame in frames) + len(session.flush())


def measure(model: Model, bare: Look, frames: list[Frame]) -> dict[str, float]:
    ours, yardstick = Watch(), Watch()
    half = len(frames) // 2
    run_matte_stage(model, frames[:WARM_UP])
    for frame in frames[:WARM_UP]:
        bare(frame)
    with yardstick.running():
        for frame in frames[:half]:
            bare(frame)
    with ours.running():
        mattes = run_matte_stage(model, frames)
    with yardstick.running():
        for frame in frames[half:]:
            bare(frame)
    if mattes != len(frames):
        raise SystemExit(f"error: {mattes} mattes for {len(frames)} frames")
    return {
        "frames": len(frames),
        "stage_cpu_seconds": ours.cpu_seconds,
        "stage_seconds": ours.seconds,
        "yardstick_cpu_seconds": yardstick.cpu_seconds,
        "yardstick_seconds": yardstick.seconds,
        "cpu_share": ours.cpu_seconds / yardstick.cpu_seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.share")
    parser.add_argument("source", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--permissive", action="store_true")
    parser.add_argument("--models-dir", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    given = parser.parse_args()
    model = load(
        given.model,
        models_dir=given.models_dir,
        device="cpu",
        threads=given.threads,
        permissive=given.permissive,
        without=frozenset({"foreground"}),
    )
    bare = open_raw(YARDSTICK, models_dir=given.models_dir, threads=given.threads)
    print(json.dumps(measure(model, bare, list(frames_of(given.source)))), flush=True)


if __name__ == "__main__":
    main()
