"""installing.json: what an installer is doing now, for pages in other processes. Light to import."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

FILE = "installing.json"

WRITE_EVERY = 0.5
"""Seconds between two progress writes: pages poll every second or two."""


@dataclass(frozen=True, slots=True)
class Coming:
    """What is being installed, as another process reads it."""

    network: str
    stage: str
    bytes_done: int
    bytes_total: int
    waiting: tuple[str, ...]

    def describe(self, missing: tuple[str, ...]) -> str | None:
        """One line for a model that lacks `missing`; None when none of it is on its way."""
        if self.network in missing:
            if self.stage == "downloading" and self.bytes_total:
                percent = min(100, 100 * self.bytes_done // self.bytes_total)
                return f"{self.network}: downloading, {percent} % of {self.bytes_total / 1e6:.0f} MB"
            return f"{self.network}: {self.stage}"
        queued = [name for name in missing if name in self.waiting]
        return f"{queued[0]}: waiting for {self.network}" if queued else None


class Installing:
    """The writer's side; the file exists only inside the `with` block."""

    def __init__(self, models_dir: Path, names: list[str]) -> None:
        self._path = models_dir / FILE
        self._names = names
        self._network = names[0] if names else ""
        self._stage = "starting"
        self._written = 0.0

    def __enter__(self) -> Installing:
        if self._names:
            self.say(self._network, "starting")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._path.unlink(missing_ok=True)

    def say(self, network: str, stage: str, bytes_done: int = 0, bytes_total: int = 0) -> None:
        same = (network, stage) == (self._network, self._stage)
        if same and time.monotonic() - self._written < WRITE_EVERY:
            return
        self._network, self._stage, self._written = network, stage, time.monotonic()
        row = {
            "network": network,
            "stage": stage,
            "bytes_done": min(bytes_done, bytes_total),
            "bytes_total": bytes_total,
            "waiting": self._names[self._names.index(network) + 1 :],
            "pid": os.getpid(),
        }
        # Replaced, not rewritten: a reader never sees half a file.
        fresh = self._path.with_suffix(".json.new")
        fresh.write_text(json.dumps(row), encoding="utf-8")
        fresh.replace(self._path)


def read_installing(models_dir: Path) -> Coming | None:
    """None when nobody installs: no file, or the file of an installer that died."""
    try:
        row = json.loads((models_dir / FILE).read_text(encoding="utf-8"))
        pid = int(row["pid"])
        coming = Coming(
            row["network"], row["stage"], row["bytes_done"], row["bytes_total"], tuple(row.get("waiting", ()))
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return coming if _is_alive(pid) else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
