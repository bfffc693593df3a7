"""Files through the engine's own command line, in the child process that workers use, with the keyer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apps.engine import EngineError, Limits, Options, child
from apps.engine.formats import FORMATS
from apps.engine.options import Background
from trials.judge import Outcome

KEYER = "chroma"
"""Needs no network and keeps no secrets: what it makes of a film is of no interest here."""

GREY = (128, 128, 128)
"""Behind what cannot be transparent."""


def probe(path: Path, *, limits: Limits | None = None, timeout: float = 60) -> Outcome:
    began = time.monotonic()
    try:
        facts = child.probe(path, limits=limits, timeout=timeout).as_dict()
    except EngineError as error:
        return _refused(error, began)
    return Outcome(facts=facts, seconds=time.monotonic() - began)


@contextmanager
def processed(path: Path, folder: Path, *, format_name: str, threads: int = 0) -> Iterator[tuple[Outcome, Path]]:
    """The outcome, and the file that was written; it is gone afterwards."""
    began = time.monotonic()
    target = folder / "result"
    background = Background() if FORMATS[format_name].alpha else Background("color", GREY)
    options = Options(model=KEYER, format=format_name, background=background)
    try:
        try:
            with child.start(path, target, options, models_dir=folder, threads=threads) as run:
                result = run.result()
        except EngineError as error:
            yield _refused(error, began), target
            return
        warnings = frozenset(notice.code for notice in result.warnings)
        taken = Outcome(facts=result.input, frames=result.frames, warnings=warnings, seconds=time.monotonic() - began)
        yield taken, target
    finally:
        target.unlink(missing_ok=True)


def _refused(error: EngineError, began: float) -> Outcome:
    return Outcome(code=error.code, message=str(error), seconds=time.monotonic() - began)
