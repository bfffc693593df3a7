"""One request to the engine with its paths, checked before any work, and the files it is writing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from apps.engine.child import Limits
from apps.engine.cores import usable_cores
from apps.engine.errors import BadOptions
from apps.engine.matting.base import Model
from apps.engine.options import Options
from apps.engine.parts import part_path, remove


@dataclass(slots=True)
class Task:
    source: Path
    target: Path
    options: Options
    load_model: Callable[[], Model]
    """Called once the input is known to be good: loading weights takes seconds."""
    matte: Path | None = None
    foreground: Path | None = None
    preview: Path | None = None
    poster: Path | None = None
    newest: Path | None = None
    """Where a small picture of the newest frame is kept while the work goes on."""
    background_image: Path | None = None
    limits: Limits = field(default_factory=Limits)
    threads: int = 0
    without: frozenset[str] = frozenset()
    """Stages left out, to measure what they are worth."""

    def __post_init__(self) -> None:
        self.threads = self.threads or usable_cores()
        self._check_paths()

    def _check_paths(self) -> None:
        written = {"output": self.target, "matte": self.matte, "fgr": self.foreground, "preview": self.preview}
        written |= {"poster": self.poster, "newest": self.newest}
        seen: dict[Path, str] = {self.source.resolve(): "input"}
        if self.background_image is not None:
            seen[self.background_image.resolve()] = "bg_image"
        for name, path in written.items():
            if path is None:
                continue
            if not path.resolve().parent.is_dir():
                raise BadOptions(f"The folder of {path} does not exist. Make it first.", param=name)
            if path.resolve() in seen:
                raise BadOptions(f"{name} is the same file as {seen[path.resolve()]}. Choose another.", param=name)
            seen[path.resolve()] = name
            if not os.access(path.resolve().parent, os.W_OK):
                raise BadOptions(f"Nothing can be written to the folder of {path}. Choose another.", param=name)
            # Publishing renames over the target: as root that would replace /dev/null for the whole machine.
            if path.exists() and not path.is_file() and not path.is_dir():
                raise BadOptions(f"{path} is not a regular file. Choose another name.", param=name)
            if path.is_dir() and (name != "fgr" or any(path.iterdir())):
                raise BadOptions(f"{path} is a folder that is in use. Choose another.", param=name)


class Drafts:
    """The files of one task while they are written. All become real together, or none does."""

    def __init__(self) -> None:
        self._drafts: dict[Path, Path] = {}
        self._extra: list[Path] = []

    def draft(self, target: Path) -> Path:
        self._drafts[target] = part_path(target)
        return self._drafts[target]

    def scratch(self, target: Path, tag: str) -> Path:
        """A file that nobody asked for; it never becomes real."""
        path = part_path(target, tag=tag)
        self._extra.append(path)
        return path

    def passing(self, path: Path) -> Path:
        """A file that is there only while the work goes on."""
        self._extra.append(path)
        return path

    def publish(self) -> None:
        """Give the finished files their names; what was there before stays until this moment."""
        done: list[Path] = []
        try:
            for draft in self._drafts.values():
                _sync(draft)
            for target, draft in self._drafts.items():
                if target.is_dir():
                    target.rmdir()
                draft.replace(target)
                done.append(target)
        except OSError:
            for target in done:
                remove(target)
            raise

    def discard(self) -> None:
        for path in [*self._drafts.values(), *self._extra]:
            remove(path)
            # A writer's own helper files begin with the draft's name.
            stem = path.name.removesuffix(".part")
            for entry in path.parent.glob(f"{_literal(stem)}*.part"):
                remove(entry)


def _sync(path: Path) -> None:
    """On disk before it has its name, so that a power cut leaves no empty result."""
    if path.is_dir():
        return
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _literal(text: str) -> str:
    """For glob: only these characters mean something to it."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in text)
