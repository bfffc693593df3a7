"""The units of work: one row on one clip, run in a child process and judged by score.py."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from bench.answers import RECALL, RECORD
from bench.folder import Clip
from bench.rows import MODEL, ORACLE, RAW, REMBG, Row
from bench.sheet import indices_of
from bench.store import ENGINE, ROOT, Measured, Store, fingerprint
from bench.video import frames_of

Make = Callable[[Path], Measured]

HERE = ROOT / "bench"
REMBG_LOCK = ROOT / "requirements-bench.lock"
CHILD_SECONDS = 3600
COSTS = ("frames", "frames_inferred", "seconds", "cpu_seconds", "peak_rss_bytes")
INCOMPLETE = 3
"""score.py's exit status when frames or sizes differ."""


class RunFailed(Exception):
    """One run went wrong; the others go on."""


@dataclass(frozen=True, slots=True)
class Bencher:
    """Everything that all units share."""

    judge: Path
    store: Store
    answers: Path
    """What the networks answered in earlier runs."""
    models_dir: Path
    threads: int
    rembg_python: Path

    def row(self, row: Row, clip: Clip) -> Measured:
        """Scores and costs of one row; a model's WebM is scored beside its matte."""
        return self._get(clip, row.name, row, _code(row.kind), lambda folder: self._run(row, clip, folder))

    def mov(self, row: Row, clip: Clip) -> Measured:
        """The delivered ProRes file's own score, from a run of its own with the answers of those before."""

        def make(folder: Path) -> Measured:
            target = folder / "out.mov"
            self._cli(row, clip, target, "mov", RECALL)
            scores = self._score(clip, target, folder)
            target.unlink()
            return scores

        return self._get(clip, f"{row.name} mov", row, ENGINE, make)

    def share(self, row: Row, clip: Clip) -> Measured:
        """What the matte stage alone costs, beside bare U²-Net."""
        command = ["bench.share", str(clip.source), "--model", row.target, *_licence(row), *self._common()]
        code = [*ENGINE, *_raw_code(), HERE / "share.py"]
        return self._get(clip, f"{row.name} share", row, code, lambda folder: _child([sys.executable, "-m", *command]))

    def uncorrected(self, clip: Clip) -> Measured:
        """How far the picture's own colours are from the subject's: what a cutout without correction shows."""

        def make(folder: Path) -> Measured:
            wanted = {int(path.stem) for path in (clip.folder / "fgr").glob("*.png")}
            colours = folder / "fgr"
            colours.mkdir()
            for index, frame in enumerate(frames_of(clip.source)):
                if index in wanted:
                    Image.fromarray(frame).save(colours / f"{index:05}.png")
            scores = self._score(clip, clip.truth, folder, colours)
            shutil.rmtree(colours)
            return {name: scores.get(name) for name in ("fgr_mse", "fgr_mad")}

        return self._get(clip, "uncorrected", None, [HERE / "video.py"], make)

    def _get(self, clip: Clip, unit: str, row: Row | None, code: Iterable[Path], make: Make) -> Measured:
        records = [self.models_dir / network / "installed.json" for network in (row.networks if row else ())]
        told = [
            unit,
            str(self.threads),
            fingerprint([*code, HERE / "measure.py", self.judge]),
            fingerprint(path for path in records if path.is_file()),
            fingerprint([clip.source, clip.truth, *sorted((clip.folder / "fgr").glob("*.png"))]),
        ]
        return self.store.get(clip.name, unit, told, make)

    def _run(self, row: Row, clip: Clip, folder: Path) -> Measured:
        matte, colours = folder / "matte.mkv", folder / "fgr"
        if row.kind == RAW:
            command = [sys.executable, "-m", "bench.raw", row.target, str(clip.source), str(matte), *self._common()]
            costs = _child([*command, "--answers", str(self.answers)])
            return {**self._score(clip, matte, folder), **costs}
        if row.kind == REMBG:
            return {**self._rembg(clip, matte), **self._score(clip, matte, folder)}
        target = folder / "out.webm"
        more = ["--matte", str(matte), "--fgr", str(colours)]
        costs = self._cli(row, clip, target, "webm", RECORD if row.kind == MODEL else RECALL, more)
        measured = self._score(clip, matte, folder, colours)
        if row.kind == MODEL:
            measured |= costs
            measured["webm"] = self._score(clip, target, folder)
        target.unlink()
        keep = {f"{index:05}.png" for index in indices_of(clip)}
        for path in colours.glob("*.png"):
            if path.name not in keep:
                path.unlink()
        return measured

    def _cli(
        self, row: Row, clip: Clip, target: Path, format_name: str, mode: str, more: Sequence[str] = ()
    ) -> Measured:
        """What it cost; that says something only when it was recorded."""
        command = [sys.executable, "-m", "bench.recall", str(self.answers), mode, "--"]
        if row.kind == ORACLE:
            command = [sys.executable, "-m", "bench.oracle", str(clip.source), str(clip.truth), "--"]
        command += [str(clip.source), str(target), "--format", format_name]
        command += ["--model", row.target, "--json", "--device", "cpu", *_licence(row), *self._common(), *more]
        if row.without:
            command += ["--without", row.without]
        result = _child(command)
        return {name: result[name] for name in COSTS} | {"model_version": result["model_version"]}

    def _rembg(self, clip: Clip, matte: Path) -> Measured:
        home = self.store.folder / "rembg-home"
        home.mkdir(parents=True, exist_ok=True)
        link, weights = home / "u2net.onnx", (self.models_dir / "u2net" / "model.onnx").resolve()
        link.unlink(missing_ok=True)
        link.symlink_to(weights)
        command = [str(self.rembg_python), "-m", "bench.rembg_child", str(clip.source), str(matte)]
        return _child([*command, "--threads", str(self.threads)], {"U2NET_HOME": str(home)})

    def _common(self) -> list[str]:
        return ["--models-dir", str(self.models_dir), "--threads", str(self.threads)]

    def _score(self, clip: Clip, predicted: Path, folder: Path, colours: Path | None = None) -> Measured:
        report = folder / "score.json"
        command = [sys.executable, str(self.judge), "one", "--gt", str(clip.folder), "--pred", str(predicted)]
        command += ["--json", str(report), *(["--fgr", str(colours)] if colours else [])]
        _call(command, {}, also_fine=INCOMPLETE)
        scores: Measured = json.loads(report.read_text(encoding="utf-8"))["summary"]
        report.unlink()
        if not scores["complete"]:
            raise RunFailed(f"{predicted.name}: {scores['frames_pred']} frames instead of {scores['frames_gt']}")
        return scores


