"""`python -m bench DIR`: measure, compare, draw. `make bench BENCH=DIR` prepares what it needs and runs this."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from av.error import FFmpegError

from apps.engine.matting import weights
from bench import sheet
from bench.folder import Bench, BenchError, Clip, choose, open_bench, quickest_of_each_group
from bench.measure import Bencher, RunFailed
from bench.publish import publish
from bench.report import WORST_LOSS, Report
from bench.rows import MODEL, ORACLE, PEERS, RAW, REMBG, SHARE_PROMISED, WITHOUT, Row, ablations, plan
from bench.store import ROOT, Measured, Store, alone_in, write_json
from bench.tables import markdown

PAGE = ROOT / "docs" / "benchmarks.md"
PARTS = ("models", "shares", "oracles", "raw", "mov", "ablations", "rembg")
"""In the order in which they are measured: what matters most first, so that an interrupted bench has it."""


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, allow_abbrev=False)
    parser.add_argument("bench", type=Path, metavar="DIR", help="score.py and the sequences, or a folder dev with them")
    parser.add_argument("--models", type=_words, default=[], metavar="A,B", help=f"models, {', '.join(PEERS)}")
    parser.add_argument("--only", type=_words, default=[], metavar="A,B", help="sequences by name, group, tag or role")
    parser.add_argument(
        "--parts", type=_words, default=[], metavar="A,B", help=f"of {', '.join(PARTS)}; all if not given"
    )
    parser.add_argument(
        "--ablate", type=_words, default=[], metavar="A,B", help="models to leave stages out of; all if not given"
    )
    parser.add_argument("--quick", action="store_true", help="one sequence per group, no ablations")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured before")
    parser.add_argument("--publish", action="store_true", help="write the figures into docs/benchmarks.md")
    parser.add_argument("--threads", type=int, default=2, metavar="N")
    parser.add_argument("--out", type=Path, default=ROOT / "bench-out", metavar="DIR")
    parser.add_argument("--models-dir", type=Path, default=Path(os.environ.get("DATA_DIR", "data")) / "models")
    parser.add_argument("--rembg-python", type=Path, default=Path("no-rembg"), help="an environment that has rembg")
    return parser


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def main(argv: list[str]) -> int:
    given = make_parser().parse_args(argv)
    try:
        bench = open_bench(given.bench)
        clips = choose(bench.clips, given.only)
        parts = choose_parts(given.parts)
        rows = plan(given.models)
        if "ablations" in parts and not given.quick:
            rows += ablations(rows, given.ablate)
        if given.publish and (given.quick or given.only):
            raise BenchError("Only figures of every sequence are published: leave out QUICK and ONLY.")
        with alone_in(given.out):
            report = measure(given, bench, quickest_of_each_group(clips) if given.quick else clips, rows, parts)
            draw_sheets(report, given.out)
            figures = markdown(report)
            write(report, figures, given.out)
        print(figures)
        if given.publish and not report.failures:
            publish(PAGE, figures)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; what was measured is kept, and the same command goes on from there", file=sys.stderr)
        return 130
    for failure in report.failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if report.failures else 0


def choose_parts(wanted: list[str]) -> list[str]:
    if unknown := [name for name in wanted if name not in PARTS]:
        raise BenchError(f"PARTS={','.join(unknown)} is unknown. Known: {', '.join(PARTS)}.")
    return [name for name in PARTS if name in wanted or not wanted]


def measure(given: argparse.Namespace, bench: Bench, clips: list[Clip], rows: list[Row], parts: list[str]) -> Report:
    store = Store(given.out.resolve() / "units", fresh=given.fresh)
    models_dir = given.models_dir.resolve()
    _require(models_dir, rows)
    # Not resolved: an environment's Python is known by the path that it is called by.
    bencher = Bencher(
        judge=bench.judge,
        store=store,
        answers=given.out.resolve() / "answers",
        models_dir=models_dir,
        threads=given.threads,
        rembg_python=given.rembg_python.absolute(),
    )
    report = Report(rows, clips, given.threads)
    steps = [step for part in parts for step in _steps(part, bencher, report)]
    for number, (what, into, clip_name, work) in enumerate(steps, 1):
        print(f"[{number}/{len(steps)}] {what}, {clip_name}", file=sys.stderr, flush=True)
        try:
            into[clip_name] = work()
        except (RunFailed, FFmpegError) as failure:
            report.failures.append(f"{what}, {clip_name}: {failure}")
    print(f"{store.reused} of {len(steps)} were known from before (FRESH=1 measures anew)", file=sys.stderr)
    _judge_delivered(report)
    return report


def _require(models_dir: Path, rows: list[Row]) -> None:
    known = weights.networks()
    needed = dict.fromkeys(network for row in rows for network in row.networks)
    if missing := [name for name in needed if not weights.network_status(models_dir, known[name]).installed]:
        install = f"python manage.py models install {' '.join(missing)}"
        raise BenchError(f"{', '.join(missing)} missing in {models_dir}: {install}")


Step = tuple[str, dict[str, Measured], str, Callable[[], Measured]]
"""What it is, where its result goes, the clip's name, the work."""


