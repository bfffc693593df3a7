"""One run of the pipeline, as the tests ask for it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np

from apps.engine.formats import FORMATS
from apps.engine.matting.base import Matte
from apps.engine.matting.load import load
from apps.engine.options import Background, Options
from apps.engine.pipeline import process
from apps.engine.report import Result
from apps.engine.task import Task
from tests.clips import matte

MAGENTA = Background("color", (255, 0, 255))


def chroma():
    return load("chroma", models_dir=Path("/nowhere"))


class SlowModel:
    """Looks two frames ahead, as temporal models do; says everything is subject."""

    name, version, networks, device = "light", "slow@1", (), "cpu"

    def __init__(
        self, *, seconds: float = 0, ahead: int = 2, lost: int = 0, error: Exception | None = None, alpha: int = 255
    ) -> None:
        self.seconds, self.ahead, self.lost, self.error, self.alpha = seconds, ahead, lost, error, alpha

    def session(self, width: int, height: int) -> SlowModel:
        self.held: list[Matte] = []
        return self

    def push(self, frame: np.ndarray) -> list[Matte]:
        time.sleep(self.seconds)
        if self.error is not None and len(self.held) == self.ahead:
            raise self.error
        self.held.append(Matte(np.full(frame.shape[:2], self.alpha, np.uint8), None, inferred=len(self.held) % 2 == 0))
        return [self.held.pop(0)] if len(self.held) > self.ahead else []

    def flush(self) -> list[Matte]:
        rest, self.held = self.held[self.lost :], []
        return rest


class KnownModel:
    """Knows every matte of the clip, and no colour but the frame's own."""

    name, version, networks, device = "light", "known@1", (), "cpu"

    def session(self, width: int, height: int) -> KnownModel:
        self.count = 0
        return self

    def push(self, frame: np.ndarray) -> list[Matte]:
        self.count += 1
        return [Matte(matte(self.count - 1), frame)]

    def flush(self) -> list[Matte]:
        return []


def run(source: Path, target: Path, options: Options, *, model=None, tell=None, canceled=None, **fields) -> Result:
    task = Task(source, target, options, load_model=(lambda: model) if model else chroma, threads=1, **fields)
    return process(task, tell=tell or (lambda progress: None), canceled=canceled or threading.Event())


def options(name: str, **changes) -> Options:
    background = Background() if FORMATS[name].alpha else MAGENTA
    return Options(**{"model": "light", "format": name, "background": background, **changes})


def only(folder: Path, *names: str) -> bool:
    return sorted(entry.name for entry in folder.iterdir()) == sorted(names)


class ScriptedModel(SlowModel):
    """Answers each frame with the matte that was written down for it."""

    def __init__(self, mattes: list[np.ndarray]) -> None:
        super().__init__(ahead=0)
        self.mattes = mattes

    def push(self, frame: np.ndarray) -> list[Matte]:
        self.held.append(Matte(self.mattes[len(self.held)], None, inferred=True))
        return [self.held[-1]]

    def flush(self) -> list[Matte]:
        return []