def _code(kind: str) -> list[Path]:
    """The files on which a row's figures depend."""
    if kind == RAW:
        return _raw_code()
    if kind == REMBG:
        return _rembg_code()
    return [*ENGINE, HERE / "oracle.py"] if kind == ORACLE else ENGINE


def _raw_code() -> list[Path]:
    matting = ROOT / "apps" / "engine" / "matting"
    return [HERE / "raw.py", HERE / "video.py", matting / "opening.py", matting / "runtime.py", matting / "scale.py"]


def _rembg_code() -> list[Path]:
    return [HERE / "rembg_child.py", HERE / "video.py", REMBG_LOCK]


def _licence(row: Row) -> list[str]:
    return ["--permissive"] if row.is_permissive else []


def _child(command: list[str], environment: Mapping[str, str] | None = None) -> Measured:
    """The last line of its output is its report."""
    last = _call(command, environment or {}).strip().rpartition("\n")[2]
    report: Measured = json.loads(last)
    return report


def _call(command: list[str], environment: Mapping[str, str], *, also_fine: int = 0) -> str:
    surroundings = {**os.environ, **environment}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=surroundings, capture_output=True, text=True, timeout=CHILD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise RunFailed(f"took more than {CHILD_SECONDS} s") from None
    except OSError as error:
        raise RunFailed(f"{command[0]} does not start: {error}") from error
    if done.returncode not in (0, also_fine):
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["said nothing"]
        raise RunFailed(f"exit {done.returncode}: {_refusal(done.stdout) or said[-1]}")
    return done.stdout


def _refusal(printed: str) -> str:
    """The product's own word on a refusal, from its closing report."""
    try:
        error = json.loads(printed.strip().rpartition("\n")[2])["error"]
        return f"{error['code']}: {error['message']}"
    except (ValueError, KeyError, TypeError):
        return ""
