"""`python -m trials.soak`: a long film through the engine; its memory is flat after the first minute, or it fails.

The film is drawn, a few seconds over and over, and lies in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

from apps.engine import EngineError, Options, Run, child
from apps.engine.options import Background
from trials import drawn
from trials.engine import KEYER

ROOT = Path(__file__).resolve().parents[1]
FILM = drawn.Kind("film.mp4", "libx264", sound="aac", options={"preset": "ultrafast"}, container=drawn.FASTSTART)
TOLERANCE = 0.10
"""Of the memory's middle value after the first minute."""

SETTLING_SECONDS = 60
EVERY_SECONDS = 1.0
WINDOW = 10
"""Samples in a median, so that one frame's buffers are no growth."""


@dataclass(slots=True)
class Soaked:
    """One film's course: `megabytes` is the child's resident memory, second by second."""

    model: str
    film_seconds: float
    seconds: float
    frames: int
    peak_megabytes: float
    middle_megabytes: float
    spread: float
    """Largest distance from the middle after the first minute of the work, as a share of it."""
    growth: float
    """Last tenth against the first tenth after the first minute."""
    proof_rise: float
    """Largest memory of the proof against the middle; it holds less, since the matte's networks have gone."""
    megabytes: list[float]
    """All of the course; the first `worked` are of the work, the others of the proof."""
    worked: int
    failure: str = ""

    @property
    def is_flat(self) -> bool:
        return not self.failure and self.spread <= TOLERANCE and self.proof_rise <= TOLERANCE

    def line(self) -> str:
        if self.failure:
            return f"FAIL {self.model}: {self.failure}"
        mark = "ok  " if self.is_flat else "FAIL"
        return (
            f"{mark} {self.model}: {self.film_seconds / 60:g} min, {self.frames} frames in {self.seconds:.0f} s; "
            f"{self.middle_megabytes:.0f} MB ± {self.spread:.1%} after settling (peak {self.peak_megabytes:.0f} MB, "
            f"end against beginning {self.growth:+.1%}, proof {self.proof_rise:+.1%})"
        )


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trials.soak", description=__doc__, allow_abbrev=False)
    parser.add_argument("--minutes", type=float, default=30, metavar="N", help="of film, with the keyer")
    parser.add_argument("--human-minutes", type=float, default=3, metavar="N", help="of film, with human")
    parser.add_argument("--size", default="1920x1080", metavar="WxH")
    parser.add_argument("--format", default="mp4", help="what is written")
    parser.add_argument("--threads", type=int, default=0, metavar="N")
    parser.add_argument("--settling", type=float, default=SETTLING_SECONDS, metavar="S", help="not judged")
    parser.add_argument("--models-dir", type=Path, default=Path(os.environ.get("DATA_DIR", "data")) / "models")
    parser.add_argument("--out", type=Path, default=ROOT / "trials-out" / "soak", metavar="DIR")
    return parser


def main(argv: list[str]) -> int:
    given = make_parser().parse_args(argv)
    width, height = (int(side) for side in given.size.split("x"))
    soaked = []
    for model, minutes in ((KEYER, given.minutes), ("human", given.human_minutes)):
        if minutes <= 0:
            continue
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            print(f"drawing {minutes:g} min at {width} × {height}", file=sys.stderr, flush=True)
            film = draw(Path(folder), minutes, width, height)
            print(f"{model} at work on {film.stat().st_size / 1e6:.0f} MB", file=sys.stderr, flush=True)
            soaked.append(soak(film, model, minutes * 60, given))
            print(soaked[-1].line(), flush=True)
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "report.json").write_text(json.dumps([asdict(one) for one in soaked], indent=1), encoding="utf-8")
    return 0 if all(one.is_flat for one in soaked) else 1


def draw(folder: Path, minutes: float, width: int, height: int) -> Path:
    once = drawn.write(folder / "once.mp4", FILM, frames=drawn.ROUND_FRAMES, width=width, height=height)
    seconds = Fraction(drawn.ROUND_FRAMES, drawn.RATE)
    film = drawn.repeat(once, folder / FILM.name, max(1, round(minutes * 60 / seconds)), seconds=seconds)
    once.unlink()
    return film


def soak(film: Path, model: str, film_seconds: float, given: argparse.Namespace) -> Soaked:
    options = Options(model=model, format=given.format, background=_background(given.format))
    began = time.monotonic()
    course: list[tuple[str, float]] = []
    frames, failure = 0, ""
    try:
        with child.start(
            film, film.with_name("out"), options,
            models_dir=given.models_dir, matte=film.with_name("matte.mkv"), threads=given.threads,
        ) as run:  # fmt: skip
            course = watch(run)
            frames = run.result().frames
    except EngineError as error:
        failure = f"{error.code}: {error}"
    seconds = time.monotonic() - began
    megabytes = [size for _stage, size in course]
    worked = sum(stage != "verifying" for stage, _size in course)
    told = {"settling": given.settling, "worked": worked, "failure": failure}
    return judged(model, film_seconds, seconds, frames, megabytes, **told)


def _background(format_name: str) -> Background:
    return Background("color", (0, 71, 187)) if format_name == "mp4" else Background()


def watch(run: Run) -> list[tuple[str, float]]:
    """Stage and the child's resident memory in megabytes, every second until its work is done."""
    seen: list[tuple[str, float]] = []
    stage = ""
    due = time.monotonic()
    while not run.finished:
        news = run.poll(0.1)
        stage = news.stage if news else stage
        if time.monotonic() >= due:
            due += EVERY_SECONDS
            seen += [(stage, size) for size in resident(run.pid)]
    return seen


def resident(pid: int) -> list[float]:
    """One number, or none when the process has just ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return []
    return [round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)]


def judged(
    model: str,
    film_seconds: float,
    seconds: float,
    frames: int,
    megabytes: list[float],
    *,
    settling: float = SETTLING_SECONDS,
    worked: int | None = None,
    failure: str = "",
) -> Soaked:
    """How flat the course of the work is once it has settled, and that the proof after it takes no more."""
    worked = len(megabytes) if worked is None else worked
    settled = megabytes[round(settling / EVERY_SECONDS) : worked]
    if not failure and len(settled) < 2 * WINDOW:
        failure = f"it worked for only {worked} s, too short to judge; draw a longer film"
    medians = _medians(settled)
    middle = statistics.median(medians) if medians else 0.0
    tenth = max(1, len(medians) // 10)
    first, last = medians[:tenth], medians[-tenth:]
    return Soaked(
        model=model,
        film_seconds=film_seconds,
        seconds=round(seconds, 1),
        frames=frames,
        peak_megabytes=max(megabytes, default=0.0),
        middle_megabytes=middle,
        spread=max((abs(value / middle - 1) for value in medians), default=0.0) if middle else 0.0,
        growth=statistics.mean(last) / statistics.mean(first) - 1 if middle else 0.0,
        proof_rise=max(_medians(megabytes[worked:]), default=middle) / middle - 1 if middle else 0.0,
        megabytes=megabytes,
        worked=worked,
        failure=failure,
    )


def _medians(course: list[float]) -> list[float]:
    return [statistics.median(course[at : at + WINDOW]) for at in range(0, len(course) - WINDOW + 1, WINDOW)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