def _steps(part: str, bencher: Bencher, report: Report) -> list[Step]:
    """One part of the bench. Where costs count, clip by clip: rows that are compared meet the same minutes."""

    def of(kind: str) -> list[Row]:
        return [row for row in report.rows if row.kind == kind]

    clips = report.clips
    if part == "shares":
        promised = [row for row in of(MODEL) if row.name in SHARE_PROMISED]
        return [_share(bencher, report, clip, row) for clip in clips for row in promised]
    if part == "mov":
        return [_mov(bencher, report, clip, row) for row in of(MODEL) for clip in clips]
    if part == "ablations":
        return [_one(bencher, report, clip, row) for row in of(WITHOUT) for clip in clips]
    rows = of({"models": MODEL, "oracles": ORACLE, "raw": RAW, "rembg": REMBG}[part])
    steps = [_one(bencher, report, clip, row) for clip in clips for row in rows]
    if part != "models":
        return steps
    return [*(_uncorrected(bencher, report, clip) for clip in clips), *steps]


def _uncorrected(bencher: Bencher, report: Report, clip: Clip) -> Step:
    return "uncorrected picture", report.uncorrected, clip.name, partial(bencher.uncorrected, clip)


def _share(bencher: Bencher, report: Report, clip: Clip, row: Row) -> Step:
    into = report.shares.setdefault(row.name, {})
    return f"{row.name}, matte stage", into, clip.name, partial(bencher.share, row, clip)


def _mov(bencher: Bencher, report: Report, clip: Clip, row: Row) -> Step:
    return f"{row.name}, mov", report.mov.setdefault(row.name, {}), clip.name, partial(bencher.mov, row, clip)


def _one(bencher: Bencher, report: Report, clip: Clip, row: Row) -> Step:
    return row.name, report.measured.setdefault(row.name, {}), clip.name, partial(bencher.row, row, clip)


def _judge_delivered(report: Report) -> None:
    for row in report.rows:
        for format_name in ("webm", "mov") if row.kind == MODEL else ():
            losses = report.losses(row.name, format_name)
            if losses and max(losses) > WORST_LOSS:
                text = f"the delivered file is {max(losses):.2f} mad above its matte, {WORST_LOSS:g} is allowed"
                report.failures.append(f"{row.name}, {format_name}: {text}")


def write(report: Report, figures: str, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "report.json", report.as_dict())
    (out / "figures.md").write_text(figures + "\n", encoding="utf-8")


def draw_sheets(report: Report, out: Path) -> None:
    shown = [row for row in report.rows if row.kind not in (WITHOUT, ORACLE)]
    for clip in report.clips:
        try:
            sheet.draw(clip, shown, units=out / "units" / clip.name, target=out / "sheets" / f"{clip.name}.png")
        except FFmpegError as failure:
            report.failures.append(f"contact sheet, {clip.name}: {failure}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
