"""Gates in the way of a job: whoever works on it stops at the stage of our choice until we let it through.

The product has none of this. The worker is forked from the test's process,
where the functions at the stages are wrapped; the engine is started from a
folder whose `apps` is the real one but for its first lines (ENGINE).
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError

from apps.engine import child
from apps.jobs import runner, services, watch
from apps.projects import services as projects

STAGES = ("fetch", "probe", "bring", "decode", "matte", "encode", "verify", "store", "settle")
IN_ENGINE = ("probe", "decode", "matte", "encode", "verify")
PATIENCE = 240
"""Seconds until somebody must have come to a gate; far more than it takes on a busy machine."""

ENGINE = """
import errno, os, pathlib, sys, time
from apps.engine import contain

GATES = pathlib.Path({folder!r})


def at(stage):
    gate = GATES / stage
    if not gate.exists():
        return
    what = gate.read_text()
    (GATES / (stage + ".reached")).write_text(str(os.getpid()))
    if what == "memory":
        raise MemoryError
    if what == "room":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    while gate.exists():
        time.sleep(0.02)


def before(owner, name, stage, call=1):
    real, count = getattr(owner, name), [0]

    def gated(*args, **kwargs):
        count[0] += 1
        if count[0] == call:
            at(stage)
        return real(*args, **kwargs)

    setattr(owner, name, gated)


def put_up_walls(**how):
    missing = walls(**how)
    if how["only_looks"]:
        from apps.engine import facts

        before(facts, "survey", "probe")
        return missing
    from apps.engine import pipeline
    from apps.engine.matting.chroma import ChromaSession

    decoded = pipeline.thinned

    def thinned(pictures, gap):
        for number, picture in enumerate(decoded(pictures, gap)):
            if number == 3:
                at("decode")
            yield picture

    pipeline.thinned = thinned
    before(ChromaSession, "push", "matte", call=6)
    # Later than the frame at which matting stops: the writer has a thread of its own and would come here meanwhile.
    before(pipeline.Work, "_write", "encode", call=8)
    before(pipeline, "verify", "verify")
    return missing


walls, contain.contain = contain.contain, put_up_walls
# A test that waits for it has no pages to keep quick.
contain._step_back = lambda: None
"""


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


class Gates:
    """One file for each gate that is shut; its words say what happens to whoever comes."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder / "gates"
        self.folder.mkdir()
        engine = folder / "tree" / "apps"
        engine.mkdir(parents=True)
        (engine / "engine").symlink_to(Path(child.__file__).parent)
        (engine / "__init__.py").write_text(ENGINE.format(folder=str(self.folder)))
        patch.setattr(child, "ROOT", engine.parent)
        self._wrap(patch, projects.egress, "fetch", "fetch")
        self._wrap(patch, runner.media, "bring", "bring")
        # After the first of several files, so that there is something to be left behind.
        self._wrap(patch, runner, "_store", "store", call=2)
        self._wrap(patch, services, "complete", "settle")
        patient = watch.Watch.look
        patch.setattr(watch.Watch, "look", lambda clock, progress: patient(self._hurried(clock), progress))

    def shut(self, stage: str, what: str = "wait") -> None:
        (self.folder / f"{stage}.reached").unlink(missing_ok=True)
        (self.folder / stage).write_text(what)

    def open(self, stage: str) -> None:
        (self.folder / stage).unlink(missing_ok=True)

    def open_all(self) -> None:
        for stage in STAGES:
            self.open(stage)

    def is_reached(self, stage: str) -> bool:
        """Whether somebody came, and, where one has to wait, is alive to do so."""
        gate, came = self.folder / stage, self.folder / f"{stage}.reached"
        if not came.exists() or not came.read_text():
            return False
        return not (gate.exists() and gate.read_text() == "wait" and is_gone(self.process_at(stage)))

    def process_at(self, stage: str) -> int:
        return int((self.folder / f"{stage}.reached").read_text())

    def hurry(self, is_on: bool) -> None:
        """Whether work that stands still is given up at once."""
        (self.folder / "hurry").touch() if is_on else (self.folder / "hurry").unlink(missing_ok=True)

    def _hurried(self, clock: watch.Watch) -> watch.Watch:
        if (self.folder / "hurry").exists():
            clock._moved = -1e9
        return clock

    def _wrap(self, patch: pytest.MonkeyPatch, owner: Any, name: str, stage: str, call: int = 1) -> None:
        real, count = getattr(owner, name), [0]

        def gated(*args: Any, **kwargs: Any) -> Any:
            # Each horse is a fork, so each counts from the beginning.
            count[0] += 1
            gate = self.folder / stage
            if count[0] == (1 if gate.exists() and gate.read_text() == "first" else call):
                self._at(stage)
            return real(*args, **kwargs)

        patch.setattr(owner, name, gated)

    def _at(self, stage: str) -> None:
        gate = self.folder / stage
        if not gate.exists():
            return
        what = gate.read_text()
        (self.folder / f"{stage}.reached").write_text(str(os.getpid()))
        if what == "room":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if what == "database":
            raise OperationalError("database or disk is full")
        while gate.exists():
            time.sleep(0.02)
