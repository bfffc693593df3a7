"""`python -m trials.cost`: what the pipeline costs beside its own stages, each run alone and one after the other.

Both are the same work on the same clip, in one process with the model already
loaded, taken in turns; what is told are medians of the turns' ratios, because
a shared machine is now slow and now fast. A stage alone gets a few frames at a
time and nothing runs beside it. `encode` is every file that a job writes: the
result, the kept matte, and the preview where the format has one. The proof
(every file decoded again, beside the kept matte) is nobody's stage; it is told apart.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import mock

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from apps.engine import pipeline
from apps.engine.composer import Composed, Composer
from apps.engine.decode import Decoder, Picture
from apps.engine.encode import WRITERS, MatteWriter, Spec, Writer
from apps.engine.facts import survey
from apps.engine.formats import FORMATS
from apps.engine.matting.base import Model
from apps.engine.matting.load import load
from apps.engine.options import Background, Options
from apps.engine.plan import make_plan
from apps.engine.preview import PreviewWriter
from apps.engine.quality import Quality
from apps.engine.report import Facts
from apps.engine.source import open_source
from apps.engine.task import Task

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("decode", "matte", "colour", "encode")
RATIOS = ("cpu", "cpu_proved", "wall", "wall_proved", "least")
CHUNK = 8
"""Frames that one stage gets before the next one's turn."""

BLUE = Background("color", (0, 71, 187))


@dataclass(slots=True)
class Cost:
    """CPU seconds of all threads, and seconds on the wall."""

    cpu: float = 0.0
    wall: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            yield
        finally:
            self.cpu += time.process_time() - cpu
            self.wall += time.perf_counter() - wall


@dataclass(slots=True)
class Turn:
    """One run of either kind, side by side."""

    alone: dict[str, Cost]
    whole: Cost
    proof: Cost

    @property
    def ratios(self) -> dict[str, float]:
        """`cpu` and `wall` without the proof, `…_proved` with it; `least` is the wall that the cores allow."""
        total = sum(cost.cpu for cost in self.alone.values())
        slower = max(self.alone["matte"].wall, self.alone["encode"].wall)
        return {
            "cpu": (self.whole.cpu - self.proof.cpu) / total,
            "cpu_proved": self.whole.cpu / total,
            "wall": (self.whole.wall - self.proof.wall) / slower,
            "wall_proved": self.whole.wall / slower,
            "least": max(1.0, total / len(os.sched_getaffinity(0)) / slower),
        }


@dataclass(slots=True)
class Row:
    clip: str
    model: str
    format: str
    frames: int
    turns: list[Turn] = field(default_factory=list)

    def ratio(self, name: str) -> float:
        return statistics.median(turn.ratios[name] for turn in self.turns)

    def line(self) -> str:
        stages = "  ".join(f"{name} {self._ms(name):6.1f}" for name in STAGES)
        proof = statistics.median(turn.proof.cpu for turn in self.turns) / self.frames * 1000
        told = "  ".join(f"{name} {self.ratio(name):.2f}" for name in RATIOS)
        return f"{self.clip:22.22} {self.model:8} {self.format:12} {stages}  proof {proof:6.1f} ms/frame   {told}"

    def _ms(self, name: str) -> float:
        return statistics.median(turn.alone[name].cpu for turn in self.turns) / self.frames * 1000


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trials.cost", description=__doc__, allow_abbrev=False)
    parser.add_argument("--models", default="chroma,light,human", metavar="A,B")
    parser.add_argument("--formats", default="webm", metavar="A,B", help=f"of {', '.join(FORMATS)}")
    parser.add_argument("--sizes", default="1280x720,1920x1080", metavar="WxH,WxH", help="of the clips that are drawn")
    parser.add_argument(
        "--inputs", type=Path, metavar="PATH", help="a clip, or a folder of clips, instead of drawn ones"
    )
    parser.add_argument("--frames", type=int, default=48, metavar="N", help="of a drawn clip")
    parser.add_argument("--turns", type=int, default=3, metavar="N")
    parser.add_argument("--threads", type=int, default=2, metavar="N")
    parser.add_argument("--models-dir", type=Path, default=Path(os.environ.get("DATA_DIR", "data")) / "models")
    parser.add_argument("--out", type=Path, default=ROOT / "trials-out" / "cost", metavar="DIR")
    return parser


def main(argv: list[str]) -> int:
    given = make_parser().parse_args(argv)
    rows = []
    with tempfile.TemporaryDirectory(prefix="cost-") as name:
        clips = _given(given.inputs) if given.inputs else _drawn(Path(name), given.sizes, given.frames)
        for model_name in given.models.split(","):
            model = load(model_name, models_dir=given.models_dir, device="cpu", threads=given.threads)
            for clip in clips:
                for format_name in given.formats.split(","):
                    rows.append(measure(clip, model, format_name, Path(name), given))
                    print(rows[-1].line(), flush=True)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "report.json").write_text(json.dumps([asdict(row) for row in rows], indent=1), encoding="utf-8")
    return 0


def _given(path: Path) -> list[Path]:
    clips = sorted(path.rglob("*.mp4")) if path.is_dir() else [path]
    if not clips:
        raise SystemExit(f"error: no .mp4 in {path}")
    return clips


