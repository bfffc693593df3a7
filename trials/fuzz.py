"""`python -m trials.fuzz`: damaged copies of many clips through probe and process; whatever ends badly is kept.

Every copy must be processed or refused in words, within a time, by a child
with the walls that workers' children have.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from trials import drawn, engine
from trials.damage import damaged
from trials.index import BadIndex
from trials.judge import REFUSALS
from trials.nursery import Ended, Nursery, nursery

ROOT = Path(__file__).resolve().parents[1]
LARGEST_FILE, LARGEST_FILM = 300_000, 25_000_000
"""Bytes, and pixels in all frames, of a file from elsewhere: larger ones cost seconds each and break no better."""

LIMITS = ("--max-seconds", "600", "--max-side", "4096", "--max-fps", "240")
"""As a site has them by default."""

FORMATS = ("mov", "webm", "mp4", "gif", "webp", "png_sequence")


@dataclass(frozen=True, slots=True)
class Copy:
    """One damaged copy. Its name tells the whole of it: seed, number, source."""

    name: str
    source: Path
    seed: str

    def write(self, folder: Path) -> Path:
        path = folder / "copy"
        path.write_bytes(damaged(self.source.read_bytes(), self.seed))
        return path


@dataclass(frozen=True, slots=True)
class Found:
    """How one of the two looks at a copy ended."""

    copy: Copy
    look: str
    ended: Ended

    @property
    def outcome(self) -> str:
        report, status = self.ended.report, self.ended.status
        if self.ended.hung:
            return "hang"
        if report is None:
            return f"died of signal {-status}" if status < 0 else f"ended with {status} and no report"
        if report["error"]:
            return str(report["error"]["code"])
        return "processed" if not report["warnings"] else "processed with a warning"

    @property
    def is_bad(self) -> bool:
        return not (self.outcome.startswith("processed") or self.outcome in REFUSALS)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trials.fuzz", description=__doc__, allow_abbrev=False)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--count", type=int, default=1000, metavar="N", help="damaged copies in all")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="go on at this copy")
    parser.add_argument("--inputs", type=Path, metavar="DIR", help="also damage the small files of this folder")
    parser.add_argument("--seconds", type=float, default=120, metavar="S", help="a look that takes longer hangs")
    parser.add_argument("--children", type=int, default=2, metavar="N")
    parser.add_argument("--out", type=Path, default=ROOT / "trials-out" / "fuzz", metavar="DIR")
    return parser


def main(argv: list[str]) -> int:
    given = make_parser().parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        try:
            sources = [*draw(Path(name)), *elsewhere(given.inputs)]
        except BadIndex as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        copies = list(plan(sources, given.seed, given.first, given.count))
        found = [row for rows in drive(copies, given.children, given.seconds) for row in rows]
        bad = [row for row in found if row.is_bad]
        for row in bad:
            keep(row, given.out)
    tell(found, bad, given)
    return 1 if bad else 0


def draw(folder: Path) -> list[Path]:
    os.environ.setdefault("SVT_LOG", "0")
    return [drawn.write(folder / kind.name, kind) for kind in drawn.KINDS]


def elsewhere(folder: Path | None) -> list[Path]:
    """The small files of a folder that somebody gives."""
    if folder is None:
        return []
    if not folder.is_dir():
        raise BadIndex(f"{folder} is no folder.")
    found = [path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix != ".json"]
    small = [path for path in found if 0 < path.stat().st_size <= LARGEST_FILE]
    return [path for path in small if pixels(path) <= LARGEST_FILM]


def pixels(path: Path) -> int:
    """Of all frames; none in a file that is no video."""
    facts = engine.probe(path).facts
    return int(facts["width"] * facts["height"] * facts["frames"]) if facts else 0


def plan(sources: list[Path], seed: str, first: int, count: int) -> Iterator[Copy]:
    """The same copies for the same seed and sources, whatever was asked before."""
    for number in range(first, first + count):
        source = sources[number % len(sources)]
        yield Copy(f"{seed}-{number:05}-{source.name}", source, f"{seed}/{number}/{source.name}")


def drive(copies: list[Copy], children: int, seconds: float) -> Iterator[list[Found]]:
    """Both looks at every copy, in as many processes at once."""
    own = threading.local()

    def one(copy: Copy) -> list[Found]:
        if not hasattr(own, "nurse"):
            own.nurse = nursery()
            own.nursery = own.nurse.__enter__()
        return look(copy, own.nursery, seconds)

    with ThreadPoolExecutor(children) as pool:
        for number, rows in enumerate(pool.map(one, copies), 1):
            for row in rows:
                if row.is_bad:
                    print(f"BAD  {row.copy.name}: {row.look}: {row.outcome}", file=sys.stderr, flush=True)
            if number % 50 == 0:
                print(f"[{number}/{len(copies)}]", file=sys.stderr, flush=True)
            yield rows


def look(copy: Copy, nurse: Nursery, seconds: float) -> list[Found]:
    """Probe it, then process it, whatever the probe said."""
    format_name = random.Random(copy.seed).choice(FORMATS)
    with tempfile.TemporaryDirectory(prefix="copy-") as name:
        path = copy.write(Path(name))
        probed = nurse.run(["--probe", *LIMITS, "--", str(path)], seconds=seconds)
        more = ["--model", "chroma", "--format", format_name, "--threads", "1"]
        if format_name == "mp4":
            more += ["--bg-color", "#0000ff"]
        processed = nurse.run([*more, *LIMITS, "--", str(path), str(Path(name) / "out")], seconds=seconds)
        left = [entry.name for entry in Path(name).iterdir() if entry.name not in ("copy", "out")]
    rows = [Found(copy, "probe", probed), Found(copy, format_name, processed)]
    # Whoever has to be killed cannot tidy up; the house does it for its children.
    if left and not processed.hung:
        note = Ended(processed.status, False, 0, {"error": {"code": f"left {left} behind"}}, "")
        rows.append(Found(copy, "left behind", note))
    return rows


def keep(row: Found, out: Path) -> None:
    """The copy, and how it went, for whoever mends it."""
    out.mkdir(parents=True, exist_ok=True)
    row.copy.write(out).replace(out / row.copy.name)
    told = {"look": row.look, "outcome": row.outcome, "status": row.ended.status, "seconds": row.ended.seconds}
    text = json.dumps({**told, "report": row.ended.report, "log": row.ended.log}, indent=1)
    (out / f"{row.copy.name}.{row.look}.json").write_text(text, encoding="utf-8")


def tell(found: list[Found], bad: list[Found], given: argparse.Namespace) -> None:
    looks = collections.Counter(("probe" if row.look == "probe" else "process", row.outcome) for row in found)
    for (look_name, outcome), count in sorted(looks.items()):
        print(f"{look_name:8} {outcome:40} {count:6}")
    slowest = max(found, key=lambda row: row.ended.seconds, default=None)
    if slowest is not None:
        print(f"slowest: {slowest.ended.seconds:.1f} s, {slowest.look} of {slowest.copy.name}")
    kept = f", kept in {os.path.relpath(given.out)}" if bad else ""
    print(f"{given.count} copies with seed {given.seed}: {len(bad)} ended badly{kept}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