def _drawn(folder: Path, sizes: str, frames: int) -> list[Path]:
    clips = []
    for size in sizes.split(","):
        width, height = (int(side) for side in size.split("x"))
        clips.append(draw(folder / f"drawn-{size}.mp4", width, height, frames))
    return clips


def draw(path: Path, width: int, height: int, frames: int) -> Path:
    """A subject with texture moves before a green screen with a camera's grain."""
    chance = np.random.default_rng(1)
    noise = chance.integers(0, 256, (height, width, 3), np.uint8)
    cloth = np.asarray(cv2.GaussianBlur(noise, (0, 0), 2), np.uint8)
    grain = chance.integers(0, 9, (height, width, 3), np.uint8)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "veryfast", "crf": "20"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frames):
            pixels = _picture(index, cloth, np.roll(grain, 37 * index, axis=1))
            frame = VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p", dst_colorspace="ITU709")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def _picture(index: int, cloth: NDArray[np.uint8], grain: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = cloth.shape[:2]
    cover = np.zeros((height, width), np.uint8)
    centre = (round(width * (0.4 + 0.004 * (index % 50))), round(height * 0.55))
    cv2.ellipse(cover, centre, (width // 6, height // 3), 0, 0, 360, 255, -1)
    weight = cv2.GaussianBlur(cover, (0, 0), 1.5)[..., None] / 255
    moved = np.roll(cloth, 5 * index, axis=1) * np.array([0.9, 0.4, 0.7]) + np.array([40, 0, 30])
    return np.asarray(np.clip(moved * weight + np.array([20, 190, 30]) * (1 - weight) + grain, 0, 255), np.uint8)


def measure(clip: Path, model: Model, format_name: str, folder: Path, given: argparse.Namespace) -> Row:
    background = Background() if FORMATS[format_name].alpha else BLUE
    preview = folder / "preview" if FORMATS[format_name].needs_preview else None
    task = Task(
        clip, folder / "out", Options(model=model.name, format=format_name, background=background),
        load_model=lambda: model, matte=folder / "matte.mkv", preview=preview, threads=given.threads,
    )  # fmt: skip
    name = clip.stem if clip.stem != "input" else clip.parent.name
    # Not counted: the first call of everything is dearer.
    in_turn(task, model, folder)
    row = Row(name, model.name, format_name, frames=0)
    for _ in range(given.turns):
        row.frames, alone = in_turn(task, model, folder)
        row.turns.append(Turn(alone, *at_once(task)))
    return row


def at_once(task: Task) -> tuple[Cost, Cost]:
    """The pipeline as jobs run it, and of that the proof."""
    whole, proof = Cost(), Cost()
    prove = pipeline.Work._verify

    def watched(work: pipeline.Work, *arguments: Any) -> None:
        with proof.running():
            prove(work, *arguments)

    with mock.patch.object(pipeline.Work, "_verify", watched), whole.running():
        pipeline.process(task, tell=lambda progress: None, canceled=threading.Event())
    return whole, proof


def in_turn(task: Task, model: Model, folder: Path) -> tuple[int, dict[str, Cost]]:
    """(frames, what each stage costs) when a few frames at a time go through one stage after the other."""
    costs = {name: Cost() for name in STAGES}
    cv2.setNumThreads(task.threads)
    with costs["decode"].running():
        found = survey(task.source, keep_audio=False)
    composer = Composer(task, make_plan(found.facts, task.options), found.facts, Quality())
    session = model.session(found.facts.width, found.facts.height)
    frames = 0
    with open_source(task.source, keep_audio=False) as source:
        decoder = Decoder(source, found, scratch=folder, threads=task.threads)
        writers = _open(task, folder, decoder.clock, found.facts)
        pictures = decoder.pictures()
        waiting: deque[Picture] = deque()
        chunk = None
        while chunk != []:
            with costs["decode"].running():
                chunk = list(islice(pictures, CHUNK))
            with costs["matte"].running():
                mattes = [matte for picture in chunk for matte in session.push(picture.rgb)]
                mattes += session.flush() if not chunk else []
            waiting += chunk
            with costs["colour"].running():
                composed = [composer.compose(waiting.popleft(), matte) for matte in mattes]
            with costs["encode"].running():
                _write(writers, composed, is_last=not chunk)
            frames += len(composed)
    return frames, costs


def _open(task: Task, folder: Path, clock: Fraction, facts: Facts) -> list[tuple[Writer, pipeline.Side]]:
    """Every file that the pipeline would write, with the side of a frame that it takes."""
    spec = Spec(
        width=facts.width, height=facts.height, rate=Fraction(facts.fps).limit_denominator(1001),
        source_clock=clock, opaque=task.options.is_opaque, threads=task.threads,
    )  # fmt: skip
    result = WRITERS[task.options.format](folder / "alone", spec)
    writers = [(result, pipeline.CUTOUT), (MatteWriter(folder / "alone.mkv", spec), pipeline.MATTE)]
    if task.preview is not None:
        writers.append((PreviewWriter(folder / "alone.preview", spec), pipeline.CUTOUT))
    return writers


def _write(writers: list[tuple[Writer, pipeline.Side]], composed: list[Composed], *, is_last: bool) -> None:
    for item in composed:
        for writer, side in writers:
            writer.write(side(item))
    for writer, _ in writers if is_last else ():
        writer.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
